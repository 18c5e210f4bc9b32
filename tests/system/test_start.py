"""What a facility cannot start with is said in one line, and nothing of it is left running."""

import os
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from adapters.host.processes import with_variable
from flows.facility import FOLDER_VARIABLE
from tests.system.facility_bench import ROOT, free_port, wait

pytestmark = [pytest.mark.needs_server, pytest.mark.timeout(900)]


def unknown_key(data: Path) -> None:
    (data / "site.yaml").write_text("incomming: [/data]\n")


def newer_database(data: Path) -> None:
    import sqlite3

    (data / "prefect").mkdir()
    with closing(sqlite3.connect(data / "prefect" / "prefect.db")) as connection:
        connection.execute("create table alembic_version (version_num text)")
        connection.execute("insert into alembic_version values ('0123456789ab')")
        connection.commit()


def full_disk(data: Path) -> None:
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "none", str(data)]
    if os.geteuid() != 0 or subprocess.run(mount, check=False, capture_output=True).returncode != 0:
        pytest.skip("no right to mount a small file system: see tests/unit/test_preflight.py")


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (unknown_key, "incomming: Extra inputs are not permitted"),
        (full_disk, "MiB are free on its disk"),
        (newer_database, "of a newer Prefect (revision 0123456789ab is not known here)"),
    ],
)
def test_a_facility_that_cannot_start_says_why_and_leaves_nothing(
    tmp_path: Path, wrong: Callable[[Path], None], said: str
) -> None:
    data = tmp_path / "facility"
    data.mkdir()
    wrong(data)
    try:
        ended = subprocess.run(
            [sys.executable, "-m", "flows.cli", "facility", "up", "--data", str(data), "--port", str(free_port())],
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            timeout=600,
            check=False,
        )
    finally:
        subprocess.run(["umount", str(data)], check=False, capture_output=True)
    assert ended.returncode == 2, ended.stderr
    first, *advice = ended.stderr.splitlines()
    assert said in first
    assert len(advice) <= 1, ended.stderr
    wait(lambda: not list(with_variable(FOLDER_VARIABLE, str(data))), "the supervisor to be gone", limit_s=60)
