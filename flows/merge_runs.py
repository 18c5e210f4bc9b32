"""Several finished runs of one sample, merged: what one cluster leaves incomplete, another may fill."""

from pathlib import Path
from typing import Any

from prefect import flow
from prefect.client.schemas.objects import State
from prefect.states import Completed
from pydantic import Field

from flows.commands import merge_finished_runs
from flows.progress import QuietSteps
from flows.run_folder import read_results
from flows.settings import Settings
from flows.site import load_site
from flows.solve_series import STATE_NAMES, publish, sentence


@flow(name="merge")
def merge_runs(
    runs: list[str] = Field(description="run folders of one sample"),
    out: str = Field(description="new run folder"),
    settings: Settings = Field(default=Settings(), description="those of solving and refining are used"),
) -> State[Any]:
    """Merge the crystals of several run folders by lattice, solve and refine every merged set."""
    site = load_site()
    site.confined_address(getattr(settings.compute, "address", None))
    folders = [site.confined(Path(run)) for run in runs]
    folder = merge_finished_runs(folders, site.confined(Path(out)), settings, QuietSteps())
    results = read_results(folder)
    publish(results, site.url_of(folder / "report.html"), None, None)
    return Completed(name=STATE_NAMES[results["status"]], message=sentence(results), data=str(folder))
