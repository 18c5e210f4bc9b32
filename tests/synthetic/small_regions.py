"""Crystals whose positions are known, for regions of them, and what the counts of a region allow at best."""

from pathlib import Path
from typing import NamedTuple

import numpy as np

from tasks.apertures.models import CrystalAperture
from tasks.apertures.output import write_drawn
from tasks.frames.models import DirectBeams
from tasks.frames.settings import FrameSettings
from tasks.frames.task import find_beams
from tasks.ingest.models import TiltSeries
from tasks.integrate.models import Reflections
from tasks.simulate.instruments import settings_of as simulation_of
from tasks.simulate.lattice import reflection_table
from tasks.simulate.models import SimulationSettings, Structure
from tests.synthetic.count_limits import count_limit
from tests.synthetic.intensity_scores import settings_of
from tests.synthetic.series_truth import laue_of
from tests.synthetic.simulated_store import simulated_store
from tests.synthetic.solve_cases import representatives

STEP_NM = 7.0
"""Least step: the probe of 0.15 mrad at 300 kV is 6.7 nm wide, so that positions share few unit cells."""
ACROSS = 15
"""Positions across a crystal where that makes steps that are larger, as in `tests.synthetic.realism_cases`."""
DRAWS = 20
SHELL = 25
"""Reflections in a shell at least: correlations scatter by a fifth about zero."""
SHELLS = 12
SIGNIFICANT = 0.5
"""Correlation with the truth: CC1/2 is 0.14 there (Karplus & Diederichs, Science 336, 1030-1033, 2012)."""


class Made(NamedTuple):
    """A series with its crystals where they lie alone; ``cells`` (n_tilts, crystals, ny, nx): unit cells under each."""

    series: TiltSeries
    beams: DirectBeams
    tilts: np.ndarray
    apertures: tuple[CrystalAperture, ...]
    cells: np.ndarray


class Limit(NamedTuple):
    """True intensities (m,) of unique reflections ``hkl`` (m, 3), and the least sigma that their counts allow."""

    hkl: np.ndarray
    value: np.ndarray
    sigma: np.ndarray


class Reach(NamedTuple):
    """Correlation with the truth, and to which resolution shells correlate with it by `SIGNIFICANT`."""

    correlation: float
    d_min_angstrom: float


def condition_settings(size_nm: float, electrons: float, *, model: str, seed: int, crystals: int) -> SimulationSettings:
    """Return crystals of so many nm, apart, on absolute scale with energy losses, 61 tilts of 2 degrees."""
    step = max(STEP_NM, size_nm / ACROSS)
    field = int(np.ceil((1.6 if crystals == 1 else 3.2) * size_nm / step / 4)) * 4
    values = {
        "seed": seed,
        "tilts": {"step_deg": 2.0},
        "cluster": {
            "crystals": crystals, "size_nm": size_nm, "size_spread": 0.1, "overlap": 0.0, "height_nm": size_nm / 2,
            "mosaic_deg": 0.2, "bad_fraction": 0.0,
        },
        "instrument": {
            "scan_shape": (field, field), "step_nm": step, "shape_px": (288, 288), "pixel_size_mm": 0.02,
            "point_spread_px": 0.4,
        },
        "scattering": {
            "model": model, "electrons_per_pattern": electrons, "table": "mott-bethe",
            "inelastic_mean_free_path_nm": 150.0,
        },
    }  # fmt: skip
    return simulation_of("ideal", values)


def made_series(structure: Structure, settings: SimulationSettings, folder: Path) -> Made:
    """Simulate into `folder`; the aperture of a crystal is where it lies alone."""
    folder.mkdir(parents=True)
    series, truth = simulated_store(structure, settings, folder)
    inside = truth.thickness > 0
    alone = inside & (inside.sum(axis=1, keepdims=True) == 1)
    tilts = np.array([scan.tilt_deg for scan in series.scans])
    apertures = tuple(write_drawn(f"crystal-{n + 1:02d}", alone[:, n], tilts, folder) for n in range(alone.shape[1]))
    volume_nm3 = structure.cell.gemmi().volume / 1000.0
    cells = truth.thickness * settings.instrument.step_nm**3 / volume_nm3
    beams = find_beams(series, FrameSettings(), workdir=folder / "beams")
    return Made(series, beams, tilts, apertures, cells)


