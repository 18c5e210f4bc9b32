"""A backup of what a facility knows: the server's database and the watcher's ledger, made while all goes on.

``python -m flows.backup save DIR`` and, with all services stopped and the database empty, ``... restore DIR``. The
ledger is copied before the database: then every run that it knows is in the database too, and what was announced
between the two is announced again and finds its run. In the other order it would be lost.

Run folders and sources are files like all others, and no part of it. A run that was made after the backup is made
again after it was restored, and takes its finished steps from its folder.
"""

import argparse
import asyncio
import json
import os
import shutil
import sqlite3
import sys
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

from adapters.host.runner import run_program
from flows.preflight import revision_of
from flows.site import load_site
from tasks.model import ApertureError, ProgramFailedError, SettingsError

LEDGER, SQLITE, DUMP, WHOLE = "ledger.db", "prefect.db", "prefect.dump", "backup.json"
LIMIT_S = 6 * 3600.0
"""For the database to be copied. Chosen, not measured: one of ten million events takes minutes."""
INSTALL = "install PostgreSQL's client programs, not older than its server"


def save(folder: Path) -> list[str]:
    """Write a backup into a new folder; return the names of what it holds.

    Raises
    ------
    SettingsError
        If the folder holds something already.
    ProgramFailedError
        If the database cannot be dumped.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if any(folder.iterdir()):
        raise SettingsError(f"{folder}: is not empty", "name a new folder for each backup")
    folder.chmod(0o700)  # the database holds parameters, names and encrypted addresses
    site = load_site()
    if site.ledger is not None and site.ledger.is_file():
        copy_sqlite(site.ledger, folder / LEDGER)
    if (file := sqlite_file(database_url())) is not None:
        copy_sqlite(file, folder / SQLITE)
    else:
        program("pg_dump", "--format=custom", f"--file={folder / DUMP}", workdir=folder)
    there = sorted(path.name for path in folder.iterdir() if path.suffix in {".db", ".dump"})
    said = {"format": "apertura backup", "made": datetime.now(UTC).isoformat(timespec="seconds"), "holds": there}
    (folder / WHOLE).write_text(json.dumps(said, indent=1), encoding="utf-8")
    return there


def restore(folder: Path) -> list[str]:
    """Put a backup into an empty database, and its ledger into its place; return the names of what was restored.

    Raises
    ------
    SettingsError
        If it is no whole backup, or the database holds something: nothing of that is overwritten.
    ProgramFailedError
        If the database does not take it.
    """
    try:
        holds = json.loads((folder / WHOLE).read_text(encoding="utf-8"))["holds"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise SettingsError(f"{folder}: not a whole backup: {WHOLE} is missing", "name another one") from error
    url, site = database_url(), load_site()
    file = sqlite_file(url)
    if (SQLITE if file else DUMP) not in holds:
        raise SettingsError(f"{folder}: a backup of another kind of database", "correct the URL of the database")
    if (file is None or file.is_file()) and asyncio.run(revision_of(url, "of the server")) is not None:
        raise SettingsError("the server's database holds something", "stop all services, and drop and create it")
    if LEDGER in holds and site.ledger is None:
        raise SettingsError("the site file names no `ledger`, and the backup holds one", "correct the site file")
    if file is not None:
        put_sqlite(folder / SQLITE, file)
    else:
        program("pg_restore", "--exit-on-error", "--no-owner", str((folder / DUMP).resolve()), workdir=folder)
    if site.ledger is not None:
        set_ledger_aside(site.ledger)
        if LEDGER in holds:
            put_sqlite(folder / LEDGER, site.ledger)
    return list(holds)


def database_url() -> str:
    """Return the URL of the server's database, as the server's settings have it."""
    from prefect.settings import get_current_settings

    stated = get_current_settings().server.database.connection_url
    if stated is None:
        raise SettingsError("no database is named", "set PREFECT_SERVER_DATABASE_CONNECTION_URL or PREFECT_HOME")
    return stated.get_secret_value()


def sqlite_file(url: str) -> Path | None:
    """Return the file of a SQLite database; None of any other."""
    from sqlalchemy.engine import make_url

    parts = make_url(url)
    return Path(parts.database) if parts.get_backend_name() == "sqlite" and parts.database else None


def program(name: str, *options: str, workdir: Path) -> None:
    """Run a program of PostgreSQL on the server's database; the password goes through its environment."""
    from sqlalchemy.engine import make_url

    url = make_url(database_url())
    place = {"PGHOST": url.host, "PGPORT": url.port, "PGUSER": url.username, "PGPASSWORD": url.password}
    environment = {variable: str(value) for variable, value in place.items() if value is not None}
    argv = [name, *options, f"--dbname={url.database}", "--no-password"]
    run = run_program(argv, workdir=workdir, timeout_s=LIMIT_S, env=environment, install=INSTALL)
    if run.returncode != 0:
        raise ProgramFailedError(f"{name} ended with {run.returncode}", run.tail())


def copy_sqlite(source: Path, target: Path) -> None:
    """Copy a database of SQLite as it is at one moment, while others write to it."""
    old = sqlite3.connect(f"{source.resolve().as_uri()}?mode=ro", uri=True)
    with closing(old), closing(sqlite3.connect(target)) as new:
        old.backup(new)
    target.chmod(0o600)


def put_sqlite(source: Path, target: Path) -> None:
    """Put a copy into its place, whole or not at all."""
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f".{target.name}.restored-{os.getpid()}")
    shutil.copyfile(source, temporary)
    temporary.chmod(0o600)
    temporary.replace(target)


def set_ledger_aside(ledger: Path) -> None:
    """Rename a ledger that is there: what it has seen since the backup is seen again."""
    when = datetime.now(UTC).strftime("%Y%m%d-%H%M%S")
    for end in ("", "-wal", "-shm"):
        path = ledger.with_name(ledger.name + end)
        if path.is_file():
            path.rename(ledger.with_name(f"{ledger.name}.{when}{end}"))


def main() -> None:
    """Save or restore."""
    parser = argparse.ArgumentParser(prog="python -m flows.backup", description="database and ledger of a facility")
    parser.add_argument("what", choices=("save", "restore"))
    parser.add_argument("folder", type=Path, help="of one backup: new to save, whole to restore")
    asked = parser.parse_args()
    try:
        done = (save if asked.what == "save" else restore)(asked.folder.resolve())
    except ApertureError as error:
        sys.exit(f"apertura: {error.message}\n  {error.advice}")
    print(f"{asked.folder}: {', '.join(done)}")  # noqa: T201 the answer of the command


if __name__ == "__main__":
    main()
