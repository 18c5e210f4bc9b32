"""The deployable flow around the pipeline: one data set, from its source folder to structures and a report."""

import logging
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from prefect import flow, get_run_logger
from prefect.artifacts import create_link_artifact, create_markdown_artifact, create_table_artifact
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import State
from prefect.runtime import flow_run
from prefect.states import Completed
from pydantic import Field

from flows.announced import AsAnnounced, check_announced
from flows.approval import Approval, PersonReview
from flows.ownership import owned
from flows.progress import PublishedSteps
from flows.proposals import belonging
from flows.run_folder import VERSION, read_results, version_of
from flows.runs import run_pipeline
from flows.settings import Settings
from flows.site import Site, load_site
from tasks.apertures import ApertureFile
from tasks.ingest import SourceDocument, read_source
from tasks.model import ApertureError, ProgramFailedError, ProgramTimeoutError, fenced, plain, visible
from tasks.stage import fingerprint, tell

NAME_BYTES_MAX = 200
"""Of a source's name in that of its run folder: file systems take 255, with both keys and what is put behind them."""
STATE_NAMES = {
    "solved": "Solved",
    "not-solved": "Merged only",
    "not-indexed": "Not indexed",
    "no-crystals": "No crystals",
}


def run_name() -> str:
    """Return the name of the flow run in the UI."""
    source = str(flow_run.parameters.get("source") or "unknown")
    return visible(f"solve {Path(source).name}")


@flow(name="solve-series", flow_run_name=run_name, persist_result=True, result_serializer="json")
def solve_series(
    source: str = Field(description="folder with tilt_series.json or rotation_series.json"),
    out: str | None = Field(default=None, description="run folder; by default named after source, data and settings"),
    settings: Settings = Field(default=Settings(), description="what every stage does; the defaults are meant to work"),
    approval: Approval = Field(default=Approval(), description="whether a person is asked on the way"),
    dataset_key: str | None = Field(default=None, description="given by the watcher: leave it empty"),
    previous_key: str | None = Field(default=None, description="given by the watcher: leave it empty"),
) -> State[Any]:
    """Take one source folder to solved structures and a report.

    The state's name is the outcome; an error that a person must act on is shown as an artifact and fails the run.
    """
    logging.getLogger("apertura").setLevel(logging.INFO)  # Prefect hands its handlers to it, but not its level
    site = load_site()
    try:
        site.confined_address(getattr(settings.compute, "address", None))
        place = site.confined(Path(source))
        check_announced(place, dataset_key, site)
        who = belonging(site, place)
        carry_tags(who.tags)
        document = read_source(place)
        folder = site.run_place(Path(out)) if out is not None else run_folder(site, place, document, settings)
        if isinstance(settings.apertures, ApertureFile):
            for file in filter(None, (settings.apertures.file, settings.apertures.earlier)):
                site.confined(file.path)
        steps = PublishedSteps()
        review = PersonReview(approval, folder=folder, site=site, steps=steps)
        with AsAnnounced(place, dataset_key, site, folder), owned(site, folder, who):
            run_pipeline(place, folder, settings, steps, review=review, document=document)
    except ApertureError as error:
        show_error(error)
        raise
    results = read_results(folder)
    publish(results, site.url_of(folder / "report.html"), dataset_key, previous_key)
    broken = engine_failure(results)
    mark_run(results, STATE_NAMES[results["status"]] if broken is None else "Engine failed", who.tags)
    if broken is not None:
        show_error(broken)
        raise broken
    return Completed(name=STATE_NAMES[results["status"]], message=sentence(results), data=str(folder))


def run_folder(site: Site, source: Path, document: SourceDocument, settings: Settings) -> Path:
    """Return where the run lives: the same for the same data and settings, so that a retry resumes.

    One that a run of another version of apertura has begun is left to it.
    """
    runs = site.runs or Path.cwd() / "apertura-runs"
    data, how = fingerprint({"source": document}), fingerprint({"settings": settings.of_results})
    name = source.name.encode()[:NAME_BYTES_MAX].decode(errors="ignore")
    folder = runs / f"{name}-{data[:8]}-{how[:8]}"
    if version_of(folder) not in {None, VERSION}:
        folder = folder.with_name(f"{folder.name}-v{VERSION}")
    return site.run_place(folder)


