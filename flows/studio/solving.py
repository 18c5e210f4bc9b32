"""Solve from the studio: a run with the saved aperture, in which only what depends on the change is computed again."""

import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from flows.progress import QuietSteps
from flows.run_folder import claimed
from flows.runs import run_pipeline
from flows.settings import Settings
from tasks.apertures import ApertureFile
from tasks.ingest import SourceDocument, read_source
from tasks.model import Document, FileRef, ProgramFailedError, SourceError
from tasks.stage import DOCUMENT_NAME, fingerprint

Tell = Callable[[str], None]

TAKEN = ("ingest", "beams", "crystals", "merged")
"""Folders of a run whose finished steps may stand in a new one; a step whose inputs differ is computed again."""
FOLDER = "solved"
POLL_S = 2.0
"""Between looks at a run on the server. Chosen, not measured: a step takes seconds to minutes."""
FINAL = frozenset({"COMPLETED", "FAILED", "CANCELLED", "CRASHED"})
"""Types of Prefect's states in which nothing happens any more."""


class SolveRequest(NamedTuple):
    """What is solved: `earlier` is the run whose steps are taken over, or the work folder with scans read before."""

    source: Path
    out: Path
    settings: Settings
    earlier: Path


class StepsTaken(Document):
    """How many steps of a run were taken over, and how many were computed."""

    taken: int
    computed: int


class ToldSteps(QuietSteps):
    """Tells which step begins, and keeps the times."""

    def __init__(self, tell: Tell) -> None:
        super().__init__()
        self._tell = tell

    @contextmanager
    def step(self, stage: str, crystal: str = "") -> Iterator[None]:
        """Enclose one step."""
        self._tell(f"{stage} {crystal}".strip())
        with super().step(stage, crystal):
            yield


def new_run(work: Path) -> Path:
    """Return the folder of the next run below the work folder, made."""
    place = work / FOLDER
    numbers = [int(path.name.removeprefix("run-")) for path in place.glob("run-*") if path.name[4:].isdigit()]
    folder = place / f"run-{1 + max(numbers, default=0):02d}"
    folder.mkdir(parents=True)
    return folder


def settings_with(settings: Settings, aperture_file: Path, earlier: Path | None) -> Settings:
    """Return the settings of a run with an aperture file; crystals unchanged since `earlier` keep what it knows."""
    proposals = None if earlier is None else earlier / "apertures" / DOCUMENT_NAME
    known = FileRef.of(proposals) if proposals is not None and proposals.is_file() else None
    drawn = ApertureFile(file=FileRef.of(aperture_file), earlier=known)
    return settings.model_copy(update={"apertures": drawn})


def solve(request: SolveRequest, tell: Tell) -> Path:
    """Run the pipeline in a new folder with what can be taken from an earlier one; return the folder.

    With ``PREFECT_API_URL`` set the run is made on that server, by its deployment.

    Raises
    ------
    SourceError
        If the source is gone, or is not what the earlier run was of.
    ApertureError
        What a stage raised.
    """
    document = read_source(request.source)
    key = fingerprint({"source": document})
    with claimed(request.out, source_key=key, source_name=str(request.source), settings=request.settings):
        taken = take_over(request.earlier, request.out)
    tell(f"{taken} finished steps of {request.earlier.name} at hand")
    if os.environ.get("PREFECT_API_URL"):
        _run_on_server(request, tell)
    else:
        _run_here(request, document, tell)
    steps = steps_taken(request.earlier, request.out)
    tell(f"{steps.taken} steps taken over, {steps.computed} computed")
    return request.out


def take_over(earlier: Path, out: Path) -> int:
    """Put the finished steps of an earlier run into a new one, by hard links or copies; return how many."""
    for name in TAKEN:
        if (earlier / name).is_dir():
            shutil.copytree(
                earlier / name, out / name, copy_function=_link_or_copy, ignore=_unfinished, dirs_exist_ok=True
            )
    return sum(1 for _ in _documents(out))


def steps_taken(earlier: Path, run: Path) -> StepsTaken:
    """Count the steps of a run that are those of the earlier one, by the bytes of their documents."""
    same = [path for path in _documents(run) if _equal(path, earlier / path.relative_to(run))]
    return StepsTaken(taken=len(same), computed=sum(1 for _ in _documents(run)) - len(same))


def checked_source(source: Path | None, *, named: str) -> Path:
    """Return the source of a place; raises SourceError if it is gone."""
    if source is None or not source.is_dir():
        raise SourceError(
            f"the source {named} is gone: a run cannot be made",
            "put it back; drawing, judging and saving go on without it",
        )
    return source


def outcome_in_words(results: dict[str, Any]) -> str:
    """Return what came of a run in one line."""
    from flows.solve_series import sentence

    return sentence(results)


def _run_here(request: SolveRequest, document: SourceDocument, tell: Tell) -> None:
    run_pipeline(request.source, request.out, request.settings, ToldSteps(tell), document=document)


def _run_on_server(request: SolveRequest, tell: Tell) -> None:
    from prefect.client.orchestration import get_client
    from prefect.deployments import run_deployment

    from flows.arrivals import DEPLOYMENT

    made: Any = run_deployment(
        DEPLOYMENT,
        parameters={
            "source": str(request.source),
            "out": str(request.out),
            "settings": request.settings.model_dump(mode="json"),
        },
        flow_run_name=f"studio {request.source.name}",
        tags=["studio"],
        timeout=0,
        as_subflow=False,
    )
    said = ""
    with get_client(sync_client=True) as client:
        while True:
            state = client.read_flow_run(made.id).state
            name = "unknown" if state is None else state.name or state.type.value
            if name != said:
                tell(f"on the server: {name}")
                said = name
            if state is not None and state.type.value in FINAL:
                break
            time.sleep(POLL_S)
    if state.type.value != "COMPLETED":
        raise ProgramFailedError(f"the run on the server ended as {name}: {state.message}", f"see flow run {made.id}")


def _link_or_copy(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:  # another file system, or one without links
        shutil.copy2(source, target)


def _unfinished(_folder: str, names: list[str]) -> set[str]:
    return {name for name in names if name.startswith(".")}


def _documents(run: Path) -> Iterator[Path]:
    for name in TAKEN:
        yield from (run / name).rglob(DOCUMENT_NAME)


def _equal(first: Path, second: Path) -> bool:
    try:
        return first.samefile(second) or first.read_bytes() == second.read_bytes()
    except OSError:
        return False
