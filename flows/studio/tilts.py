"""All tilts at a glance: thumbnails, and what the chosen crystal has at each; a click or a key chooses the tilt."""

from functools import partial

import numpy as np
from bokeh.document import Document
from bokeh.events import Tap
from bokeh.layouts import column, row
from bokeh.models import (
    Column,
    ColumnDataSource,
    FixedTicker,
    HoverTool,
    Legend,
    LegendItem,
    LinearAxis,
    NumeralTickFormatter,
    Range1d,
    Select,
    Span,
)
from bokeh.plotting import figure

from flows.studio.desk import Desk
from flows.studio.keys import Keyboard
from flows.studio.overview import Overview, TiltView
from tasks.drawing import DrawingCrystal, Scene

PLAY_MS = 400
"""Between two tilts while playing. Chosen, not measured: a person follows a crystal from one to the next."""
STRIP_HEIGHT, COURSE_HEIGHT = 96, 150
"""Of thumbnails with their tilts, and of the plot, in px. Chosen, not measured: a laptop of 720 px shows both."""
CELLS = 14
"""Thumbnails side by side until the browser has told its width."""
ELECTRONS, CONFIDENCE, SHARE = "#0072b2", "#d55e00", "#009e73"
"""Of the curves: three colours of Okabe & Ito, which colour-blind readers tell apart; the marks differ as well."""