def engine_failure(results: dict[str, Any]) -> ProgramFailedError | None:
    """Return what to look at, if no crystal got through and a program (not the data) is why."""
    if results["status"] == "solved":
        return None
    failures = [crystal["failure"] for crystal in results["crystals"] if crystal["failure"]]
    broken = [failure for failure in failures if failure["code"].startswith(("E", "P"))]
    if not broken or len(broken) < len(results["crystals"]):
        return None
    kind = ProgramTimeoutError if broken[0]["code"] == ProgramTimeoutError.code else ProgramFailedError
    return kind(f"{broken[0]['stage']}: {broken[0]['message']}", broken[0]["advice"])


def sentence(results: dict[str, Any]) -> str:
    """Return the outcome in one line."""
    crystals = results["crystals"]
    solved = [crystal for crystal in crystals if crystal["status"] == "solved"]
    if not solved:
        reasons = sorted({str(crystal["reason"]) for crystal in crystals if crystal["reason"]})
        return f"{len(crystals)} crystals, none solved" + (f": {reasons[0]}" if reasons else "")
    best = min(solved, key=lambda crystal: crystal["refinement"]["r1"])
    return (
        f"{len(solved)} of {len(crystals)} crystals solved; best R1 {best['refinement']['r1']:.3f}"
        f" in {best['solution']['space_group']} ({best['id']})"
    )


def publish(results: dict[str, Any], report_url: str, dataset_key: str | None, previous_key: str | None) -> None:
    """Make the artifacts that a run's page shows."""
    rows = [crystal_row(crystal) for crystal in results["crystals"]]
    tell(lambda: create_table_artifact(key="crystals", table=rows, description=plain(sentence(results))))
    tell(
        lambda: create_link_artifact(
            key="report", link=report_url, link_text="the report", description=plain(sentence(results))
        )
    )
    if previous_key is not None:
        earlier = plain(f"dataset:{previous_key}")
        text = f"This is a new version ({plain(str(dataset_key))}) of a data set that was run before as {earlier}."
        tell(lambda: create_markdown_artifact(text, key="earlier-version"))


def show_error(error: ApertureError) -> None:
    """Make the artifact that says what a person is to do."""
    tell(lambda: create_markdown_artifact(advice(error), key="what-went-wrong", description=plain(error.message)))


def crystal_row(crystal: dict[str, Any]) -> dict[str, Any]:
    """Return one row of the table of crystals."""
    integration, refinement = crystal.get("integration") or {}, crystal.get("refinement") or {}
    return {
        "crystal": crystal["id"],
        "status": crystal["status"],
        "cell": " ".join(f"{value:.2f}" for value in integration.get("unit_cell", [])),
        "space group": (crystal.get("solution") or integration).get("space_group", ""),
        "completeness": integration.get("completeness"),
        "CC1/2": integration.get("cc_half"),
        "R1": refinement.get("r1"),
        "reason": crystal["reason"] or "",
    }


def carry_tags(tags: Iterable[str]) -> None:
    """Give the run tags that it lacks: of one that the watcher made they are there from its birth."""
    run_id, there = flow_run.id, set(flow_run.tags)
    if run_id is None or set(tags) <= there:
        return

    def tag_it() -> None:
        with get_client(sync_client=True) as client:
            client.update_flow_run(run_id, tags=sorted({*there, *tags}))

    tell(tag_it)


def mark_run(results: dict[str, Any], outcome: str, whose: Iterable[str]) -> None:
    """Put sample and outcome into the name and the tags of the run."""
    run_id = flow_run.id
    if run_id is None:
        return
    sample = visible(str(results["source"].get("sample", "")))
    tags = [*flow_run.tags, *whose, f"outcome:{outcome}"]

    def name_it() -> None:
        with get_client(sync_client=True) as client:
            client.update_flow_run(run_id, name=f"{sample}: {outcome}"[:200], tags=sorted(set(tags)))

    tell(name_it)
    get_run_logger().info("%s: %s", sample, sentence(results))


def advice(error: ApertureError) -> str:
    """Return what a person sees of a typed error."""
    return f"### {error.code}: {type(error).__name__}\n\n{fenced(error.message)}\n\n{plain(error.advice)}\n"
