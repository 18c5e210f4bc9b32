"""How much of a crystal would have sufficed: which parts are tried, and what counts as enough."""

from pathlib import Path
from types import SimpleNamespace

import pytest

import flows.nested
from flows.nested import RegionBench, halves, nested_study, unit_cells
from flows.pipeline import Run, solve_rotation_series
from flows.progress import QuietSteps
from flows.review import NoReview
from flows.settings import Settings, load_settings
from tasks.frames import FrameSettings
from tasks.model import SettingsError
from tasks.refine import Agreement
from tasks.report import CrystalOutcome, Failure
from tests.synthetic.outcomes import example_outcome


@pytest.fixture(scope="module")
def crystal(tmp_path_factory: pytest.TempPathFactory) -> CrystalOutcome:
    """A solved crystal whose intensities keep their traces."""
    found = example_outcome(tmp_path_factory.mktemp("run"), tilts=5).crystals[0]
    kept = found.reflections.model_copy(update={"traces": found.reflections.merged})
    return found.model_copy(update={"reflections": kept})


@pytest.fixture
def tried(crystal, monkeypatch):
    """The sizes that were measured; of these, those below 8 are not solved, and 16 and less are another structure."""
    sizes = []

    def measured(_bench, part, _name, _folder):
        size = max(part.positions_per_tilt)
        sizes.append(size)
        enough = {} if size >= 8 else {"refinement": None, "solutions": None}
        return crystal.model_copy(update={"aperture": part, **enough})

    def agrees(_data, _solution, _calculated):
        return Agreement(0.06 if sizes[-1] > 16 else 0.55, 400)

    monkeypatch.setattr(flows.nested, "measured_region", measured)
    monkeypatch.setattr(flows.nested, "bragg_by_position", lambda _data, _frames, made: 0.0 * made.aperture.positions)
    monkeypatch.setattr(flows.nested, "keeps_geometry", lambda _data: True)
    monkeypatch.setattr(flows.nested, "read_fcf", lambda _path: None)
    monkeypatch.setattr(flows.nested, "agreement", agrees)
    return sizes


class FiveScans:
    """As much of a tilt series as the study looks at."""

    class scan:  # noqa: N801 - as the document names it
        step_nm = 10.0

    class Scan:
        tilt_deg = 0.0

    scans = (Scan(),) * 5


def study(crystal, folder, sizes=()):
    own = crystal.reflections
    bench = None if own is None else RegionBench(FiveScans, None, own, FrameSettings(), QuietSteps())
    return nested_study(crystal, bench, lambda part, _folder: part, sizes=sizes, folder=folder)


def test_halves_are_powers_of_two_below_the_crystal() -> None:
    assert halves(9) == [8, 4, 2, 1]
    assert halves(8) == [4, 2, 1]
    assert halves(1) == []


def test_parts_are_halved_until_one_has_another_structure(crystal, tried, tmp_path) -> None:
    found = study(crystal, tmp_path)
    assert tried[:-1] == halves(found.positions)[: len(tried) - 1]
    assert tried[-1] == 16
    assert [one.sufficed for one in found.regions] == [True] * (len(tried) - 1) + [False]
    assert "it is another structure: R1 0.550" in found.regions[-1].reason
    assert found.fraction == found.regions[-2].electrons / found.electrons


def test_only_the_sizes_that_are_asked_for_are_tried_and_none_after_a_failure(crystal, tried, tmp_path) -> None:
    found = study(crystal, tmp_path, sizes=(2, 4, 10**6))
    assert tried == [4]
    assert found.fraction is None
    assert found.regions[0].status == "not-solved"


def test_of_a_crystal_that_is_not_solved_no_part_is_tried_and_all_of_it_did_not_suffice(
    crystal, tried, tmp_path
) -> None:
    found = study(crystal.model_copy(update={"refinement": None}), tmp_path)
    electrons = sum(frame.counts for frame in crystal.frames.frames)
    assert tried == []
    assert (
        found.note == f"the whole crystal is not solved, and so all of its {electrons:,.0f} electrons did not suffice"
    )


def test_of_a_crystal_without_intensities_it_is_said_why_nothing_was_tried(crystal, tried, tmp_path) -> None:
    failure = Failure(stage="integrate", code="S401", message="25 spots are needed", advice="")
    stopped = {"reflections": None, "solutions": None, "refinement": None, "failure": failure}
    found = study(crystal.model_copy(update=stopped), tmp_path)
    assert tried == []
    assert found.note == "it has no intensities of its own: 25 spots are needed"
    assert found.electrons == sum(frame.counts for frame in crystal.frames.frames)


def test_of_a_crystal_that_bends_no_part_is_tried(crystal, tried, tmp_path) -> None:
    bent = crystal.model_copy(update={"parts": SimpleNamespace(better=True)})
    assert study(bent, tmp_path).note.startswith("it bends")
    assert tried == []


def test_without_a_geometry_no_part_is_tried(crystal, tried, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(flows.nested, "keeps_geometry", lambda _data: False)
    assert study(crystal, tmp_path).note == "dials keeps no geometry: this needs builtin"
    assert tried == []


def test_the_cells_of_the_whole_are_those_of_a_body_as_thick_as_wide(crystal) -> None:
    aperture, cell_nm3 = crystal.aperture, crystal.reflections.unit_cell.gemmi().volume / 1000
    area = sorted(aperture.positions_per_tilt)[2] * 100.0
    expected = sum(aperture.positions_per_tilt) / 5 * 100.0 * (4 * area / 3.14159265) ** 0.5 / cell_nm3
    assert unit_cells(aperture, aperture, 10.0, crystal.reflections) == pytest.approx(expected, rel=1e-6)


def test_an_engine_without_a_geometry_is_refused() -> None:
    with pytest.raises(SettingsError, match=r"study\.nested: integrate\.engine=dials keeps no geometry"):
        load_settings(None, ["study.nested=true", "integrate.engine=dials"])


def test_a_rotation_series_has_no_parts(tmp_path: Path) -> None:
    asked = Settings.model_validate({"study": {"nested": True}})
    with pytest.raises(SettingsError, match="a rotation series has no probe positions"):
        solve_rotation_series(Run(tmp_path, asked, QuietSteps(), (), NoReview()), None)
