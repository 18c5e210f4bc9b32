"""The second way in: a site that only posts events; the automation in prefect.yaml starts this flow."""

from pathlib import Path

from prefect import flow

from flows.arrivals import announce_run
from flows.content import content_key
from flows.ledger import HELD, Ledger
from flows.proposals import Quotas
from flows.site import load_site
from tasks.ingest import completeness
from tasks.model import SourceError


@flow(name="dispatch")
def dispatch(path: str) -> str:
    """Make the run of the data set at `path`: the same call with the same key as the watcher's."""
    site = load_site()
    source = site.confined(Path(path))
    if missing := completeness(source):
        raise SourceError(f"{source}: not complete: {missing[0]}", "post the event when the manifest is in place")
    key = content_key(source)
    with Quotas(site).room(source, key) as reason:
        if reason is None or site.ledger is None:
            return announce_run(source, key)
        ledger = Ledger(site.ledger)
        ledger.add(key, source)
        ledger.hold(key, reason)
        return f"{HELD}{reason}"  # the janitor announces it
