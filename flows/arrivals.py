"""Data sets that arrive: found when complete, entered in a ledger, and given exactly one run each.

Polling, because NFS and GPFS tell nobody. A run is made with the idempotency key ``dataset:<content key>``: however
often a data set is announced, by whichever watcher, the server makes one run of it.
"""

import hashlib
import logging
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

from flows.content import content_of
from flows.ledger import Ledger, Refusal, printable, run_key
from flows.proposals import Quotas, belonging, conditions
from flows.site import FolderRule, Site, load_site
from flows.staging import only_rule, quiet_folders, staged
from tasks.ingest import MANIFEST_NAMES, completeness
from tasks.model import ApertureError, SourceError, fenced, plain

log = logging.getLogger("apertura.arrivals")

DEPLOYMENT = "solve-series/on-arrival"
EVENT = "apertura.dataset.ready"
REFUSED_EVENT = "apertura.dataset.refused"
DEPTH_MAX = 4
"""Folders below an incoming one, as year/month/proposal/series: a deeper tree costs every poll on a network disk."""
SIGN_S = 30.0
"""Between two signs of life of the watcher in the ledger: far less than the ten minutes after which it is missed."""
LISTED = 3
"""Files named of those that a data set lacks: a line of a page."""
DEPTH_SEEN = 8
"""How deep a data set is seen that lies too deep: to say so. Chosen, not measured: twice as deep."""
SELDOM_S = 30.0
"""Between two looks at what changes seldom and costs a walk through all folders, or a question for each."""
AGAIN_S = 5.0
"""Between two questions what became of the run of a data set that came again."""
TELL_S = 1.0
"""For refusals to be shown, between two looks at what arrived: a hundred of them keep no good one waiting."""


def complete_sources(incoming: Path) -> Iterator[Path]:
    """Yield the folders below `incoming` whose manifest is there and whose files all have their listed sizes."""
    return (source for source, missing in sources(incoming) if not missing)


def sources(incoming: Path) -> Iterator[tuple[Path, tuple[str, ...]]]:
    """Yield the folders below `incoming` whose manifest is there, and what each still lacks."""
    for folder, names, files in os.walk(incoming, followlinks=False):
        here = Path(folder)
        names[:] = sorted(name for name in names if not name.startswith("."))
        if len(here.relative_to(incoming).parts) >= DEPTH_MAX:
            names[:] = []
        if set(files) & set(MANIFEST_NAMES):
            names[:] = []
            try:
                missing = completeness(here)
            except (OSError, RuntimeError):  # whoever enters it meets the same, and records it
                missing = ()
            yield here, missing


def too_deep(incoming: Path) -> Iterator[Path]:
    """Yield the folders with a manifest that lie too deep to be found by `sources`."""
    for folder, names, files in os.walk(incoming, followlinks=False):
        here = Path(folder)
        names[:] = sorted(name for name in names if not name.startswith("."))
        depth = len(here.relative_to(incoming).parts)
        if set(files) & set(MANIFEST_NAMES):
            names[:] = []
            if depth > DEPTH_MAX:
                yield here
        if depth >= DEPTH_SEEN:
            names[:] = []


