"""What a person reads on the pages of a facility: forms, pictures, progress, the state of licences."""

import base64
import io
from pathlib import Path

import httpx
import pytest
from PIL import Image

from flows.approval import ApertureAnswer, Default, SpaceGroupAnswer, default_answer, prefilled
from flows.pictures import contact_sheet, thumbnail
from flows.status import licences
from tasks.stage import tell
from tests.synthetic.outcomes import example_outcome


def test_a_filled_form_keeps_its_help_texts_and_limits() -> None:
    form = prefilled(ApertureAnswer, "### look", approve=True, crystals=["crystal-01", "crystal-02"])
    fields = form.model_json_schema()["properties"]
    assert fields["crystals"]["default"] == ["crystal-01", "crystal-02"]
    assert fields["approve"]["default"] is True
    assert all(field.get("description") for field in fields.values())
    assert fields["comment"]["maxLength"] == 2000
    assert not ApertureAnswer().approve, "an empty answer approves nothing"


@pytest.mark.parametrize("default", list(Default))
@pytest.mark.parametrize("form", [ApertureAnswer, SpaceGroupAnswer])
def test_the_default_answer_fits_every_form(default: Default, form: type[ApertureAnswer | SpaceGroupAnswer]) -> None:
    assert form.model_validate(default_answer(default)).approve is (default is Default.accept)


def test_the_sheet_shows_some_tilts_and_its_thumbnail_is_small(tmp_path: Path) -> None:
    apertures = example_outcome(tmp_path, tilts=7).apertures
    assert apertures is not None
    sheet = contact_sheet(apertures)
    assert sheet.width == 3 * 240
    sheet.save(tmp_path / "sheet.png")
    uri = thumbnail(tmp_path / "sheet.png")
    content = base64.b64decode(uri.removeprefix("data:image/png;base64,"))
    assert len(content) < 100_000, "it lies in the server's database"
    with Image.open(io.BytesIO(content)) as small:
        assert max(small.size) <= 480


def test_an_artifact_that_cannot_be_sent_costs_nothing_and_a_mistake_is_not_hidden() -> None:
    def away() -> None:
        raise httpx.ConnectError("the server is away")

    def mistake() -> None:
        raise KeyError("a bug")

    tell(away)
    with pytest.raises(KeyError):
        tell(mistake)


def test_licences_say_until_when_or_what_is_absent(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    said = "***** XDS ***** (VERSION Jan 19, 2025  BUILT=20250714)\\n licensed until 31-Mar-2027"
    (tmp_path / "xds").write_text(f"#!/bin/sh\nprintf '{said}'\n")
    (tmp_path / "xds").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    found = licences()
    assert found["XDS"] == "licensed until 31-Mar-2027"
    assert found["SHELXL"] == "not installed"
