"""What ran is what was announced: a run asks, before it reads its source and at its end, whether that is still so."""

import logging
from itertools import count
from pathlib import Path

from flows.content import content_of, differences, readable_content
from flows.ledger import announced_files
from flows.site import Site
from tasks.model import ChangedSourceError, SourceError

log = logging.getLogger("apertura.arrivals")

ADVICE = (
    "what is there now gets its own run, as soon as it is complete (see the page of arrivals); to run what was "
    "announced, deliver that again"
)


class AsAnnounced:
    """Around a run: looks at the source when it ends, and when it fails; what was made of other files is set aside.

    A run that is suspended has not ended: it looks when it begins again.

    Parameters
    ----------
    key
        With which the data set was announced; None: nobody did, and nothing is looked at.
    folder
        The run folder: of files that changed meanwhile it holds no result.
    """

    def __init__(self, source: Path, key: str | None, site: Site, folder: Path) -> None:
        self._source, self._key, self._site, self._folder = source, key, site, folder

    def __enter__(self) -> None:
        """Begin; the source was looked at before."""

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        """Look again. Raises as `check_announced` does, in place of what came of the change."""
        if kind is None or issubclass(kind, Exception):
            _look_again(self._source, self._key, self._site, self._folder)


def check_announced(source: Path, key: str | None, site: Site) -> None:
    """Refuse a source that does not have the key with which it was announced.

    Raises
    ------
    SourceError
        If it is not there any more, or cannot be read.
    ChangedSourceError
        Saying which files are others.
    """
    if key is None:
        return
    try:
        now = content_of(source)
    except SourceError as error:
        raise _refusal(source, key, site, error.message) from error
    except FileNotFoundError as error:
        raise _refusal(source, key, site, f"{error.filename} is gone") from error
    except OSError as error:
        raise SourceError(f"{error.filename}: cannot be read: {error.strerror}", "check its permissions") from error
    if now.key != key:
        raise _refusal(source, key, site, "", now.files)


def _look_again(source: Path, key: str | None, site: Site, folder: Path) -> None:
    try:
        check_announced(source, key, site)
    except ChangedSourceError as error:
        place = set_aside(folder)
        kept = f"; what was made of both lies in {place}, and is no result" if place else ""
        raise ChangedSourceError(f"{error.message} (while it was read{kept})", error.advice) from error


def set_aside(folder: Path) -> Path | None:
    """Rename a run folder that was made of changing files; return its new place, None if it is not there."""
    if not folder.is_dir():
        return None
    free = (folder.with_name(f"{folder.name}.changed-{number}") for number in count(1))
    place = next(path for path in free if not path.exists())
    folder.rename(place)
    (place / "results.json").unlink(missing_ok=True)
    log.warning("%s: set aside as %s", folder, place.name)
    return place


def _refusal(source: Path, key: str, site: Site, said: str, files: dict[str, str] | None = None) -> SourceError:
    if not source.is_dir():
        gone = f"{source}: no such folder: it was removed, renamed or moved after it was announced"
        return SourceError(gone, "under its new name it gets its own run, if it lies in a folder that is watched")
    before = announced_files(site.ledger, key) if site.ledger is not None else {}
    now = files if files is not None else readable_content(source, before)
    what = (differences(before, now) if before else "") or said or "its manifest or a file that it lists is another"
    return ChangedSourceError(f"{source}: not what was announced: {what}", ADVICE)
