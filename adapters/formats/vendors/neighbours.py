"""Files that lie beside a file and belong to it: never followed out of the folder."""

from pathlib import Path

from tasks.model import SourceError


def neighbour(path: Path, name: str) -> Path | None:
    """Return the file `name` in the folder of `path`, None if there is none.

    Raises
    ------
    SourceError
        If the name, or a link of that name, leads out of the folder.
    """
    folder = path.parent.resolve()
    try:
        found = (folder / name).resolve()
    except (OSError, RuntimeError, ValueError) as error:  # RuntimeError: a link to itself in Python 3.11
        raise SourceError(f"{path.name}: {name!r} cannot be followed: {error}") from error
    if found.parent != folder:
        raise SourceError(
            f"{path.name}: leads to {name!r}, which lies outside its folder", "put the file itself into the folder"
        )
    return found if found.is_file() else None
