"""What the pointer is drawing: points and handles become positions of the scan."""

from abc import ABC, abstractmethod
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from tasks.drawing import OutlineFill, ellipse_mask, polygon_mask, rectangle_mask, stroke_mask

Point = tuple[float, float]
"""(row, column) of the scan, or (slow, fast) of the detector; integers are centres."""
Mask = NDArray[np.bool_]
Tool = Literal["select", "move", "freehand", "polygon", "rectangle", "ellipse", "brush", "eraser", "grow", "cut"]
TOOLS: tuple[Tool, ...] = get_args(Tool)
Mode = Literal["replace", "add", "remove"]
MODES: tuple[Mode, ...] = get_args(Mode)
HANDLED: frozenset[Tool] = frozenset({"polygon", "rectangle", "ellipse", "cut"})
"""Tools whose shapes have corners; those that are kept can be dragged afterwards."""
BRUSHES: frozenset[Tool] = frozenset({"brush", "eraser"})
SPANNED: frozenset[Tool] = frozenset({"rectangle", "ellipse", "cut"})
"""Tools that draw from one point to another."""
SWEPT: frozenset[Tool] = BRUSHES | {"freehand"}
"""Tools that take in every point that the pointer passes."""
THIN = 0.5
"""Radius in positions of the line that stands for a freehand shape of fewer than three points: the position under the
pointer and no other."""


class Sketch:
    """One shape in the making on one mask (ny, nx), which it adds to, takes from or replaces.

    `target` is the crystal that is changed, None for a new one. Freehand outlines and brushes take in point by
    point, so that a long stroke costs no more at its end than at its beginning.
    """

    def __init__(self, tool: Tool, base: Mask, *, mode: Mode, radius: float, target: str | None, tilt: int) -> None:
        self.tool = tool
        self.base = base
        self.mode: Mode = {"brush": "add", "eraser": "remove"}.get(tool, mode)  # type: ignore[assignment]
        self.radius = radius
        self.target = target
        self.tilt = tilt
        self._shape = (base.shape[0], base.shape[1])
        self.points: list[Point] = []
        self.closed = False
        self.moving = False
        self.held: int | None = None
        self._swept = np.zeros(base.shape, dtype=bool)
        self._fill = OutlineFill(self._shape)
        self._taken = 0

    @property
    def live(self) -> bool:
        """Whether it is still in the making, or a handle is being dragged: not in the drawing as it looks now."""
        return self.moving or not self.closed

    @property
    def handles(self) -> tuple[Point, ...]:
        """The corners that can be dragged: none of a freehand shape."""
        return tuple(self.points) if self.tool in HANDLED else ()

    def handle_at(self, point: Point, reach: float) -> int | None:
        """Return the handle nearest to a point, if one is within reach."""
        if not self.handles:
            return None
        distance = np.hypot(*(np.array(self.handles) - point).T)
        nearest = int(np.argmin(distance))
        return nearest if distance[nearest] <= reach else None

    def closes_at(self, point: Point, reach: float) -> bool:
        """Tell whether a click there closes the polygon: on its first corner, once it has three."""
        return not self.closed and len(self.points) >= 3 and self.handle_at(point, reach) == 0

    def take_back(self) -> bool:
        """Take back the last corner of a polygon in the making; False if there is no other than the first."""
        takes = self.tool == "polygon" and not self.closed and len(self.points) > 1
        if takes:
            self.points.pop()
        return takes

    def begin(self, point: Point, reach: float) -> None:
        """Press at a point: hold the handle within reach, or put a corner and hold it."""
        self.moving = True
        self.held = self.handle_at(point, reach)
        if self.held is None:
            self.points.extend([point, point] if self.tool in SPANNED else [point])
            self.held = None if self.tool in SWEPT else len(self.points) - 1

    def go_on(self, point: Point) -> None:
        """Move to a point: the corner that is held goes with the pointer, a line grows."""
        if self.held is None:
            self.points.append(point)
        else:
            self.points[self.held] = point

    def rest(self) -> None:
        """Let the pointer go."""
        self.moving = False
        self.held = None

    def area(self) -> Mask:
        """Return the positions of the shape itself, (ny, nx)."""
        if self.tool in BRUSHES:
            return self._sweep()
        if self.tool in SPANNED:
            return self._spanned()
        if len(self.points) < 3:
            return stroke_mask(self._shape, self.points, THIN)
        return self._outlined() if self.tool == "freehand" else polygon_mask(self._shape, self.points)

    def mask(self) -> Mask:
        """Return what the mask becomes, (ny, nx); a cut leaves it as it is until it is made."""
        if self.tool == "cut":
            return self.base
        return combined(self.base, self.area(), self.mode)

    def _spanned(self) -> Mask:
        """Return the rectangle between two corners, or the ellipse in it."""
        (top, left), (bottom, right) = self.points[:2]
        if self.tool == "rectangle":
            return rectangle_mask(self._shape, (top, left), (bottom, right))
        half = (abs(bottom - top) / 2.0, abs(right - left) / 2.0)
        return ellipse_mask(self._shape, ((top + bottom) / 2.0, (left + right) / 2.0), half)

    def _outlined(self) -> Mask:
        for point in self.points[self._taken :]:
            self._fill.add(point)
        self._taken = len(self.points)
        return self._fill.mask()

    def _sweep(self) -> Mask:
        begin = max(self._taken - 1, 0)
        if self._taken < len(self.points):
            self._swept = self._swept | stroke_mask(self._shape, self.points[begin:], self.radius)
            self._taken = len(self.points)
        return self._swept


def combined(base: Mask, area: Mask, mode: Mode) -> Mask:
    """Return a mask after an area was added to it, taken from it, or put in its place."""
    if mode == "add":
        return base | area
    return base & ~area if mode == "remove" else area


class Strokes(ABC):
    """What desks have in common: a shape in the making that follows the pointer."""

    sketch: Sketch | None

    def extend_stroke(self, point: Point) -> None:
        """Go on to a point, (row, column) of the scan or (slow, fast) of the detector."""
        if self.sketch is not None and self.sketch.moving:
            self.sketch.go_on(point)
            self._sketched()

    def end_stroke(self) -> None:
        """Let go: the shape is taken in, but for a polygon that waits for more corners."""
        sketch = self.sketch
        if sketch is None or not sketch.moving:
            return
        if sketch.tool == "polygon" and not sketch.closed:
            sketch.rest()
            self._sketched()
        else:
            self._commit(sketch)

    @abstractmethod
    def _sketched(self) -> None:
        """Tell who looks that the shape has changed."""

    @abstractmethod
    def _commit(self, sketch: Sketch) -> None:
        """Take the shape in."""
