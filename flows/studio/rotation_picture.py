"""The detector of a rotation series on the page: frame, spots, rings, mask; the pointer draws on it."""

import math

import numpy as np
from bokeh.events import DoubleTap
from bokeh.layouts import column
from bokeh.models import ColumnDataSource, Div, HoverTool, Scatter, Text
from bokeh.palettes import Inferno256

from flows.studio.plane import add_image, drags_view, draws, empty_plane, show, whole_view
from flows.studio.pulse import Pulse
from flows.studio.reciprocal import RING_COLOUR
from flows.studio.rotation_desk import RotationDesk
from flows.studio.sketch import Point
from tasks.drawing import largest_of, resolution_at, resolution_rings, screen_factor, shaded

OVER = ["#00000000", "#0072b2b0", "#e69f00b0"]
"""Of what is not used besides the mask, and of the mask: blue and orange of Okabe & Ito (2008), told apart by
colour-blind readers, on the black of no electrons and the white of the direct beam."""
SPOT_COLOUR = "#56b4e9"
SPOT_PX = 13
"""Diameter of the circles about predicted spots on the screen. Chosen, not measured: they stand about spots of 3 to
8 px."""


class DetectorPicture:
    """The plot of the detector, kept as the desk says; `layout` is its part of the page."""

    def __init__(self, desk: RotationDesk, pulse: Pulse) -> None:
        self._desk, self._pulse = desk, pulse
        self._factor = screen_factor(desk.scene.shape)
        self._pointer: Point | None = None
        self.plot = empty_plane(desk.scene.shape, name="detector", label="Detector: a frame, its mask and spots")
        wide = (
            -(-desk.scene.shape[0] // self._factor) * self._factor,
            -(-desk.scene.shape[1] // self._factor) * self._factor,
        )
        self._image, _ = add_image(self.plot, wide, Inferno256, high=255)
        self._mask, self._mask_drawn = add_image(self.plot, wide, OVER, high=len(OVER) - 1)
        self._rings = ColumnDataSource(data={"x": [], "y": [], "radius": [], "text": [], "top": []})
        self._spots = ColumnDataSource(data={"x": [], "y": [], "hkl": []})
        self._corners = ColumnDataSource(data={"x": [], "y": []})
        self._marks()
        self.readout = Div(name="pixel", css_classes=["soft"], sizing_mode="stretch_width", height=20)
        self._listen()
        self.layout = column(self.plot, self.readout, sizing_mode="stretch_width", name="detector panel")

    def switch_spots(self) -> None:
        """Show or hide the predicted spots."""
        self._spot_marks.visible = not self._spot_marks.visible

    def switch_rings(self) -> None:
        """Show or hide the rings of resolution."""
        for marks in self._ring_marks:
            marks.visible = not marks.visible

    def switch_mask(self) -> None:
        """Show or hide the mask, to see what lies under it."""
        self._mask_drawn.visible = not self._mask_drawn.visible

    def whole(self) -> None:
        """Show the whole detector."""
        whole_view(self.plot, self._desk.scene.shape)

    def _marks(self) -> None:
        plot = self.plot
        rings = plot.circle(
            x="x", y="y", radius="radius", source=self._rings, fill_color=None, line_color=RING_COLOUR,
            line_dash="dashed",
        )  # fmt: skip
        names = plot.add_glyph(
            self._rings,
            Text(
                x="x", y="top", text="text", text_color=RING_COLOUR, text_font_size="12px", text_align="center",
                text_baseline="bottom", background_fill_color="black", background_fill_alpha=0.6,
            ),
        )  # fmt: skip
        self._ring_marks = (rings, names)
        self._spot_marks = plot.add_glyph(
            self._spots, Scatter(x="x", y="y", size=SPOT_PX, fill_color=None, line_color=SPOT_COLOUR, line_width=1.3)
        )
        plot.add_tools(HoverTool(renderers=[self._spot_marks], tooltips=[("hkl", "@hkl")], visible=False))
        plot.line(x="x", y="y", source=self._corners, line_color="white", line_dash="dotted")
        plot.add_glyph(
            self._corners, Scatter(x="x", y="y", marker="square", size=10, fill_color="white", line_color="black")
        )

    def _listen(self) -> None:
        desk, pulse = self._desk, self._pulse
        draws(self.plot, desk, hover=self._hover)
        self.plot.on_event(DoubleTap, lambda _event: desk.finish())
        parts = {
            "frame": self._send_frame,
            "marks": self._send_marks,
            "mask": self._send_mask,
            "pixel": self._send_pixel,
        }
        for part, send in parts.items():
            pulse.add(part, send)
        desk.watch("frame", lambda: pulse.ask("frame", "marks", "pixel"))
        desk.watch("mask", lambda: pulse.ask("mask"))
        desk.watch("tool", lambda: drags_view(self.plot, desk.tool == "move"))
        pulse.ask(*parts)

    # ---- from the pointer

    def _hover(self, point: Point | None) -> None:
        self._pointer = point
        self._pulse.ask("pixel")

    # ---- to the page

    def _send_frame(self) -> None:
        show(self._image, largest_of(shaded(self._desk.shown, self._desk.stretch), self._factor))

    def _send_mask(self) -> None:
        desk = self._desk
        level = np.where(desk.live_mask, np.uint8(2), desk.scene.not_used.astype(np.uint8))
        show(self._mask, largest_of(level, self._factor))
        corners = () if desk.sketch is None else desk.sketch.handles
        self._corners.data = {"x": [one[1] for one in corners], "y": [one[0] for one in corners]}

    def _send_marks(self) -> None:
        desk = self._desk
        scene = desk.scene
        spots = None if scene.spots is None or desk.image != "frame" else scene.spots.on(desk.frame)
        self._spots.data = {
            "x": [] if spots is None else spots.px[:, 1],
            "y": [] if spots is None else spots.px[:, 0],
            "hkl": [] if spots is None else [" ".join(str(index) for index in one) for one in spots.hkl],
        }
        beam = scene.frames[desk.frame].beam_px
        manifest, far = scene.manifest, math.hypot(*scene.shape) / 2
        wavelength = manifest.beam.wavelength_angstrom
        rings = () if beam is None else resolution_rings(manifest.detector, wavelength, farthest_px=far)
        slow, fast = beam or (0.0, 0.0)
        radius = np.array([one[1] for one in rings])
        self._rings.data = {
            "x": np.full(len(rings), fast), "y": np.full(len(rings), slow), "radius": radius, "top": slow - radius,
            "text": [f"{d:g} Å" for d, _ in rings],
        }  # fmt: skip

    def _send_pixel(self) -> None:
        self.readout.text = self._pixel_text()

    def _pixel_text(self) -> str:
        """Return what lies under the pointer."""
        scene, point = self._desk.scene, self._pointer
        if point is None:
            return ""
        slow, fast = round(point[0]), round(point[1])
        if not (0 <= slow < scene.shape[0] and 0 <= fast < scene.shape[1]):
            return ""
        text = f"({slow}, {fast}): {self._desk.shown[slow, fast]:.4g} e"
        beam = scene.frames[self._desk.frame].beam_px
        if beam is None:
            return text
        away = math.hypot(point[0] - beam[0], point[1] - beam[1])
        d = resolution_at(scene.manifest.detector, scene.manifest.beam.wavelength_angstrom, away)
        return f"{text}, {d:.2f} Å" if math.isfinite(d) else text
