"""Symmetry equivalents: mapping, error model, outliers and the weighted mean."""

from typing import NamedTuple

import gemmi
import numpy as np
from numpy.typing import NDArray

from tasks.integrate.reflection_file import Merged, Unmerged

MAD_TO_SIGMA = 1.4826
"""A normal distribution's standard deviation over its median absolute deviation."""

MIN_FOR_ERROR_MODEL = 40
"""Observations with equivalents that an error model needs: two bins of 20, of which the width, 1.4826 times the median
of |z|, scatters by 25 % (4000 draws of 20 normal deviates)."""
INTENSITY_BINS = 10
"""At most. Chosen, not measured: ten tell whether deviations grow with the intensity; 5 and 20 change no figure of the
high-dose series of tests/unit/integrate/test_sigmas.py."""
STATED_FREEDOM = 10.0
"""How far stated sigmas are believed against the scatter of few equivalents. With 3 the mean variance of that series is
0.80, with 30 0.83 (0.82 here): small differences, as one should be reached. Chosen between them, not measured."""
TOO_WIDE = 1.2
"""Robust width of a bin's deviations, of which 3 / sqrt(n) more is chance: it scatters by 1.13 / sqrt(n) (4000 draws of
n = 20 to 60 normal deviates). At 1.05 right sigmas are raised: in the high-dose series of
tests/unit/integrate/test_sigmas.py the mean variance falls from 0.82 to 0.58; at 1.4 nothing changes."""
RELATIVE_ERRORS = np.linspace(0.0, 0.4, 41)
"""Tried as the error of the model, a fraction of the intensity. Chosen, not measured: steps of 1 %, to twice what a
good kinematical R factor of electron data leaves (0.2)."""


class Equivalents(NamedTuple):
    """Unique reflections (m, 3) and, for every observation (n,), the row of its unique reflection."""

    unique: NDArray[np.int32]
    member: NDArray[np.int64]


