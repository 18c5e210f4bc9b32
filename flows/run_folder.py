"""The run folder: claimed by one source and one set of settings, resumed by the same, refused to any other."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tasks.model import SettingsError, SourceError
from tasks.stage import fingerprint

if TYPE_CHECKING:
    from flows.settings import Settings  # every engine, which reading results need not wait for

CLAIM, OWNER = "run.json", ".owner.json"
"""In a run folder: what it is a run of, and whose it is (`flows.ownership`)."""
VERSION = "0.2"
"""Of the claim and of the documents beside it: steps of another version are not taken up, but can be read."""
FIRST_VERSION = "0.1"
"""Whose claims do not state it."""


@contextmanager
def claimed(folder: Path, *, source_key: str, source_name: str, settings: "Settings") -> Iterator[Path]:
    """Claim a run folder for one source and settings, and hold its lock.

    Parameters
    ----------
    folder
        New, empty, or the folder of an earlier run of the same source and settings.
    source_key
        SHA-256 over what the source holds.
    source_name
        For the message when the folder is refused.

    Raises
    ------
    SettingsError
        If the folder cannot be written, holds something else, or another process runs in it.
    """
    claim = {
        "format": "apertura run",
        "version": VERSION,
        "source": source_name,
        "source_key": source_key,
        "settings_key": fingerprint({"settings": settings.of_results}),
        "settings": settings.changed(),
    }
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = (folder / ".lock").open("a+b")
    except OSError as error:
        raise SettingsError(f"--out {folder}: cannot write there: {error.strerror}", "choose another folder") from error
    with lock:
        _lock(lock.fileno(), folder)
        _check(folder, claim)
        temporary = folder / f".{CLAIM}.tmp"
        temporary.write_text(json.dumps(claim, indent=1), encoding="utf-8")
        temporary.replace(folder / CLAIM)
        yield folder


def version_of(folder: Path) -> str | None:
    """Return the version of apertura that claimed a run folder; None if nobody did, or it cannot be read."""
    try:
        claim = json.loads((folder / CLAIM).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return str(claim.get("version", FIRST_VERSION)) if isinstance(claim, dict) else None


def read_results(folder: Path) -> dict[str, Any]:
    """Return the content of the results.json of a finished run.

    Raises
    ------
    SourceError
        If there is none, or it is damaged.
    """
    path = folder / "results.json"
    if not path.is_file():
        raise _no_results(folder)
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise SourceError(
            f"{path}: not the results of a finished run: {error}", "repeat the run's command: it writes them again"
        ) from error
    if not isinstance(content, dict) or "status" not in content:
        raise SourceError(f"{path}: not the results of a run", "name the folder of a finished run")
    return content


def still_missing(folder: Path) -> tuple[str, ...] | None:
    """Return what the report of a run does not hold yet, which is all but the first; None if it has no results."""
    try:
        return tuple(map(str, read_results(folder).get("to_come", ())))
    except (SourceError, TypeError):
        return None


def read_whole_results(folder: Path) -> dict[str, Any]:
    """Return the same, where it has the source, the crystals and the provenance that work on a finished run relies on.

    Raises
    ------
    SourceError
        If it has not.
    """
    content = read_results(folder)
    kinds = {"source": dict, "provenance": dict, "crystals": list}
    whole = all(isinstance(content.get(name), kind) for name, kind in kinds.items())
    whole = whole and all(isinstance(one, dict) and isinstance(one.get("id"), str) for one in content["crystals"])
    if not whole or not all(isinstance(content["source"].get(name), str) for name in ("kind", "path")):
        raise SourceError(
            f"{folder / 'results.json'}: not the results of a run, or not whole", "name the folder of a finished run"
        )
    return content


def _no_results(folder: Path) -> SourceError:
    """Return what says why a folder has no results.json."""
    if not folder.is_dir():
        what = "is a file" if folder.exists() else "no such folder"
        return SourceError(f"{folder}: {what}", "name the folder of a finished run")
    if not (folder / CLAIM).is_file():
        return SourceError(f"{folder}: not the results of a finished run", "run it, or name another folder")
    if in_progress(folder):
        return SourceError(f"{folder}: its run is still going on", "wait until it has ended")
    return SourceError(f"{folder}: its run did not come to its end", "repeat its command: it goes on where it stopped")


def in_progress(folder: Path) -> bool:
    """Tell whether a run is going on in a folder."""
    import fcntl

    try:
        with (folder / ".lock").open("rb") as lock:
            fcntl.flock(lock.fileno(), fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


def _lock(descriptor: int, folder: Path) -> None:
    import fcntl

    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        raise SettingsError(
            f"--out {folder}: another run is going on there", "wait for it, or choose another"
        ) from error


def _check(folder: Path, claim: dict[str, Any]) -> None:
    found = folder / CLAIM
    if not found.is_file():
        strangers = [path.name for path in folder.iterdir() if path.name not in {".lock", OWNER}]
        if strangers:
            raise SettingsError(
                f"--out {folder}: holds files that are not of a run ({strangers[0]})", "choose a new or empty folder"
            )
        return
    try:
        earlier = json.loads(found.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise SettingsError(f"{found}: not readable as JSON", "choose a new or empty folder") from error
    if (version := earlier.get("version", FIRST_VERSION)) != VERSION:
        raise SettingsError(
            f"--out {folder}: holds a run of apertura {version}: apertura {VERSION} computes its steps by other code "
            "and cannot take them up",
            "choose a new folder; `apertura export` reads the old one",
        )
    if earlier.get("source_key") != claim["source_key"]:
        raise SettingsError(
            f"--out {folder}: holds a run of another source ({earlier.get('source')})", "choose a new or empty folder"
        )
    if earlier.get("settings_key") != claim["settings_key"]:
        raise SettingsError(
            f"--out {folder}: holds a run with other settings",
            "choose a new folder, or repeat the settings of that run",
        )
