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
MOST_EXTINCTION = 12.0
"""Of `attenuation`: a reflection of mean intensity then keeps 0.28 of it, as by Blackman's two-beam formula with A = 2.
Thicker crystals give no data that kinematical models explain; with 30 a wrong model of a twin of quartz, whose
intensities are alike, came to a left-out R1 of 0.30."""
FIRST_EXTINCTION = 1.0
"""The largest first step; later ones may double it and add as much. Chosen, not measured: the scale follows in each
step, and a larger one would be made before it has."""
RELATIVE_ERROR = 0.05
"""Model error of F added to its sigma: kinematical theory is no better than this on electron data."""


class Free(NamedTuple):
    """What is refined besides the scale; `u_common`: one U for all atoms, refined as a shift of all."""

    position: bool = True
    u_iso: bool = False
    u_common: bool = False
    occupancy: bool = False
    extinction: bool = False


class IsotropicFit(NamedTuple):
    """A fitted model: ``calculated`` (n,) complex on the scale of the data (times `scale`), extinction included."""

    model: Model
    scale: float
    calculated: NDArray[np.complex128]
    r1: float
    parameters: int
    extinction: float = 0.0


def refine(
    model: Model, observed: GroupAmplitudes, symmetry: Symmetry, *, free: Free, cycles: int, extinction: float = 0.0
) -> IsotropicFit:
    """Return the model after up to `cycles` accepted steps; a step that does not lower the residual is not taken.

    Source of the method: Marquardt, J. SIAM 11, 431-441 (1963). Weights 1 / (sigma^2 + (0.05 F)^2), lowered for
    outliers as 1 / (1 + (r / 3 rms)^2). Extinction begins at a value, and stays there unless it is free.
    """
    damping = 1e-3
    state = _evaluate(model, observed, symmetry, extinction)
    used = 1
    for _ in range(cycles):
        weight = _weights(observed, state)
        jacobian, apply = _jacobian(model, observed, symmetry, state, free)
        used = jacobian.shape[1]
        rooted = jacobian * np.sqrt(weight)[:, None]
        residual = np.sqrt(weight) * (observed.amplitude - state.scale * state.modulus)
        normal, gradient = rooted.T @ rooted, rooted.T @ residual
        before = float(residual @ residual)
        improved = False
        for _ in range(4):
            shift = _solve(normal, gradient, damping)
            trial, extinction = apply(shift)
            trial_state = _evaluate(trial, observed, symmetry, extinction)
            after = float((weight * (observed.amplitude - trial_state.scale * trial_state.modulus) ** 2).sum())
            if after < before:
                damping = max(damping / 4, 1e-5)
                model, state, improved = trial, trial_state, True
                break
            damping = min(damping * 8, 1e3)
        if not improved or (before - after) < 1e-4 * before:
            break
    calculated = state.scale * state.modulus * np.exp(1j * np.angle(state.factor))
    return IsotropicFit(model, state.scale, calculated, r_factor(observed, calculated), used, state.extinction)


def attenuation(square: NDArray[np.float64], extinction: float) -> NDArray[np.float64]:
    """Return what extinction leaves of the amplitudes whose kinematical squares are given, (n,), in (0, 1].

    (1 + x F^2 / <F^2>)^(-1/4) with the same x at all angles: SHELXL's formula, whose intensity goes from F^2 to F for
    strong reflections as that of two beams does (Blackman, Proc. R. Soc. A173, 68-82, 1939), which knows no angle.
    """
    mean = max(float(square.mean()), 1e-300) if len(square) else 1.0
    return np.asarray((1.0 + extinction * square / mean) ** -0.25)


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
    modulus: NDArray[np.float64]
    """(n,) |F| weakened by extinction."""
    extinction: float


