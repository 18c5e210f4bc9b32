"""Whether intensities are corrected for a scale by direction: left-out reflections decide."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tasks.model import DivergedError, FileRef, InputError, ProgramFailedError
from tasks.refine.direction_scale import (
    DirectionBasis,
    direction_basis,
    directions_of,
    fitted_coefficients,
    scale_of,
)
from tasks.refine.draft import Draft, DraftFit, UniqueIntensities
from tasks.refine.ports import LeastSquares
from tasks.refine.progress import QUICK_CYCLES, tried_fit
from tasks.refine.restraints.step import LEFT_OUT, TRIES, LeftOut
from tasks.refine.weighting import shelx_weights

LEAST_SPREAD = 0.03
"""Root mean square of the logarithm of the scale below which nothing is gained: F is then off by 1.5 %, of R1 of 0.1 a
hundredth. Of the tests' data L-alanine has 0.006 and LuAG 0.001; tyrosine's scale runs from 0.85 to 1.17 and lowers R1
of left-out reflections from 0.137 to 0.131, natrolite's from 0.92 to 1.13 and lowers it from 0.157 to 0.156."""
TABLE_NAME = "direction_scaled.npz"


class DirectionScaled(NamedTuple):
    """The intensities to go on with, the fit to them, and in words what was tried."""

    intensities: UniqueIntensities
    fit: DraftFit
    accepted: bool
    outcome: str


class Observed(NamedTuple):
    """Reflections of a fit on the absolute scale: ``hkl`` (n, 3), the others (n,)."""

    hkl: NDArray[np.int32]
    obs: NDArray[np.float64]
    sigma: NDArray[np.float64]
    calc: NDArray[np.float64]


def direction_scaled(
    engine: LeastSquares, fit: DraftFit, intensities: UniqueIntensities, workdir: Path
) -> DirectionScaled:
    """Return the intensities divided by a smooth scale by direction where left-out reflections gain from it.

    Each try refines without a part of the reflections, finds the scale from the others, and looks at that part.
    """
    basis = direction_basis(fit.draft.hall, fit.draft.unit_cell)
    table = _observed(fit)
    scale = _scale(basis, fit.draft, table, table.hkl)
    spread = float(np.std(np.log(scale))) if len(scale) else 0.0
    if spread < LEAST_SPREAD:
        return DirectionScaled(intensities, fit, accepted=False, outcome=f"not needed: it would spread by {spread:.1%}")
    verdict = _left_out(engine, fit.draft, intensities, basis)
    said = f"{float(scale.min()):.2f} to {float(scale.max()):.2f}; {verdict or 'no reflections could be left out'}"
    if verdict is None or not verdict.better:
        return DirectionScaled(intensities, fit, accepted=False, outcome=f"not taken: {said}")
    corrected = _corrected(intensities, table, scale, workdir / TABLE_NAME)
    corrected = corrected.model_copy(update={"direction_scale": said})
    trial = tried_fit(engine, fit.draft, corrected, 2 * QUICK_CYCLES)
    if trial is None:
        return DirectionScaled(intensities, fit, accepted=False, outcome="least squares failed with it")
    return DirectionScaled(corrected, trial, accepted=True, outcome=said)


def _observed(fit: DraftFit) -> Observed:
    with np.load(fit.table.path, allow_pickle=False) as file:
        return Observed(file["hkl"], file["f_sq_obs"], file["sigma"], file["f_sq_calc"])


def _scale(basis: DirectionBasis, draft: Draft, rows: Observed, hkl: NDArray[np.int32]) -> NDArray[np.float64]:
    """Return the scale at reflections (m, 3), found from the rows."""
    weight = shelx_weights(rows.obs, rows.sigma, rows.calc, a=draft.weights[0], b=draft.weights[1])
    values = basis.values(directions_of(rows.hkl, draft.unit_cell))
    found = fitted_coefficients(values, rows.obs, rows.calc, weight)
    return scale_of(basis.values(directions_of(hkl, draft.unit_cell)), found)


def _left_out(
    engine: LeastSquares, draft: Draft, intensities: UniqueIntensities, basis: DirectionBasis
) -> LeftOut | None:
    rows: list[tuple[float, float, int]] = []
    for seed in range(TRIES):
        try:
            used = engine.fit(draft, intensities, cycles=2 * QUICK_CYCLES, held_out=LEFT_OUT, seed=seed)
            whole = _observed(engine.fit(used.draft, intensities, cycles=0))
        except (DivergedError, InputError, ProgramFailedError):
            return None
        known = {tuple(row) for row in _observed(used).hkl.tolist()}
        out = np.array([tuple(row) not in known for row in whole.hkl.tolist()]) & (whole.obs > 2.0 * whole.sigma)
        if not out.any():
            return None
        scale = _scale(basis, draft, _observed(used), whole.hkl[out])
        plain, corrected = (_r1(whole.obs[out] / factor, whole.calc[out]) for factor in (np.ones(out.sum()), scale))
        rows.append((plain, corrected, int(out.sum())))
    return LeftOut.of(rows)


def _r1(obs: NDArray[np.float64], calc: NDArray[np.float64]) -> float:
    """Return R1 with the scale of these reflections, so that an overall factor counts for neither."""
    f_obs, f_calc = np.sqrt(obs), np.sqrt(calc)
    return float(np.abs(f_obs - f_obs.sum() / f_calc.sum() * f_calc).sum() / f_obs.sum())


def _corrected(
    intensities: UniqueIntensities, rows: Observed, scale: NDArray[np.float64], path: Path
) -> UniqueIntensities:
    """Return the intensities and their sigmas divided by the scale; reflections without one stay as they are."""
    factor = dict(zip((tuple(row) for row in rows.hkl.tolist()), scale.tolist(), strict=True))
    with np.load(intensities.table.path, allow_pickle=False) as file:
        hkl, intensity, sigma = file["hkl"], file["intensity"], file["sigma"]
    divisor = np.array([factor.get(tuple(row), 1.0) for row in hkl.tolist()])
    with path.open("wb") as stream:
        np.savez(stream, hkl=hkl, intensity=intensity / divisor, sigma=sigma / divisor)
    return intensities.model_copy(update={"table": FileRef.of(path)})
