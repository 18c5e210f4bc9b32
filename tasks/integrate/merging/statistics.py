"""Merging statistics, overall and by resolution shell."""

from collections.abc import Callable
from typing import NamedTuple

import gemmi
import numpy as np
from numpy.typing import NDArray

from tasks.crystal.correlation import MIN_FOR_CORRELATION, correlation
from tasks.crystal.scattering import d_star_squared
from tasks.integrate.merging.equivalents import Equivalents, group_equivalents, inverse_variance
from tasks.integrate.models import ShellStatistics
from tasks.integrate.reflection_file import Unmerged
from tasks.model import UnitCell


class DataStatistics(NamedTuple):
    """The whole range and its shells, low resolution first."""

    overall: ShellStatistics
    shells: tuple[ShellStatistics, ...]


def merging_statistics(
    data: Unmerged,
    laue: gemmi.SpaceGroup,
    cell: UnitCell,
    *,
    shells: int = 10,
    d_min_angstrom: float | None = None,
    halves: tuple[NDArray[np.float64], NDArray[np.float64]] | None = None,
) -> DataStatistics:
    """Return the statistics of observations, Friedel mates taken as equivalent.

    Shells have equal volumes in reciprocal space. Completeness counts the unique reflections that the centring
    allows between the lowest resolution observed and `d_min_angstrom` (by default the highest observed).

    Parameters
    ----------
    halves
        The intensities (n,) of the same observations from either half of the events: gives `cc_half_events`.

    Raises
    ------
    ValueError
        If there are no observations.
    """
    if len(data.hkl) == 0:
        raise ValueError("no observations to make statistics of")
    d_star_sq = d_star_squared(data.hkl, cell)
    highest = float(d_star_sq.max()) if d_min_angstrom is None else d_min_angstrom**-2
    inside = d_star_sq <= highest * (1 + 1e-9)
    low, high = float(d_star_sq[inside].min()), highest
    edges = (np.linspace(low**1.5, high**1.5, shells + 1)) ** (2.0 / 3.0)
    edges[0], edges[-1] = low, high
    possible = possible_reflections(cell, laue, low, high)
    table = _Table(data, group_equivalents(data.hkl, laue), d_star_sq, possible, halves)
    overall = table.statistics(low, high, last=True)
    parts = tuple(
        table.statistics(edges[i], edges[i + 1], last=i == shells - 1) for i in range(shells) if edges[i + 1] > edges[i]
    )
    return DataStatistics(overall, parts)


def possible_reflections(cell: UnitCell, laue: gemmi.SpaceGroup, low: float, high: float) -> NDArray[np.float64]:
    """Return 1/d^2 of the unique reflections that the centring allows, low <= 1/d^2 <= high (with rounding)."""
    d_min, d_max = high**-0.5, low**-0.5
    indices = gemmi.make_miller_array(cell.gemmi(), laue, d_min * (1 - 1e-6), d_max * (1 + 1e-6))
    return d_star_squared(indices, cell)


class _Table(NamedTuple):
    """Observations with what every shell needs."""

    data: Unmerged
    equivalents: Equivalents
    d_star_sq: NDArray[np.float64]
    possible: NDArray[np.float64]
    halves: tuple[NDArray[np.float64], NDArray[np.float64]] | None

    def statistics(self, low: float, high: float, *, last: bool) -> ShellStatistics:
        """Return the statistics of low <= 1/d^2 < high; the last shell has its upper edge."""
        rows = _between(self.d_star_sq, low, high, last=last)
        possible = int(np.count_nonzero(_between(self.possible, low, high, last=last)))
        member = np.unique(self.equivalents.member[rows], return_inverse=True)[1].astype(np.int64)
        intensity, sigma = self.data.intensity[rows], self.data.sigma[rows]
        unique = int(member.max()) + 1 if member.size else 0
        events = None
        if self.halves is not None:
            events = _events_correlation(self.halves[0][rows], self.halves[1][rows], member)
        return ShellStatistics(
            d_max_angstrom=low**-0.5,
            d_min_angstrom=high**-0.5,
            observations=int(rows.size),
            unique=unique,
            completeness=min(1.0, unique / possible) if possible else 0.0,
            multiplicity=rows.size / unique if unique else 0.0,
            i_over_sigma=mean_i_over_sigma(intensity, sigma, member),
            r_meas=r_meas(intensity, member),
            r_pim=r_pim(intensity, member),
            cc_half=cc_half(intensity, member),
            cc_half_events=events,
        )


