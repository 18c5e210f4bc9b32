"""How much memory this process may still take: the machine's, or what its control group leaves it."""

import contextlib
from pathlib import Path

import psutil

CGROUPS, OWN_GROUP = Path("/sys/fs/cgroup"), Path("/proc/self/cgroup")


def free_memory() -> int:
    """Return the bytes that are available to this process; a job of Slurm or a container has a limit of its own."""
    free = int(psutil.virtual_memory().available)
    with contextlib.suppress(OSError, ValueError):
        own = OWN_GROUP.read_text(encoding="ascii").strip().rpartition("::")[2]
        place = CGROUPS / own.lstrip("/")
        for folder in (place, *place.parents):
            if folder == CGROUPS.parent:
                break
            with contextlib.suppress(OSError, ValueError):  # "max": no limit here
                limit = int((folder / "memory.max").read_text(encoding="ascii"))
                free = min(free, limit - _held(folder))
    return max(0, free)


def _held(group: Path) -> int:
    """Return what a control group holds beside files that the system would drop."""
    stat = dict(line.split() for line in (group / "memory.stat").read_text(encoding="ascii").splitlines())
    return int((group / "memory.current").read_text(encoding="ascii")) - int(stat.get("inactive_file", 0))
