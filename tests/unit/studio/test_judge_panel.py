"""The table of Judge: figures beside each other, better and worse in words, what is unknown said."""

import threading
from pathlib import Path

import numpy as np
import pytest
from bokeh.document import Document

from flows.studio.desk import Desk
from flows.studio.errands import Errands
from flows.studio.judge import ApertureJudgement, JudgedAperture, JudgedFigures
from flows.studio.judge_panel import FIGURES, JudgePanel, comparison, judgement_html
from flows.studio.keys import Keyboard
from tasks.drawing import Drawing, Scene
from tests.synthetic.random_series import random_series

SCAN = (6, 7)


def figures(**changed: object) -> JudgedFigures:
    values = {
        "positions": 1234, "tilts": 81, "spots": 200, "indexed": 150, "observations": 900, "unique": 300,
        "completeness": 0.8, "d_min_angstrom": 1.0, "i_over_sigma": 10.0, "cc_half": 0.9, "r_meas": 0.2, "r1": 0.2,
    }  # fmt: skip
    return JudgedFigures(**{**values, **changed})


def judgement(drawn: JudgedFigures | None = None, **failed: str) -> ApertureJudgement:
    columns = [
        JudgedAperture(name="drawn", figures=drawn, **failed),
        JudgedAperture(name="run's choice", figures=figures()),
        JudgedAperture(name="whole crystal", figures=figures(cc_half=None, r1=None)),
    ]
    return ApertureJudgement(
        crystal="crystal-01", reference="crystal-02", method="geometry of the run", columns=tuple(columns),
        seconds=4.25, notes=("a <note>",),
    )  # fmt: skip


def cells(html: str, label: str) -> list[str]:
    row = html.split(f'<th scope="row">{label}</th>')[1].split("</tr>", maxsplit=1)[0]
    return [cell.split("</td>")[0] for cell in row.split("<td")[1:]]


def test_figures_stand_beside_each_other_with_the_verdict_in_words() -> None:
    drawn = figures(i_over_sigma=12.0, cc_half=0.8, d_min_angstrom=0.9, r1=0.25, indexed=151)
    html = judgement_html(judgement(drawn))
    assert "better" in cells(html, "I/σ")[0]
    assert "12.00" in cells(html, "I/σ")[0]
    assert "worse" in cells(html, "CC½")[0]
    assert "better" in cells(html, "Resolution (Å)")[0]  # smaller is better
    assert "worse" in cells(html, "R, solved structure")[0]
    assert "the same" in cells(html, "Spots indexed")[0]
    assert "1,234" in cells(html, "Positions")[0]
    assert "4.2 s" in html


def test_the_runs_own_choice_is_the_measure_and_has_no_verdict() -> None:
    html = judgement_html(judgement(figures(cc_half=0.8)))
    for figure in FIGURES:
        assert "<small" not in cells(html, figure.label)[1]


def test_what_is_unknown_is_said() -> None:
    html = judgement_html(judgement(figures()))
    assert "unknown" in cells(html, "CC½")[2]
    assert "unknown" in cells(html, "R, solved structure")[2]


def test_why_a_column_is_empty_is_said_with_what_to_do_and_no_html_gets_in() -> None:
    html = judgement_html(judgement(None, failure="12 spots <are> too few", advice="draw more positions"))
    assert "<b>drawn:</b> 12 spots &lt;are&gt; too few" in html
    assert "draw more positions" in html
    assert "a &lt;note&gt;" in html


@pytest.mark.parametrize("figure", [one for one in FIGURES if one.better], ids=lambda one: one.label)
def test_better_and_worse_are_each_others_opposite(figure: object) -> None:
    words = {comparison(figure, 1.0, 0.5), comparison(figure, 0.5, 1.0)}
    assert words == {"better", "worse"}
    assert comparison(figure, 1.0, 1.0) == "the same"


class FakeDeeds:
    """Judges at once; keeps what it was asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[Drawing, str]] = []

    def judge(self, drawing: Drawing, crystal: str, tell: object, *, stop: threading.Event) -> ApertureJudgement:
        tell("drawn: integrating")
        self.asked.append((drawing, crystal))
        assert not stop.is_set()
        return judgement(figures())


class Page(Document):
    """A document whose next turn comes at once."""

    def add_next_tick_callback(self, callback: object) -> None:
        self.turns = [*getattr(self, "turns", []), callback]

    def run(self) -> None:
        while self.turns:
            self.turns.pop(0)()


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Scene:
    folder: Path = tmp_path_factory.mktemp("series")
    return Scene(random_series(folder, tilts=3, scan_shape=SCAN, detector_shape=(8, 8)))


def test_it_judges_what_is_drawn_and_says_when_the_table_is_of_a_former_drawing(scene: Scene) -> None:
    masks = np.ones((3, *SCAN), dtype=bool)
    desk, page, deeds = Desk(scene, Drawing().with_new(masks)), Page(), FakeDeeds()
    keyboard, errands = Keyboard(page), Errands(page, desk)
    panel = JudgePanel(desk, deeds, keyboard, errands)
    assert panel.button.disabled
    assert panel.stop.disabled
    desk.choose_crystal("crystal-01")
    keyboard.hidden.value = "judge#1"
    assert panel.button.disabled
    assert not panel.stop.disabled
    errands._pool.shutdown(wait=True)
    page.run()
    assert deeds.asked == [(desk.drawing, "crystal-01")]
    assert "<table>" in panel.table.text
    assert not panel.stale.visible
    assert panel.stop.disabled
    desk.do("less", desk.drawing.with_mask("crystal-01", 0, np.zeros(SCAN, dtype=bool)))
    assert panel.stale.visible
    desk.undo()
    assert not panel.stale.visible
