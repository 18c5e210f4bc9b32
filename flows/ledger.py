"""The watcher's memory: every data set that was ever seen complete, and whether it was announced.

States of a data set: ``ready`` to be announced, ``announced``, or ``again``: delivered again or moved, which gives it
another run if the one it has failed (`deliveries.py`).
"""

import contextlib
import json
import os
import sqlite3
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from tasks.ingest import MANIFEST_NAMES
from tasks.model import SettingsError

VERSION = 1
"""Of the schema (``pragma user_version``). 0: before `LATER`, or a new file."""
LATER = {"files": "text", "delivery": "text", "deliveries": "integer not null default 1", "note": "text"}
"""Columns of `datasets` that version 0 had not: it goes on with a file that has them."""
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


HELD = "waits: "
"""Before the reason why a data set is not announced, though it could be: its proposal has no room."""


class Entry(NamedTuple):
    """One version of one data set."""

    key: str
    path: str
    state: str
    run: str | None
    previous: str | None
    error: str | None
    seen: float
    deliveries: int = 1
    """Of which it got a run: the first, and each after a failure."""
    note: str | None = None

    @property
    def held(self) -> str | None:
        """Return why it waits for room of its proposal; None if it does not."""
        waits = self.state == "ready" and self.error is not None and self.error.startswith(HELD)
        return self.error.removeprefix(HELD) if waits and self.error else None


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


def run_key(key: str, delivery: int) -> str:
    """Return the idempotency key of the run of a data set: each delivery after a failure has one of its own."""
    return f"dataset:{key}" if delivery == 1 else f"dataset:{key}:{delivery}"


