"""Reports of a studio without a site: files below one folder, and nothing that an address can reach beside."""

from pathlib import Path

import pytest

from flows.studio.reports import Reports


@pytest.fixture
def reports(tmp_path: Path) -> Reports:
    for name in ("solved/run-01/report.html", "solved/run-01/.lock", "solved/.kept/x", "secret", "solved2/x"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("text")
    (tmp_path / "solved/run-01/link").symlink_to(tmp_path / "secret")
    (tmp_path / "solved/run-02").symlink_to(tmp_path / "solved/run-01")
    (tmp_path / "solved/out").symlink_to(tmp_path)
    return Reports(tmp_path / "solved")


def test_a_file_has_an_address_by_which_it_is_found(reports: Reports) -> None:
    address = reports.address_of(reports.folder / "run-01/report.html")
    assert address == "/solved/run-01/report.html"
    assert reports.find(address) == "run-01/report.html"


@pytest.mark.parametrize(
    "place",
    [
        "", ".", "run-01", "absent", "../secret", "run-01/../../secret", "/etc/passwd", "//etc/passwd", "%2e%2e/secret",
        "..%2fsecret", "run-01/link", "run-02/report.html", "out/secret", "run-01/.lock", ".kept/x", "..\\secret",
        "run-01/report.html\0", "x" * 5000,
    ],
)  # fmt: skip
def test_nothing_else_is_found(reports: Reports, place: str) -> None:
    assert reports.find(f"/solved/{place}") is None


def test_other_addresses_and_files_elsewhere_are_none_of_its(reports: Reports) -> None:
    assert reports.find("/run-01/report.html") is None
    for elsewhere in ("secret", "solved2/x", "solved", "solved/run-01/link"):
        assert reports.address_of(reports.folder.parent / elsewhere) is None
