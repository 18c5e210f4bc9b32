"""Several finished runs of one sample, merged: what one cluster leaves incomplete, another may fill."""

from pathlib import Path
from typing import Any

from prefect import flow
from prefect.client.schemas.objects import State
from prefect.states import Completed

from flows.commands import merge_finished_runs
from flows.progress import QuietSteps
from flows.run_folder import read_results
from flows.settings import Settings
from flows.site import load_site
from flows.solve_series import STATE_NAMES, publish, sentence


@flow(name="merge")
def merge_runs(runs: list[str], out: str, settings: Settings = Settings()) -> State[Any]:  # noqa: B008 frozen
    """Merge the crystals of several run folders by lattice, solve and refine every merged set.

    Parameters
    ----------
    runs
        Run folders of one sample.
    out
        New run folder.
    settings
        Those of solving and refining are used.
    """
    site = load_site()
    folders = [site.confined(Path(run)) for run in runs]
    folder = merge_finished_runs(folders, site.confined(Path(out)), settings, QuietSteps())
    results = read_results(folder)
    publish(results, site.url_of(folder / "report.html"), None, None)
    return Completed(name=STATE_NAMES[results["status"]], message=sentence(results), data=str(folder))
