"""The reports of runs that were solved at one's desk: files below one folder, for who has the studio's cookie."""

from pathlib import Path, PurePosixPath
from typing import Any

from tornado.web import StaticFileHandler

from tasks.report import script_hash

REPORTS = "/solved/"
"""Where a studio without a site serves what it has solved."""


class Reports:
    """The files of the runs below one folder: an address names them by their place there, and reaches nothing else."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder.resolve()

    def address_of(self, path: Path) -> str | None:
        """Return the address of a file, on the studio's own server; None if it lies elsewhere."""
        place = path.resolve()
        return f"{REPORTS}{place.relative_to(self.folder).as_posix()}" if self._holds(place) else None

    def find(self, address: str) -> str | None:
        """Return the place below the folder of the file that a path of an address, not decoded, means.

        None if there is none, or ``..``, a link or a name with a dot before it is on the way to it.
        """
        place = PurePosixPath(address.removeprefix(REPORTS))
        hidden = any(part.startswith(".") for part in place.parts)
        if not address.startswith(REPORTS) or hidden or place.is_absolute() or {"%", "\\", "\0"} & set(address):
            return None
        path = self.folder / place
        try:
            return place.as_posix() if path.is_file() and path.resolve() == path and self._holds(path) else None
        except OSError:  # a name that no file system takes
            return None

    def _holds(self, path: Path) -> bool:
        return path != self.folder and path.is_relative_to(self.folder)


class ReportFile(StaticFileHandler):
    """Sends a file of a run: the report as a page in which its own script runs and no other, the rest to be kept."""

    def set_extra_headers(self, path: str) -> None:
        """Say what the page may do: text in it comes from outside."""
        if not path.endswith(".html"):
            self.set_header("Content-Disposition", "attachment")
        self.set_header("Cache-Control", "no-store")
        self.set_header("Content-Security-Policy", report_policy())


def report_policy() -> str:
    """Return the Content-Security-Policy of a report: nothing from elsewhere, no script but that of `tasks.report`."""
    return (
        f"default-src 'none'; script-src 'sha256-{script_hash()}'; style-src 'unsafe-inline'; img-src data:; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )


def report_options(reports: Reports, place: str) -> dict[str, Any]:
    """Return what Tornado's `get_handler_delegate` needs to send a file."""
    return {"target_kwargs": {"path": str(reports.folder)}, "path_args": [place.encode()]}
