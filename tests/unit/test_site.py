"""A site confines what its flows may touch."""

from pathlib import Path

import pytest

from flows.site import Site, load_site, read_site
from tasks.model import InputError, SettingsError

EXAMPLE = Path(__file__).resolve().parents[2] / "deployments" / "site.example.yaml"


def test_the_example_is_a_site() -> None:
    assert read_site(EXAMPLE).incoming == (Path("/data/incoming"),)


def test_a_path_inside_is_allowed_and_one_outside_is_not(tmp_path: Path) -> None:
    site = Site(incoming=(tmp_path / "in",), runs=tmp_path / "runs")
    assert site.confined(tmp_path / "in" / "a") == tmp_path / "in" / "a"
    with pytest.raises(InputError, match="outside"):
        site.confined(tmp_path / "in" / ".." / "secret")


def test_a_symbolic_link_does_not_lead_out(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "secret").mkdir()
    (tmp_path / "in" / "link").symlink_to(tmp_path / "secret")
    with pytest.raises(InputError, match="outside"):
        Site(incoming=(tmp_path / "in",)).confined(tmp_path / "in" / "link")


def test_without_a_site_file_nothing_is_confined(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("APERTURA_SITE", raising=False)
    assert load_site().confined(tmp_path) == tmp_path


@pytest.mark.parametrize(
    "content",
    [
        "incoming: [relative/folder]",
        "unknown: 1",
        "incoming: [",
        "retention: {solved_days: 0}",
        "{incoming: [/data], runs: /data/runs}",
        "{incoming: [/data/new], runs: /data}",
        "{incoming: [/data], ledger: /data/ledger.db}",
        "instruments: {a: {file_pattern: '(?P<tilt>.)', manifest: /m}, b: {file_pattern: '(?P<tilt>.)', manifest: /n}}",
    ],
)
def test_a_wrong_site_file_is_refused_with_its_field(tmp_path: Path, content: str) -> None:
    path = tmp_path / "site.yaml"
    path.write_text(content)
    with pytest.raises(SettingsError, match=r"site\.yaml"):
        read_site(path)


def test_plots_are_linked_by_the_site_s_url(tmp_path: Path) -> None:
    site = Site(runs=tmp_path / "runs", plots_url="https://example.org/runs/")
    assert site.url_of(tmp_path / "runs" / "a" / "report.html") == "https://example.org/runs/a/report.html"
    assert site.url_of(tmp_path / "runs" / "a (b) #1" / "c.png") == "https://example.org/runs/a%20%28b%29%20%231/c.png"


def test_a_run_is_linked_to_the_studio_by_its_place_in_the_folder_of_runs(tmp_path: Path) -> None:
    site = Site(runs=tmp_path / "runs", studio_url="https://example.org/studio/")
    assert site.studio_of(tmp_path / "runs/a & b/c") == "https://example.org/studio/?run=a+%26+b%2Fc"
    assert site.studio_of(tmp_path / "elsewhere") is None
    assert Site(runs=tmp_path / "runs").studio_of(tmp_path / "runs/a") is None
    local = Site(runs=tmp_path / "runs", studio_url="http://127.0.0.1:4201/?token=abc")
    assert local.studio_of(tmp_path / "runs/a") == "http://127.0.0.1:4201/?token=abc&run=a"


def test_a_run_folder_lies_in_the_folder_of_runs_and_nowhere_else(tmp_path: Path) -> None:
    incoming, runs = tmp_path / "incoming", tmp_path / "runs"
    for folder in (incoming / "series", runs):
        folder.mkdir(parents=True)
    site = Site(incoming=(incoming,), runs=runs)
    assert site.run_place(runs / "a") == runs / "a"
    (runs / "link").symlink_to(incoming / "series")
    for wrong in (incoming / "series", runs / "link" / "out", runs / ".." / "incoming", tmp_path):
        with pytest.raises(InputError, match="outside the site's folder of runs"):
            site.run_place(wrong)
    assert Site().run_place(tmp_path / "anywhere") == tmp_path / "anywhere"


def test_a_facility_computes_nowhere_but_where_its_site_file_says(tmp_path: Path) -> None:
    Site().confined_address("tcp://there:8786")
    site = Site.model_validate({"runs": tmp_path, "clusters": {"short": {"kind": "slurm", "queue": "short"}}})
    site.confined_address(None)
    with pytest.raises(InputError, match="not of this site") as caught:
        site.confined_address("tcp://there:8786")
    assert "short" in caught.value.advice
