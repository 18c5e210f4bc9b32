"""`apertura run --live`: a series followed to its end, then run; with a server, recorded there."""

import os
from collections.abc import Callable
from pathlib import Path

from flows.commands import run_source
from flows.live import LiveSettings, followed, hand_over, handed_over, write_unfinished
from flows.settings import Settings
from flows.site import load_site
from tasks.report import LiveState


def run_live(folder: Path, out: Path, settings: Settings, live: LiveSettings, *, say: Callable[[str], object]) -> Path:
    """Follow a series into a run folder, and run it when it is complete; return the run folder.

    With ``PREFECT_API_URL`` set the growth is shown on that server, too.
    """
    site = load_site()
    if (source := handed_over(folder, out, site)) is not None:
        return run_source(source, out, settings)
    with followed(folder, out, settings, live, site, show=_shown(), say=say) as follower:
        state = follower.follow()
        if state.phase == "stopped" and live.then == "end":
            write_unfinished(state, out)
            return out
        source = follower.source() if state.phase == "complete" else follower.cut()
        hand_over(out, source)
    return run_source(source, out, settings)


def _shown() -> Callable[[LiveState], object]:
    if not os.environ.get("PREFECT_API_URL"):
        return lambda _: None
    from flows.live_artifact import LiveArtifact

    return LiveArtifact().show
