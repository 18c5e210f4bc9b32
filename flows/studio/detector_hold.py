"""Dragging a virtual detector on the pattern: moved by its inside, resized by its rim, drawn anew elsewhere."""

from typing import Literal

import numpy as np

from flows.studio.sketch import Point
from tasks.drawing import VirtualDetector

DetectorShape = Literal["disc", "ring", "rectangle"]
SMALLEST_PX = 1.0
"""Radius or side of a detector: a pixel."""
HOLE = 0.5
"""Hole of a new ring, of its radius. Chosen, not measured: its inner rim can be dragged at once."""


class DetectorHold:
    """How the pointer holds a detector (slow, fast), from the press to the release."""

    def __init__(self, detector: VirtualDetector | None, shape: DetectorShape, point: Point, reach: float) -> None:
        self._start = point
        self._shape = shape
        self._before = detector if detector is not None and detector.shape == shape else None
        self._grip = "new" if self._before is None else grip_of(self._before, point, reach)

    def moved(self, point: Point) -> VirtualDetector:
        """Return the detector once the pointer is at a point."""
        before = self._before
        if before is None or self._grip == "new":
            return drawn(self._shape, self._start, point)
        if self._grip == "inside":
            step = np.subtract(point, self._start)
            centre = (float(before.centre_px[0] + step[0]), float(before.centre_px[1] + step[1]))
            return before.model_copy(update={"centre_px": centre})
        away = np.abs(np.subtract(point, before.centre_px))
        if before.shape == "rectangle":
            slow, fast = (max(2.0 * float(size), SMALLEST_PX) for size in away)
            return before.model_copy(update={"size_px": (slow, fast)})
        radius = max(float(np.hypot(*away)), SMALLEST_PX)
        if self._grip == "inner rim":
            return before.model_copy(update={"inner_px": min(radius, before.outer_px - SMALLEST_PX)})
        return before.model_copy(update={"outer_px": max(radius, before.inner_px + SMALLEST_PX)})


def grip_of(detector: VirtualDetector, point: Point, reach: float) -> Literal["inside", "rim", "inner rim", "new"]:
    """Return what of a detector is within reach of a point."""
    away = np.subtract(point, detector.centre_px)
    if detector.shape == "rectangle":
        half = np.divide(detector.size_px or (SMALLEST_PX, SMALLEST_PX), 2.0)
        beyond = float(np.max(np.abs(away) - half))
    else:
        distance = float(np.hypot(*away))
        if detector.shape == "ring" and abs(distance - detector.inner_px) <= reach < detector.inner_px:
            return "inner rim"
        beyond = distance - detector.outer_px
    if abs(beyond) <= reach:
        return "rim"
    return "inside" if beyond < 0 else "new"


def drawn(shape: DetectorShape, start: Point, point: Point) -> VirtualDetector:
    """Return a new detector: discs and rings from centre to rim, rectangles from corner to corner."""
    if shape == "rectangle":
        middle = (float(start[0] + point[0]) / 2.0, float(start[1] + point[1]) / 2.0)
        slow, fast = (max(float(abs(size)), SMALLEST_PX) for size in np.subtract(point, start))
        return VirtualDetector(shape="rectangle", centre_px=middle, size_px=(slow, fast))
    radius = max(float(np.hypot(*np.subtract(point, start))), SMALLEST_PX)
    inner = HOLE * radius if shape == "ring" else 0.0
    return VirtualDetector(shape=shape, centre_px=(float(start[0]), float(start[1])), inner_px=inner, outer_px=radius)
