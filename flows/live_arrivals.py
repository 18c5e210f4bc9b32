"""Series that begin to grow in the incoming folders: each is followed by one run of its own, beside that of the result.

That run is made with the idempotency key ``live:<series key>``: however often a series is announced, the server makes
one. It ends when the series is complete; then the complete data set gets its one run as any other.
"""

import logging
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx

from flows.arrivals import DEPTH_MAX
from flows.live_series import series_key
from flows.live_source import rule_of
from flows.proposals import belonging
from flows.site import Site, load_site
from flows.staging import changed
from tasks.ingest import MANIFEST_NAMES, TILT_SERIES_NAME, growing_series
from tasks.model import SettingsError, SourceError

log = logging.getLogger("apertura.arrivals")

LIVE_DEPLOYMENT = "live-series/on-begin"
EVERY_S = 5.0
"""Between two looks: each walks through the incoming folders. Chosen, not measured: a scan takes longer."""


class LiveStarts:
    """Announces every series that grows, once; a server that is away is asked again."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._announced: set[str] = set()
        self._looked = -EVERY_S

    def look(self) -> int:
        """Look, if it is time, and announce what is new; return how many runs were acknowledged."""
        if not self._site.live or time.monotonic() - self._looked < EVERY_S:
            return 0
        self._looked = time.monotonic()
        done = 0
        for incoming in self._site.incoming:
            for folder in begun(incoming, self._site):
                done += self._announce(folder)
        return done

    def _announce(self, folder: Path) -> int:
        from prefect.exceptions import PrefectException

        try:
            key = series_key(folder)
            if key in self._announced:
                return 0
            run = announce_live(folder, key)
        except (httpx.HTTPError, PrefectException, OSError, RuntimeError, ValueError) as error:
            log.warning("%s: not followed yet (%s); tried again", folder, type(error).__name__)
            return 0
        self._announced.add(key)
        log.info("%s: followed by run %s", folder, run)
        return 1


def begun(incoming: Path, site: Site) -> Iterator[Path]:
    """Yield the folders whose series has begun and is not complete."""
    for name, names, files in os.walk(incoming, followlinks=False):
        here = Path(name)
        names[:] = sorted(item for item in names if not item.startswith("."))
        if len(here.relative_to(incoming).parts) >= DEPTH_MAX:
            names[:] = []
        if set(files) & set(MANIFEST_NAMES):
            names[:] = []
            if TILT_SERIES_NAME in files and _has_begun(here):
                yield here
        elif files and (quiet := _quiet(here, site)) is not None:
            names[:] = []
            if not quiet:
                yield here


def _quiet(folder: Path, site: Site) -> bool | None:
    """Tell whether scans of an instrument have been quiet for its time; None where a folder holds none.

    One that cannot be read, or that two instruments take for theirs, is no matter of the others: it holds none, and
    who enters it as complete says what is wrong.
    """
    try:
        rule = rule_of(folder, site)
        return None if rule is None else time.time() - changed(folder) >= rule.quiet_s
    except (OSError, SettingsError) as error:
        log.debug("%s: %s", folder, error)
        return None


def announce_live(source: Path, key: str) -> str:
    """Make the run that follows a series, or find the one that is there; return its id."""
    from prefect.deployments import run_deployment

    run: Any = run_deployment(
        LIVE_DEPLOYMENT,
        parameters={"source": str(source)},
        idempotency_key=f"live:{key}",
        flow_run_name=f"live {source.name}",
        tags=["live", *belonging(load_site(), source).tags],
        timeout=0,
        as_subflow=False,
    )
    return str(run.id)


def _has_begun(folder: Path) -> bool:
    """Tell whether a manifest says that more is to come, and the first scan lies there."""
    try:
        found = growing_series(folder)
    except (SourceError, OSError, RuntimeError):
        return False  # whoever enters it as complete says what is wrong
    return not found.manifest.complete and any(problem is None for problem in found.problems)
