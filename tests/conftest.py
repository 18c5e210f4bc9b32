"""Fixtures that all tests share, and what may be skipped: only what is not installed, and nothing that CI installed."""

import os
import shutil
from collections.abc import Generator
from pathlib import Path

import pytest

from tests.synthetic.real_data import real_data

PROGRAMS = {
    "needs_dials": "dials.import",
    "needs_xds": "xds",
    "needs_shelx": "shelxl",
    "needs_browser": "chromium",
    "needs_postgresql": "psql",
    "needs_nginx": "nginx",
    "needs_cod_tools": "cif_validate",
}
REQUIRED = {f"needs_{name}" for name in os.environ.get("APERTURA_REQUIRE", "").split(",") if name}
"""Markers whose tests must not be skipped: APERTURA_REQUIRE=dials,browser,shared."""


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder of the real data sets: the only way by which a test finds them."""
    folder = real_data()
    if not folder.is_dir():
        pytest.skip(f"no real data sets at {folder}: set APERTURA_SHARED")
    return folder


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests that ask for the real data sets; skip those of programs that are not installed.

    Tests of servers come first: they mostly wait, one after the other, and the other process has all else to do
    meanwhile.
    """
    for item in items:
        if "shared_data" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.needs_shared)
        for marker, program in PROGRAMS.items():
            if item.get_closest_marker(marker) and shutil.which(program) is None:
                item.add_marker(pytest.mark.skip(reason=f"{program} is not installed"))
    items.sort(key=lambda item: item.get_closest_marker("needs_server") is None)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Turn the skip of a test into a failure where what it needs must be there."""
    report = yield
    markers = {marker.name for marker in item.iter_markers()}
    absent = {name for name in PROGRAMS if name in markers - REQUIRED and shutil.which(PROGRAMS[name]) is None}
    needed = set() if absent else markers & REQUIRED
    if report.skipped and not hasattr(report, "wasxfail") and needed:
        report.outcome = "failed"
        report.longrepr = f"skipped, although {', '.join(sorted(needed))} is required: {report.longrepr}"
    return report