def illuminated_cells(cells: np.ndarray, masks: np.ndarray) -> float:
    """Return the unit cells (n_tilts, ny, nx) under the positions of a region, in the mean over its tilts."""
    inside = (cells * masks).sum(axis=(1, 2))
    return float(inside[masks.any(axis=(1, 2))].mean())


def true_table(structure: Structure, d_min_angstrom: float) -> dict[tuple[int, ...], float]:
    """Return |F|^2 of each reflection by the representative of its Laue orbit."""
    table = reflection_table(structure, d_min_angstrom)
    keys = representatives(table.hkl, laue_of(structure)).tolist()
    return {tuple(key): float(value) for key, value in zip(keys, table.f_squared, strict=True)}


def in_true_setting(data: Reflections, structure: Structure, table: dict[tuple[int, ...], float]) -> np.ndarray | None:
    """Return the merged reflections (m, 3) in the setting that agrees best with the truth; None: another lattice."""
    best, found = -2.0, None
    merged = data.unique_reflections
    for matrix in settings_of(data.unit_cell, structure.cell):
        hkl = representatives(np.rint(merged.hkl @ matrix.T).astype(int), laue_of(structure))
        value = np.array([table.get(tuple(row), 0.0) for row in hkl.tolist()])
        agreement = float(np.corrcoef(value, merged.intensity)[0, 1])
        if agreement > best:
            best, found = agreement, hkl
    return found


def limit_of(data: Reflections, structure: Structure, table: dict[tuple[int, ...], float]) -> Limit | None:
    """Return the limit of Cramer and Rao for the intensities of a region; see `count_limit`."""
    hkl = in_true_setting(data, structure, table)
    if hkl is None:
        return None
    value = np.array([table.get(tuple(row), 0.0) for row in hkl.tolist()])
    found = count_limit(data, value, seed=0)
    scale = float((data.intensity * value).sum() / (value**2).sum())
    kept = found.measured & np.isfinite(found.sigma)
    return Limit(hkl[kept], value[kept], found.sigma[kept] / abs(scale))


def pooled(limits: list[Limit]) -> Limit:
    """Return the limit of several crystals together: information adds."""
    hkl = np.concatenate([one.hkl for one in limits])
    keys, first, member = np.unique(hkl, axis=0, return_index=True, return_inverse=True)
    sigma = np.concatenate([one.sigma for one in limits])
    information = np.bincount(member.ravel(), weights=sigma**-2.0)
    return Limit(keys, np.concatenate([one.value for one in limits])[first], information**-0.5)


def allowed(limit: Limit, structure: Structure, *, share: float = 1.0, seed: int = 0) -> Reach:
    """Return what estimates of least sigma would reach, with a share of the electrons."""
    rng = np.random.default_rng(seed)
    sigma = limit.sigma / np.sqrt(share)
    drawn = [_reach(limit.value + sigma * rng.normal(size=len(sigma)), limit, structure) for _ in range(DRAWS)]
    return Reach(float(np.mean([one.correlation for one in drawn])), float(np.median([one[1] for one in drawn])))


def reached(data: Reflections, structure: Structure, table: dict[tuple[int, ...], float]) -> Reach:
    """Return what merged intensities have reached; NaN of another lattice."""
    hkl = in_true_setting(data, structure, table)
    if hkl is None:
        return Reach(float("nan"), float("nan"))
    value = np.array([table.get(tuple(row), 0.0) for row in hkl.tolist()])
    return _reach(data.intensity, Limit(hkl, value, value), structure)


def share_needed(limit: Limit, structure: Structure, correlation: float) -> float:
    """Return which share of the electrons would allow a correlation, were each estimate the best possible."""
    low, high = np.log(1e-3), 0.0
    for _ in range(10):
        middle = (low + high) / 2
        enough = allowed(limit, structure, share=float(np.exp(middle))).correlation >= correlation
        low, high = (low, middle) if enough else (middle, high)
    return float(np.exp(high))


def _reach(intensity: np.ndarray, limit: Limit, structure: Structure) -> Reach:
    spacing = structure.cell.gemmi().calculate_d_array(limit.hkl)
    order = np.argsort(-spacing)
    d_min = float("nan")
    for rows in np.array_split(order, int(np.clip(len(order) // SHELL, 1, SHELLS))):
        if not np.corrcoef(intensity[rows], limit.value[rows])[0, 1] >= SIGNIFICANT:
            break
        d_min = float(spacing[rows].min())
    return Reach(float(np.corrcoef(intensity, limit.value)[0, 1]), d_min)
