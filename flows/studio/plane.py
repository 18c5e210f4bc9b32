"""What both plots have in common: an image in a frame without axes, the pointer's gestures, its view."""

from collections.abc import Callable
from typing import Any, Protocol

import numpy as np
from bokeh.events import MouseLeave, MouseMove, Pan, PanEnd, PanStart, Press, PressUp, Tap
from bokeh.models import (
    BoxZoomTool,
    ColumnDataSource,
    GlyphRenderer,
    LinearColorMapper,
    PanTool,
    Range1d,
    ResetTool,
    WheelZoomTool,
)
from bokeh.plotting import figure
from numpy.typing import NDArray

from flows.studio.faults import Say, contained
from flows.studio.sketch import Mode, Point

REACH_PX = 10.0
"""How near to a handle or rim the pointer must be to hold it, in pixels of the screen. Chosen, not measured: half of
what accessibility rules ask for a target's size, so that a handle is a target of 20 px."""
HEAD_PX = 68
"""Height of what stands above a plane: a labelled choice, or three lines. Both planes then begin at one height."""
Gesture = Callable[[Point, Any], None]


def empty_plane(shape: tuple[int, int], *, name: str, label: str) -> figure:
    """Return a plot of an array (rows, columns) with row 0 at the top, positions at integers, and no axes.

    Its wheel zooms; dragging is left to who asks for it (`drags_view`).
    """
    rows, columns = shape
    pan = PanTool()
    plot = figure(
        x_range=Range1d(-0.5, columns - 0.5),
        y_range=Range1d(rows - 0.5, -0.5),
        tools=[pan, WheelZoomTool(zoom_on_axis=False), BoxZoomTool(match_aspect=True), ResetTool()],
        active_drag=None,
        active_scroll="auto",
        toolbar_location=None,
        name=name,
        aspect_ratio=columns / rows,
        sizing_mode="scale_width",
        min_border=0,
        html_attributes={"aria-label": label, "role": "img"},
    )
    plot.toolbar.active_scroll = plot.select_one(WheelZoomTool)
    plot.axis.visible = False
    plot.grid.visible = False
    plot.outline_line_color = None
    plot.background_fill_color = "black"
    return plot


def add_image(
    plot: figure, shape: tuple[int, int], palette: tuple[str, ...] | list[str], *, high: float
) -> tuple[ColumnDataSource, GlyphRenderer]:
    """Return the source and renderer of an image of numbers that a palette colours, 0 to `high`."""
    rows, columns = shape
    source = ColumnDataSource(data={"image": [np.zeros((1, 1), dtype=np.uint8)]})
    renderer = plot.image(
        image="image", x=-0.5, y=-0.5, dw=columns, dh=rows, source=source,
        color_mapper=LinearColorMapper(palette=list(palette), low=0, high=high),
    )  # fmt: skip
    return source, renderer


def show(source: ColumnDataSource, image: NDArray[np.uint8]) -> None:
    """Send an image, unless it is there already."""
    if not np.array_equal(source.data["image"][0], image):
        source.data = {"image": [image]}


def reach_of(plot: figure) -> float:
    """Return how far `REACH_PX` are in the units of the data, as the plot is zoomed now."""
    return REACH_PX * abs(plot.x_range.end - plot.x_range.start) / max(plot.inner_width or 0, 100)


def whole_view(plot: figure, shape: tuple[int, int]) -> None:
    """Show all of the array."""
    rows, columns = shape
    plot.x_range.update(start=-0.5, end=columns - 0.5)
    plot.y_range.update(start=rows - 0.5, end=-0.5)


def drags_view(plot: figure, moves: bool) -> None:
    """Let dragging move the view, or leave it to the tools."""
    plot.toolbar.active_drag = plot.select_one(PanTool) if moves else None


def on_gestures(
    plot: figure, *, begin: Gesture, go_on: Gesture, end: Gesture, hover: Callable[[Point | None], None], say: Say
) -> None:
    """Call these with (row, column) and the event as the pointer is pressed and moved, moved, let go, and moved freely.

    A press of a while is no pan to Bokeh, whatever follows: until it ends, moves are those of a drag. What fails is
    said with `say`.
    """
    held = False

    def pressed(event: Any) -> None:
        nonlocal held
        held = True
        begin(at(event), event)

    def moved(event: Any) -> None:
        if held:
            go_on(at(event), event)
        hover(at(event))

    def let_go(event: Any) -> None:
        nonlocal held
        held = False
        end(at(event), event)

    for kind, do in (
        (PanStart, lambda event: begin(at(event), event)),
        (Pan, lambda event: go_on(at(event), event)),
        (PanEnd, lambda event: end(at(event), event)),
        (Press, pressed),
        (MouseMove, moved),
        (PressUp, let_go),
        (MouseLeave, lambda _event: hover(None)),
    ):
        plot.on_event(kind, contained("What the pointer does", do, say))


def at(event: Any) -> Point:
    """Return where an event happened, (row, column)."""
    return float(event.y), float(event.x)


class Drawer(Protocol):
    """A desk on which the pointer draws."""

    @property
    def say(self) -> Say:
        """Shows a message."""
        ...

    def begin_stroke(self, point: Point, *, reach: float = ..., mode: Mode | None = ...) -> None:
        """Press the pointer."""
        ...

    def extend_stroke(self, point: Point) -> None:
        """Move it."""
        ...

    def end_stroke(self) -> None:
        """Let it go."""
        ...

    def tap(self, point: Point, *, reach: float = ..., mode: Mode | None = ...) -> None:
        """Click."""
        ...


def draws(plot: figure, desk: Drawer, *, hover: Callable[[Point | None], None]) -> None:
    """Let the pointer draw on a desk: shapes by dragging, corners and dabs by clicks."""

    def end(point: Point, _event: Any) -> None:
        desk.extend_stroke(point)
        desk.end_stroke()

    on_gestures(
        plot,
        begin=lambda point, event: desk.begin_stroke(point, reach=reach_of(plot), mode=mode_of(event)),
        go_on=lambda point, _event: desk.extend_stroke(point),
        end=end,
        hover=hover,
        say=desk.say,
    )

    def tap(event: Any) -> None:
        desk.tap(at(event), reach=reach_of(plot), mode=mode_of(event))

    plot.on_event(Tap, contained("What the pointer does", tap, desk.say))


def mode_of(event: Any) -> Mode | None:
    """Return what the keys held say: Shift adds, Alt takes away; None leaves it to the chosen mode."""
    modifiers = getattr(event, "modifiers", None)
    if modifiers is None:
        return None
    if modifiers["shift"]:
        return "add"
    return "remove" if modifiers["alt"] else None
