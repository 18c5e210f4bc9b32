"""What the camera's way of counting cost the reflections of a crystal, what was corrected, and whether that agrees."""

from collections.abc import Sequence

import gemmi
import numpy as np
from numpy.typing import NDArray

from tasks.frames import FrameSeries
from tasks.integrate.merging.equivalents import group_equivalents
from tasks.integrate.models import CountingLoss, Reflections
from tasks.integrate.profiles.pixels import SpotLoss
from tasks.integrate.rocking.model import RockingFit
from tasks.model.arrays import Floats, Integers, Mask

CORRECTED = 1.02
"""Electrons that arrived for each counted, from which a measurement is said to be corrected: 1 % of |F|."""
FULL, THIN = 1.5, 1.15
"""The same of measurements that are compared: a third or more was lost of those corrected much, and an eighth at most
of those that they must agree with."""
UNCORRECTED = 0.5
"""Loss from which a pixel is too full to be corrected, beside the mark of the frames: it is there or it is not. Chosen,
not measured."""
LARGEST_ERROR = 0.15
"""Relative, of a reflection by its measurements that lost little, for those that lost much to be compared with it.
Chosen, not measured: smaller, and few are; larger, and chance decides."""
NAMED = 10
"""Missing reflections that a warning names; others are counted. Chosen, not measured: a line stays readable."""
LEAST_COMPARED = 10
"""Measurements corrected much, before they are compared: their mean is then known to 5 to 10 %."""


def counting_loss(
    series: FrameSeries,
    loss: SpotLoss | None,
    fit: RockingFit,
    *,
    near: Mask,
    rows: Integers,
    group: Integers,
    intensity: Floats,
) -> CountingLoss | None:
    """Return how the camera counted and what became of it; the missing reflections are not yet told.

    Parameters
    ----------
    loss, near
        Of all predictions, (n,).
    rows
        (k,) predictions that the rocking model was fitted to.
    group, intensity
        (k,) unique reflection and corrected intensity of these.
    """
    counting = series.counting
    if counting is None or not counting.known:
        return None
    summary = summary_of(series)
    if loss is None:
        return summary
    return summary.model_copy(
        update={
            "corrected": int((loss.factor[rows] > CORRECTED).sum()),
            "set_aside": int((loss.aside & near).sum()),
            "agreement": _agreement(loss.factor[rows], fit, group, intensity),
        }
    )


def summary_of(series: FrameSeries) -> CountingLoss:
    """Return how the camera counted and the worst loss, of a series of which that is known."""
    counting = series.counting
    reach = -1 if counting is None else counting.reach_px
    return CountingLoss(
        stated=None if counting is None else counting.stated,
        found="all electrons" if reach < 0 else f"local maxima of {2 * reach + 1} x {2 * reach + 1} px",
        frames_per_position=0.0 if counting is None else counting.frames_per_position,
        worst_loss=max((frame.loss for frame in series.frames), default=0.0),
    )


def _agreement(factor: Floats, fit: RockingFit, group: Integers, intensity: Floats) -> float | None:
    """Return the sum of measurements corrected much over what those corrected little of the same reflections expect."""
    number = int(group.max(initial=-1)) + 1
    thin = factor < THIN
    weight = np.where(thin, fit.partial / fit.variance, 0.0)
    known = np.bincount(group, weights=weight * fit.partial, minlength=number)
    merged = np.bincount(group, weights=weight * intensity, minlength=number) / np.maximum(known, 1e-30)
    sure = merged * np.sqrt(known) > 1.0 / LARGEST_ERROR
    chosen = (factor > FULL) & sure[group]
    expected = (fit.partial * merged[group])[chosen]
    if chosen.sum() < LEAST_COMPARED or not expected.sum() > 0:
        return None
    return round(float(intensity[chosen].sum() / expected.sum()), 3)


def missing_reflections(
    hkl: NDArray[np.int32], loss: SpotLoss | None, near: Mask, kept: NDArray[np.int32], laue: gemmi.SpaceGroup
) -> tuple[tuple[int, int, int], ...]:
    """Return the unique reflections that were set aside wherever they were measured.

    Parameters
    ----------
    hkl
        (n, 3) of all predictions.
    kept
        (m, 3) of the observations that remain.
    """
    if loss is None or not (loss.aside & near).any():
        return ()
    aside = hkl[loss.aside & near]
    every = group_equivalents(np.concatenate([aside, kept]), laue)
    gone = np.setdiff1d(every.member[: len(aside)], every.member[len(aside) :])
    return tuple((int(h), int(k), int(l)) for h, k, l in every.unique[gone])


def counting_warning(counting: CountingLoss) -> str:
    """Return what a reader must know about measurements that were set aside."""
    names = ", ".join(f"({h} {k} {l})" for h, k, l in counting.missing[:NAMED])
    more = f" and {len(counting.missing) - NAMED} more" if len(counting.missing) > NAMED else ""
    gone = f"; missing for it: {names}{more}" if counting.missing else ""
    return (
        f"{counting.set_aside} measurements are set aside: of several electrons in one camera frame one was counted, "
        f"too often to be corrected; {counting.corrected} are corrected{gone}"
    )


def with_counting(reflections: Reflections, frames: FrameSeries) -> Reflections:
    """Return the reflections of an engine that was given corrected frames with how the camera counted.

    It knows of no pixel that is too full to be corrected: what such ones lost is not.
    """
    counting = frames.counting
    if reflections.counting is not None or counting is None or not counting.known:
        return reflections
    saturated = frames.saturated
    full = saturated is not None and bool(saturated.any())
    summary = summary_of(frames)
    worst = summary.worst_loss if full and summary.worst_loss > UNCORRECTED else 0.0
    return reflections.model_copy(update={"counting": summary.model_copy(update={"uncorrected": worst})})


def common_counting(parts: Sequence[Reflections]) -> CountingLoss | None:
    """Return the counting of crystals of one form, merged; what is missing of all is not told, as indices differ."""
    known = [part.counting for part in parts if part.counting is not None]
    if not known:
        return None
    worst = max(known, key=lambda each: each.worst_loss)
    far = max((each.agreement for each in known if each.agreement), key=lambda ratio: abs(np.log(ratio)), default=None)
    return worst.model_copy(
        update={
            "corrected": sum(each.corrected for each in known),
            "set_aside": sum(each.set_aside for each in known),
            "uncorrected": max(each.uncorrected for each in known),
            "missing": (),
            "agreement": far,
        }
    )
