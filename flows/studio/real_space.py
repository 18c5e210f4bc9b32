"""Real space: an image of the scan, the crystals upon it, and the pointer that draws."""

from typing import Any

import numpy as np
from bokeh.events import DoubleTap, MouseLeave, MouseMove, Pan
from bokeh.layouts import column, row
from bokeh.models import (
    Circle,
    ColumnDataSource,
    CustomJS,
    Div,
    MetricLength,
    Range1d,
    ScaleBar,
    Scatter,
    Select,
)
from bokeh.palettes import Greys256
from bokeh.transform import linear_cmap
from numpy.typing import NDArray

from flows.studio.behind import Behind
from flows.studio.choices import DETECTOR_IMAGE
from flows.studio.desk import Desk
from flows.studio.plane import HEAD_PX, add_image, drags_view, draws, empty_plane, show, whole_view
from flows.studio.pulse import Pulse
from flows.studio.regions import CURRENT, FILLS, LINES, Regions, current_fill, regions_of
from flows.studio.sketch import BRUSHES, Point
from flows.studio.texts import image_text, position_text
from tasks.drawing import contrasted

AT_ONCE = frozenset({"counts", DETECTOR_IMAGE})
"""Images that take milliseconds; the others need the spots of the scan."""
FOLLOW = """
ring.data = {x: [cb_obj.x], y: [cb_obj.y]}
"""
MEASURE = """
seen_nm.end = (cb_obj.end - cb_obj.start) * step_nm
"""
"""The width that is seen, for the scale bar: the plot counts positions."""


