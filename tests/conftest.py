"""Fixtures that all tests share, and what may be skipped: only what is not installed, and nothing that CI installed."""

import functools
import importlib.util
import os
import shutil
from collections import Counter
from collections.abc import Generator
from pathlib import Path

import pytest
from hypothesis import settings

from tests.synthetic.real_data import real_data

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
"""As the command line does, before numpy is imported: two threads each of several processes wait for each other in
loops, and took 71 CPU s for two tests of many beams that take 4 (two cores, load 20)."""
settings.register_profile("patient", deadline=None)  # how long an example takes, the machine's other work decides
settings.load_profile("patient")
PROGRAMS = {
    "needs_dials": "dials.import",
    "needs_xds": "xds",
    "needs_shelx": "shelxl",
    "needs_browser": "chromium",
    "needs_postgresql": "psql",
    "needs_nginx": "nginx",
    "needs_cod_tools": "cif_validate",
    "needs_systemd": "systemd-analyze",
    "needs_redis": "redis-server",
    "needs_namespaces": "unshare",
    "needs_helm": "helm",
}


@functools.cache
def lacking(marker: str) -> str | None:
    """Return why tests with a marker cannot run here; None where they can, or where it is not for us to tell."""
    if marker == "needs_namespaces":
        from tests.system.rooms import refused

        return refused()
    if marker == "needs_helm":
        return None if importlib.util.find_spec("helm_python") else "helm-python-sdk is not installed"
    if (program := PROGRAMS.get(marker)) is None or shutil.which(program) is not None:
        return None
    return f"{program} is not installed"


REQUIRED = {f"needs_{name}" for name in os.environ.get("APERTURA_REQUIRE", "").split(",") if name}
"""Markers whose tests must not be skipped: APERTURA_REQUIRE=dials,browser,shared."""


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder of the real data sets: the only way by which a test finds them."""
    folder = real_data()
    if not folder.is_dir():
        pytest.skip(f"no real data sets at {folder}: set APERTURA_SHARED")
    return folder


@pytest.hookimpl(wrapper=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> Generator[None, None, None]:
    """Mark the tests that ask for the real data sets; skip those of absent programs; arrange the rest."""
    for item in items:
        if "shared_data" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.needs_shared)
        if item.get_closest_marker("needs_browser"):
            item.add_marker(pytest.mark.flaky(reruns=1))
        for marker in PROGRAMS:
            if item.get_closest_marker(marker) and (reason := lacking(marker)) is not None:
                item.add_marker(pytest.mark.skip(reason=reason))
    yield
    items[:] = arranged(items, processes=int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1")))


def arranged(items: list[pytest.Item], *, processes: int) -> list[pytest.Item]:
    """Return the tests with those of servers first: they mostly wait, while the other processes have all else to do.

    `--dist worksteal` begins with equal shares of the list. With three processes or more the largest module of servers
    begins the first share, and all others the second: two facilities wait at the same time, the third process works.
    """
    servers = [item for item in items if item.get_closest_marker("needs_server")]
    others = [item for item in items if not item.get_closest_marker("needs_server")]
    if processes < 3 or not servers:
        return servers + others
    modules = Counter(item.path for item in servers)
    largest = max(modules, key=lambda path: modules[path])
    first = [item for item in servers if item.path == largest]
    second = [item for item in servers if item.path != largest]
    rest = max(0, len(items) // processes - len(first))
    return first + others[:rest] + second + others[rest:]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Turn the skip of a test into a failure where what it needs must be there."""
    report = yield
    markers = {marker.name for marker in item.iter_markers()}
    absent = {name for name in PROGRAMS if name in markers - REQUIRED and lacking(name) is not None}
    needed = set() if absent else markers & REQUIRED
    if report.skipped and not hasattr(report, "wasxfail") and needed:
        report.outcome = "failed"
        report.longrepr = f"skipped, although {', '.join(sorted(needed))} is required: {report.longrepr}"
    return report
