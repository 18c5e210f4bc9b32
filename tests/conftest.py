"""Fixtures that all tests share, and what may be skipped: only what is not installed, and nothing that CI installed."""

import os
import shutil
from collections.abc import Generator
from pathlib import Path

import pytest

PROGRAMS = {
    "needs_dials": "dials.import",
    "needs_xds": "xds",
    "needs_shelx": "shelxl",
    "needs_browser": "chromium",
    "needs_postgresql": "psql",
    "needs_nginx": "nginx",
}
REQUIRED = {f"needs_{name}" for name in os.environ.get("APERTURA_REQUIRE", "").split(",") if name}
"""Markers whose tests must not be skipped: APERTURA_REQUIRE=dials,browser,shared."""


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder of the real data sets: $APERTURA_SHARED/data, or ../shared/data beside the checkout."""
    root = Path(__file__).resolve().parent.parent
    shared = Path(os.environ.get("APERTURA_SHARED", root.parent / "shared"))
    if not (shared / "data").is_dir():
        pytest.skip(f"no real data sets at {shared}: set APERTURA_SHARED")
    return shared / "data"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip the tests of programs that are not installed."""
    for item in items:
        for marker, program in PROGRAMS.items():
            if item.get_closest_marker(marker) and shutil.which(program) is None:
                item.add_marker(pytest.mark.skip(reason=f"{program} is not installed"))


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
