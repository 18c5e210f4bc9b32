"""Equal steps in a series: programs for rotation data know only sweeps of contiguous wedges of one width."""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from tasks.frames.models import Frame, FrameSeries
from tasks.model import Document

STEP_TOLERANCE = 0.02
"""Largest deviation of a frame from its place in a sweep, as a fraction of the step."""
LOOSER = (0.05, 0.1)
"""Deviations allowed where goniometer jitter would otherwise cost too many frames."""
FRAMES_KEPT = 0.9
"""Share of the frames that sweeps must hold before a looser tolerance is tried. Chosen, not measured: lower loses
frames to jitter, higher loosens the places of all for a few. With jitter of 7 % of the step STEP_TOLERANCE holds less
than half of 80 frames, LOOSER this share (tests/unit/frames/test_sweeps.py)."""


class Sweep(Document):
    """Frames of equal steps, as contiguous wedges.

    Frame ``indices[k]`` is presented as the rotation from ``start_deg + k * step_deg`` to the next start. A
    contiguous rotation series is represented exactly. A still has no width: it is presented as a wedge as wide as
    the step (one alone: the median step of the series) and centred on its tilt: the programs know nothing narrower.
    """

    indices: tuple[int, ...] = Field(min_length=1, description="positions in `FrameSeries.frames`, ascending")
    start_deg: float
    step_deg: float = Field(gt=0)
    deviation_deg: float = Field(ge=0, description="largest distance of a frame's true middle from its place")
    exact: bool = Field(description="whether every wedge is the rotation during the exposure")


def usable_sweeps(series: FrameSeries, *, fewest: int) -> list[Sweep]:
    """Return sweeps of which those with at least `fewest` frames hold 90 % of the frames, with the least deviation.

    Where no allowed deviation is enough, those that hold most. `Sweep.deviation_deg` says what it came to.
    """
    best: list[Sweep] = []
    most = -1
    for tolerance in (STEP_TOLERANCE, *LOOSER):
        parts = partition(series, tolerance=tolerance)
        held = sum(len(part.indices) for part in parts if len(part.indices) >= fewest)
        if held > most:
            best, most = parts, held
        if held >= FRAMES_KEPT * len(series.frames):
            break
    return best


def partition(series: FrameSeries, *, tolerance: float = STEP_TOLERANCE) -> list[Sweep]:
    """Return as few sweeps as hold every frame once, in the order of the angles.

    Sweeps are cut at gaps and changes of the step only, unless the step drifts. Where several partitions have
    equally few sweeps, the one with the smallest sum of wedge widths is taken: it stretches the fewest frames over
    gaps. Of several frames at one angle the first, the second, ... make sweeps of their own: no sweep stands still.
    """
    layers = _layers([frame.angle_deg for frame in series.frames])
    found = []
    for layer in layers:
        parts = _sweeps_of(tuple(series.frames[index] for index in layer), tolerance)
        found += [part.model_copy(update={"indices": tuple(layer[i] for i in part.indices)}) for part in parts]
    return found


def _layers(angles_deg: Sequence[float]) -> list[list[int]]:
    """Return the frames that are the first, the second, ... at their angle."""
    seen: dict[float, int] = {}
    layers: list[list[int]] = []
    for index, angle in enumerate(angles_deg):
        number = seen.get(angle, 0)
        seen[angle] = number + 1
        if number == len(layers):
            layers.append([])
        layers[number].append(index)
    return layers


def _sweeps_of(frames: tuple[Frame, ...], tolerance: float) -> list[Sweep]:
    """Partition frames of different angles."""
    middles = np.array([frame.angle_deg + frame.width_deg / 2 for frame in frames])
    cuts = _places_of_change(middles, tolerance)
    if not all(_equal_steps(middles[begin:end], tolerance) for begin, end in pairwise(cuts)):
        cuts = list(range(len(middles) + 1))  # a slow drift of the step: it must be cut where no single step shows it
    best: list[tuple[int, float, int]] = [(0, 0.0, -1)]
    for last in range(1, len(cuts)):
        candidates = []
        for first in range(last - 1, -1, -1):
            begin, end = cuts[first], cuts[last]
            if not _equal_steps(middles[begin:end], tolerance):
                break
            width = _step(frames, middles, begin, end)
            candidates.append((best[first][0] + 1, best[first][1] + width * (end - begin), first))
        best.append(min(candidates))
    found: list[Sweep] = []
    last = len(cuts) - 1
    while last > 0:
        first = best[last][2]
        found.append(_sweep(frames, middles, cuts[first], cuts[last]))
        last = first
    return found[::-1]


def _places_of_change(middles: NDArray[np.float64], tolerance: float) -> list[int]:
    """Return where a sweep may begin or end: the ends, and either side of a frame whose two steps differ."""
    steps = np.diff(middles)
    changed = np.abs(np.diff(steps)) > tolerance * np.minimum(steps[1:], steps[:-1])
    inner = np.flatnonzero(changed) + 1
    return sorted({0, len(middles), *inner.tolist(), *(inner + 1).tolist()})


def _equal_steps(middles: NDArray[np.float64], tolerance: float) -> bool:
    if len(middles) < 3:
        return len(middles) < 2 or bool(middles[1] > middles[0])
    step = (middles[-1] - middles[0]) / (len(middles) - 1)
    return bool(step > 0 and np.abs(middles - _places(middles, step)).max() <= tolerance * step)


def _places(middles: NDArray[np.float64], step: float) -> NDArray[np.float64]:
    places = np.arange(len(middles)) * step
    return places + (middles - places).mean()


def _step(frames: tuple[Frame, ...], middles: NDArray[np.float64], begin: int, end: int) -> float:
    if end - begin > 1:
        return float((middles[end - 1] - middles[begin]) / (end - 1 - begin))
    if frames[begin].width_deg > 0:
        return frames[begin].width_deg
    near = [float(b - a) for a, b in pairwise(middles[max(0, begin - 1) : begin + 2]) if b > a]
    return min([*near, float(np.median(np.diff(middles)))] if near else [1.0])


def _sweep(frames: tuple[Frame, ...], middles: NDArray[np.float64], begin: int, end: int) -> Sweep:
    step = _step(frames, middles, begin, end)
    places = _places(middles[begin:end], step)
    widths = np.array([frame.width_deg for frame in frames[begin:end]])
    deviation = float(np.abs(middles[begin:end] - places).max())
    # Round-off of decimal angles must not show in the headers: 12 digits are exact for any goniometer.
    return Sweep(
        indices=tuple(range(begin, end)),
        start_deg=round(float(places[0]) - step / 2, 9),
        step_deg=round(step, 9),
        deviation_deg=round(deviation, 9),
        exact=bool(deviation < 1e-6 and np.abs(widths - step).max() < 1e-6),
    )
