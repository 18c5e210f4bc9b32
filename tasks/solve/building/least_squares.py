"""A quick isotropic least-squares fit on F: Levenberg-Marquardt with the full matrix, special positions kept."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import linalg

from tasks.crystal.lattice import orthogonalisation
from tasks.crystal.symmetry import Symmetry
from tasks.model import UnitCell
from tasks.solve.building.atoms import Model, form_factors, stabilisers, trigonometric_sums
from tasks.solve.data.observations import GroupAmplitudes

MAX_SHIFT_ANGSTROM = 0.3
"""Of one step: it turns the phase of a reflection of 1 A by 108 degrees, and beyond that its derivative says nothing.
Not sensitive: six sets of `python -m tests.benchmarks.solve` are solved alike with 1.0."""
U_RANGE = (0.001, 0.30)
"""In A^2: diamond has about 0.002; at 0.30 an atom's part in reflections of 1 A is 0.003 of that at rest."""
OCCUPANCY_RANGE = (0.02, 60.0)
"""Scattering power over that of the reference element: electrons see U as 6 times O and 30 times H, X-rays U as 16
times O and 45 times Li, with room for sites of several atoms. Above zero, since derivatives are taken relative to
it."""
RELATIVE_ERROR = 0.05
"""Model error of F added to its sigma: kinematical theory is no better than this on electron data."""


class Free(NamedTuple):
    """What is refined besides the scale; `u_common`: one U for all atoms, refined as a shift of all."""

    position: bool = True
    u_iso: bool = False
    u_common: bool = False
    occupancy: bool = False


class IsotropicFit(NamedTuple):
    """A fitted model: ``calculated`` (n,) complex on the scale of the data (times `scale`)."""

    model: Model
    scale: float
    calculated: NDArray[np.complex128]
    r1: float
    parameters: int


def refine(model: Model, observed: GroupAmplitudes, symmetry: Symmetry, *, free: Free, cycles: int) -> IsotropicFit:
    """Return the model after up to `cycles` accepted steps; a step that does not lower the residual is not taken.

    Source of the method: Marquardt, J. SIAM 11, 431-441 (1963). Weights 1 / (sigma^2 + (0.05 F)^2), lowered for
    outliers as 1 / (1 + (r / 3 rms)^2).
    """
    damping = 1e-3
    state = _evaluate(model, observed, symmetry)
    used = 1
    for _ in range(cycles):
        weight = _weights(observed, state)
        jacobian, apply = _jacobian(model, observed, symmetry, state, free)
        used = jacobian.shape[1]
        rooted = jacobian * np.sqrt(weight)[:, None]
        residual = np.sqrt(weight) * (observed.amplitude - state.scale * np.abs(state.factor))
        normal, gradient = rooted.T @ rooted, rooted.T @ residual
        before = float(residual @ residual)
        improved = False
        for _ in range(4):
            shift = _solve(normal, gradient, damping)
            trial = apply(shift)
            trial_state = _evaluate(trial, observed, symmetry)
            after = float((weight * (observed.amplitude - trial_state.scale * np.abs(trial_state.factor)) ** 2).sum())
            if after < before:
                damping = max(damping / 4, 1e-5)
                model, state, improved = trial, trial_state, True
                break
            damping = min(damping * 8, 1e3)
        if not improved or (before - after) < 1e-4 * before:
            break
    calculated = state.scale * state.factor
    return IsotropicFit(model, state.scale, calculated, r_factor(observed, calculated), used)


def r_factor(observed: GroupAmplitudes, calculated: NDArray[np.complex128]) -> float:
    """Return R1 on F for I > 2 sigma(I), as a fraction; 1 if there is no such reflection."""
    f = observed.amplitude[observed.strong]
    if not f.sum() > 0:
        return 1.0
    return float(np.abs(f - np.abs(calculated[observed.strong])).sum() / f.sum())


class _State(NamedTuple):
    factor: NDArray[np.complex128]
    scale: float
    sums: NDArray[np.complex128]
    gradients: NDArray[np.complex128]
    weights: NDArray[np.float64]


def _evaluate(model: Model, observed: GroupAmplitudes, symmetry: Symmetry) -> _State:
    fixing, _ = stabilisers(model.position, symmetry, observed.cell)
    weights = form_factors(model, observed.d_star_sq, observed.radiation) * (len(symmetry.centring) / fixing)
    sums, gradients = trigonometric_sums(observed.hkl, symmetry, model.position)
    factor = np.einsum("nm,nm->n", weights, sums)
    return _State(factor, scale_factor(observed, np.abs(factor)), sums, gradients, weights)


