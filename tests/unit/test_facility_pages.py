"""What a person reads on the pages of a facility: forms, pictures, progress, the state of licences."""

import asyncio
import base64
import http.server
import io
import json
import threading
from pathlib import Path

import httpx
import pytest
from PIL import Image
from starlette.types import Receive, Scope, Send

from flows.approval import ApertureAnswer, Default, SpaceGroupAnswer, default_answer, prefilled
from flows.facility import down, load
from flows.pictures import contact_sheet, thumbnail
from flows.server import uncompressed
from flows.site import Site
from flows.status import licences, studio
from flows.studio.server import listen
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


def test_the_status_says_whether_the_studio_answers_and_not_its_token() -> None:
    (one,), port = listen(None)
    site = Site(studio_url=f"http://127.0.0.1:{port}/?token=a-secret")
    with one:
        server = http.server.HTTPServer(("127.0.0.1", port), Forbidding, bind_and_activate=False)
        server.socket.close()
        server.socket = one
        one.setblocking(True)
        answering = threading.Thread(target=server.handle_request)
        answering.start()
        assert studio(site) == f"http://127.0.0.1:{port}/ answers"
        answering.join()
    assert studio(site) == f"http://127.0.0.1:{port}/ does not answer"
    assert studio(Site()) is None


def test_a_facility_that_a_version_without_a_studio_left_is_known_and_can_be_stopped(tmp_path: Path) -> None:
    left = {"url": "http://127.0.0.1:4200", "server_pid": 2, "worker_pid": 3, "upkeep_pid": 4, "watcher_pid": 5}
    (tmp_path / "facility.json").write_text(json.dumps(left))
    found = load(tmp_path)
    assert found is not None
    assert found.url == "http://127.0.0.1:4200"
    down(tmp_path)
    assert load(tmp_path) is None


def test_only_the_scripts_of_pages_are_sent_uncompressed() -> None:
    seen: list[bytes] = []

    async def compressing(scope: Scope, _receive: Receive, send: Send) -> None:
        seen.append(dict(scope["headers"]).get(b"accept-encoding", b"none"))
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    async def ask() -> None:
        transport = httpx.ASGITransport(app=uncompressed(compressing))
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
            for path in ("/v2/assets/index.js", "/api/flow_runs/filter"):
                await client.get(path, headers={"Accept-Encoding": "gzip"})

    asyncio.run(ask())
    assert seen == [b"none", b"gzip"]


class Forbidding(http.server.BaseHTTPRequestHandler):
    """A studio, asked without its token."""

    def do_GET(self) -> None:
        self.send_error(403)

    def log_message(self, *_: object) -> None:
        pass
