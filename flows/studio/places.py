"""Which folder a session looks at: the one that was named on the command line, or a run below a folder of runs."""

from pathlib import Path, PurePosixPath
from typing import NamedTuple, Protocol

from flows.run_folder import CLAIM
from tasks.model import InputError, SourceError

RUN_FIELD = "run"
LISTED = 200
"""Runs on the page that lists them, the newest first. Chosen, not measured: more are found by their own pages."""


class Whereabouts(Protocol):
    """Finds the folder that an address means."""

    def find(self, run: str | None) -> Path:
        """Return the folder; raises InputError if there is none that may be opened."""
        ...


class OnePlace(NamedTuple):
    """The one folder of `apertura draw`; the address names none."""

    folder: Path

    def find(self, run: str | None) -> Path:
        """Return the folder.

        Raises
        ------
        InputError
            If the address names a run.
        """
        if run is not None:
            raise InputError(f"{run}: not served here", f"this studio was started for {self.folder.name} alone")
        return self.folder


class RunsBelow(NamedTuple):
    """The runs of a facility: an address names one by its place below this folder, and reaches nothing else."""

    root: Path

    def find(self, run: str | None) -> Path:
        """Return the folder of a run.

        Raises
        ------
        InputError
            If the name leads out of the folder, by ``..`` or by a link, or is not that of a run.
        """
        place = PurePosixPath(run or "")
        if not run or "\0" in run or place.is_absolute() or ".." in place.parts:
            raise InputError(f"{run!r}: not the name of a run", "follow the link of a run, or choose one of the list")
        root = self.root.resolve()
        folder = root.joinpath(*place.parts)
        if not _is_run(folder):
            raise SourceError(
                f"{run}: no run of this name", "it may have been removed, or not have begun: choose one of the list"
            )
        return folder

    def newest(self) -> tuple[str, ...]:
        """Return the names of the runs that lie directly in the folder, the last claimed first."""
        claims = [path for path in self.root.resolve().glob(f"*/{CLAIM}") if _is_run(path.parent)]
        found = [(path.stat().st_mtime, path.parent.name) for path in claims]
        return tuple(name for _, name in sorted(found, reverse=True)[:LISTED])


def _is_run(folder: Path) -> bool:
    """Tell whether a folder is that of a run, and no link is on the way to it."""
    try:
        return folder.resolve() == folder and (folder / CLAIM).is_file()
    except OSError:  # a name that no file system takes
        return False
