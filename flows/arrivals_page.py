"""The page of arrivals in Prefect's UI: every folder that was seen, and what became of it."""

import hashlib
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from prefect.artifacts import create_table_artifact
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterId

from flows.ledger import Entry, Ledger
from flows.markdown import plain
from flows.site import Site

KEY = "arrivals"
SHOWN = 200
"""Rows of the page, the newest first: the most runs that Prefect gives at once."""


def publish_arrivals(client: SyncPrefectClient, site: Site) -> bool:
    """Show the page anew if it has changed; return whether it had."""
    if site.ledger is None or not site.ledger.is_file():
        return False
    ledger = Ledger(site.ledger)
    rows = page(ledger, run_states(client, ledger.everything()[-SHOWN:]))
    if not ledger.page_changed(KEY, hashlib.sha256(json.dumps(rows).encode()).hexdigest()):
        return False
    create_table_artifact(key=KEY, table=rows, description="every data set that was seen, and what became of it")
    return True


def run_states(client: SyncPrefectClient, entries: list[Entry]) -> dict[str, str]:
    """Return the states of the runs of data sets, by the identifiers of the runs."""
    wanted = [UUID(entry.run) for entry in entries if entry.run]
    if not wanted:
        return {}
    runs = client.read_flow_runs(flow_run_filter=FlowRunFilter(id=FlowRunFilterId(any_=wanted)), limit=SHOWN)
    return {str(run.id): run.state.name if run.state and run.state.name else "unknown" for run in runs}


def page(ledger: Ledger, states: Mapping[str, str]) -> list[dict[str, Any]]:
    """Return the rows, what needs somebody first: refused, incomplete, then the data sets from the newest on.

    Text from outside is escaped: cells are shown as Markdown.
    """
    rows = [_row(one.path, "refused", one.since, one.reason) for one in reversed(ledger.refused())]
    rows += [_row(one.path, "incomplete", one.since, f"waits for {one.missing}") for one in ledger.incomplete()]
    versions: dict[str, int] = {}
    numbers: dict[str, int] = {}
    entries = ledger.everything()
    for entry in entries:
        numbers[entry.key] = versions[entry.path] = versions.get(entry.path, 0) + 1
    copies = ledger.copies()
    for entry in reversed(entries):
        if entry.state == "ready":
            state, said = "waits for the server", entry.error or ""
        else:
            state, said = states.get(entry.run or "", "its run was deleted"), f"run {entry.run}"
        notes = [said] if said else []
        if numbers[entry.key] > 1:
            notes.append(f"version {numbers[entry.key]}")
        notes += [f"the same is at {path}" for path in copies.get(entry.key, [])]
        rows.append(_row(entry.path, state, entry.seen, "; ".join(notes)))
    return rows[:SHOWN]


def _row(path: str, state: str, since: float, what: str) -> dict[str, Any]:
    when = datetime.fromtimestamp(since, UTC)
    return {"folder": plain(path), "state": plain(state), "since (UTC)": f"{when:%F %H:%M}", "what": plain(what)}
