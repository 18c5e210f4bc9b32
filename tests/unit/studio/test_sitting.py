"""What a visitor may do is decided where it is done: a browser can ask for anything."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from bokeh.document import Document

from flows.studio import sitting
from flows.studio.guard import Visitor
from flows.studio.opening import Place
from flows.studio.sitting import VisitorsDeeds, address_of, seat
from tasks.drawing import Drawing, DrawingCrystal, Scene
from tasks.model import FileRef, InputError
from tests.synthetic.random_series import random_series

SHAPE = (6, 7)
OPERATOR, VIEWER = Visitor("ada", may_write=True, vouched=True), Visitor("eve", may_write=False, vouched=True)


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Scene:
    return Scene(random_series(tmp_path_factory.mktemp("store"), tilts=3, scan_shape=SHAPE, detector_shape=(8, 8)))


@pytest.fixture
def place(scene: Scene, tmp_path: Path) -> Place:
    return Place("tilt series", tmp_path, "a series", tmp_path, scene, series=scene.series, drawing=Drawing(()))


@pytest.fixture(scope="module")
def drawing() -> Drawing:
    return Drawing((DrawingCrystal.of("crystal-01", np.ones((3, *SHAPE), dtype=bool)),))


def test_who_may_only_look_saves_solves_accepts_and_keeps_nothing(place: Place, drawing: Drawing) -> None:
    deeds = VisitorsDeeds(place, VIEWER)
    forbidden: list[Callable[[], object]] = [
        lambda: deeds.save(drawing, (), who="ada"),
        lambda: deeds.save_copy(drawing, (), who="ada"),
        lambda: deeds.solve(drawing, print, who="ada"),
        lambda: deeds.accept(drawing, (), who="ada"),
    ]
    for deed in forbidden:
        with pytest.raises(InputError, match="eve may look, not write"):
            deed()
    deeds.keep_unsaved(drawing)
    deeds.close()
    assert not place.aperture_file.exists()
    assert VisitorsDeeds(place, OPERATOR).unsaved() is None


def test_a_login_s_name_is_kept_whatever_the_browser_says(place: Place, drawing: Drawing) -> None:
    assert VisitorsDeeds(place, OPERATOR).save(drawing, (), who="somebody else").who == "ada"
    own = VisitorsDeeds(place, Visitor("root", may_write=True))
    assert own.save_copy(drawing, (), who="Ada Lovelace").who == "Ada Lovelace"


def test_what_is_accepted_is_what_was_saved(
    place: Place, drawing: Drawing, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    sent: list[tuple[Path, bytes, str]] = []

    def answered(run: Path, aperture_file: Path, *, who: str) -> FileRef:
        sent.append((run, aperture_file.read_bytes(), who))
        return FileRef.of(aperture_file)

    monkeypatch.setattr(sitting, "accept", answered)
    monkeypatch.setattr(Place, "run", property(lambda _: tmp_path))
    said = VisitorsDeeds(place, OPERATOR).accept(drawing, ("drew one",), who="ada")
    assert sent == [(tmp_path, place.aperture_file.read_bytes(), "ada")]
    assert "1 crystals" in said


def test_a_folder_that_is_no_run_is_not_accepted(place: Place, drawing: Drawing) -> None:
    with pytest.raises(InputError, match="not a run"):
        VisitorsDeeds(place, OPERATOR).accept(drawing, (), who="ada")


def test_a_page_says_whose_it_is_and_keeps_unsaved_work_at_its_end(place: Place) -> None:
    doc = Document()
    keep = seat(doc, place, VIEWER)
    assert doc.title == "a series - apertura"
    assert any("eve may look, not save" in str(getattr(model, "text", "")) for model in doc.models)
    keep()


def test_only_what_a_server_serves_has_an_address(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("APERTURA_SITE", raising=False)
    assert address_of(tmp_path / "report.html") is None
