"""One reflection, frame by frame, pixel by pixel, position by position."""

from collections.abc import Sequence

import gemmi
import numpy as np
from numpy.typing import NDArray

from tasks.crystal.symmetry import laue_group_of
from tasks.frames import FrameSeries, stored_frame
from tasks.integrate import (
    LEFT_OUT,
    SET_ASIDE,
    USED,
    Measurements,
    Reflections,
    frames_beside_detector,
    own_pixels,
    read_traces,
    to_asymmetric_unit,
)
from tasks.model import InputError, SourceError
from tasks.trace.electrons import ElectronSource, kept_traces
from tasks.trace.models import State, Trace, TracedObservation, TracedPixel, TracedPosition

STATES: dict[int, State] = {USED: "used", LEFT_OUT: "left out", SET_ASIDE: "set aside"}
"""The states of measurements in words."""


def trace_reflection(
    hkl: tuple[int, int, int], reflections: Reflections, frames: FrameSeries, electrons: ElectronSource | None
) -> Trace:
    """Return what a reflection was measured from.

    Parameters
    ----------
    hkl
        In the axes of `reflections`; observations of all equivalents, Friedel mates among them, are traced.
    electrons
        None: frames that were not summed from scans.

    Raises
    ------
    InputError
        If the reflection was not measured; the message says why.
    SourceError
        If nothing was kept of what the intensities were measured from, or frames and store contradict each other.
    """
    traces = kept_traces(reflections)
    laue = laue_group_of(reflections.laue_group)
    wanted = to_asymmetric_unit(np.array([hkl], dtype=np.int32), laue)[0]
    every = read_traces(traces)
    found = every.where(np.flatnonzero((to_asymmetric_unit(every.hkl, laue) == wanted).all(axis=1)))
    _require_measured(hkl, laue, reflections, frames, every=every, found=found)
    found = found.where(np.lexsort((*found.hkl.T, found.frame)))
    notes = list(_positions_note(electrons))
    known = electrons if electrons is not None and not notes else None
    observations = _observations(found, frames, known)
    merged = reflections.unique_reflections
    row = np.flatnonzero((merged.hkl == wanted).all(axis=1))
    return Trace(
        crystal=reflections.id,
        hkl=hkl,
        laue_group=reflections.laue_group,
        d_angstrom=_d_angstrom(hkl, reflections),
        intensity=float(merged.intensity[row[0]]) if len(row) else None,
        sigma=float(merged.sigma[row[0]]) if len(row) else None,
        counts_total=sum(one.counts for one in observations),
        observations=observations,
        notes=(*notes, *(() if len(row) else ("none of its observations is in the merged intensities",))),
    )


def _positions_note(electrons: ElectronSource | None) -> tuple[str, ...]:
    if electrons is None:
        return ("the frames were not summed from scans: there are no probe positions",)
    gone = electrons.missing()
    if gone is None:
        return ()
    return (f"{gone} is gone: what the probe positions gave cannot be shown; the rest is of the frames",)


def _observations(
    found: Measurements, frames: FrameSeries, electrons: ElectronSource | None
) -> tuple[TracedObservation, ...]:
    observations: list[TracedObservation] = []
    for frame in np.unique(found.frame).tolist():
        here = found.where(np.flatnonzero(found.frame == frame))
        image = stored_frame(frames.stack, frame)
        spots = [own_pixels(centre, core) for centre, core in zip(here.centre, here.core, strict=True)]
        by_position: Sequence[tuple[TracedPosition, ...] | None] = [None] * len(spots)
        if electrons is not None:
            by_position = electrons.by_position(frames, frame, spots)
        for k, (slow, fast) in enumerate(spots):
            one = _observation(here, k, frames, image[slow, fast], pixels=(slow, fast), positions=by_position[k])
            _require_sum(one, int(here.counts[k]), frames)
            observations.append(one)
    return tuple(observations)


