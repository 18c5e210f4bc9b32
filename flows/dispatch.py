"""The second way in: a site that only posts events; the automation in prefect.yaml starts this flow."""

from pathlib import Path

from prefect import flow

from flows.arrivals import announce_run
from flows.content import content_of
from flows.deliveries import due
from flows.ledger import HELD, Ledger
from flows.proposals import Quotas
from flows.site import load_site
from tasks.ingest import completeness
from tasks.model import SourceError


@flow(name="dispatch")
def dispatch(path: str) -> str:
    """Make the run of the data set at `path`: the same call with the same key as the watcher's.

    Posted again, it finds that run, or makes another if that failed.
    """
    site = load_site()
    source = site.confined(Path(path))
    if missing := completeness(source):
        raise SourceError(f"{source}: not complete: {missing[0]}", "post the event when the manifest is in place")
    content = content_of(source)
    delivery, run = due(content.key)
    if run is not None:
        return str(run.id)
    with Quotas(site).room(source, content.key) as reason:
        if site.ledger is None:
            return announce_run(source, content.key, delivery=delivery)
        ledger = Ledger(site.ledger)
        ledger.add(content.key, source, files=content.files, delivery=content.delivery)
        entry = ledger.posted(content.key, delivery)
        if reason is not None:
            ledger.hold(content.key, reason)
            return f"{HELD}{reason}"  # the janitor announces it
        made = announce_run(source, content.key, previous=entry.previous, delivery=delivery)
        ledger.announced(content.key, made)
        return made