def _evaluate(model: Model, observed: GroupAmplitudes, symmetry: Symmetry, extinction: float) -> _State:
    fixing, _ = stabilisers(model.position, symmetry, observed.cell)
    weights = form_factors(model, observed.d_star_sq, observed.radiation) * (len(symmetry.centring) / fixing)
    sums, gradients = trigonometric_sums(observed.hkl, symmetry, model.position)
    factor = np.einsum("nm,nm->n", weights, sums)
    modulus = np.abs(factor)
    if extinction > 0:
        modulus = modulus * attenuation(modulus**2, extinction)
    return _State(factor, scale_factor(observed, modulus), sums, gradients, weights, modulus, extinction)


def scale_factor(observed: GroupAmplitudes, calculated: NDArray[np.float64]) -> float:
    """Return k that minimises the weighted sum of (Fo - k Fc)^2."""
    weight = 1.0 / (observed.sigma**2 + (RELATIVE_ERROR * observed.amplitude) ** 2 + _floor(observed))
    denominator = float((weight * calculated**2).sum())
    return float((weight * observed.amplitude * calculated).sum()) / denominator if denominator > 0 else 1.0


def _floor(observed: GroupAmplitudes) -> float:
    return (0.02 * float(observed.amplitude.mean())) ** 2 + 1e-30


def _weights(observed: GroupAmplitudes, state: _State) -> NDArray[np.float64]:
    weight = 1.0 / (observed.sigma**2 + (RELATIVE_ERROR * observed.amplitude) ** 2 + _floor(observed))
    residual = np.sqrt(weight) * (observed.amplitude - state.scale * state.modulus)
    spread = float(np.sqrt((residual**2).mean())) or 1.0
    return np.asarray(weight / (1.0 + (residual / (3.0 * spread)) ** 2))


def _jacobian(
    model: Model, observed: GroupAmplitudes, symmetry: Symmetry, state: _State, free: Free
) -> tuple[NDArray[np.float64], "_Shifter"]:
    """Return d|k F| / d parameter, (n, p), with the scale last, and the function that applies a shift.

    With u = x F^2 / <F^2>, extinction changes |F| by (1 + u)^(-5/4) (1 + u / 2) times what it would change without;
    the mean is taken as constant.
    """
    _, bases = stabilisers(model.position, symmetry, observed.cell)
    modulus = np.maximum(np.abs(state.factor), 1e-12)
    relative = modulus**2 / float((modulus**2).mean())
    u = state.extinction * relative
    slowed = (1.0 + u) ** -1.25 * (1.0 + u / 2.0)
    direction = state.scale * (slowed * state.factor.conj() / modulus)[:, None]
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
    if free.extinction:
        columns.append((-0.25 * state.scale * modulus * relative * (1.0 + u) ** -1.25)[:, None])
    columns.append(np.maximum(state.modulus, 1e-12)[:, None])
    return np.concatenate(columns, axis=1), _Shifter(model, bases, free, observed.cell, state.extinction)


class _Shifter(NamedTuple):
    """Applies a parameter shift to a model, within bounds."""

    model: Model
    bases: list[NDArray[np.float64]]
    free: Free
    cell: UnitCell
    extinction: float

    def __call__(self, shift: NDArray[np.float64]) -> tuple[Model, float]:
        """Return the shifted model and extinction."""
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
            at += count
        extinction = self.extinction
        if self.free.extinction:
            most = 2.0 * extinction + FIRST_EXTINCTION
            extinction = float(np.clip(extinction + shift[at], 0.0, min(most, MOST_EXTINCTION)))
        return self.model._replace(position=position, u_iso=u_iso, occupancy=occupancy), extinction


def _solve(normal: NDArray[np.float64], gradient: NDArray[np.float64], damping: float) -> NDArray[np.float64]:
    diagonal = np.maximum(np.diag(normal), 1e-12 * float(np.diag(normal).max()))
    scale = 1.0 / np.sqrt(diagonal)
    scaled = normal * scale[:, None] * scale[None, :] + damping * np.eye(len(diagonal))
    return np.asarray(scale * linalg.solve(scaled, scale * gradient, assume_a="pos"))