def r_meas(intensity: NDArray[np.float64], member: NDArray[np.int64]) -> float | None:
    """Return the multiplicity-independent merging R factor, as a fraction.

    ``sum_h sqrt(n / (n - 1)) sum_i |I_hi - <I_h>| / sum_h sum_i I_hi`` (Diederichs & Karplus, Nat. Struct. Biol. 4,
    269-275, 1997), with unweighted means. Reflections measured once are left out; None where nothing is left or the
    sum of intensities is not positive.
    """
    return _merging_r(intensity, member, lambda n: np.sqrt(n / (n - 1.0)))


def r_pim(intensity: NDArray[np.float64], member: NDArray[np.int64]) -> float | None:
    """Return the precision-indicating merging R factor, as a fraction; None as in `r_meas`.

    As `r_meas` with the factor sqrt(1 / (n - 1)) (Weiss, J. Appl. Cryst. 34, 130-135, 2001).
    """
    return _merging_r(intensity, member, lambda n: np.sqrt(1.0 / (n - 1.0)))


def _merging_r(
    intensity: NDArray[np.float64],
    member: NDArray[np.int64],
    factor: Callable[[NDArray[np.float64]], NDArray[np.float64]],
) -> float | None:
    if not member.size:
        return None
    count = np.bincount(member)
    mean = np.bincount(member, weights=intensity) / count
    repeated = count[member] > 1
    total = float(intensity[repeated].sum())
    if not total > 0:
        return None
    n = count[member][repeated].astype(np.float64)
    return float((factor(n) * np.abs(intensity - mean[member])[repeated]).sum() / total)


def cc_half(intensity: NDArray[np.float64], member: NDArray[np.int64]) -> float | None:
    """Return CC1/2 by the sigma-tau method, the expectation over all random halves; None below 3 repeated uniques.

    ``(V_y - V_e/2) / (V_y + V_e/2)`` with V_y the variance of the means and V_e/2 the mean of their squared standard
    errors (Assmann, Brehm & Diederichs, J. Appl. Cryst. 49, 1021-1028, 2016). Unlike a drawn half set it needs no
    seed. Departure: V_y is corrected for nothing else, and the result is cut at -1 and 1.
    """
    if not member.size:
        return None
    count = np.bincount(member)
    repeated = count > 1
    if np.count_nonzero(repeated) < MIN_FOR_CORRELATION:
        return None
    mean = np.bincount(member, weights=intensity) / count
    squares = np.bincount(member, weights=(intensity - mean[member]) ** 2)[repeated]
    n = count[repeated]
    error = float(np.mean(squares / (n - 1) / n))
    spread = float(np.var(mean[repeated], ddof=1))
    if not spread + error > 0:
        return None
    return float(np.clip((spread - error) / (spread + error), -1.0, 1.0))


def mean_i_over_sigma(
    intensity: NDArray[np.float64], sigma: NDArray[np.float64], member: NDArray[np.int64]
) -> float | None:
    """Return the mean of I/sigma of the weighted means, sigmas propagated: comparable with DIALS and XDS tables."""
    if not member.size:
        return None
    weight = inverse_variance(sigma)
    total = np.bincount(member, weights=weight)
    mean = np.bincount(member, weights=weight * intensity) / total
    return float(np.mean(mean * np.sqrt(total)))


def _events_correlation(
    first: NDArray[np.float64], second: NDArray[np.float64], member: NDArray[np.int64]
) -> float | None:
    """Return the correlation of the merged means of two independent halves of the events."""
    if not member.size:
        return None
    count = np.bincount(member)
    return correlation(np.bincount(member, weights=first) / count, np.bincount(member, weights=second) / count)


def _between(values: NDArray[np.float64], low: float, high: float, *, last: bool) -> NDArray[np.intp]:
    tolerance = 1e-9 * high
    upper = values <= high + tolerance if last else values < high
    return np.flatnonzero((values >= low - (tolerance if last else 0.0)) & upper)
