"""Reciprocal space: the pattern of the current aperture, and what lies upon it."""

from typing import Any

import numpy as np
from bokeh.layouts import column, row
from bokeh.models import (
    ColumnDataSource,
    Div,
    HoverTool,
    RadioButtonGroup,
    Scatter,
)
from bokeh.palettes import Inferno256
from numpy.typing import NDArray

from flows.studio.behind import Behind
from flows.studio.choices import STRETCHES
from flows.studio.desk import Desk
from flows.studio.detector_hold import DetectorHold
from flows.studio.plane import HEAD_PX, add_image, drags_view, empty_plane, on_gestures, reach_of, show, whole_view
from flows.studio.pulse import Pulse
from flows.studio.sketch import Point
from flows.studio.texts import pattern_text, pixel_text
from tasks.drawing import binned, resolution_rings, stretched

WIDE_PX = 300
"""Pixels of a detector's side from which on the pattern is binned by two while the pointer draws: 83 kB in place of
332 kB for each update of 576 x 576. When it rests all pixels are shown."""
HKL_ROOM = (0.045, 0.16)
"""Height and width, in parts of the detector, that are kept free for the Miller indices beside a spot; all indices are
told under the pointer. Measured on a plot of 400 px, the smallest: "-10 12 -10" in 10 px letters takes 0.03 by 0.14."""
RING_COLOUR = "#56b4e9"
MASKED = ["#00000000", "#56789aff"]


class ReciprocalSpace:
    """The plot of reciprocal space; `layout` is its part of the page."""

    def __init__(self, desk: Desk, pulse: Pulse, behind: Behind) -> None:
        self._desk, self._pulse, self._behind = desk, pulse, behind
        self._centres: dict[int, Point] = {}
        shape = desk.scene.detector_shape
        self.plot = empty_plane(shape, name="reciprocal space", label="Reciprocal space: pattern of the aperture")
        self._image, _ = add_image(self.plot, shape, Inferno256, high=255)
        self._masked, self._masked_drawn = add_image(self.plot, shape, MASKED, high=1)
        self._rings = ColumnDataSource(data={"x": [], "y": [], "radius": [], "text": [], "top": []})
        self._spots = ColumnDataSource(data={"x": [], "y": [], "hkl": [], "text": []})
        self._round = ColumnDataSource(data={"x": [], "y": [], "inner": [], "outer": []})
        self._square = ColumnDataSource(data={"x": [], "y": [], "width": [], "height": []})
        self._glyphs()
        self.caption = Div(name="pattern caption", sizing_mode="stretch_width")
        self.readout = Div(name="pixel", css_classes=["soft"], sizing_mode="stretch_width", height=20)
        self.stretch = RadioButtonGroup(
            labels=list(STRETCHES), active=STRETCHES.index(desk.stretch), name="stretch",
            html_attributes={"aria-label": "Brightness of the pattern"},
        )  # fmt: skip
        self.stretch.on_change("active", lambda _attr, _old, new: desk.choose_stretch(STRETCHES[new]))
        self._pointer: Point | None = None
        self._hold: DetectorHold | None = None
        self._listen()
        self._tell()
        self.layout = column(
            row(self.stretch, self.caption, sizing_mode="stretch_width", min_height=HEAD_PX),
            self.plot,
            self.readout,
            sizing_mode="stretch_width",
            name="reciprocal space panel",
        )

    def _glyphs(self) -> None:
        plot = self.plot
        self._drawn = {
            "rings": [
                plot.circle(
                    x="x", y="y", radius="radius", source=self._rings, fill_color=None, line_color=RING_COLOUR,
                    line_dash="dashed",
                ),
                plot.text(
                    x="x", y="top", text="text", source=self._rings, text_color=RING_COLOUR, text_font_size="12px",
                    text_align="center", text_baseline="bottom", background_fill_color="black",
                    background_fill_alpha=0.6,
                ),
            ],
            "spots": [
                plot.add_glyph(
                    self._spots, Scatter(x="x", y="y", size=11, fill_color=None, line_color="#f0e442", line_width=1.5)
                ),
                plot.text(
                    x="x", y="y", text="text", source=self._spots, text_color="#f0e442", text_font_size="10px",
                    x_offset=7, y_offset=-4, background_fill_color="black", background_fill_alpha=0.6,
                ),
            ],
            "masked": [self._masked_drawn],
        }  # fmt: skip
        plot.add_tools(HoverTool(renderers=[self._drawn["spots"][0]], tooltips=[("hkl", "@hkl")], visible=False))
        look = {"fill_color": "#0072b2", "fill_alpha": 0.25, "line_color": "white", "line_width": 2.0}
        plot.annulus(x="x", y="y", inner_radius="inner", outer_radius="outer", source=self._round, **look)
        plot.rect(x="x", y="y", width="width", height="height", source=self._square, **look)

    def _listen(self) -> None:
        desk, pulse = self._desk, self._pulse
        on_gestures(self.plot, begin=self._begin, go_on=self._go_on, end=self._end, hover=self._hover, say=desk.say)
        for part, send in (
            ("pattern", self._send_pattern),
            ("marks", self._send_marks),
            ("detector", self._send_detector),
            ("pixel", self._send_pixel),
        ):
            pulse.add(part, send)
        desk.watch("pattern", lambda: pulse.ask("pattern", "pixel"))
        desk.watch("tilt", lambda: pulse.ask("pattern", "marks", "pixel"))
        desk.watch("crystal", lambda: pulse.ask("pattern", "marks"))
        desk.watch("detector", lambda: pulse.ask("detector"))
        desk.watch("view", self._tell)
        pulse.ask("pattern", "marks", "detector", "pixel")

    # ---- from the pointer

    def _begin(self, point: Point, _event: Any) -> None:
        desk = self._desk
        if desk.drags_detector:
            self._hold = DetectorHold(desk.detector, desk.detector_shape, point, reach_of(self.plot))

    def _go_on(self, point: Point, _event: Any) -> None:
        if self._hold is not None:
            self._desk.place_detector(self._hold.moved(point))

    def _end(self, _point: Point, _event: Any) -> None:
        self._hold = None

    def _hover(self, point: Point | None) -> None:
        self._pointer = point
        self._pulse.ask("pixel")

    # ---- to the page

    def _send_pattern(self) -> None:
        desk = self._desk
        drawing = desk.sketch is not None and desk.sketch.moving
        factor = 2 if drawing and min(desk.scene.detector_shape) >= WIDE_PX else 1
        show(self._image, stretched(binned(desk.pattern, factor), desk.stretch))
        self.caption.text = pattern_text(desk)

    def _send_marks(self) -> None:
        desk, tilt = self._desk, self._desk.tilt
        show(self._masked, (~desk.scene.valid(tilt)).astype(np.uint8))
        centre = self._centres.get(tilt)
        self._rings.data = rings_data(desk, centre)
        self._spots.data = spots_data(desk, centre)
        if centre is None:
            self._behind.want("centre", tilt, lambda: desk.scene.centre(tilt), lambda found: self._found(tilt, found))

    def _found(self, tilt: int, centre: Point | Exception) -> None:
        if isinstance(centre, Exception):
            self._desk.say(f"The direct beam is not found at this tilt: no resolution rings\n{centre}", "warning")
        else:
            self._centres[tilt] = centre
            self._pulse.ask("marks", "pixel")

    def _send_detector(self) -> None:
        one = self._desk.detector
        around: dict[str, list[float]] = {"x": [], "y": [], "inner": [], "outer": []}
        square: dict[str, list[float]] = {"x": [], "y": [], "width": [], "height": []}
        if one is not None:
            place = {"x": [one.centre_px[1]], "y": [one.centre_px[0]]}
            if one.size_px is not None:
                square = {**place, "width": [one.size_px[1]], "height": [one.size_px[0]]}
            else:
                around = {**place, "inner": [one.inner_px], "outer": [one.outer_px]}
        self._round.data = around
        self._square.data = square

    def _send_pixel(self) -> None:
        self.readout.text = pixel_text(self._desk, self._pointer, self._centres.get(self._desk.tilt))

    def _tell(self) -> None:
        """Show what is hidden, and how the pattern is stretched."""
        desk = self._desk
        drags_view(self.plot, not desk.drags_detector)
        for name, drawn in self._drawn.items():
            for one in drawn:
                one.visible = name in desk.shown
        self.stretch.active = STRETCHES.index(desk.stretch)
        self._pulse.ask("pattern")

    def whole_view(self) -> None:
        """Show the whole detector."""
        whole_view(self.plot, self._desk.scene.detector_shape)


