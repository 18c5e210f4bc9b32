"""A PostgreSQL server of the tests' own, and a facility whose Prefect server keeps its data there."""

import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.system.facility_bench import Bench, bring_up, free_port, wait

URL = "PREFECT_SERVER_DATABASE_CONNECTION_URL"


def binaries() -> Path:
    """Return Debian's folder of the server's programs: it is not on PATH."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    if not found:
        pytest.skip("the PostgreSQL server is not installed")
    return found[-1].parent


def as_owner() -> list[str]:
    """PostgreSQL refuses to run as root."""
    return ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"] if os.geteuid() == 0 else []


@dataclass
class Database:
    """One PostgreSQL server on loopback."""

    folder: Path
    port: int
    process: "subprocess.Popen[bytes] | None" = field(default=None)

    @property
    def url(self) -> str:
        return f"postgresql+asyncpg://prefect:unused@127.0.0.1:{self.port}/prefect"

    def start(self) -> None:
        options = ["-D", str(self.folder / "data"), "-k", str(self.folder), "-p", str(self.port), "-h", "127.0.0.1"]
        with (self.folder / "log").open("ab") as log:
            argv = [*as_owner(), str(binaries() / "postgres"), *options, "-F"]
            self.process = subprocess.Popen(argv, stdout=log, stderr=log, cwd=self.folder)
        wait(lambda: self.query("select 1"), "PostgreSQL")

    def query(self, text: str, database: str = "postgres") -> bool:
        where = ["-h", "127.0.0.1", "-p", str(self.port), "-U", "prefect", "-d", database, "-v", "ON_ERROR_STOP=1"]
        done = subprocess.run(["psql", *where, "-c", text], check=False, capture_output=True, timeout=60)
        return done.returncode == 0

    def stop(self, number: signal.Signals) -> None:
        """SIGQUIT ends it at once, as a crash does: what was going on is recovered from its log at the next start."""
        if self.process is not None:
            self.process.send_signal(number)
            self.process.wait(60)


@contextmanager
def postgresql() -> Iterator[Database]:
    """Start a server with an empty database for Prefect."""
    folder = Path(tempfile.mkdtemp(prefix="apertura-pg-"))
    if os.geteuid() == 0:
        shutil.chown(folder, "postgres", "postgres")
    initdb = [str(binaries() / "initdb"), "-D", str(folder / "data"), "-U", "prefect", "-A", "trust", "-N"]
    subprocess.run([*as_owner(), *initdb], check=True, capture_output=True, timeout=300, cwd=folder)
    database = Database(folder, free_port())
    database.start()
    assert database.query("create database prefect")
    assert database.query("create extension if not exists pg_trgm", "prefect")
    try:
        yield database
    finally:
        database.stop(signal.SIGINT)
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def on_postgresql() -> Iterator[Bench]:
    """Bring up a facility on PostgreSQL; the bench knows its database."""
    data = Path(tempfile.mkdtemp(prefix="apertura-pg-facility-"))
    with postgresql() as database, pytest.MonkeyPatch.context() as environment:
        environment.setenv(URL, database.url)
        bench = bring_up(data)
        bench.database = database
        try:
            yield bench
        finally:
            bench.close()
    if all(row.ok for row in bench.rows):
        shutil.rmtree(data, ignore_errors=True)
