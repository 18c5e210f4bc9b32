"""What the counts of a crystal allow at best: the limit of counting statistics on its intensities, by its own traces.

The truth says what every measurement that was used should have counted: its background, and the rocking curve times
the frame's scale times the true intensity. From that follow the least standard deviation of an unbiased estimate of
each intensity (Cramer and Rao), and, by counts drawn anew, the correlation with the truth that the best weights give.
"""

from typing import NamedTuple

import h5py
import numpy as np

from tasks.crystal.symmetry import space_group
from tasks.integrate.measurements import SET_ASIDE, USED, read_traces
from tasks.integrate.merging.equivalents import to_asymmetric_unit
from tasks.integrate.models import Reflections

DRAWS = 100


class CountLimit(NamedTuple):
    """Per unique reflection (m,) of the merged ones: ``sigma``, infinite where nothing was measured.

    ``correlation`` with the truth of intensities from counts drawn anew; ``electrons``: mean of the signal in a
    measurement near the sphere, ``measured`` (m,) tells of reflections with measurements. ``drawn`` (DRAWS, m): the
    same intensities' deviations from the truth in units of ``sigma``, which is exact there: what deviations of so few
    counts look like where nothing is wrong.
    """

    sigma: np.ndarray
    correlation: float
    electrons: float
    measured: np.ndarray
    drawn: np.ndarray


def count_limit(reflections: Reflections, truth: np.ndarray, *, seed: int) -> CountLimit:
    """Return the limit for true intensities (m,) of the merged reflections, on any scale.

    Measurements are the sums of a spot's own pixels; a profile in them tells a little more where there is background.
    """
    merged = reflections.unique_reflections
    scale = float((merged.intensity * truth).sum() / (truth**2).sum())
    seen, background, hkl = _measurements(reflections)
    laue = space_group(reflections.laue_group)
    unique = _rows(to_asymmetric_unit(hkl, laue), merged.hkl)
    here = unique >= 0
    seen, background, unique = seen[here], np.maximum(background[here], 1e-6), unique[here]
    signal = seen * np.maximum(scale * truth[unique], 0.0)
    weight = seen / (background + signal)
    size = len(truth)
    information = np.bincount(unique, weights=weight * seen, minlength=size)
    measured = information > 0
    rng = np.random.default_rng(seed)
    sigma = np.where(measured, 1.0 / np.sqrt(np.maximum(information, 1e-30)), np.inf)
    agreements, deviations = [], []
    for _ in range(DRAWS):
        net = rng.poisson(background + signal) - background
        found = np.bincount(unique, weights=weight * net, minlength=size) / np.maximum(information, 1e-30)
        agreements.append(np.corrcoef(found[measured], truth[measured])[0, 1])
        deviations.append((found - np.maximum(scale * truth, 0.0)) / sigma)
    near = seen > 0.14 * seen.max()  # two widths of a normal curve
    return CountLimit(sigma, float(np.mean(agreements)), float(signal[near].mean()), measured, np.array(deviations))


def _measurements(reflections: Reflections) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return what a merged intensity of one puts into each measurement used, its background, its hkl."""
    if reflections.pictures is None or reflections.traces is None:
        raise ValueError(f"{reflections.id}: keeps no traces")
    with h5py.File(reflections.pictures.path) as file:
        rocking = file["rocking"]
        x, density = rocking["x"][()], rocking["density"][()]
        frame, excitation = rocking["frame"][()], rocking["excitation"][()]
        length = np.linalg.norm(rocking["hkl"][()] @ file["geometry/basis"][()].T, axis=1)
        own = float(rocking.attrs["width_per_angstrom"])
        width = np.hypot(own, np.radians(rocking.attrs["spread_deg"]) * length)
        seen = np.interp(excitation / width, x, density, left=0.0, right=0.0) / width * rocking["scale"][()][frame]
    traces = read_traces(reflections.traces)
    used = traces.state[traces.state != SET_ASIDE] == USED
    rows = np.flatnonzero(traces.state != SET_ASIDE)[used]
    return seen[used] * own / density.max(), traces.background[rows], traces.hkl[rows]


def _rows(hkl: np.ndarray, unique: np.ndarray) -> np.ndarray:
    """Return the row of each hkl (n, 3) among unique ones (m, 3), -1 where it is none."""
    place = {tuple(row): number for number, row in enumerate(unique.tolist())}
    return np.array([place.get(tuple(row), -1) for row in hkl.tolist()])