def rings_data(desk: Desk, centre: Point | None) -> dict[str, Any]:
    """Return the columns of the resolution rings; none as long as the direct beam is not known."""
    if centre is None:
        return {"x": [], "y": [], "radius": [], "top": [], "text": []}
    series, (slow, fast) = desk.scene.series, desk.scene.detector_shape
    farthest = max(float(np.hypot(centre[0] - row, centre[1] - column)) for row in (0, slow) for column in (0, fast))
    rings = resolution_rings(series.detector, series.beam.wavelength_angstrom, farthest_px=farthest)
    radius = np.array([one[1] for one in rings])
    return {
        "x": np.full(len(rings), centre[1]), "y": np.full(len(rings), centre[0]), "radius": radius,
        "top": centre[0] - radius, "text": [f"{d:g} Å" for d, _ in rings],
    }  # fmt: skip


def spots_data(desk: Desk, centre: Point | None) -> dict[str, Any]:
    """Return the columns of the spots that the run indexed for the current crystal at this tilt."""
    spots = desk.spots(desk.crystal, desk.tilt) if desk.spots is not None and desk.crystal is not None else []
    row, column = centre or np.divide(desk.scene.detector_shape, 2.0)
    spots = sorted(spots, key=lambda spot: float(np.hypot(spot[0] - row, spot[1] - column)))
    hkl = [f"{h} {k} {l}" for _, _, h, k, l in spots]
    written = apart([spot[:2] for spot in spots], np.multiply(desk.scene.detector_shape, HKL_ROOM))
    return {
        "x": [spot[1] for spot in spots], "y": [spot[0] for spot in spots], "hkl": hkl,
        "text": [one if free else "" for one, free in zip(hkl, written, strict=True)],
    }  # fmt: skip


def apart(points: list[Point], room: NDArray[np.float64]) -> list[bool]:
    """Tell which points are named, the first ones first, so that no name lies on another."""
    named: list[Point] = []
    found: list[bool] = []
    for point in points:
        free = all((np.abs(np.subtract(point, other)) >= room).any() for other in named)
        found.append(free)
        if free:
            named.append(point)
    return found
