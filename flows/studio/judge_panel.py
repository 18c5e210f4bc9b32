"""Judge: what the aperture as drawn gives, beside the run's own choice and the whole crystal."""

import threading
from collections.abc import Callable
from html import escape
from typing import NamedTuple

from bokeh.layouts import column, row
from bokeh.models import Column, Div

from flows.studio.deeds import Deeds
from flows.studio.desk import Desk
from flows.studio.errands import Errands, Tell
from flows.studio.judge import ApertureJudgement, JudgedAperture, JudgedFigures
from flows.studio.keys import Keyboard

EMPTY = '<p class="soft">Judge integrates the chosen crystal as drawn, and what the run chose, in the same way.</p>'


class Figure(NamedTuple):
    """One row of the table: a figure, how it is printed, and which way is better; None: neither way."""

    label: str
    of: Callable[[JudgedFigures], float | None]
    form: str
    better: int | None = None
    matters: float = 0.0
    """By how much two must differ to be called better or worse, in the figure's own unit."""


def _indexed(one: JudgedFigures) -> float | None:
    return one.indexed / one.spots if one.indexed is not None and one.spots else None


FIGURES = (
    Figure("Positions", lambda one: one.positions, "{:,.0f}"),
    Figure("Tilts", lambda one: one.tilts, "{:.0f}"),
    Figure("Spots indexed", _indexed, "{:.0%}", 1, 0.01),
    Figure("I/σ", lambda one: one.i_over_sigma, "{:.2f}", 1, 0.05),
    Figure("CC½", lambda one: one.cc_half, "{:.3f}", 1, 0.002),
    Figure("Completeness", lambda one: one.completeness, "{:.0%}", 1, 0.01),
    Figure("Resolution (Å)", lambda one: one.d_min_angstrom, "{:.2f}", -1, 0.01),
    Figure("R, solved structure", lambda one: one.r1, "{:.3f}", -1, 0.002),
)
"""Rows in the order in which one asks. What matters is chosen, not measured: about one step of the digits shown, or
half a step of what two choices of positions in one crystal differ by; less is called the same."""


def judgement_html(judgement: ApertureJudgement) -> str:
    """Return a judgement as a table; better and worse than the run's own choice stand there in words."""
    heads = "".join(f'<th scope="col">{escape(one.name)}</th>' for one in judgement.columns)
    rows = "".join(_row(figure, judgement) for figure in FIGURES)
    failures = "".join(_failure(one) for one in judgement.columns if one.figures is None)
    notes = "".join(f'<p class="soft">{escape(note)}</p>' for note in judgement.notes)
    return (
        f"<table><caption>{escape(judgement.crystal)}, {escape(judgement.method)}; {judgement.seconds:.1f} s</caption>"
        f'<thead><tr><th scope="col"></th>{heads}</tr></thead><tbody>{rows}</tbody></table>{failures}{notes}'
    )


def _row(figure: Figure, judgement: ApertureJudgement) -> str:
    own = judgement.column("run's choice")
    reference = None if own is None or own.figures is None else figure.of(own.figures)
    cells = "".join(_cell(figure, one, reference) for one in judgement.columns)
    return f'<tr><th scope="row">{escape(figure.label)}</th>{cells}</tr>'


def _cell(figure: Figure, one: JudgedAperture, reference: float | None) -> str:
    value = None if one.figures is None else figure.of(one.figures)
    if value is None:
        return '<td class="soft">unknown</td>'
    word = "" if one.name == "run's choice" or reference is None else comparison(figure, value, reference)
    style = {"better": "good", "worse": "bad"}.get(word, "soft")
    return f"<td>{figure.form.format(value)}" + (f'<small class="{style}">{word}</small>' if word else "") + "</td>"


def comparison(figure: Figure, value: float, reference: float) -> str:
    """Return better, worse or the same, as the figure goes; nothing where neither way is better."""
    if figure.better is None:
        return ""
    if abs(value - reference) < figure.matters:
        return "the same"
    return "better" if (value - reference) * figure.better > 0 else "worse"


def _failure(one: JudgedAperture) -> str:
    advice = f' <span class="advice">{escape(one.advice)}</span>' if one.advice else ""
    return f'<p class="warn"><b>{escape(one.name)}:</b> {escape(one.failure or "no figures")}{advice}</p>'


class JudgePanel:
    """One button, and what came of it."""

    def __init__(self, desk: Desk, deeds: Deeds, keyboard: Keyboard, errands: Errands) -> None:
        self._desk, self._deeds, self._errands = desk, deeds, errands
        self.button = keyboard.button("judge", self.judge, button_type="primary")
        self.stop = keyboard.button("stop", errands.stop)
        self.table = Div(text=EMPTY, name="judgement", sizing_mode="stretch_width")
        self.stale = Div(text="", name="judged before", sizing_mode="stretch_width", visible=False)
        self._judged: tuple[str, tuple[bytes, ...]] | None = None
        for topic in ("crystal", "drawing"):
            desk.watch(topic, self.show)
        errands.watch(self.show)
        self.show()

    def layout(self) -> Column:
        """Return the panel."""
        return column(
            Div(text="<h2>Judge</h2>"),
            row(self.button, self.stop, css_classes=["buttons"]),
            self.stale,
            self.table,
            name="judge panel",
            sizing_mode="stretch_width",
        )

    def judge(self) -> None:
        """Integrate the chosen crystal as drawn."""
        one = self._desk.selected
        if one is None:
            self._desk.say("No crystal is chosen\nchoose one in the list, or draw one", "warning")
            return
        if not any(one.positions_per_tilt):
            self._desk.say(f"{one.label} has no positions\ndraw around it first", "warning")
            return
        drawing = self._desk.drawing

        def work(tell: Tell, stop: threading.Event) -> ApertureJudgement:
            return self._deeds.judge(drawing, one.id, tell, stop=stop)

        def done(judgement: ApertureJudgement) -> None:
            self._judged = (one.id, one.planes)
            self.table.text = judgement_html(judgement)
            self._desk.say(f"{one.label} is judged, in {judgement.seconds:.1f} s.", "done")

        self._errands.start(f"Judging {one.label}", work, done)

    def show(self) -> None:
        """Show what can be pressed, and whether the table is of what is drawn now."""
        running, one = self._errands.running, self._desk.selected
        self.button.disabled = running is not None or one is None
        self.stop.disabled = running is None
        if self._judged is not None:
            same = one is not None and (one.id, one.planes) == self._judged
            self.stale.text = f'<p class="warn">This was {escape(self._judged[0])} as it was drawn before.</p>'
            self.stale.visible = not same


def judge_panel(desk: Desk, deeds: Deeds, keyboard: Keyboard, errands: Errands) -> Column:
    """Return the panel of Judge."""
    return JudgePanel(desk, deeds, keyboard, errands).layout()
