"""Judging and solving what is drawn on a run: what is integrated, what is taken over, what the new run used.

The search for structures is not what is tested here: `flows.pipeline.solve_structure` is put out of action.
"""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from adapters.formats.simulated_series import write_simulated_series
from flows import pipeline
from flows.progress import QuietSteps
from flows.runs import run_pipeline
from flows.settings import Settings
from flows.studio.deeds import Deeds
from flows.studio.judge import JudgeRequest, judge
from flows.studio.opening import open_place
from flows.studio.solving import SolveRequest, new_run, settings_with, solve
from tasks.apertures import ApertureFile, write_apertures
from tasks.model import FileRef, NoSolutionError
from tasks.simulate import settings_of, uio66
from tasks.stage import DOCUMENT_NAME

SHAPE = (16, 24)
PLAN = {
    "seed": 3,
    "tilts": {"start_deg": -30, "stop_deg": 30, "step_deg": 2.0},
    "cluster": {"crystals": 2, "size_nm": 70.0, "bad_fraction": 0.0, "overlap": 0.0},
    "instrument": {"scan_shape": SHAPE, "shape_px": (192, 192), "pixel_size_mm": 0.03},
}
"""Two crystals side by side; detector and tilts as few as index."""


def heard(_text: str) -> None:
    """Hear nothing."""


@pytest.fixture(scope="module", autouse=True)
def _no_search():
    def none(*_args, **_kwargs):
        raise NoSolutionError("not looked for", "")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pipeline, "solve_structure", none)
        yield


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a run in which each crystal has the half of the scan that most of its electrons are in."""
    folder = tmp_path_factory.mktemp("studio")
    write_simulated_series(uio66(), settings_of("ideal", PLAN), folder / "source")
    left = np.zeros((31, *SHAPE), dtype=bool)
    left[:, 2:-2, 1:11] = True
    right = np.zeros_like(left)
    right[:, 2:-2, 13:23] = True
    tilts = np.arange(-30.0, 30.1, 2.0).tolist()
    write_apertures({"crystal-01": left, "crystal-02": right}, tilts, folder / "halves.h5")
    settings = Settings(
        apertures=ApertureFile(file=FileRef.of(folder / "halves.h5")), merge_crystals=False, compare_apertures=False
    )
    return run_pipeline(folder / "source", folder / "run", settings, QuietSteps())


def inodes(folder: Path) -> dict[str, int]:
    """Return the documents of a run's steps by their names, each with the number by which the disk knows it."""
    found = [path for path in folder.rglob(DOCUMENT_NAME) if not path.is_relative_to(folder / "studio")]
    return {str(path.relative_to(folder)): path.stat().st_ino for path in found}


def request_of(run: Path, masks, crystal: str) -> JudgeRequest:
    place = open_place(run, tell=heard)
    return JudgeRequest(place.series, run, crystal, masks, place.settings.frames, place.work)


def test_a_smaller_aperture_is_judged_beside_the_runs_own_in_the_same_lattice(run: Path) -> None:
    place = open_place(run, tell=heard)
    indexed = [one for one in ("crystal-01", "crystal-02") if place.contents.crystal(one).reflections is not None]
    assert indexed, "neither half was indexed: the case is too small"
    own = place.contents.crystal(indexed[0]).reflections
    masks = place.drawing.crystal(indexed[0]).masks.copy()
    masks[:, ::3] = False
    found = judge(request_of(run, masks, indexed[0]), heard)
    drawn, chosen = found.column("drawn").figures, found.column("run's choice").figures
    assert found.reference == indexed[0]
    assert "orientation" in found.method
    assert drawn.positions == masks.sum() < chosen.positions
    assert drawn.i_over_sigma < chosen.i_over_sigma
    assert chosen.cc_half == pytest.approx(own.overall.cc_half, abs=0.02)
    assert chosen.unique == pytest.approx(own.overall.unique, rel=0.1)
    assert drawn.r1 is None
    assert any("no refined structure" in note for note in found.notes)
    same = judge(request_of(run, place.drawing.crystal(indexed[0]).masks, indexed[0]), heard)
    assert same.column("drawn").figures == same.column("run's choice").figures == chosen


def test_an_aperture_where_nothing_is_fails_in_its_column_and_says_why(run: Path) -> None:
    masks = np.zeros((31, *SHAPE), dtype=bool)
    masks[:, 0, 0] = True
    found = judge(request_of(run, masks, "crystal-07"), heard)
    assert found.reference is None
    assert [one.name for one in found.columns] == ["drawn"]
    assert found.columns[0].figures is None
    assert "spots" in found.columns[0].failure


def test_solving_computes_only_what_the_change_touches_and_uses_the_masks_bit_for_bit(run: Path) -> None:
    place = open_place(run, tell=heard)
    mask = place.drawing.crystal("crystal-02").mask(15).copy()
    mask[4, 15:18] ^= True
    drawing = place.drawing.with_mask("crystal-02", 15, mask)
    saved = Deeds(place).save(drawing, ("brushed",), who="ada")
    before, out = inodes(run), new_run(place.work)
    settings = settings_with(place.settings, saved.path, run)
    done = solve(SolveRequest(place.source, out, settings, run), heard)
    after = inodes(done)
    taken = {name for name, inode in after.items() if before.get(name) == inode}
    computed = after.keys() - taken
    untouched = {"ingest", "beams", "crystals/crystal-01/frames"}
    assert {f"{name}/{DOCUMENT_NAME}" for name in untouched} <= taken
    assert all("crystal-02" not in name for name in taken)
    assert {"apertures/document.json", "crystals/crystal-02/frames/document.json"} <= computed
    assert all("crystal-01" not in name for name in computed)
    used = open_place(done, tell=heard).contents.apertures.masks
    assert used.keys() == drawing.masks().keys()
    assert all(np.array_equal(used[key], kept) for key, kept in drawing.masks().items())
    assert inodes(run) == before


def test_on_a_site_with_a_server_the_run_is_made_there_and_followed(run: Path, monkeypatch) -> None:
    place, asked, said = open_place(run, tell=heard), {}, []
    states = [SimpleNamespace(name=name, type=SimpleNamespace(value=name.upper()), message="") for name in
              ("Scheduled", "Running", "Running", "Completed")]  # fmt: skip

    class Client:
        def __enter__(self):
            return self

        def __exit__(self, *_):
            return None

        def read_flow_run(self, _id):
            return SimpleNamespace(state=states.pop(0))

    def deployed(name, **values):
        asked.update(values, deployment=name)
        return SimpleNamespace(id="one")

    monkeypatch.setenv("PREFECT_API_URL", "http://127.0.0.1:4200/api")
    monkeypatch.setattr("prefect.deployments.run_deployment", deployed)
    monkeypatch.setattr("prefect.client.orchestration.get_client", lambda **_: Client())
    monkeypatch.setattr("flows.studio.solving.POLL_S", 0.0)
    saved = Deeds(place).save_copy(place.drawing, (), who="ada")
    out = new_run(place.work)
    settings = settings_with(place.settings, saved.path, run)
    assert solve(SolveRequest(place.source, out, settings, run), said.append) == out
    assert asked["parameters"]["out"] == str(out)
    assert Settings.model_validate(asked["parameters"]["settings"]) == settings
    assert [text for text in said if text.startswith("on the server")] == [
        "on the server: Scheduled", "on the server: Running", "on the server: Completed"
    ]  # fmt: skip