def _observation(
    here: Measurements,
    k: int,
    frames: FrameSeries,
    counts: NDArray[np.unsignedinteger],
    *,
    pixels: tuple[NDArray[np.int64], NDArray[np.int64]],
    positions: tuple[TracedPosition, ...] | None,
) -> TracedObservation:
    frame = frames.frames[int(here.frame[k])]
    predicted = float(here.predicted[k])
    h, k_index, index_l = (int(index) for index in here.hkl[k])
    return TracedObservation(
        hkl=(h, k_index, index_l),
        frame=int(here.frame[k]),
        tilt_deg=frame.angle_deg + frame.width_deg / 2,
        counts=int(counts.sum(dtype=np.int64)),
        background=round(float(here.background[k]), 3),
        predicted=round(predicted, 3) if np.isfinite(predicted) else None,
        excitation_per_angstrom=round(float(here.excitation[k]), 6),
        state=STATES[int(here.state[k])],
        overlapped=bool(here.overlapped[k]),
        pixels=tuple(
            TracedPixel(slow=int(slow), fast=int(fast), counts=int(number))
            for slow, fast, number in zip(*pixels, counts, strict=True)
        ),
        positions=positions,
    )


def _require_sum(one: TracedObservation, recorded: int, frames: FrameSeries) -> None:
    by_position = one.counts if one.positions is None else sum(place.counts for place in one.positions)
    if not one.counts == recorded == by_position:
        raise SourceError(
            f"{frames.stack.path}: at {one.tilt_deg:g} deg the frame holds {one.counts} in the pixels of {one.hkl}, "
            f"the integration recorded {recorded}, the event store {by_position}",
            "the files of this run do not belong together any more: run again in a new folder",
        )


def _require_measured(
    hkl: tuple[int, int, int],
    laue: gemmi.SpaceGroup,
    reflections: Reflections,
    frames: FrameSeries,
    *,
    every: Measurements,
    found: Measurements,
) -> None:
    """Raise what tells why a reflection has no observation."""
    if (found.state != SET_ASIDE).any():
        return
    name = f"{reflections.id}: {' '.join(map(str, hkl))} was not measured"
    if len(found.frame):
        places = "one place" if len(found.frame) == 1 else f"{len(found.frame)} places"
        at = f"at the {places} where it was expected"
        if not found.core.any():
            raise InputError(f"{name}: masked {at}", "the report shows which pixels are not used")
        raise InputError(
            f"{name}: overlapped, cut by a mask or too full {at}", "too little of the spot is its own to be counted"
        )
    raise InputError(f"{name}: {_why_not_predicted(hkl, laue, reflections, frames, every)}", "ask for another")


def _why_not_predicted(
    hkl: tuple[int, int, int],
    laue: gemmi.SpaceGroup,
    reflections: Reflections,
    frames: FrameSeries,
    every: Measurements,
) -> str:
    if hkl == (0, 0, 0):
        return "it is the direct beam"
    if laue.operations().is_systematically_absent(hkl):
        return f"not predicted, as the centring of {reflections.laue_group} forbids it"
    cell = gemmi.UnitCell(*reflections.unit_cell.parameters)
    d = cell.calculate_d(hkl)
    spacings = cell.calculate_d_array(every.hkl)
    if d < spacings.min():
        return f"not predicted, as its d of {d:.3f} A is below {spacings.min():.3f} A, to which spots were looked for"
    if d > spacings.max():
        return f"not predicted, as its d of {d:.2f} A lies within the direct beam"
    star = np.array([operation.apply_to_hkl(hkl) for operation in laue.operations().sym_ops], dtype=np.int32)
    reach = float(np.abs(every.excitation).max())
    beside = frames_beside_detector(np.concatenate([star, -star]), reflections, frames, reach=reach)
    if beside:
        angles = ", ".join(f"{frames.frames[number].angle_deg:g}" for number in beside[:3])
        return f"outside the detector where it meets the Ewald sphere (at {angles} deg)"
    return "not predicted, as no tilt brings it near enough to the Ewald sphere"


def _d_angstrom(hkl: tuple[int, int, int], reflections: Reflections) -> float:
    return round(float(gemmi.UnitCell(*reflections.unit_cell.parameters).calculate_d(hkl)), 4)
