"""The strip of all frames of a rotation series: electrons against angle, the frame looked at, chosen by a click."""

import numpy as np
from bokeh.events import Tap
from bokeh.models import ColumnDataSource, NumeralTickFormatter, Span
from bokeh.plotting import figure

from flows.studio.rotation_desk import RotationDesk

HEIGHT_PX = 120
"""Of the strip. Chosen, not measured: gaps and shadows of a grid are seen, and the detector keeps its room."""


class FrameStrip:
    """The plot below the detector."""

    def __init__(self, desk: RotationDesk) -> None:
        self._desk = desk
        self._data = ColumnDataSource({"angle": [], "counts": []})
        self.plot = figure(
            name="strip",
            tools="",
            toolbar_location=None,
            height=HEIGHT_PX,
            sizing_mode="stretch_width",
            x_axis_label="goniometer angle / °",
            y_axis_label="electrons",
        )
        self.plot.yaxis.formatter = NumeralTickFormatter(format="0.[0]a")
        self.plot.line("angle", "counts", source=self._data, line_color="#0072b2")
        self.plot.scatter("angle", "counts", source=self._data, size=4, color="#0072b2")
        self._here = Span(dimension="height", line_color="#d55e00", line_width=2)
        self.plot.add_layout(self._here)
        self.plot.on_event(Tap, lambda event: self._choose(event.x))
        desk.watch("frame", self.show)
        self.show()

    def show(self) -> None:
        """Mark the frame looked at, and show the counts as far as they are known."""
        scene = self._desk.scene
        self._here.location = float(scene.angle_deg[self._desk.frame])
        counts = scene.counts
        known = np.isfinite(counts)
        self.plot.yaxis.visible = bool(known.any())
        self._data.data = {"angle": scene.angle_deg, "counts": np.where(known, counts, 0.0)}

    def _choose(self, angle: float | None) -> None:
        if angle is not None:
            self._desk.choose_frame(int(np.argmin(np.abs(self._desk.scene.angle_deg - angle))))
