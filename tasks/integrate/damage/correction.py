"""Damage found in a series, put right where it is modelled, and left out where it is not."""

from typing import NamedTuple

import numpy as np

from tasks.frames import FrameSeries
from tasks.integrate.damage.course import course_of, scale_loss
from tasks.integrate.damage.cut_off import CutTrial, best_cut, trial_cuts
from tasks.integrate.damage.exposure import LEAST_FRAMES, ExposureAxis, exposure_of, tilt_fraction
from tasks.integrate.damage.fall_off import FallOff, fall_off, is_damage, with_fall_off
from tasks.integrate.models import Damage, DamageCut
from tasks.integrate.rocking.model import RockingFit, RockingModel, RockingObservations
from tasks.integrate.rocking.scaling import fit_rocking
from tasks.model.arrays import Integers, Mask

SUSPECTED = 3.0
"""Esds of a trend with the tilt before it is fitted, from which on it is, to know it well. Chosen, not measured: lower,
and series of which no order is known pay for fits that find nothing."""
SIGNIFICANT_TREND = 6.0
"""Esds from which a fall-off is named that nothing corrects. Chosen, not measured: above what corrects one, because
tilts differ by more than their dose."""


class Undamaged(NamedTuple):
    """A fit of what was left in, which observations (n,) these are, and what was found."""

    fit: RockingFit
    kept: Mask
    damage: Damage


def without_damage(
    series: FrameSeries,
    start: RockingModel,
    observations: RockingObservations,
    groups: int,
    *,
    crossing: Integers,
) -> Undamaged:
    """Fit the rocking model, with a fall-off by exposure where intensities show one; leave out what makes them worse.

    Where the order of acquisition is not known, the fit is that of `fit_rocking`: nothing is corrected, and a fall-off
    with the tilt is only named.
    """
    fit = fit_rocking(start, observations, groups, final=True)
    every = np.ones(len(observations.frame), dtype=bool)
    exposure = exposure_of(series)
    if exposure is None:
        return Undamaged(fit, every, _not_known(series, fit, observations, groups))
    decayed, found = with_fall_off(fit, observations, groups, exposure.fraction)
    trials = trial_cuts(decayed, observations, groups, crossing=crossing, exposure=exposure)
    cut = best_cut(trials)
    if cut is not None:
        every = (exposure.value <= cut.last)[observations.frame]
        fit = fit_rocking(start, observations.where(every), groups, final=True)
        decayed, found = with_fall_off(fit, observations.where(every), groups, exposure.fraction)
    damage = _damage(series, decayed, observations.where(every), groups, exposure=exposure, found=found)
    return Undamaged(decayed, every, _with_cuts(damage, series, exposure, trials, cut))


def _not_known(series: FrameSeries, fit: RockingFit, observations: RockingObservations, groups: int) -> Damage:
    if len(series.frames) < LEAST_FRAMES:
        return Damage(state="not known")
    place = tilt_fraction(series)
    found = fall_off(fit, observations, groups, place)
    notes = []
    if abs(found.significance) > SUSPECTED:
        _, fitted = with_fall_off(fit, observations, groups, place if found.rate > 0 else 1.0 - place)
        found = found._replace(
            rate=float(np.copysign(fitted.rate, found.rate)), esd=fitted.esd, predicted=fitted.predicted
        )
    if abs(found.significance) > SIGNIFICANT_TREND and found.predicted > 0:
        end = "higher" if found.rate > 0 else "lower"
        left, sure = float(np.exp(-abs(found.rate))), abs(found.significance)
        notes.append(
            f"possible damage: at 1 A intensities fall to {left:.2f} towards the {end} tilts ({sure:.0f} sigma);"
            " nothing was corrected, as the order of acquisition is not stated"
        )
    return Damage(
        state="not known",
        axis="tilt",
        fall_off_angstrom2=found.rate,
        fall_off_esd_angstrom2=found.esd,
        notes=tuple(notes),
    )


def _damage(
    series: FrameSeries,
    fit: RockingFit,
    observations: RockingObservations,
    groups: int,
    *,
    exposure: ExposureAxis,
    found: FallOff,
) -> Damage:
    modelled = fit.model.decay is not None
    half = np.log(2.0) / found.rate * exposure.last if modelled else None
    loss = scale_loss(series, fit, exposure, observations)
    notes = []
    if found.significance < -SIGNIFICANT_TREND and found.predicted > 0:
        notes.append(
            f"high-resolution intensities rise with the order of acquisition ({-found.significance:.0f} sigma): no"
            " damage does that; is the order right?"
        )
    if is_damage(found) and not modelled:
        notes.append("a fall-off is seen that a decay does not fit: nothing was corrected")
    return Damage(
        state="modelled" if modelled else "none",
        axis=exposure.axis,
        last_exposure=exposure.last,
        fall_off_angstrom2=found.rate,
        fall_off_esd_angstrom2=found.esd,
        half_intensity_dose=None if half is None else float(half),
        scale_loss=None if loss is None else loss[0],
        scale_loss_esd=None if loss is None else loss[1],
        course=course_of(fit, observations, groups, exposure),
        notes=tuple(notes),
    )


def _with_cuts(
    damage: Damage, series: FrameSeries, exposure: ExposureAxis, trials: tuple[CutTrial, ...], cut: CutTrial | None
) -> Damage:
    cuts = tuple(DamageCut(**trial._asdict()) for trial in trials)
    if cut is None:
        return damage.model_copy(update={"cuts": cuts})
    late = np.flatnonzero(exposure.value > cut.last)
    reason = (
        f"held-out early measurements are foretold better without the last {len(late)} exposures: mean deviation "
        f"{cut.deviation:.2f} for {trials[-1].deviation:.2f} with all ({cut.gain:.1f} sigma)"
    )
    tilts = tuple(sorted(series.frames[index].angle_deg for index in late.tolist()))
    return damage.model_copy(update={"state": "cut", "cuts": cuts, "left_out_deg": tilts, "left_out_reason": reason})


def damage_warnings(damage: Damage | None) -> list[str]:
    """Return what a reader of the intensities must know: what was corrected, what was left out, what is in doubt."""
    if damage is None:
        return []
    said = []
    if damage.half_intensity_dose is not None:
        unit = "electrons per square angstrom" if damage.axis == "dose" else "scans"
        said.append(
            f"damage: intensities at 1 A halve in {damage.half_intensity_dose:.3g} {unit} (the series: "
            f"{damage.last_exposure:.3g}); corrected to before the first"
        )
    if damage.left_out_reason is not None:
        said.append(f"{len(damage.left_out_deg)} frames left out for damage: {damage.left_out_reason}")
    return [*said, *damage.notes]