class Tilts:
    """Thumbnails and curves over the tilts of a series."""

    def __init__(self, doc: Document, desk: Desk, keyboard: Keyboard, *, overview: Scene | None = None) -> None:
        self._doc, self._desk = doc, desk
        self._playing: object | None = None
        self._electrons: dict[int, dict[str, int]] = {}
        self._drawn: tuple[DrawingCrystal, ...] = ()
        self._inner: dict[str, int] = {}
        self._names = [f"{tilt:.1f}°" for tilt in desk.scene.tilt_deg]
        shown = desk.scene
        scene = overview or Scene(shown.series, apertures=shown.apertures, angle_maps=shown.angle_maps, open_tilts=1)
        self._overview = Overview(scene, self._later)
        self.previous = keyboard.button("previous tilt", lambda: desk.choose_tilt(desk.tilt - 1))
        self.next = keyboard.button("next tilt", lambda: desk.choose_tilt(desk.tilt + 1))
        self.play = keyboard.button("play", self.switch_play)
        keyboard.bind("first tilt", lambda: desk.choose_tilt(0))
        keyboard.bind("last tilt", lambda: desk.choose_tilt(len(self._names) - 1))
        options = [(str(index), name) for index, name in enumerate(self._names)]
        self.select = Select(title="Tilt", options=options, value=str(desk.tilt), name="tilt", width=110)
        self.select.on_change("value", lambda _attr, _old, new: desk.choose_tilt(int(new)))
        self._make_strip()
        self._make_course()
        for topic, show in (("tilt", self.show_tilt), ("crystal", self.show_course), ("drawing", self.show_drawing)):
            desk.watch(topic, show)  # type: ignore[arg-type]
        doc.on_session_destroyed(lambda _context: self._overview.end())
        self.show_tilt()
        self.show_course()
        self._overview.want(self._by_distance(), desk.history.now)
        self._drawn = desk.history.now.crystals

    def layout(self) -> Column:
        """Return the panel."""
        controls = column(
            self.select, row(self.previous, self.next, css_classes=["buttons"]), self.play, width=150, spacing=0
        )
        return column(
            row(controls, self.strip, sizing_mode="stretch_width"),
            self.course,
            name="tilts",
            sizing_mode="stretch_width",
        )

    # ---- figures

    def _make_strip(self) -> None:
        ny, nx = self._desk.scene.scan_shape
        count, high = len(self._names), 0.92 * min(1.0, ny / nx)
        empty = np.zeros((1, 1), dtype=np.uint32)
        self.pictures = ColumnDataSource(
            {"picture": [empty] * count, "x": np.arange(count) - 0.46, "y": [-high / 2] * count}
        )
        self.strip = figure(
            height=STRIP_HEIGHT, sizing_mode="stretch_width", toolbar_location=None, tools="xpan", active_drag="xpan",
            x_range=Range1d(start=-0.5, end=CELLS - 0.5), y_range=Range1d(start=-0.5, end=0.5), name="strip",
            html_attributes={"role": "img", "aria-label": "Thumbnails of the tilts; a click chooses one"},
        )  # fmt: skip
        self.strip.image_rgba("picture", x="x", y="y", dw=0.92, dh=high, source=self.pictures)
        self.frame = ColumnDataSource({"x": [self._desk.tilt]})
        self.strip.rect("x", 0, 0.97, high + 0.06, source=self.frame, fill_alpha=0, line_color=CONFIDENCE, line_width=3)
        self.strip.grid.visible = False
        self.strip.yaxis.visible = False
        self.strip.xaxis.ticker = FixedTicker(ticks=list(range(count)))
        self.strip.xaxis.major_label_overrides = dict(enumerate(self._names))
        self.strip.on_event(Tap, lambda event: self._desk.choose_tilt(round(event.x)))
        for side in ("inner_width", "inner_height"):
            self.strip.on_change(side, self._resized)

    def _make_course(self) -> None:
        tilts = np.asarray(self._desk.scene.tilt_deg, dtype=np.float64)
        nothing = np.full(len(tilts), np.nan)
        self.curves = ColumnDataSource(
            {
                "tilt": tilts, "electrons": nothing, "positions": np.zeros(len(tilts)), "confidence": nothing,
                "share": nothing,
            }
        )  # fmt: skip
        self.course = figure(
            height=COURSE_HEIGHT, sizing_mode="stretch_width", toolbar_location=None, tools="", name="course",
            x_axis_label="tilt (°)", y_axis_label="electrons",
            html_attributes={"role": "img", "aria-label": "Electrons, confidence and score against tilt"},
        )  # fmt: skip
        self.course.extra_y_ranges = {"part": Range1d(start=-0.05, end=1.08)}
        self.course.add_layout(LinearAxis(y_range_name="part", axis_label="0 to 1"), "right")
        scatter = partial(self.course.scatter, "tilt", source=self.curves, size=6)
        electrons = scatter("electrons", color=ELECTRONS)
        line = self.course.line("tilt", "electrons", color=ELECTRONS, line_alpha=0.5, source=self.curves)
        confidence = scatter("confidence", color=CONFIDENCE, marker="square", y_range_name="part")
        share = scatter("share", color=SHARE, marker="triangle", y_range_name="part")
        legend = Legend(
            items=[
                LegendItem(label="electrons", renderers=[electrons, line]),
                LegendItem(label="confidence", renderers=[confidence]),
                LegendItem(label="score: share of its Bragg electrons", renderers=[share]),
            ],
            orientation="horizontal", padding=2, margin=2, spacing=6, label_text_font_size="11px",
        )  # fmt: skip
        self.course.add_layout(legend, "above")
        self.course.add_tools(
            HoverTool(
                renderers=[electrons, confidence, share],
                tooltips=[
                    ("tilt", "@tilt{0.0}°"), ("electrons", "@electrons{0,0}"), ("positions", "@positions{0,0}"),
                    ("confidence", "@confidence{0.00}"), ("score", "@share{0.00}"),
                ],
            )
        )  # fmt: skip
        self.course.yaxis[0].formatter = NumeralTickFormatter(format="0a")
        self.here = Span(dimension="height", line_color=CONFIDENCE, line_width=2)
        self.course.add_layout(self.here)
        self.course.on_event(Tap, lambda event: self._desk.choose_tilt(int(np.argmin(np.abs(tilts - event.x)))))

    # ---- what is shown

    def show_tilt(self) -> None:
        """Mark the chosen tilt, and have its neighbours' thumbnails made first."""
        tilt = self._desk.tilt
        self.select.value = str(tilt)
        self.frame.data = {"x": [tilt]}
        self.here.location = self._desk.scene.tilt_deg[tilt]
        self._centre()
        missing = [one for one in self._by_distance() if one not in self._electrons]
        self._overview.want(missing[:CELLS], self._desk.history.now)

    def show_course(self) -> None:
        """Show what the chosen crystal has at each tilt; without one, all crystals together."""
        chosen = [one for one in self._shown() if one.id == self._desk.crystal] or self._shown()
        count = len(self._names)
        electrons = np.full(count, np.nan)
        for tilt, known in self._electrons.items():
            electrons[tilt] = sum(known.get(one.id, 0) for one in chosen)
        confidence, share = self._figures()
        self.curves.data = {
            **self.curves.data,
            "electrons": electrons,
            "positions": np.sum([one.positions_per_tilt for one in chosen], axis=0) if chosen else np.zeros(count),
            "confidence": confidence,
            "share": share,
        }

    def show_drawing(self) -> None:
        """Have the views made anew of the tilts at which the drawing changed."""
        before, now = {one.id: one for one in self._drawn}, {one.id: one for one in self._desk.history.now.crystals}
        changed: set[int] = set()
        for name in before.keys() | now.keys():
            one, other = before.get(name), now.get(name)
            if one is None or other is None or (one.state == "rejected") != (other.state == "rejected"):
                changed |= {tilt for tilt, count in enumerate((one or other).positions_per_tilt) if count}  # type: ignore[union-attr]
            elif one.planes is not other.planes:
                changed |= {
                    tilt
                    for tilt, (a, b) in enumerate(zip(one.planes, other.planes, strict=True))
                    if a is not b and a != b
                }
        self._drawn = self._desk.history.now.crystals
        if changed:
            self._overview.want([tilt for tilt in self._by_distance() if tilt in changed], self._desk.history.now)
        self.show_course()

    def _figures(self) -> tuple[np.ndarray, np.ndarray]:
        """Return confidence and share of the run's own aperture of the chosen crystal."""
        count = len(self._names)
        apertures = self._desk.scene.apertures
        own = [] if apertures is None else [one for one in apertures.crystals if one.id == self._desk.crystal]
        confidence = np.array(own[0].confidence_per_tilt if own and own[0].confidence_per_tilt else [np.nan] * count)
        share = np.array(own[0].share_per_tilt if own and own[0].share_per_tilt else [np.nan] * count)
        return confidence, np.where(share > 0, share, np.nan)  # 0 says unknown

    def _shown(self) -> list[DrawingCrystal]:
        return [one for one in self._desk.history.now.crystals if one.state != "rejected"]

    def _by_distance(self) -> list[int]:
        return sorted(range(len(self._names)), key=lambda tilt: abs(tilt - self._desk.tilt))

    def _resized(self, side: str, _old: object, new: int) -> None:
        self._inner[side] = new
        self._centre()

    def _centre(self) -> None:
        """Show the chosen tilt in the middle, thumbnails as wide as high."""
        wide, high = (self._inner.get(side, 0) for side in ("inner_width", "inner_height"))
        cells = min(wide / high if wide and high else CELLS, len(self._names))
        first = min(max(self._desk.tilt - cells / 2, -0.5), len(self._names) - 0.5 - cells)
        self.strip.x_range.update(start=first, end=first + cells)

    # ---- what comes from the thread

    def _later(self, view: TiltView) -> None:
        self._doc.add_next_tick_callback(partial(self.put, view))

    def put(self, view: TiltView) -> None:
        """Show the view of a tilt that was made."""
        packed = np.ascontiguousarray(view.picture[::-1]).view(np.uint32)[..., 0]
        self.pictures.patch({"picture": [(view.tilt, packed)]})
        self._electrons[view.tilt] = view.electrons
        self.show_course()

    # ---- playing

    def switch_play(self) -> None:
        """Show one tilt after the other, round and round; a second time: stop."""
        if self._playing is None:
            self._playing = self._doc.add_periodic_callback(self._step, PLAY_MS)
        else:
            self._doc.remove_periodic_callback(self._playing)
            self._playing = None
        self.play.label = "Play" if self._playing is None else "Stop playing"

    def _step(self) -> None:
        self._desk.choose_tilt((self._desk.tilt + 1) % len(self._names))


def tilts_panel(doc: Document, desk: Desk, keyboard: Keyboard) -> Column:
    """Return the panel of tilts."""
    return Tilts(doc, desk, keyboard).layout()
