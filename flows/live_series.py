"""The deployable flow that follows a series while it is measured; the complete one is solved by a run of its own."""

import hashlib
import logging
from pathlib import Path
from typing import Any

from prefect import flow, get_run_logger
from prefect.client.schemas.objects import State
from prefect.runtime import flow_run
from prefect.states import Completed
from pydantic import Field

from flows.live import LiveSettings, followed
from flows.live_artifact import LiveArtifact
from flows.settings import Settings
from flows.site import load_site
from flows.solve_series import show_error
from tasks.model import ApertureError, SettingsError
from tasks.report import live_headline

FOLLOWED = LiveSettings()
FOLDER = "live"
"""Of the folder of runs: what is followed lies there, one folder for each series."""
STATES = {"complete": "Series complete", "stopped": "Not finished"}


def live_run_name() -> str:
    """Return the name of the flow run in the UI."""
    return f"live {Path(str(flow_run.parameters.get('source') or 'unknown')).name}"


@flow(name="live-series", flow_run_name=live_run_name)
def live_series(
    source: str = Field(description="folder that the scans are written to"),
    settings: Settings = Field(default=Settings(), description="how apertures are proposed and frames integrated"),
    live: LiveSettings = Field(default=FOLLOWED, description="how long it is followed"),
) -> State[Any]:
    """Follow a series until it is complete: its page and its report grow with each scan."""
    logging.getLogger("apertura").setLevel(logging.INFO)  # Prefect hands its handlers to it, but not its level
    site = load_site()
    try:
        place = site.confined(Path(source))
        if site.runs is None:
            raise SettingsError("the site names no folder of runs", "name `runs` in the site file")
        out = site.run_place(live_folder(site.runs, place))
        artifact = LiveArtifact(site.url_of(out / "report.html"))
        with followed(place, out, settings, live, site, show=artifact.show, say=get_run_logger().info) as follower:
            follower.follow()
            state = follower.look_again()
            follower.forget()
    except ApertureError as error:
        show_error(error)
        raise
    artifact.show(state)
    return Completed(name=STATES.get(state.phase, state.phase), message=live_headline(state), data=str(out))


def live_folder(runs: Path, source: Path) -> Path:
    """Return where what is seen of a series lies: the same for the same folder, so that a retry goes on."""
    return runs / FOLDER / f"{source.name}-{series_key(source)[:8]}"


def series_key(folder: Path) -> str:
    """Return a key of a folder that a series is written to: of its path, and of its number in the file system.

    What it will hold is not known yet. A folder that is moved, or made anew under the name of one that was removed,
    is another series.
    """
    return hashlib.sha256(f"{folder.resolve()}\0{folder.stat().st_ino}".encode()).hexdigest()[:32]
