"""A fall-off with the tilt where the order of acquisition is not known: named where halves agree, never corrected.

Two courses are asked for: from one end of the tilts to the other, as a sweep makes, and from the middle tilts to the
ends (or back), as an acquisition outwards from the middle makes. Either half of the tilts must show it by itself, and
so must either half of the reflections.
"""

from typing import NamedTuple

import numpy as np

from tasks.frames import FrameSeries
from tasks.integrate.damage.exposure import LEAST_FRAMES, tilt_fraction
from tasks.integrate.damage.fall_off import CONTRADICTED, FallOff, fall_off, with_fall_off
from tasks.integrate.models import Damage
from tasks.integrate.rocking.decay import rate_covariance, rate_equations
from tasks.integrate.rocking.model import RockingFit, RockingObservations
from tasks.model.arrays import Floats

SUSPECTED = 3.0
"""Esds of a trend with the tilt before it is fitted, from which on it is, to know it well. Chosen, not measured: lower,
and series of which no order is known pay for fits that find nothing."""
SIGNIFICANT_TREND = 6.0
"""Esds from which a fall-off is named that nothing corrects. Chosen, not measured: above what corrects one, because
tilts differ by more than their dose."""
SIGNIFICANT_HALF = 3.0
"""Esds that either half of the tilts must show by itself. Chosen, not measured: half of what the whole must show, for
half of the tilts knows a rate over the whole range less than half as well."""


class HalfTrends(NamedTuple):
    """Rates (2,) of the lower and the upper half of the tilts towards higher ones, with their covariance (2, 2).

    Each is in angstrom^2 over the whole range of tilts, as if it went on over the other half.
    """

    rate: Floats
    covariance: Floats

    @property
    def shown(self) -> bool:
        """Tell whether either half shows a trend by itself."""
        return bool((np.abs(self.rate) > SIGNIFICANT_HALF * np.sqrt(np.diag(self.covariance))).all())

    @property
    def one_way(self) -> bool:
        """Tell whether both halves fall off towards the same end, by as much within their errors."""
        apart = np.array([1.0, -1.0])
        esd = float(np.sqrt(apart @ self.covariance @ apart))
        return bool(self.rate.prod() > 0 and abs(float(apart @ self.rate)) < CONTRADICTED * esd)

    @property
    def two_ways(self) -> bool:
        """Tell whether the halves fall off towards opposite ends."""
        return bool(self.rate.prod() < 0)


def half_trends(fit: RockingFit, observations: RockingObservations, groups: int, place: Floats) -> HalfTrends | None:
    """Return the fall-off in either half of the tilts; None where one holds nothing of it.

    Parameters
    ----------
    place
        (frames,) from 0 to 1, `tilt_fraction`.
    """
    columns = np.stack([np.minimum(place, 0.5), np.maximum(place - 0.5, 0.0)], axis=1)
    equations = rate_equations(fit, observations, groups, columns)
    if np.linalg.matrix_rank(equations.information, hermitian=True) < 2:
        return None
    rate = np.linalg.solve(equations.information, equations.gradient)
    if fit.model.decay is not None:
        level = np.column_stack([columns, np.ones(len(place))])
        rate = rate + fit.model.decay.rate * np.linalg.lstsq(level, fit.model.decay.exposure)[0][:2]
    return HalfTrends(np.asarray(rate, dtype=np.float64), rate_covariance(equations, observations))


def tilt_trend(series: FrameSeries, fit: RockingFit, observations: RockingObservations, groups: int) -> Damage:
    """Return the fall-off from the lowest to the highest tilt, with a note where a trend is beyond doubt."""
    if len(series.frames) < LEAST_FRAMES:
        return Damage(state="not known")
    place = tilt_fraction(series)
    outward = np.abs(2.0 * place - 1.0)
    line, ends = (fall_off(fit, observations, groups, course) for course in (place, outward))
    notes: tuple[str, ...] = ()
    if max(abs(line.significance), abs(ends.significance)) > SUSPECTED:
        straight = abs(line.significance) > abs(ends.significance)
        found, fitted = _fitted(
            fit, observations, groups, place if straight else outward, rising=(line if straight else ends).rate > 0
        )
        line = found if straight else line
        notes = _notes(found, half_trends(fitted, observations, groups, place), straight=straight)
    return Damage(
        state="not known",
        axis="tilt",
        fall_off_angstrom2=line.rate,
        fall_off_esd_angstrom2=line.esd,
        notes=notes,
    )


def _fitted(
    fit: RockingFit, observations: RockingObservations, groups: int, course: Floats, *, rising: bool
) -> tuple[FallOff, RockingFit]:
    """Return the rate along a course (frames,), negative if intensities fall against it, and the fit with it."""
    fitted, found = with_fall_off(fit, observations, groups, course if rising else 1.0 - course)
    return (found if rising else found._replace(rate=-found.rate)), fitted


def _notes(found: FallOff, halves: HalfTrends | None, *, straight: bool) -> tuple[str, ...]:
    """Return between which tilts intensities fall off, where it is beyond doubt; what makes them fall is not known."""
    sure = abs(found.significance)
    if halves is None or not (sure > SIGNIFICANT_TREND and halves.shown and found.contradiction < CONTRADICTED):
        return ()
    if not (halves.one_way if straight else halves.two_ways):
        return ()
    places = ("lowest", "highest") if straight else ("middle", "outer")
    first, last = places if found.rate > 0 else places[::-1]
    left = float(np.exp(-abs(found.rate)))
    note = (
        f"possible damage: at 1 A intensities fall from the {first} tilts to {left:.2f} at the {last} ({sure:.0f}"
        f" sigma, shown by both halves of the tilts); that is damage only if the {last} were measured last: the order"
        " of acquisition is not stated, and nothing was corrected"
    )
    return (note,)