def scale_factor(observed: GroupAmplitudes, calculated: NDArray[np.float64]) -> float:
    """Return k that minimises the weighted sum of (Fo - k Fc)^2."""
    weight = 1.0 / (observed.sigma**2 + (RELATIVE_ERROR * observed.amplitude) ** 2 + _floor(observed))
    denominator = float((weight * calculated**2).sum())
    return float((weight * observed.amplitude * calculated).sum()) / denominator if denominator > 0 else 1.0


def _floor(observed: GroupAmplitudes) -> float:
    return (0.02 * float(observed.amplitude.mean())) ** 2 + 1e-30


def _weights(observed: GroupAmplitudes, state: _State) -> NDArray[np.float64]:
    weight = 1.0 / (observed.sigma**2 + (RELATIVE_ERROR * observed.amplitude) ** 2 + _floor(observed))
    residual = np.sqrt(weight) * (observed.amplitude - state.scale * np.abs(state.factor))
    spread = float(np.sqrt((residual**2).mean())) or 1.0
    return np.asarray(weight / (1.0 + (residual / (3.0 * spread)) ** 2))


def _jacobian(
    model: Model, observed: GroupAmplitudes, symmetry: Symmetry, state: _State, free: Free
) -> tuple[NDArray[np.float64], "_Shifter"]:
    """Return d|k F| / d parameter, (n, p), with the scale last, and the function that applies a shift."""
    _, bases = stabilisers(model.position, symmetry, observed.cell)
    modulus = np.maximum(np.abs(state.factor), 1e-12)
    direction = state.scale * (state.factor.conj() / modulus)[:, None]
    columns: list[NDArray[np.float64]] = []
    per_atom = (direction * state.weights * state.sums).real
    if free.position:
        slope = (direction[:, :, None] * state.weights[:, :, None] * state.gradients).real
        columns += [slope[:, atom, :] @ basis for atom, basis in enumerate(bases)]
    if free.u_iso:
        columns.append(per_atom * (-2.0 * np.pi**2 * observed.d_star_sq)[:, None])
    if free.u_common:
        columns.append((per_atom.sum(axis=1) * (-2.0 * np.pi**2 * observed.d_star_sq))[:, None])
    if free.occupancy:
        columns.append(per_atom / model.occupancy)
    columns.append(modulus[:, None])
    return np.concatenate(columns, axis=1), _Shifter(model, bases, free, observed.cell)


class _Shifter(NamedTuple):
    """Applies a parameter shift to a model, within bounds."""

    model: Model
    bases: list[NDArray[np.float64]]
    free: Free
    cell: UnitCell

    def __call__(self, shift: NDArray[np.float64]) -> Model:
        """Return the shifted model."""
        position, u_iso, occupancy = self.model.position.copy(), self.model.u_iso, self.model.occupancy
        count, at = len(position), 0
        if self.free.position:
            orthogonal = orthogonalisation(self.cell)
            for atom, basis in enumerate(self.bases):
                move = basis @ shift[at : at + basis.shape[1]]
                at += basis.shape[1]
                length = float(np.linalg.norm(orthogonal @ move))
                position[atom] += move * min(1.0, MAX_SHIFT_ANGSTROM / max(length, 1e-12))
        if self.free.u_iso:
            u_iso = np.clip(u_iso + np.clip(shift[at : at + count], -0.03, 0.03), *U_RANGE)
            at += count
        if self.free.u_common:
            u_iso = np.clip(u_iso + np.clip(shift[at], -0.03, 0.03), *U_RANGE)
            at += 1
        if self.free.occupancy:
            occupancy = np.clip(occupancy + shift[at : at + count], *OCCUPANCY_RANGE)
        return self.model._replace(position=position, u_iso=u_iso, occupancy=occupancy)


def _solve(normal: NDArray[np.float64], gradient: NDArray[np.float64], damping: float) -> NDArray[np.float64]:
    diagonal = np.maximum(np.diag(normal), 1e-12 * float(np.diag(normal).max()))
    scale = 1.0 / np.sqrt(diagonal)
    scaled = normal * scale[:, None] * scale[None, :] + damping * np.eye(len(diagonal))
    return np.asarray(scale * linalg.solve(scaled, scale * gradient, assume_a="pos"))
