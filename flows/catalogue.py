"""Registering finished runs with a catalogue: by a schedule, after the run, which never waits for it nor fails by it.

What was registered stands in `catalogue.json` of the run folder, so that nothing is registered twice; what failed is
tried again, later each time. A catalogue that does not answer ends the pass: the next one asks again.
"""

import fcntl
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from datetime import time as time_of_day
from pathlib import Path
from typing import Protocol

from prefect import flow, get_run_logger

from adapters.catalogue.entry import CatalogueEntry
from adapters.catalogue.scicat import CatalogueAwayError, SciCat
from flows.catalogue_entries import MEASURED, data_entry, result_entry
from flows.catalogue_record import (
    RECORD,
    SUMMARY,
    CatalogueSummary,
    is_due,
    last_pass,
    registration,
    summarised,
    summary_line,
    write,
)
from flows.proposals import belonging, owner_of
from flows.run_folder import CLAIM, in_progress, read_whole_results, still_missing
from flows.site import Site, load_site
from tasks.model import ApertureError, ProgramNotFoundError, SettingsError

LOCK = ".catalogue.lock"
"""In the folder of runs: held by a pass."""
PASS_S, PASS_MAX_S = 60, 150
"""A pass begins nothing more after so long, and is ended after so long: it holds one of the two slots of maintenance,
and five passes of the janitor come in the interval of 300 s between two of this. Chosen, not measured."""
AGAIN_S, AGAIN_MAX_S = 300.0, 21600.0
"""Until what was refused is tried again: doubled each time, to six hours. Chosen, not measured: a person is to act."""


class Registry(Protocol):
    """A catalogue."""

    def register(self, entry: CatalogueEntry, known: str | None, keep: Callable[[str], None]) -> str:
        """Register a data set, or what is still missing of it; return its identifier."""
        ...


@flow(name="catalogue", timeout_seconds=PASS_MAX_S)
def catalogue() -> CatalogueSummary | None:
    """Register finished runs that the catalogue of the site does not know yet; None for a site without one."""
    site = load_site()
    told = site.catalogue
    if told is None or site.runs is None or not site.runs.is_dir():
        return None
    summary = register_runs(site, lambda: SciCat.connect(told.url, told.token().get_secret_value()))
    if summary is not None:
        get_run_logger().info("%s", summary_line(summary, time.time()))
    return summary


def register_runs(site: Site, connect: Callable[[], Registry], *, limit_s: float = PASS_S) -> CatalogueSummary | None:
    """Register what is due, the oldest run first; None if another pass is at it.

    Parameters
    ----------
    connect
        Returns the catalogue; called only if something is due.
    limit_s
        After so long nothing more is begun.
    """
    if site.runs is None:
        return None
    with _alone(site.runs) as free:
        if not free:
            return None
        end = time.monotonic() + limit_s
        folders = finished(site)
        due = [one for one in folders if is_due(registration(one))]
        away = None
        try:
            server = connect() if due else None
            for folder in due:
                if server is None or time.monotonic() > end:
                    break
                register_run(site, folder, server)
        except (CatalogueAwayError, ProgramNotFoundError, SettingsError) as error:
            away = f"{error.message}; {error.advice}" if error.advice else error.message
        summary = summarised({folder: registration(folder) for folder in folders}, away, last_pass(site))
        write(site.runs / SUMMARY, summary)
    return summary


def register_run(site: Site, folder: Path, server: Registry) -> None:
    """Register one run: its data set, then its result; keep what is known after each step.

    Raises
    ------
    CatalogueAwayError
        If the catalogue does not answer. Any other failure is the run's own, and is kept in its folder.
    """
    state = registration(folder)

    def keep(**what: str | float | None) -> None:
        nonlocal state
        if any(getattr(state, name) != value for name, value in what.items()):
            state = state.model_copy(update=what)
            write(folder / RECORD, state)

    try:
        results = read_whole_results(folder)
        if results["source"]["kind"] in MEASURED:
            source = Path(results["source"]["path"])
            who = owner_of(site, folder)
            who = who if who.sample is not None else belonging(site, source)
            data = server.register(data_entry(site, folder, results, who), state.data, lambda pid: keep(data=pid))
            result = result_entry(site, folder, results, who, inputs=(data,))
            server.register(result, state.result, lambda pid: keep(result=pid))
        keep(done=True, error=None)
    except CatalogueAwayError:
        raise
    except (ApertureError, OSError, ValueError, KeyError, TypeError, AttributeError) as error:  # also damaged results
        reason = error.message if isinstance(error, ApertureError) else f"{type(error).__name__}: {error}"
        wait_s = min(AGAIN_S * 2.0 ** min(state.tries, 10), AGAIN_MAX_S)
        try:
            keep(tries=state.tries + 1, error=reason, again_at=time.time() + wait_s)
        except OSError as full:
            raise CatalogueAwayError(f"{folder}: nothing can be kept there: {full.strerror}") from full


def finished(site: Site) -> list[Path]:
    """Return the run folders that have ended with results, since the day that the site names; the oldest first."""
    since = site.catalogue.since if site.catalogue else None
    begin = datetime.combine(since, time_of_day(), UTC).timestamp() if since else 0.0
    found = []
    for results in site.runs.glob("*/results.json") if site.runs else ():
        try:
            ended = results.stat().st_mtime
        except OSError:  # removed meanwhile
            continue
        folder = results.parent
        if ended >= begin and (folder / CLAIM).is_file() and not in_progress(folder) and not still_missing(folder):
            found.append((ended, folder))
    return [folder for _, folder in sorted(found)]


@contextmanager
def _alone(runs: Path) -> Iterator[bool]:
    """Hold the lock of the passes; yield whether it is held."""
    with (runs / LOCK).open("a+b") as lock:
        try:
            fcntl.flock(lock.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True