class RealSpace:
    """The plot of real space; `layout` is its part of the page."""

    def __init__(self, desk: Desk, pulse: Pulse, behind: Behind) -> None:
        self._desk, self._pulse, self._behind = desk, pulse, behind
        shape = desk.scene.scan_shape
        self.plot = empty_plane(shape, name="real space", label="Real space: image of the scan with its crystals")
        self._image, _ = add_image(self.plot, shape, Greys256, high=255)
        self._others, self._others_drawn = add_image(self.plot, shape, FILLS, high=len(FILLS) - 1)
        self._current, _ = add_image(self.plot, shape, CURRENT, high=len(CURRENT) - 1)
        self._lines = ColumnDataSource(data=_edges(regions_of(desk)))
        self._outline = ColumnDataSource(data={"x0": [], "y0": [], "x1": [], "y1": []})
        self._labels = ColumnDataSource(data={"x": [], "y": [], "text": []})
        self._handles = ColumnDataSource(data={"x": [], "y": []})
        self._ring = ColumnDataSource(data={"x": [], "y": []})
        self._glyphs()
        self.image = Select(title="Image", options=list(desk.image_names), value=desk.image, name="image")
        self.image.on_change("value", lambda _attr, _old, new: desk.choose_image(new))
        self.about = Div(name="about image", css_classes=["soft"], sizing_mode="stretch_width")
        self.readout = Div(name="position", css_classes=["soft"], sizing_mode="stretch_width", height=20)
        self._pointer: Point | None = None
        self._listen()
        self._tell()
        self.layout = column(
            row(self.image, self.about, sizing_mode="stretch_width", min_height=HEAD_PX),
            self.plot,
            self.readout,
            sizing_mode="stretch_width",
            name="real space panel",
        )

    def _glyphs(self) -> None:
        plot, step_nm = self.plot, self._desk.scene.step_nm
        lines = {"x0": "x0", "y0": "y0", "x1": "x1", "y1": "y1"}
        self._lines_drawn = plot.segment(
            **lines, source=self._lines, line_width=1.5, line_color=linear_cmap("colour", LINES, 0, len(LINES) - 1)
        )
        plot.segment(**lines, source=self._outline, line_color="black", line_width=4.0, line_cap="round")
        self._outline_drawn = plot.segment(**lines, source=self._outline, line_width=2.0, line_cap="round")
        self._labels_drawn = plot.text(
            x="x", y="y", text="text", source=self._labels, text_align="center", text_baseline="middle",
            text_font_size="13px", text_font_style="bold", text_color="white",
            background_fill_color="black", background_fill_alpha=0.6,
        )  # fmt: skip
        self._way = plot.line(x="x", y="y", source=self._handles, line_color="white", line_dash="dotted")
        plot.add_glyph(
            self._handles, Scatter(x="x", y="y", marker="square", size=10, fill_color="white", line_color="black")
        )
        self._brush = Circle(x="x", y="y", radius=1.0, fill_color=None, line_color="white", line_width=1.5)
        shadow = Circle(x="x", y="y", radius=1.0, fill_color=None, line_color="black", line_width=3.5)
        self._brushes = [plot.add_glyph(self._ring, shadow), plot.add_glyph(self._ring, self._brush)]
        _, nx = self._desk.scene.scan_shape
        seen_nm = Range1d(0.0, nx * step_nm)
        measure = CustomJS(args={"seen_nm": seen_nm, "step_nm": step_nm}, code=MEASURE)
        plot.x_range.js_on_change("start", measure)
        plot.x_range.js_on_change("end", measure)
        plot.add_layout(
            ScaleBar(
                range=seen_nm, unit="nm", dimensional=MetricLength(), location="bottom_left", label="@{value} @{unit}",
                background_fill_color="black", background_fill_alpha=0.6, border_line_color=None,
                bar_line_color="white", bar_line_width=3, label_text_color="white", label_text_font_size="12px",
            )
        )  # fmt: skip

    def _listen(self) -> None:
        desk, pulse = self._desk, self._pulse
        draws(self.plot, desk, hover=self._hover)
        self.plot.on_event(DoubleTap, lambda _event: desk.finish())
        follow = CustomJS(args={"ring": self._ring}, code=FOLLOW)
        for brush in self._brushes:
            brush.visible = False
        self.plot.js_on_event(MouseMove, follow)
        self.plot.js_on_event(Pan, follow)
        self.plot.js_on_event(MouseLeave, CustomJS(args={"ring": self._ring}, code="ring.data = {x: [], y: []}"))
        pulse.add("image", self._send_image)
        pulse.add("regions", self._send_regions)
        pulse.add("current", self._send_current)
        pulse.add("position", self._send_position)
        desk.watch("image", lambda: pulse.ask("image"))
        desk.watch("tilt", lambda: pulse.ask("position"))
        desk.watch("drawing", lambda: pulse.ask("regions", "current"))
        desk.watch("crystal", lambda: pulse.ask("regions", "current"))
        desk.watch("pattern", lambda: pulse.ask("current"))
        desk.watch("crystal", self._follow_reference)
        desk.watch("drawing", self._follow_reference)
        desk.watch("tool", self._tell)
        desk.watch("tool", lambda: pulse.ask("current"))
        desk.watch("view", self._tell)
        pulse.ask("image", "regions", "current", "position")

    # ---- from the pointer

    def _hover(self, point: Point | None) -> None:
        self._pointer = point
        self._pulse.ask("position")

    # ---- to the page

    def _send_image(self) -> None:
        desk = self._desk
        options = list(desk.image_names)
        if self.image.options != options:
            self.image.options = options
        self.image.value = desk.image
        make = desk.image_maker()
        if desk.image in AT_ONCE:
            self._show_image(make())
        else:
            self.about.text = f"making the {desk.image} image of this tilt ..."
            self._behind.want("image", object(), make, self._show_image)

    def _show_image(self, made: NDArray[np.float32] | Exception) -> None:
        desk = self._desk
        if isinstance(made, Exception):
            desk.say(f"There is no {desk.image} image of this tilt\n{made}", "error")
        else:
            show(self._image, contrasted(made))
        self.about.text = image_text(desk)

    def _follow_reference(self) -> None:
        if self._desk.image == "misorientation":
            self._pulse.ask("image")

    def _send_regions(self) -> None:
        regions = regions_of(self._desk)
        show(self._others, regions.fills)
        self._lines.data = _edges(regions)
        self._labels.data = {
            "x": regions.centres[:, 1], "y": regions.centres[:, 0], "text": list(regions.labels),
        }  # fmt: skip

    def _send_current(self) -> None:
        desk = self._desk
        mask = desk.live_mask
        fill, colour, edges = current_fill(desk, mask)
        show(self._current, fill)
        self._outline_drawn.glyph.line_color = colour
        self._outline.data = {"x0": edges.column_0, "y0": edges.row_0, "x1": edges.column_1, "y1": edges.row_1}
        handles = desk.sketch.handles if desk.sketch is not None else ()
        self._handles.data = {"x": [one[1] for one in handles], "y": [one[0] for one in handles]}
        self._way.visible = desk.sketch is not None and desk.sketch.tool in {"polygon", "cut"}

    def _send_position(self) -> None:
        self.readout.text = position_text(self._desk, self._pointer)

    def _tell(self) -> None:
        """Show what tool is held and what is hidden."""
        desk = self._desk
        drags_view(self.plot, desk.tool == "move")
        for brush in self._brushes:
            brush.visible = desk.tool in BRUSHES
            brush.glyph.radius = desk.brush_radius + 0.5
        for shown in (self._others_drawn, self._lines_drawn, self._labels_drawn):
            shown.visible = "regions" in desk.shown

    def whole_view(self) -> None:
        """Show the whole scan."""
        whole_view(self.plot, self._desk.scene.scan_shape)


def _edges(regions: Regions) -> dict[str, NDArray[Any]]:
    return {
        "x0": regions.edges.column_0, "y0": regions.edges.row_0, "x1": regions.edges.column_1,
        "y1": regions.edges.row_1, "colour": regions.colours.astype(np.uint8),
    }  # fmt: skip
