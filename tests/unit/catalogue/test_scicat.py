"""Registering with SciCat: against scitacean's own fake, and over HTTP with servers that are down, slow or refuse."""

import socket
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from adapters.catalogue import scicat
from adapters.catalogue.entry import CatalogueEntry, CatalogueFile, CatalogueThumbnail
from adapters.catalogue.scicat import CatalogueAwayError, SciCat
from tasks.model import ProgramFailedError
from tests.fakes.fake_scicat import TOKEN, FakeSciCat, serving

pytest.importorskip("scitacean")

from scitacean import PID
from scitacean.error import ScicatCommError
from scitacean.testing.client import FakeClient

WHEN = datetime(2026, 11, 30, 12, tzinfo=UTC)
RAW = CatalogueEntry(
    key="data:abc",
    kind="raw",
    name="UiO-66",
    description="a tilt series",
    folder="/data/incoming/MX-1/a",
    created=WHEN,
    location="4D Camera",
    owner="A Facility",
    contact_email="data@example.org",
    owner_group="MX-1",
    access_groups=("staff",),
    proposal="MX-1",
    metadata={"beam energy": {"value": 300.0, "unit": "keV"}},
    files=(CatalogueFile(path="0.h5", size=10, changed=WHEN), CatalogueFile(path="b/1.h5", size=5, changed=WHEN)),
)
PICTURE = CatalogueThumbnail(caption="crystals", png=b"\x89PNG...")


def result(*inputs: str) -> CatalogueEntry:
    changed = {"key": "result:abc", "kind": "derived", "inputs": inputs, "software": ("apertura 0.2.0",)}
    return RAW.model_copy(update={**changed, "files": (), "thumbnails": (PICTURE,)})


@pytest.fixture
def fake() -> FakeClient:
    """Scitacean's fake of a server; it knows no queries, so what it holds is searched here."""
    client = FakeClient.from_token(url="https://scicat.example.org/api/v3", token="x")

    def query(fields: dict[str, Any], **_: object) -> list[Any]:
        return [one for one in client.datasets.values() if set(fields["keywords"]) <= set(one.keywords or ())]

    client.scicat.query_datasets = query  # type: ignore[method-assign]
    return client


@pytest.fixture
def kept() -> list[str]:
    return []


def test_a_data_set_and_its_result_are_registered_whole(fake: FakeClient, kept: list[str]) -> None:
    server = SciCat(fake)
    data = server.register(RAW, None, kept.append)
    made = server.register(result(data), None, kept.append)
    assert kept == [data, made]
    raw, derived = fake.datasets[PID.parse(data)], fake.datasets[PID.parse(made)]
    assert (raw.type, raw.ownerGroup, raw.accessGroups, raw.proposalIds) == ("raw", "MX-1", ["staff"], ["MX-1"])
    assert raw.scientificMetadata == {"beam energy": {"value": 300.0, "unit": "keV"}}
    (block,) = fake.orig_datablocks[PID.parse(data)]
    assert [(one.path, one.size) for one in block.dataFileList or ()] == [("0.h5", 10), ("b/1.h5", 5)]
    assert derived.type == "derived"
    assert derived.inputDatasets == [PID.parse(data)]
    assert derived.usedSoftware == ["apertura 0.2.0"]
    (picture,) = fake.attachments[PID.parse(made)]
    assert picture.caption == "crystals"
    assert picture.thumbnail is not None
    assert picture.thumbnail.decoded_data() == PICTURE.png


@pytest.mark.parametrize("remembered", [True, False], ids=["by its identifier", "by its keyword"])
def test_what_is_registered_twice_is_one_data_set(fake: FakeClient, kept: list[str], remembered: bool) -> None:
    server = SciCat(fake)
    first = server.register(result(), None, kept.append)
    assert server.register(result(), first if remembered else None, kept.append) == first
    assert len(fake.datasets) == 1
    assert len(fake.attachments[PID.parse(first)]) == 1


@pytest.mark.parametrize("part", ["create_orig_datablock", "create_attachment"])
def test_what_was_cut_off_goes_on_with_the_same_data_set(fake: FakeClient, kept: list[str], part: str) -> None:
    server = SciCat(fake)
    entry = RAW.model_copy(update={"thumbnails": (PICTURE,)})
    fake.disabled[part] = ScicatCommError("Error in operation 'x': 400 Bad Request: no")
    with pytest.raises(ProgramFailedError, match="refuses"):
        server.register(entry, None, kept.append)
    fake.disabled.clear()
    assert server.register(entry, kept[0], kept.append) == kept[0]
    assert len(fake.datasets) == len(fake.orig_datablocks) == len(fake.attachments) == 1


@pytest.fixture
def server() -> Iterator[FakeSciCat]:
    with serving() as running:
        yield running


def test_over_http_a_lost_identifier_is_found_again(server: FakeSciCat, kept: list[str]) -> None:
    catalogue = SciCat.connect(server.url, TOKEN)
    data = catalogue.register(RAW, None, kept.append)
    made = catalogue.register(result(data), None, kept.append)
    for _ in range(2):
        assert catalogue.register(RAW, None, kept.append) == data
        assert catalogue.register(result(data), made, kept.append) == made
    assert len(server.data_sets) == 2
    assert len(server.blocks) == len(server.attachments) == 1
    assert server.data_sets[made]["inputDatasets"] == [data]


@pytest.mark.parametrize(("status", "away"), [(500, True), (503, True), (429, True), (400, False), (409, False)])
def test_a_server_in_trouble_is_told_from_an_entry_that_it_refuses(
    server: FakeSciCat, kept: list[str], status: int, away: bool
) -> None:
    server.wrong["datasets"] = status
    with pytest.raises(ProgramFailedError, match=str(status)) as caught:
        SciCat.connect(server.url, TOKEN).register(RAW, None, kept.append)
    assert isinstance(caught.value, CatalogueAwayError) == away
    assert kept == []


def test_a_token_that_is_refused_is_no_fault_of_the_entry_and_is_not_said(server: FakeSciCat, kept: list[str]) -> None:
    with pytest.raises(CatalogueAwayError, match="401") as caught:
        SciCat.connect(server.url, "another-token").register(RAW, None, kept.append)
    assert "another-token" not in str(caught.value)


def test_a_server_that_is_down_or_never_answers_is_away(
    monkeypatch: pytest.MonkeyPatch, server: FakeSciCat, kept: list[str]
) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        closed = f"http://127.0.0.1:{unused.getsockname()[1]}/api/v3"
        with pytest.raises(CatalogueAwayError, match="does not answer"):
            SciCat.connect(closed, TOKEN).register(RAW, None, kept.append)
    monkeypatch.setattr(scicat, "TIMEOUT", timedelta(seconds=1))
    server.slow_s = 2.5
    with pytest.raises(CatalogueAwayError, match="Timeout"):
        SciCat.connect(server.url, TOKEN).register(RAW, None, kept.append)


def test_an_expired_token_says_what_to_do() -> None:
    expired = "eyJhbGciOiJIUzI1NiJ9.eyJleHAiOjE1MDAwMDAwMDB9.x"
    with pytest.raises(CatalogueAwayError, match="expired"):
        SciCat.connect("https://scicat.example.org/api/v3", expired)