class Ledger:
    """A SQLite file; any number of watchers may share it. Losing it costs nothing: run keys are idempotent."""

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with self._open() as connection:
                connection.execute("pragma journal_mode=wal")
        except (OSError, sqlite3.Error) as error:
            raise SettingsError(
                f"ledger {path}: cannot be used: {error}",
                "make room and give the right to write; a damaged one may be removed: nothing is run twice",
            ) from error

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        """Open the file; one that is new, was removed meanwhile or is of an earlier version gets what it lacks."""
        connection = sqlite3.connect(self._path, timeout=30.0, isolation_level=None)
        try:
            connection.execute("pragma synchronous=normal")  # what a power cut takes away is announced again
            if connection.execute("pragma user_version").fetchone()[0] != VERSION:
                _migrate(connection, self._path)
            yield connection
        finally:
            connection.close()

    def add(self, key: str, path: Path, *, files: Mapping[str, str] | None = None, delivery: str = "") -> bool:
        """Enter a complete data set; return whether it was new.

        An earlier version at the same path is linked. The same content at another path is a copy; if it is no longer
        at the first, it was moved. Of one that comes again, or was moved, the run is looked at.

        Parameters
        ----------
        files, delivery
            As in `flows.content.Content`.
        """
        with self._open() as connection:
            before = connection.execute(
                "select key from datasets where path = ? and key <> ? order by seen desc", (str(path), key)
            ).fetchone()
            cursor = connection.execute(
                "insert or ignore into datasets (key, path, seen, previous, files, delivery) values (?, ?, ?, ?, ?, ?)",
                (key, str(path), time.time(), before[0] if before else None, json.dumps(files or {}), delivery),
            )
            if cursor.rowcount == 1:
                return True
            there, known = connection.execute("select path, delivery from datasets where key = ?", (key,)).fetchone()
            if there == str(path):
                self._came_again(connection, key, there, files or {}, delivery, known)
            elif self._is_at(connection, key, there):
                connection.execute(
                    "insert or ignore into copies (path, key, seen) values (?, ?, ?)", (str(path), key, time.time())
                )
            else:
                self._moved(connection, key, there, str(path), delivery)
            return False

    def moved_from_under_copies(self) -> int:
        """Give the data sets that are no longer where they were the place of a copy; return how many."""
        found = 0
        with self._open() as connection:
            rows = connection.execute(
                "select c.key, d.path, c.path from copies c join datasets d on d.key = c.key order by c.seen"
            ).fetchall()
            for key, there, copy in rows:
                if not self._is_at(connection, key, there) and _has_manifest(copy):
                    self._moved(connection, key, there, copy, "")
                    found += 1
        return found

    @staticmethod
    def _came_again(
        connection: sqlite3.Connection, key: str, path: str, files: Mapping[str, str], delivery: str, known: str | None
    ) -> None:
        back = not Ledger._is_at(connection, key, path)  # after another version had its place
        connection.execute(
            "update datasets set delivery = ?, files = ?, seen = case when ? then ? else seen end where key = ?",
            (delivery, json.dumps(files), back, time.time(), key),
        )
        if back or (delivery and known and delivery != known):
            connection.execute(
                "update datasets set state = 'again', note = 'delivered again' where key = ? and state = 'announced'",
                (key,),
            )

    @staticmethod
    def _moved(connection: sqlite3.Connection, key: str, there: str, now: str, delivery: str) -> None:
        connection.execute(
            "update datasets set path = ?, delivery = ?, note = ?,"
            " state = case state when 'announced' then 'again' else state end where key = ? and path = ?",
            (now, delivery, f"moved here from {there}", key, there),
        )
        connection.execute("delete from copies where path = ?", (now,))

    @staticmethod
    def _is_at(connection: sqlite3.Connection, key: str, path: str) -> bool:
        """Tell whether a data set is where it was entered, and no other version has been entered there since."""
        newest = connection.execute("select key from datasets where path = ? order by seen desc", (path,)).fetchone()
        return newest is not None and newest[0] == key and _has_manifest(path)

    def copies(self) -> dict[str, list[str]]:
        """Return by key where else the same content was seen."""
        with self._open() as connection:
            found: dict[str, list[str]] = {}
            for path, key in connection.execute("select path, key from copies order by seen"):
                found.setdefault(key, []).append(path)
        return found

    def set_incomplete(self, found: Mapping[Path, str]) -> None:
        """Record what lacks files now, and what: a folder keeps the time since when it does."""
        rows = {printable(path): missing for path, missing in found.items()}
        with self._open() as connection:
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
            rows = connection.execute("select path, missing, since from incomplete order by since").fetchall()
        return [Incomplete(*row) for row in rows]

    def shown(self, page: str) -> str | None:
        """Return the digest of what a page shows; None if it was never made."""
        with self._open() as connection:
            row = connection.execute("select digest from pages where name = ?", (page,)).fetchone()
        return None if row is None else str(row[0])

    def page_shown(self, page: str, digest: str) -> None:
        """Record what a page shows now."""
        with self._open() as connection:
            connection.execute("insert or replace into pages (name, digest) values (?, ?)", (page, digest))

    def refuse(self, path: Path, reason: str) -> bool:
        """Record a folder that gives no run, and why; return whether that is new or the reason is another."""
        name = printable(path)
        with self._open() as connection:
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
            rows = connection.execute("select path, reason, since, told from refused order by since").fetchall()
        return [Refusal(*row) for row in rows]

    def refusal_told(self, path: str) -> None:
        """Record that the server knows of a refusal."""
        with self._open() as connection:
            connection.execute("update refused set told = 1 where path = ?", (path,))

    def sign(self, name: str) -> None:
        """Record that a service is alive."""
        with self._open() as connection:
            connection.execute("insert or replace into signs (name, heard) values (?, ?)", (name, time.time()))

    def heard_of(self, name: str) -> float | None:
        """Return when a service was last alive, in seconds since 1970; None if never."""
        with self._open() as connection:
            row = connection.execute("select heard from signs where name = ?", (name,)).fetchone()
        return None if row is None else float(row[0])

    def hold(self, key: str, reason: str) -> None:
        """Record why a data set is not announced yet; it stays ready."""
        with self._open() as connection:
            said = f"{HELD}{reason}"[:300]
            connection.execute("update datasets set error = ? where key = ? and error is not ?", (said, key, said))

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

    def again(self) -> list[Entry]:
        """Return what was delivered again or moved, and has a run that is to be looked at; oldest first."""
        return self._rows("where state = 'again' order by seen")

    def keeps_its_run(self, entry: Entry, note: str) -> None:
        """Record that a data set that came again needs no other run, and why."""
        with self._open() as connection:
            connection.execute(
                "update datasets set state = 'announced', note = ? where key = ? and state = 'again'", (note, entry.key)
            )

    def needs_another_run(self, entry: Entry, note: str) -> None:
        """Record that a data set that came again is to be announced once more; of two watchers one does."""
        with self._open() as connection:
            connection.execute(
                "update datasets set state = 'ready', note = ?, deliveries = deliveries + 1, seen = ?"
                " where key = ? and state = 'again' and deliveries = ?",
                (note, time.time(), entry.key, entry.deliveries),
            )

    def posted(self, key: str, delivery: int) -> Entry:
        """Record that an event asks for a run of a data set that was entered; return it as it is now."""
        with self._open() as connection:
            note = f"posted again: run {delivery} of it, for the one before failed" if delivery > 1 else None
            connection.execute(
                "update datasets set state = 'ready', deliveries = ?, note = coalesce(?, note) where key = ?",
                (delivery, note, key),
            )
        return self._rows("where key = ?", key)[0]

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
            rows = connection.execute(
                f"select key, path, state, run, previous, error, seen, deliveries, note from datasets {where}",  # noqa: S608 # nosec B608 constant text
                values,
            ).fetchall()
        return [Entry(*row) for row in rows]


def announced_files(path: Path, key: str) -> dict[str, str]:
    """Return the digests of files that a data set was announced with; none if the ledger cannot be read from here.

    It is only read: the worker that asks may have no right to write it.
    """
    with contextlib.suppress(sqlite3.Error, ValueError, TypeError):
        connection = sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True, timeout=30.0)
        with contextlib.closing(connection):
            row = connection.execute("select files from datasets where key = ?", (key,)).fetchone()
        return {str(name): str(digest) for name, digest in json.loads(row[0]).items()}
    return {}


def _has_manifest(path: str) -> bool:
    return any((Path(path) / name).is_file() for name in MANIFEST_NAMES)


def _migrate(connection: sqlite3.Connection, path: Path) -> None:
    """Make what a ledger lacks, all of it or nothing; of two processes that try, one does.

    Raises
    ------
    SettingsError
        If it is of a newer version.
    """
    connection.execute("begin immediate")
    version = connection.execute("pragma user_version").fetchone()[0]
    if version > VERSION:
        connection.execute("rollback")
        raise SettingsError(
            f"ledger {path}: of a newer apertura (schema {version}, this one knows {VERSION})",
            "start the newer version, or restore the ledger's backup",
        )
    for statement in SCHEMA.split(";"):
        connection.execute(statement)
    there = {row[1] for row in connection.execute("pragma table_info(datasets)")}
    for column, kind in LATER.items():
        if column not in there:
            connection.execute(f"alter table datasets add column {column} {kind}")
    connection.execute(f"pragma user_version = {VERSION}")
    connection.execute("commit")
