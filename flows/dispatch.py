"""The second way in: a site that only posts events; the automation in prefect.yaml starts this flow."""

from pathlib import Path

from prefect import flow

from flows.arrivals import announce_run
from flows.content import content_key
from flows.site import load_site
from tasks.ingest import completeness
from tasks.model import SourceError


@flow(name="dispatch")
def dispatch(path: str) -> str:
    """Make the run of the data set at `path`: the same call with the same key as the watcher's."""
    source = load_site().confined(Path(path))
    if missing := completeness(source):
        raise SourceError(f"{source}: not complete: {missing[0]}", "post the event when the manifest is in place")
    return announce_run(source, content_key(source))
