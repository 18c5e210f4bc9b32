"""One run of the pipeline in this process: claim the folder, run the stages, write the report."""

import importlib.metadata
import logging
from collections.abc import Sequence
from pathlib import Path
from time import perf_counter

from flows.afterwards import still_to_come, with_what_came
from flows.parallel import abreast
from flows.pipeline import Found, Run, solve_rotation_series, solve_tilt_series
from flows.progress import Steps
from flows.review import NoReview, Review
from flows.run_folder import claimed, still_missing
from flows.run_log import logged
from flows.settings import WHERE, Settings
from flows.storage import named_storage_errors
from tasks.ingest import SourceDocument, read_source
from tasks.model import Composition, DamagedStoreError
from tasks.report import RunOutcome, SourceSummary
from tasks.stage import DOCUMENT_NAME, fingerprint

log = logging.getLogger("apertura.run")

VERSIONED = ("apertura", "numpy", "scipy", "numba", "gemmi", "cctbx-base", "h5py", "pydantic", "prefect")


def run_pipeline(
    source: Path,
    out: Path,
    settings: Settings,
    steps: Steps,
    *,
    review: Review | None = None,
    document: SourceDocument | None = None,
) -> Path:
    """Run the pipeline from this process; return the run folder. `document` is what the source was read to, if it was.

    The report is there as soon as all structures are, and is written again when what nobody waits for has come. Event
    stores of which a byte has changed on the disk are made again from the source, once.
    """
    document = document or read_source(source)
    key = fingerprint({"source": document})
    with (
        named_storage_errors(out),
        claimed(out, source_key=key, source_name=str(source), settings=settings) as folder,
        logged(folder),
        abreast(settings, folder) as pool,
    ):
        run = Run(
            folder=folder,
            settings=settings,
            steps=steps,
            compositions=contents(settings, document.manifest.contents),
            review=review or NoReview(),
            pool=pool,
        )
        try:
            _go_through(run, document, key, source)
        except DamagedStoreError as error:
            log.warning("%s: made again from the source", error.message)
            (folder / "ingest" / DOCUMENT_NAME).unlink(missing_ok=True)  # the stores stay until others take their place
            _go_through(run, document, key, source)
    return folder


def _go_through(run: Run, document: SourceDocument, key: str, source: Path) -> None:
    """Take a source through all stages, and write the report."""
    found = solve_tilt_series(run, document) if document.is_tilt_series else solve_rotation_series(run, document)
    said = summary(document, found, key, source)
    found = _traced(run, found)
    if to_come := still_to_come(run, found):
        if still_missing(run.folder) != ():  # of a finished run that is taken from its folder, nothing is missing
            _write(run, found, said, to_come=to_come)
        found = with_what_came(run, found)
    _write(run, found, said)


def report(run: Run, found: Found, source: SourceSummary) -> None:
    """Write results.json and report.html."""
    _write(run, _traced(run, found), source)


def _traced(run: Run, found: Found) -> Found:
    from flows.worst_fitting import with_worst_fitting

    with run.steps.step("trace"):
        return with_worst_fitting(run, found)


def _write(run: Run, found: Found, source: SourceSummary, *, to_come: tuple[str, ...] = ()) -> None:
    from tasks.report import write_report

    outcome = RunOutcome(
        source=source,
        apertures=found.apertures,
        validity=found.series.validity if found.series else None,
        crystals=found.crystals,
        merged=found.merged[0] if found.merged else None,
        merged_others=found.merged[1:],
        combined=found.combined,
        failure=found.failure,
        to_come=to_come,
        settings_changed={name: value for name, value in run.settings.changed().items() if name not in WHERE},
        versions={name: importlib.metadata.version(name) for name in VERSIONED},
        timings_s=dict(sorted(run.steps.timings_s.items())) | {"total": round(perf_counter() - run.steps.begun_s, 3)},
    )
    with run.steps.step("report"):
        write_report(outcome, run.folder)


def summary(document: SourceDocument, found: Found, key: str, source: Path) -> SourceSummary:
    """Return what the report says of the source."""
    manifest, series = document.manifest, found.series
    return SourceSummary(
        kind="tilt series" if document.is_tilt_series else "rotation series",
        path=str(source.resolve()),
        sample=manifest.sample,
        composition=manifest.single_composition,
        compositions=manifest.compositions,
        energy_kev=manifest.beam.energy_kev,
        files=len(document.files),
        counts_total=sum(scan.counts for scan in series.scans) if series else None,
        tilt_deg=tuple(scan.tilt_deg for scan in series.scans) if series else (),
        lost=series.lost if series else (),
        metadata={"instrument": manifest.detector.name, **(series.metadata if series else {})},
        sha256=key,
    )


def contents(settings: Settings, of_source: Sequence[str]) -> tuple[Composition, ...]:
    """Return the compositions of the settings, else of the source, else none; see `Run.compositions`."""
    return tuple(Composition.parse(text) for text in settings.contents or of_source)
