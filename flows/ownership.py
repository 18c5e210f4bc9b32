"""The Unix group and mode of a run folder: of all that a run makes in it, and a note whose it is."""

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from flows.proposals import Belonging, conditions, group_id
from flows.run_folder import CLAIM, OWNER
from flows.site import Site
from flows.storage import named_storage_errors

log = logging.getLogger("apertura.ownership")

SET_GROUP_ID = 0o2000
"""On a folder: what is made in it has its group (inode(7))."""


@contextmanager
def owned(site: Site, folder: Path, who: Belonging) -> Iterator[None]:
    """Give a run folder, and all that is made in it meanwhile, the group and mode of the site's rules.

    New files get them at once, by the folder's set-group-id bit and this process's umask; what was made otherwise
    (temporary files that were renamed) at the end, also of a run that fails. A site without proposals and rules gets
    nothing, nor does a folder that holds other things: whoever claims it refuses it.

    Raises
    ------
    SettingsError
        If there is no such group, or the process is not a member of it.
    """
    if (not site.rules and site.proposals is None) or holds_other_files(folder):
        yield
        return
    holds = conditions(site, who)
    group = None if holds.group is None else group_id(holds.group)
    mode = None if holds.mode is None else int(holds.mode, 8) & 0o777
    with named_storage_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        correct(folder, group, mode)
    before = None if mode is None else os.umask(0o777 & ~mode)
    try:
        with named_storage_errors(folder):
            (folder / OWNER).write_text(who.model_dump_json(), encoding="utf-8")
        yield
    finally:
        if before is not None:
            os.umask(before)
        if group is not None or mode is not None:
            for here, folders, files in os.walk(folder):
                for name in (*folders, *files):
                    correct(Path(here) / name, group, mode)


def holds_other_files(folder: Path) -> bool:
    """Tell whether a folder is there that is neither empty nor a run's."""
    if not folder.is_dir():
        return folder.exists()
    return not (folder / CLAIM).is_file() and any(one.name not in {".lock", OWNER} for one in folder.iterdir())


def correct(path: Path, group: int | None, mode: int | None) -> None:
    """Give a file or folder its group and mode, if it has others; files are not made executable."""
    try:
        stat = path.lstat()
        if group is not None and stat.st_gid != group:
            os.chown(path, -1, group, follow_symlinks=False)
        if path.is_symlink():
            return
        now = stat.st_mode & 0o7777
        if path.is_dir():
            wanted = (now if mode is None else mode) | (now & SET_GROUP_ID if group is None else SET_GROUP_ID)
        else:
            wanted = now if mode is None else mode & 0o666
        if now != wanted:
            set_mode(path, wanted)
    except OSError as error:  # of another user, or gone: the run is not lost for it
        log.warning("%s: its group or mode cannot be set: %s", path, error.strerror)


def set_mode(path: Path, mode: int) -> None:
    """Set the mode of a file or folder; where no set-group-id bit may be set (systemd's RestrictSUIDSGID), without."""
    try:
        path.chmod(mode)
    except PermissionError:
        path.chmod(mode & 0o777)
