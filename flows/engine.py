"""The process of one run: ``python -m flows.engine``, which Prefect's worker starts.

It is Prefect's engine with its output in a file of the day, in ``.logs`` of the site's folder of runs. By default the
worker reads it through a pipe, and when the worker dies the next line that is printed ends the run: rich's console,
through which Prefect logs, leaves the process on a broken pipe.
"""

import contextlib
import os
import runpy
import time
from pathlib import Path

from flows.command_ends import one_thread_for_each_product
from flows.site import load_site
from tasks.model import ApertureError

LOGS = ".logs"
RUN_VARIABLE = "PREFECT__FLOW_RUN_ID"
"""In the environment of the process of a run, set by Prefect's worker."""
KEPT_S = 30 * 86400
"""Chosen, not measured: output is looked at when something went wrong; the pages of runs keep the rest."""


def main() -> None:
    """Send the output to the file of the day, then run the flow, as the command line would."""
    one_thread_for_each_product()
    # where that cannot be, the flow itself says what is wrong with the site or its disk, where people look
    with contextlib.suppress(ApertureError, OSError):
        write_to(log_of_today())
    runpy.run_module("prefect.engine", run_name="__main__", alter_sys=True)


def log_of_today() -> Path:
    """Return the file for the output of all runs of this day; remove those that are too old.

    Raises
    ------
    FileNotFoundError
        If the site names no folder of runs.
    """
    site = load_site()
    if site.runs is None:
        raise FileNotFoundError("the site names no folder of runs")
    folder = site.runs / LOGS
    folder.mkdir(exist_ok=True)
    for old in folder.glob("*.log"):
        if time.time() - old.stat().st_mtime > KEPT_S:
            old.unlink(missing_ok=True)
    return folder / f"{time.strftime('%Y-%m-%d', time.gmtime())}.log"


def write_to(path: Path) -> None:
    """Let this process and its children write to a file."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o640)
    for stream in (1, 2):
        os.dup2(descriptor, stream)
    os.close(descriptor)


if __name__ == "__main__":
    main()
