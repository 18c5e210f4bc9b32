"""What a pass of the janitor tells as events: late runs, approvals that are due, a full disk, a silent watcher.

Alarms are made of them. They are told at every pass, and the alarms are silent in between.
"""

import shutil
import time
from collections.abc import Iterable
from datetime import datetime, timedelta

from prefect.client.schemas.objects import FlowRun
from prefect.events import emit_event

from flows.approval import Approval
from flows.catalogue_record import last_pass
from flows.ledger import Ledger
from flows.site import Site
from tasks.model import Document

RUN_LATE = "apertura.run.late"
APPROVAL_DUE = "apertura.approval.due"
DISK_LOW = "apertura.disk.low"
WATCHER_SILENT = "apertura.watcher.silent"
CATALOGUE_FAILS = "apertura.catalogue.fails"
AWAY_S, TRIES = 3600.0, 3
"""A catalogue that is away for so long, or a run that it has refused so often, is told of: what passes by itself has
passed by then. Chosen, not measured."""


class Condition(Document):
    """One thing that people should know of."""

    event: str
    about: str
    """Identifier of the thing: alarms are silent about the same one for a while."""
    name: str
    text: str


def seen(site: Site, scheduled: Iterable[FlowRun], paused: Iterable[FlowRun], now: datetime) -> tuple[Condition, ...]:
    """Return what is to be told now.

    Parameters
    ----------
    scheduled, paused
        Runs of the pipeline that wait for a slot, and for a person.
    """
    found = [*late_runs(site, scheduled, now), *due_approvals(site, paused, now)]
    return tuple(
        one for one in (*found, low_disk(site), silent_watcher(site), failing_catalogue(site)) if one is not None
    )


def late_runs(site: Site, runs: Iterable[FlowRun], now: datetime) -> list[Condition]:
    """Return the runs that have waited for a slot beyond the site's limit."""
    limit = timedelta(hours=site.alarms.late_h)
    found = []
    for run in runs:
        begun = run.expected_start_time
        if begun is not None and now - begun > limit:
            text = f"It has waited for a slot for {hours(now - begun)}: no worker takes it up, or the queue is long."
            found.append(Condition(event=RUN_LATE, about=f"apertura.run.{run.id}", name=run.name, text=text))
    return found


def due_approvals(site: Site, runs: Iterable[FlowRun], now: datetime) -> list[Condition]:
    """Return the suspended runs of which the default is taken soon."""
    found = []
    for run in runs:
        asked = run.parameters.get("approval")
        if run.state is None or not isinstance(asked, dict):
            continue
        approval = Approval.model_validate(asked)
        left = run.state.timestamp + timedelta(hours=approval.limit_h) - now
        if timedelta(0) < left < timedelta(hours=min(site.alarms.approval_h, approval.limit_h / 2)):
            text = f"Nobody has answered. In {hours(left)} the janitor takes the default: {approval.default}."
            found.append(Condition(event=APPROVAL_DUE, about=f"apertura.run.{run.id}", name=run.name, text=text))
    return found


def low_disk(site: Site) -> Condition | None:
    """Return that the disk of the runs fills, if it does."""
    if site.runs is None or not site.runs.is_dir():
        return None
    disk = shutil.disk_usage(site.runs)
    if disk.free >= site.alarms.disk_low_gib * 2**30:
        return None
    text = f"{disk.free / 2**30:.1f} GiB of {disk.total / 2**30:.0f} GiB are free at {site.runs}: prune, or make room."
    return Condition(event=DISK_LOW, about="apertura.disk.runs", name=site.name, text=text)


def silent_watcher(site: Site) -> Condition | None:
    """Return that the watcher has not been heard of for long, if it ever was."""
    if site.ledger is None or not site.ledger.is_file():
        return None
    heard = Ledger(site.ledger).heard_of("watcher")
    if heard is None or (silent_s := time.time() - heard) < site.alarms.silent_min * 60.0:
        return None
    text = f"The watcher was last heard of {hours(timedelta(seconds=silent_s))} ago: no arrival starts a run."
    return Condition(event=WATCHER_SILENT, about="apertura.watcher", name=site.name, text=text)


def failing_catalogue(site: Site) -> Condition | None:
    """Return that runs are not registered with the catalogue, if that has been so for long."""
    last = last_pass(site)
    if last is None:
        return None
    often = [one for one in last.failures if one.tries >= TRIES]
    if last.away is not None and last.away_since is not None and time.time() - last.away_since > AWAY_S:
        text = f"{last.waiting} runs wait: {last.away}."
    elif often:
        text = "\n".join(f"{one.folder}: {one.reason}" for one in often)
    else:
        return None
    return Condition(event=CATALOGUE_FAILS, about="apertura.catalogue", name=site.name, text=text)


def tell(conditions: Iterable[Condition]) -> None:
    """Emit the events."""
    for one in conditions:
        emit_event(
            one.event,
            resource={"prefect.resource.id": one.about, "prefect.resource.name": one.name},
            payload={"name": one.name, "text": one.text},
        )


def hours(span: timedelta) -> str:
    """Return a span as a person says it."""
    minutes = span.total_seconds() / 60.0
    return f"{minutes:.0f} min" if minutes < 120 else f"{minutes / 60.0:.0f} h"
