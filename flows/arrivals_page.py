"""The page of arrivals in Prefect's UI: every folder that was seen, and what became of it."""

import hashlib
from collections import Counter
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import NamedTuple
from uuid import UUID

from prefect.artifacts import create_markdown_artifact
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterId

from flows.ledger import Entry, Ledger
from flows.site import Site
from tasks.model import plain

KEY = "arrivals"
SHOWN = 200
"""Refused folders, incomplete ones and data sets on the page, the newest of each: the most runs that Prefect gives at
once."""
LETTERS = 300
"""Of what is said of a folder: three lines of a page. Its artifact has the whole reason."""


class Arrival(NamedTuple):
    """One row of the page."""

    folder: str
    state: str
    since: float
    what: str
    run: str | None = None

    def markdown(self) -> str:
        """Return the row of a table; text from outside is escaped."""
        when = datetime.fromtimestamp(self.since, UTC)
        link = f"[run](/runs/flow-run/{UUID(self.run)})" if self.run else ""
        said = self.what if len(self.what) <= LETTERS else f"{self.what[:LETTERS]} ..."
        return f"| {plain(self.folder)} | {plain(self.state)} | {when:%F %H:%M} | {link} | {plain(said)} |"


def publish_arrivals(client: SyncPrefectClient, site: Site) -> bool:
    """Show the page anew if it has changed; return whether it had."""
    if site.ledger is None or not site.ledger.is_file():
        return False
    ledger = Ledger(site.ledger)
    rows = page(ledger, run_states(client, ledger.everything()[-SHOWN:]))
    head = "| folder | state | since (UTC) | run | what is known |\n|---|---|---|---|---|"
    text = "\n".join([head, *(row.markdown() for row in rows)])
    digest = hashlib.sha256(text.encode()).hexdigest()
    if ledger.shown(KEY) == digest:
        return False
    create_markdown_artifact(text, key=KEY, description="every data set that was seen, and what became of it")
    ledger.page_shown(KEY, digest)
    return True


def run_states(client: SyncPrefectClient, entries: list[Entry]) -> dict[str, str]:
    """Return the states of the runs of data sets, by the identifiers of the runs."""
    wanted = [UUID(entry.run) for entry in entries if entry.run]
    if not wanted:
        return {}
    runs = client.read_flow_runs(flow_run_filter=FlowRunFilter(id=FlowRunFilterId(any_=wanted)), limit=SHOWN)
    return {str(run.id): run.state.name if run.state and run.state.name else "unknown" for run in runs}


def page(ledger: Ledger, states: Mapping[str, str]) -> list[Arrival]:
    """Return the rows: what is refused, what is incomplete, then the data sets, each from the newest on."""
    refused, incomplete = ledger.refused()[-SHOWN:], ledger.incomplete()[-SHOWN:]
    rows = [Arrival(one.path, "refused", one.since, one.reason) for one in reversed(refused)]
    rows += [Arrival(one.path, "incomplete", one.since, f"waits for {one.missing}") for one in reversed(incomplete)]
    entries, copies = ledger.everything(), ledger.copies()
    versions: Counter[str] = Counter()
    numbers: dict[str, int] = {}
    for entry in entries:
        versions[entry.path] += 1
        numbers[entry.key] = versions[entry.path]
    for entry in reversed(entries[-SHOWN:]):
        waits = entry.state == "ready"
        state = (
            ("waits for room" if entry.held else "waits for the server")
            if waits
            else states.get(entry.run or "", "its run was deleted")
        )
        notes = [said for said in (entry.held or entry.error, entry.note) if said]
        notes += [f"version {numbers[entry.key]}"] if numbers[entry.key] > 1 else []
        notes += [f"the same is at {path}" for path in copies.get(entry.key, [])]
        rows.append(Arrival(entry.path, state, entry.seen, "; ".join(notes), entry.run))
    return rows
