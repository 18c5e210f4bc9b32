"""The watcher's memory: every data set that was ever seen complete, and whether it was announced."""

import os
import sqlite3
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

SCHEMA = """
create table if not exists datasets (
    key text primary key, path text not null, seen real not null, state text not null default 'ready',
    announced real, tries integer not null default 0, error text, run text, previous text
);
create table if not exists refused (
    path text primary key, reason text not null, since real not null, told integer not null default 0
);
create table if not exists signs (name text primary key, heard real not null);
create table if not exists incomplete (path text primary key, missing text not null, since real not null);
create table if not exists copies (path text primary key, key text not null, seen real not null);
create table if not exists pages (name text primary key, digest text not null)
"""


class Entry(NamedTuple):
    """One version of one data set."""

    key: str
    path: str
    state: str
    run: str | None
    previous: str | None
    error: str | None
    seen: float


class Incomplete(NamedTuple):
    """A folder with a manifest whose files are not all there."""

    path: str
    missing: str
    since: float


class Refusal(NamedTuple):
    """A folder that cannot be run as it is."""

    path: str
    reason: str
    since: float
    told: bool
    """Whether the server knows of it."""


def printable(path: Path) -> str:
    """Return a path as text that can be stored and shown; bytes that are no UTF-8 as their numbers."""
    return os.fsencode(path).decode("utf-8", errors="backslashreplace")


class Ledger:
    """A SQLite file; any number of watchers may share it. Losing it costs nothing: run keys are idempotent."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._path = path
        with self._open() as connection:
            connection.execute("pragma journal_mode=wal")
            connection.executescript(SCHEMA)

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        connection = sqlite3.connect(self._path, timeout=30.0, isolation_level=None)
        try:
            yield connection
        finally:
            connection.close()

    def add(self, key: str, path: Path) -> bool:
        """Enter a complete data set; return whether it was new.

        An earlier version at the same path is linked; the same content at another path is a copy.
        """
        with self._open() as connection:
            connection.executescript(SCHEMA)
            before = connection.execute(
                "select key from datasets where path = ? and key <> ? order by seen desc", (str(path), key)
            ).fetchone()
            cursor = connection.execute(
                "insert or ignore into datasets (key, path, seen, previous) values (?, ?, ?, ?)",
                (key, str(path), time.time(), before[0] if before else None),
            )
            if cursor.rowcount == 1:
                return True
            connection.execute(
                "insert or ignore into copies (path, key, seen) select ?, ?, ? where not exists"
                " (select 1 from datasets where key = ? and path = ?)",
                (str(path), key, time.time(), key, str(path)),
            )
            return False

    def copies(self) -> dict[str, list[str]]:
        """Return by key where else the same content was seen."""
        with self._open() as connection:
            connection.executescript(SCHEMA)
            found: dict[str, list[str]] = {}
            for path, key in connection.execute("select path, key from copies order by seen"):
                found.setdefault(key, []).append(path)
        return found

    def set_incomplete(self, found: Mapping[Path, str]) -> None:
        """Record what lacks files now, and what: a folder keeps the time since when it does."""
        rows = {printable(path): missing for path, missing in found.items()}
        with self._open() as connection:
            connection.executescript(SCHEMA)
            there = {row[0] for row in connection.execute("select path from incomplete")}
            connection.executemany("delete from incomplete where path = ?", [(path,) for path in there - rows.keys()])
            connection.executemany(
                "insert into incomplete (path, missing, since) values (?, ?, ?)"
                " on conflict (path) do update set missing = excluded.missing",
                [(path, missing, time.time()) for path, missing in rows.items()],
            )

    def incomplete(self) -> list[Incomplete]:
        """Return the folders that lack files, the oldest first."""
        with self._open() as connection:
            connection.executescript(SCHEMA)
            rows = connection.execute("select path, missing, since from incomplete order by since").fetchall()
        return [Incomplete(*row) for row in rows]

    def shown(self, page: str) -> str | None:
        """Return the digest of what a page shows; None if it was never made."""
        with self._open() as connection:
            connection.executescript(SCHEMA)
            row = connection.execute("select digest from pages where name = ?", (page,)).fetchone()
        return None if row is None else str(row[0])

    def page_shown(self, page: str, digest: str) -> None:
        """Record what a page shows now."""
        with self._open() as connection:
            connection.executescript(SCHEMA)
            connection.execute("insert or replace into pages (name, digest) values (?, ?)", (page, digest))

    def refuse(self, path: Path, reason: str) -> bool:
        """Record a folder that gives no run, and why; return whether that is new or the reason is another."""
        name = printable(path)
        with self._open() as connection:
            connection.executescript(SCHEMA)
            row = connection.execute("select reason from refused where path = ?", (name,)).fetchone()
            if row is not None and row[0] == reason:
                return False
            values = (name, reason, time.time())
            connection.execute("insert or replace into refused (path, reason, since) values (?, ?, ?)", values)
            return True

    def accept(self, path: Path) -> None:
        """Forget that a folder was refused."""
        with self._open() as connection:
            connection.execute("delete from refused where path = ?", (printable(path),))

    def refused(self) -> list[Refusal]:
        """Return the folders that give no run, the oldest first."""
        with self._open() as connection:
            connection.executescript(SCHEMA)
            rows = connection.execute("select path, reason, since, told from refused order by since").fetchall()
        return [Refusal(*row) for row in rows]

    def refusal_told(self, path: str) -> None:
        """Record that the server knows of a refusal."""
        with self._open() as connection:
            connection.execute("update refused set told = 1 where path = ?", (path,))

    def sign(self, name: str) -> None:
        """Record that a service is alive."""
        with self._open() as connection:
            connection.executescript(SCHEMA)
            connection.execute("insert or replace into signs (name, heard) values (?, ?)", (name, time.time()))

    def heard_of(self, name: str) -> float | None:
        """Return when a service was last alive, in seconds since 1970; None if never."""
        with self._open() as connection:
            connection.executescript(SCHEMA)
            row = connection.execute("select heard from signs where name = ?", (name,)).fetchone()
        return None if row is None else float(row[0])

    def waiting(self) -> list[Entry]:
        """Return what is still to be announced, oldest first."""
        return self._rows("where state = 'ready' order by seen")

    def everything(self) -> list[Entry]:
        """Return all entries, oldest first."""
        return self._rows("order by seen")

    def find(self, key: str) -> Entry | None:
        """Return one entry."""
        rows = self._rows("where key = ?", key)
        return rows[0] if rows else None

    def announced(self, key: str, run: str) -> None:
        """Record that the server has acknowledged the run of a data set."""
        with self._open() as connection:
            connection.execute(
                "update datasets set state = 'announced', announced = ?, run = ?, error = null, tries = tries + 1"
                " where key = ?",
                (time.time(), run, key),
            )

    def failed(self, key: str, error: str) -> None:
        """Record a failed announcement; the data set stays ready."""
        with self._open() as connection:
            connection.execute("update datasets set tries = tries + 1, error = ? where key = ?", (error[:300], key))

    def _rows(self, where: str, *values: str) -> list[Entry]:
        with self._open() as connection:
            connection.executescript(SCHEMA)
            rows = connection.execute(
                f"select key, path, state, run, previous, error, seen from datasets {where}",  # noqa: S608 # nosec B608 constant text
                values,
            ).fetchall()
        return [Entry(*row) for row in rows]