class Watcher:
    """Looks at the incoming folders again and again; survives a server that is away and its own death."""

    def __init__(self, site: Site, ledger: Ledger) -> None:
        self._site = site
        self._ledger = ledger
        self._seen: dict[Path, tuple[float, int]] = {}
        self._lacking: dict[Path, str] | None = None
        self._signed = -SIGN_S
        self._looked_deep = -SELDOM_S
        self._reconsidered = -AGAIN_S
        self._more_to_tell = False
        self._quotas = Quotas(site)
        self._stop = threading.Event()

    def watch(self, *, poll_s: float, once: bool = False, also: Callable[[], object] | None = None) -> None:
        """Poll until SIGTERM or SIGINT; with `once`, look one time. `also` is done after each look."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: self._stop.set())
        import_module("prefect.deployments")  # seconds that the first data set need not wait for
        while not self._stop.is_set():
            self._sign()
            self.look()
            self.announce()
            if also is not None:
                also()
            if once:
                return
            self._stop.wait(poll_s)  # also with refusals left to tell: a server with SQLite is to answer others, too

    def _sign(self) -> None:
        """Tell that it lives, also between two data sets, which may take minutes to read."""
        if time.monotonic() - self._signed >= SIGN_S:
            self._ledger.sign("watcher")
            self._signed = time.monotonic()

    def look(self) -> int:
        """Enter what is complete and new into the ledger; return how many.

        A folder that cannot be run is entered with the reason and passed over until something in it changes: what is
        wrong with one data set is no matter of the others.
        """
        new = 0
        lacking: dict[Path, str] = {}
        for incoming in self._site.incoming:
            for source, missing in sources(incoming):
                if self._stop.is_set():
                    return new
                if missing:
                    lacking[source] = _listed(missing)
                else:
                    new += self._enter(source, partial(Path, source))
            if self._site.runs is None or not self._site.instruments:
                continue
            for folder, rules in quiet_folders(incoming, self._site, depth=DEPTH_MAX):
                new += self._enter(folder, partial(_staged, folder, rules, self._site.runs))
        if lacking != self._lacking:
            self._ledger.set_incomplete(lacking)
            self._lacking = lacking
        if time.monotonic() - self._looked_deep >= SELDOM_S:
            self._look_deep()
            self._looked_deep = time.monotonic()
        return new

    def _look_deep(self) -> None:
        """Refuse what lies too deep, forget refusals of what is gone, and follow data sets that were moved."""
        deep = {folder: incoming for incoming in self._site.incoming for folder in too_deep(incoming)}
        for folder, incoming in deep.items():
            levels = len(folder.relative_to(incoming).parts)
            reason = (
                f"lies {levels} folders below {incoming}: data sets are looked for in the first {DEPTH_MAX} only: "
                "move it up, or name a folder nearer to it under `incoming`"
            )
            if self._ledger.refuse(folder, reason):
                log.warning("%s: no run: %s", printable(folder), reason)
        for refusal in self._ledger.refused():
            if _gone(refusal.path):
                self._ledger.accept(Path(refusal.path))
        self._ledger.moved_from_under_copies()

    def _enter(self, folder: Path, source_of: Callable[[], Path | None]) -> int:
        """Enter the data set that a folder gives, if something in the folder has changed; return how many are new."""
        if self._signed >= 0.0:  # one that looks once is no watcher
            self._sign()
        try:
            stamp = _stamp(folder)
            if self._seen.get(folder) == stamp:
                return 0
            _check_name(folder)
            new = 0
            if (source := source_of()) is not None:
                content = content_of(source)
                new = int(self._ledger.add(content.key, source, files=content.files, delivery=content.delivery))
        except FileNotFoundError as error:  # it vanished, or is still being written: looked at again
            log.debug("%s: %s", printable(folder), error)
            return 0
        except (ApertureError, OSError, RuntimeError, ValueError) as error:
            reason = error.message if isinstance(error, ApertureError) else str(error)
            if self._ledger.refuse(folder, reason):
                log.warning("%s: no run: %s", printable(folder), reason)
            if not isinstance(error, OSError):  # a permission can be given without any change that is seen
                self._seen[folder] = stamp
            return 0
        self._ledger.accept(folder)
        self._seen[folder] = stamp
        return new

    def announce(self) -> int:
        """Ask the server for a run of everything that waits; return how many it acknowledged."""
        done = 0
        self._reconsider()
        for entry in self._ledger.waiting():
            if self._stop.is_set():
                return done
            try:
                with self._quotas.room(Path(entry.path), entry.key) as reason:
                    if reason is not None:
                        self._ledger.hold(entry.key, reason)
                        continue
                    run = announce_run(Path(entry.path), entry.key, previous=entry.previous, delivery=entry.deliveries)
            except _announcement_errors() as error:
                self._ledger.failed(entry.key, f"{type(error).__name__}: {error}")
                log.warning("%s: not announced (%s); tried again", entry.path, type(error).__name__)
                if _is_about_this_one(error):
                    continue
                break  # the server is away: the others would only wait for the same time-out
            self._ledger.announced(entry.key, run)
            done += 1
            log.info("%s: run %s", entry.path, run)
        self._tell_refusals()
        return done

    def _reconsider(self) -> None:
        """Look at the runs of what came again, if anything did."""
        if time.monotonic() - self._reconsidered < AGAIN_S or not self._ledger.again():
            return
        from flows.deliveries import reconsider

        try:
            reconsider(self._ledger)
        except _announcement_errors() as error:
            log.warning("what came again is looked at later (%s)", type(error).__name__)
        self._reconsidered = time.monotonic()

    def _tell_refusals(self) -> None:
        """Show on the server what is refused, after all that can be run, and for no longer than that can wait."""
        end = time.monotonic() + TELL_S
        untold = [refusal for refusal in self._ledger.refused() if not refusal.told]
        if not untold:
            return
        with one_client():
            for refusal in untold:
                if self._stop.is_set():
                    return
                try:
                    tell_refusal(refusal)
                except _announcement_errors() as error:
                    log.warning("%s: its refusal is not shown (%s); tried again", refusal.path, type(error).__name__)
                    return
                self._ledger.refusal_told(refusal.path)
                if time.monotonic() > end:
                    return


def announce_run(source: Path, key: str, *, previous: str | None = None, delivery: int = 1) -> str:
    """Make the run of a data set, or find the one that is there; return its id. Raises when the server is away."""
    from prefect.deployments import run_deployment

    site = load_site()
    who = belonging(site, source)
    run: Any = run_deployment(
        DEPLOYMENT,
        parameters={"source": str(source), "dataset_key": key, "previous_key": previous},
        idempotency_key=run_key(key, delivery),
        flow_run_name=source.name,
        tags=[f"dataset:{key[:8]}", *who.tags],
        work_queue_name=conditions(site, who).queue,
        timeout=0,
        as_subflow=False,
    )
    emit_ready(source, key)
    return str(run.id)


def one_client() -> AbstractContextManager[object]:
    """Return a context of one connection for all that is sent: 5 ms of CPU time for a refusal, in place of 34."""
    from prefect.context import SyncClientContext

    return SyncClientContext.get_or_create()


def tell_refusal(refusal: Refusal) -> None:
    """Make the one event and the one artifact of a data set that gets no run. Raises when the server is away."""
    from prefect.artifacts import create_markdown_artifact
    from prefect.events import emit_event

    name = hashlib.sha256(refusal.path.encode()).hexdigest()[:12]
    text = f"### no run for {plain(refusal.path)}\n\n{fenced(refusal.reason)}\n"
    create_markdown_artifact(text, key=f"refused-{name}", description=plain(refusal.reason))
    emit_event(
        REFUSED_EVENT,
        resource={"prefect.resource.id": f"apertura.refused.{name}", "prefect.resource.name": refusal.path},
        payload={"path": refusal.path, "reason": refusal.reason},
    )


def emit_ready(source: Path, key: str) -> None:
    """Tell other automations of the site; the run does not depend on it."""
    from prefect.events import emit_event

    emit_event(
        EVENT,
        resource={"prefect.resource.id": f"apertura.dataset.{key}", "prefect.resource.name": source.name},
        payload={"path": str(source), "key": key},
    )


def _listed(missing: tuple[str, ...]) -> str:
    """Return what a data set lacks, in a line: the first three files, and how many more."""
    more = len(missing) - LISTED
    return "; ".join(missing[:LISTED]) + (f"; and {more} more" if more > 0 else "")


def _staged(folder: Path, rules: Mapping[str, FolderRule], runs: Path) -> Path | None:
    return staged(folder, only_rule(folder, rules), runs)


def _gone(path: str) -> bool:
    """Tell whether a folder that `printable` named is not there; one whose name that is not counts as there."""
    try:
        os.lstat(path)
    except FileNotFoundError:
        return "\\x" not in path
    except OSError:
        return False
    return False


def _check_name(folder: Path) -> None:
    """Refuse a folder whose path cannot be sent to the server."""
    if printable(folder).encode() != os.fsencode(folder):
        raise SourceError(f"{printable(folder)}: its name is not UTF-8", "rename the folder")


def _stamp(source: Path) -> tuple[float, int]:
    """Return what changes when a file of a folder does; cheap, so that keys are made only then."""
    inside = [path.stat() for path in source.rglob("*") if path.is_file()]
    return (source.stat().st_mtime, hash(tuple(sorted((entry.st_mtime_ns, entry.st_size) for entry in inside))))


def _is_about_this_one(error: Exception) -> bool:
    """Tell whether the server, or the client before it, refused the request itself: others may be taken."""
    import httpx

    if isinstance(error, httpx.HTTPStatusError):
        return error.response.status_code in {400, 413, 414, 422}
    return isinstance(error, ValueError)


def _announcement_errors() -> tuple[type[Exception], ...]:
    import httpx
    from prefect.exceptions import ObjectNotFound, PrefectException

    return (httpx.HTTPError, PrefectException, ObjectNotFound, OSError, RuntimeError, ValueError)
