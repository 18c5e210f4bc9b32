"""What is looked at before a service starts: each thing that is wrong is one line, and nothing is half up."""

import asyncio
import os
import shutil
import socket
import sys
from pathlib import Path
from typing import NoReturn

from tasks.model import ApertureError, ProgramNotFoundError, SettingsError

WRONG = 78
"""Exit code of a service whose configuration is wrong (EX_CONFIG of sysexits.h): to start it again changes nothing."""
SAID = "apertura: "
"""Before what is wrong, in a log."""
FREE_MIB_MIN = 256
"""Of the disk that a service is to write to: a database without runs takes 2 MiB, logs up to 120 MB for each service.
Chosen, not measured: with less the first thing that is written may fail."""
ANSWER_S = 10.0
"""For a server to say whether it takes a password. Chosen, not measured: one that is away is waited for elsewhere."""


def check_room(folder: Path) -> None:
    """Refuse a disk on which nothing can be written.

    Raises
    ------
    SettingsError
        With what is free and what is needed.
    """
    there = next(path for path in (folder, *folder.parents) if path.exists())
    found = os.statvfs(there)
    free_mib = shutil.disk_usage(there).free / 2**20
    if free_mib < FREE_MIB_MIN:
        raise SettingsError(
            f"{folder}: {free_mib:.0f} MiB are free on its disk, {FREE_MIB_MIN} are needed to start", "make room"
        )
    if found.f_files and not found.f_favail:
        raise SettingsError(f"{folder}: no file can be made on its disk: all inodes are taken", "remove files")


def check_port(host: str, port: int) -> None:
    """Refuse a port that another program has.

    Raises
    ------
    SettingsError
        Naming it.
    """
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # what a server that ended has left counts for none
        try:
            probe.bind((host, port))
        except OSError as error:
            raise SettingsError(
                f"port {port} of {host}: {error.strerror}", "end the program that has it, or set another port"
            ) from error


def check_database() -> None:
    """Refuse a database that does not answer, or that a newer Prefect has written to.

    Raises
    ------
    SettingsError
        Naming it, without its password.
    """
    from alembic.script import ScriptDirectory
    from prefect.server.database.alembic_commands import alembic_config
    from prefect.settings import get_current_settings
    from sqlalchemy.engine import make_url

    stated = get_current_settings().server.database.connection_url
    if stated is None:
        return
    url = make_url(stated.get_secret_value())
    name = url.render_as_string(hide_password=True)
    if url.get_backend_name() == "sqlite" and not (url.database and Path(url.database).is_file()):
        return  # a new one
    config = alembic_config()
    versions = f"%(here)s/_migrations/versions/{url.get_backend_name()}"
    config.set_main_option("version_locations", versions)
    known = {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}
    revision = asyncio.run(revision_of(stated.get_secret_value(), name))
    if revision is not None and revision not in known:
        raise SettingsError(
            f"database {name}: of a newer Prefect (revision {revision} is not known here)",
            "install the version that wrote it, or restore the backup of this one",
        )


async def revision_of(url: str, name: str) -> str | None:
    """Return the revision of a database's schema; None if it is empty."""
    from sqlalchemy import text
    from sqlalchemy.exc import DBAPIError, OperationalError, ProgrammingError
    from sqlalchemy.ext.asyncio import create_async_engine
    from sqlalchemy.pool import NullPool

    engine = create_async_engine(url, poolclass=NullPool)
    try:
        async with engine.connect() as connection:
            try:
                found = (await connection.execute(text("select version_num from alembic_version"))).scalar()
            except (OperationalError, ProgrammingError):
                return None
    except (OSError, DBAPIError) as error:
        why = str(getattr(error, "orig", None) or error).splitlines()[0]
        raise SettingsError(f"database {name}: does not answer: {why}", "start it, or correct its URL") from error
    finally:
        await engine.dispose()
    return None if found is None else str(found)


def check_password() -> None:
    """Refuse a password that the server does not take; a server that is away is no matter here.

    Raises
    ------
    ProgramNotFoundError
        Saying what to set.
    """
    import httpx
    from prefect.settings import get_current_settings

    api = get_current_settings().api
    if api.url is None:
        raise ProgramNotFoundError("PREFECT_API_URL is not set", "name the Prefect server, or `apertura facility up`")
    user, _, secret = (api.auth_string.get_secret_value() if api.auth_string else "").partition(":")
    try:
        answer = httpx.get(f"{api.url}/admin/version", timeout=ANSWER_S, auth=(user, secret))
    except httpx.HTTPError:
        return
    if answer.status_code == httpx.codes.UNAUTHORIZED:
        raise ProgramNotFoundError(
            "the Prefect server wants a password, or another one", "set PREFECT_API_AUTH_STRING to user:password"
        )


def stop_with(error: ApertureError) -> NoReturn:
    """End a service in one line and its advice."""
    print(f"{SAID}{error.message}\n  {error.advice}", file=sys.stderr, flush=True)  # noqa: T201 why it ends
    sys.exit(WRONG)
