"""What is known of registrations with a catalogue: of each run in its folder, of the last pass beside them."""

import json
import time
from pathlib import Path

from pydantic import Field

from flows.site import Site
from tasks.model import Document

RECORD, SUMMARY = "catalogue.json", ".catalogue.json"
"""In a run folder: what was registered. In the folder of runs: what the last pass found."""
NAMED = 10
"""Failures that the summary names: half a terminal of 24 lines."""


class CatalogueRecord(Document):
    """What a catalogue knows of one run."""

    data: str | None = Field(default=None, description="identifier of the data set")
    result: str | None = Field(default=None, description="identifier of the result")
    done: bool = False
    tries: int = 0
    again_at: float = Field(default=0.0, description="seconds since 1970")
    error: str | None = None


class CatalogueFailure(Document):
    """A run that is not registered, and why."""

    folder: str
    reason: str
    tries: int


class CatalogueSummary(Document):
    """What the last pass found."""

    at: float = Field(description="seconds since 1970")
    registered: int = 0
    waiting: int = 0
    away: str | None = Field(default=None, description="why nothing can be registered now")
    away_since: float | None = Field(default=None, description="seconds since 1970")
    failures: tuple[CatalogueFailure, ...] = ()


def registration(folder: Path) -> CatalogueRecord:
    """Return what is kept of a run; of a record that cannot be read, nothing: the catalogue finds its own again."""
    try:
        return CatalogueRecord.model_validate_json((folder / RECORD).read_bytes())
    except (OSError, ValueError):
        return CatalogueRecord()


def is_due(state: CatalogueRecord) -> bool:
    """Tell whether a run is to be registered now."""
    return not state.done and state.again_at <= time.time()


def summarised(
    states: dict[Path, CatalogueRecord], away: str | None, before: CatalogueSummary | None
) -> CatalogueSummary:
    """Return what a pass found, after the one before."""
    since = before.away_since if before is not None and before.away_since is not None else time.time()
    failures = [
        CatalogueFailure(folder=folder.name, reason=state.error, tries=state.tries)
        for folder, state in states.items()
        if state.error is not None and not state.done
    ]
    done = sum(state.done for state in states.values())
    return CatalogueSummary(
        at=time.time(),
        registered=done,
        waiting=len(states) - done,
        away=away,
        away_since=None if away is None else since,
        failures=tuple(failures[-NAMED:]),
    )


def last_pass(site: Site) -> CatalogueSummary | None:
    """Return what the last pass found; None if there was none, or the site has no catalogue."""
    if site.catalogue is None or site.runs is None:
        return None
    try:
        return CatalogueSummary.model_validate_json((site.runs / SUMMARY).read_bytes())
    except (OSError, ValueError):
        return None


def summary_line(summary: CatalogueSummary, now: float) -> str:
    """Return a summary in a line."""
    line = f"{summary.registered} runs registered, {summary.waiting} wait ({(now - summary.at) / 60.0:.0f} min ago)"
    return line if summary.away is None else f"{line}: {summary.away}"


def write(path: Path, document: Document) -> None:
    """Write a document whole or not at all, as open to others as its folder is."""
    partial = path.with_name(f".{path.name}.partial")
    partial.write_text(json.dumps(document.model_dump(mode="json"), indent=1), encoding="utf-8")
    partial.chmod(path.parent.stat().st_mode & 0o666)
    partial.replace(path)