class ErrorModel(NamedTuple):
    """True variance of an observation: ``factor**2 * (sigma**2 + (relative * mean)**2)``."""

    factor: float
    relative: float

    def sigma(self, sigma: NDArray[np.float64], mean: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the corrected standard deviations of observations with these means."""
        return self.factor * np.hypot(sigma, self.relative * np.maximum(mean, 0.0))


def to_asymmetric_unit(hkl: NDArray[np.int32], laue: gemmi.SpaceGroup) -> NDArray[np.int32]:
    """Return the indices (n, 3) mapped to gemmi's reciprocal asymmetric unit; Friedel mates coincide."""
    mapped = np.array(hkl, dtype=np.int32, order="C").reshape(-1, 3)
    laue.switch_to_asu(mapped)
    return mapped


def group_equivalents(hkl: NDArray[np.int32], laue: gemmi.SpaceGroup) -> Equivalents:
    """Group observations (n, 3) by symmetry and Friedel's law; unique rows are sorted."""
    unique, member = np.unique(to_asymmetric_unit(hkl, laue), axis=0, return_inverse=True)
    return Equivalents(unique.reshape(-1, 3), member.reshape(-1).astype(np.int64))


def merge_equivalents(data: Unmerged, laue: gemmi.SpaceGroup) -> Merged:
    """Return the inverse-variance weighted means.

    The programs' own sigmas may be too small on counted, low-background electron diffraction data. If equivalents of
    any intensity scatter more than the sigmas allow, these are first raised by the error model; and then, reflection
    by reflection, by the scatter of the equivalents: chi^2 per degree of freedom, shrunk to one as if STATED_FREEDOM
    more had shown one. (SHELXL takes the larger of propagated and scattered sigma, Sheldrick, Acta Cryst. C71, 3-8,
    2015: too large where sigmas are right, because it picks the larger of two estimates.)

    Of few counts the square of a deviation in sigmas varies by 2 + 1 / count instead of 2, and weighs that much less in
    chi^2: what counted one electron where a hundredth was expected is far off, and no sign that its sigma is too small.
    """
    equivalents = group_equivalents(data.hkl, laue)
    unique, member = equivalents
    size = len(unique)
    weight = inverse_variance(data.sigma)
    total = np.bincount(member, weights=weight, minlength=size)
    mean = np.bincount(member, weights=weight * data.intensity, minlength=size) / total
    raised = inverse_variance(_raised_sigma(data, equivalents, mean[member]))
    variance = np.bincount(member, weights=weight**2 / raised, minlength=size) / total**2
    count = np.bincount(member, minlength=size)
    freedom = np.asarray(count - 1.0, dtype=np.float64)
    square = raised * (data.intensity - mean[member]) ** 2
    if data.counts is not None:
        tells = 1.0 / (1.0 + 0.5 / np.maximum(data.counts, np.finfo(float).tiny))
        square = tells * square
        alone = tells * (1.0 - weight / total[member])
        freedom = np.asarray(np.bincount(member, weights=alone, minlength=size), dtype=np.float64)
    factor = (STATED_FREEDOM + np.bincount(member, weights=square, minlength=size)) / (STATED_FREEDOM + freedom)
    return Merged(unique, mean, np.sqrt(variance * np.maximum(factor, 1.0)), count.astype(np.int32))


def _raised_sigma(data: Unmerged, equivalents: Equivalents, mean: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the sigmas (n,), raised by the error model if equivalents of some intensity show them to be too small."""
    if not _too_small(data, equivalents):
        return data.sigma
    return np.maximum(data.sigma, fit_error_model(data, equivalents).sigma(data.sigma, mean))


def _too_small(data: Unmerged, equivalents: Equivalents) -> bool:
    """Tell whether deviations from the mean are wider than stated at some intensity, by more than chance makes them."""
    mean, deviation, scale = _deviations_from_the_others(data, equivalents)
    rows = np.flatnonzero(np.isfinite(deviation) & (data.sigma > 0))
    if len(rows) < MIN_FOR_ERROR_MODEL:
        return False
    normalised = np.abs(deviation[rows]) / (scale[rows] * data.sigma[rows])
    bins = np.array_split(np.argsort(mean[rows], kind="stable"), min(INTENSITY_BINS, len(rows) // 20))
    return any(MAD_TO_SIGMA * np.median(normalised[part]) > TOO_WIDE + 3.0 / np.sqrt(len(part)) for part in bins)


def observations_at(data: Unmerged, rows: NDArray[np.intp] | NDArray[np.bool_]) -> Unmerged:
    """Return some of the observations, by row numbers or by a mask."""
    return Unmerged(
        np.ascontiguousarray(data.hkl[rows]),
        data.intensity[rows],
        data.sigma[rows],
        data.angle_deg[rows],
        data.crystal[rows],
        None if data.counts is None else data.counts[rows],
    )


def uniques_at(merged: Merged, rows: NDArray[np.intp] | NDArray[np.bool_]) -> Merged:
    """Return some of the unique reflections, by row numbers or by a mask."""
    return Merged(
        np.ascontiguousarray(merged.hkl[rows]), merged.intensity[rows], merged.sigma[rows], merged.multiplicity[rows]
    )


def inverse_variance(sigma: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return 1/sigma^2, (n,); a sigma of zero counts as a tenth of the smallest positive one."""
    positive = sigma[sigma > 0]
    floor = positive.min() / 10.0 if positive.size else 1.0
    return 1.0 / np.maximum(sigma, floor) ** 2


def fit_error_model(data: Unmerged, equivalents: Equivalents) -> ErrorModel:
    """Fit the two terms of the error model to the scatter of equivalents.

    Form and idea: Evans & Murshudov, Acta Cryst. D69, 1204-1214 (2013), section 2.3. The factor is the robust width
    (median absolute deviation) of the normalised deviations; the relative term is the one of a grid that makes the
    widths of ten intensity bins most alike. With fewer than 40 repeated observations it is (1, 0).
    """
    mean, deviation, scale = _deviations_from_the_others(data, equivalents)
    repeated = np.isfinite(deviation)
    if np.count_nonzero(repeated) < MIN_FOR_ERROR_MODEL:
        return ErrorModel(1.0, 0.0)
    mean, deviation, scale, sigma = (x[repeated] for x in (mean, deviation, scale, data.sigma))
    bins = np.array_split(np.argsort(mean, kind="stable"), min(INTENSITY_BINS, len(mean) // 20))
    best = ErrorModel(1.0, 0.0)
    smallest = np.inf
    for relative in RELATIVE_ERRORS:
        normalised = np.abs(deviation) / (scale * ErrorModel(1.0, relative).sigma(sigma, mean))
        widths = np.array([MAD_TO_SIGMA * np.median(normalised[rows]) for rows in bins])
        spread = float(np.std(np.log(np.maximum(widths, 1e-6))))
        if spread < smallest:
            smallest = spread
            best = ErrorModel(max(float(MAD_TO_SIGMA * np.median(normalised)), 1e-3), float(relative))
    return best


def keep_consistent(data: Unmerged, laue: gemmi.SpaceGroup, *, threshold: float = 6.0) -> NDArray[np.bool_]:
    """Tell which observations (n,) agree with their equivalents.

    An observation is dropped when it lies more than `threshold` corrected standard deviations from the median of its
    equivalents, which must be three or more: of two that disagree, nothing says which one is wrong.
    """
    equivalents = group_equivalents(data.hkl, laue)
    model = fit_error_model(data, equivalents)
    count = np.bincount(equivalents.member)
    median = group_median(data.intensity, equivalents.member, len(count))[equivalents.member]
    sigma = model.sigma(data.sigma, median)
    far = np.abs(data.intensity - median) > threshold * np.maximum(sigma, np.finfo(float).tiny)
    return ~(far & (count[equivalents.member] >= 3))


def group_median(values: NDArray[np.float64], member: NDArray[np.int64], size: int) -> NDArray[np.float64]:
    """Return the median of the values of every group, (size,)."""
    order = np.lexsort((values, member))
    count = np.bincount(member, minlength=size)
    first = np.concatenate([[0], np.cumsum(count)[:-1]])
    ordered = values[order]
    low = ordered[first + (count - 1) // 2]
    return 0.5 * (low + ordered[first + count // 2])


def _deviations_from_the_others(
    data: Unmerged, equivalents: Equivalents
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Return group mean, deviation from it and the deviation's expected size in sigmas, (n,) each.

    The deviation is NaN where a reflection was measured once.
    """
    member = equivalents.member
    count = np.bincount(member)
    mean = (np.bincount(member, weights=data.intensity) / count)[member]
    n = count[member]
    deviation = np.where(n > 1, data.intensity - mean, np.nan)
    return mean, deviation, np.sqrt((n - 1) / n)
