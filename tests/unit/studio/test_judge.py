"""Which columns a judgement has, and in which order; the figures themselves: tests/system/test_studio_deeds.py."""

from types import SimpleNamespace

import numpy as np
import pytest

from flows.studio import judge as module
from flows.studio.judge import JudgedAperture, JudgeRequest, judge

MASKS = np.random.default_rng(0).random((3, 4, 5)) > 0.5


@pytest.fixture
def measured(monkeypatch):
    """Put stand-ins for a run and the measurement of a column in place; return what was measured."""
    found = []

    def column(name, _bench, _aperture, tell, *, frames=None):
        tell(name)
        found.append(name)
        return JudgedAperture(name=name, figures=None, failure=f"measured as {name}")

    own = SimpleNamespace(id="crystal-02", positions=MASKS)
    reflections = SimpleNamespace(overlaps=None, pictures=None, unit_cell=None, d_min_angstrom=1.0)
    contents = SimpleNamespace(id="crystal-02", reflections=reflections, refinement=None, frames=None)
    monkeypatch.setattr(
        module, "RunContents", lambda _run: SimpleNamespace(beams=object(), crystal=lambda _id: contents)
    )
    monkeypatch.setattr(module, "nearest_crystal", lambda *_: own)
    monkeypatch.setattr(module, "_engine", lambda _: SimpleNamespace(engine="known-geometry"))
    monkeypatch.setattr(module, "_column", column)
    monkeypatch.setattr(module, "write_drawn", lambda *_: None)
    monkeypatch.setattr(module, "has_more_positions", lambda _: True)
    monkeypatch.setattr(module, "all_positions_aperture", lambda *_, **__: None)
    return found


def judged(folder, masks):
    series = SimpleNamespace(scans=[SimpleNamespace(tilt_deg=0.0)] * 3)
    return judge(JudgeRequest(series, folder, "crystal-02", masks, None, folder), lambda _text: None)


def test_what_is_drawn_comes_first_then_the_runs_choice_and_the_whole_crystal(measured, tmp_path):
    found = judged(tmp_path, ~MASKS)
    assert [one.name for one in found.columns] == ["drawn", "run's choice", "whole crystal"]
    assert [one.failure for one in found.columns] == [f"measured as {one.name}" for one in found.columns]
    assert sorted(measured) == ["drawn", "run's choice", "whole crystal"]


def test_a_drawing_that_is_the_runs_own_is_not_measured_twice(measured, tmp_path):
    found = judged(tmp_path, MASKS)
    assert [one.name for one in found.columns] == ["drawn", "run's choice", "whole crystal"]
    assert found.columns[0].failure == found.columns[1].failure == "measured as run's choice"
    assert sorted(measured) == ["run's choice", "whole crystal"]
