"""The report stage: results.json and report.html in the run folder."""

import json
import logging
import os
from pathlib import Path

from tasks.model import Document, FileRef
from tasks.report.models import RunOutcome
from tasks.report.page import render_page
from tasks.report.results import results

log = logging.getLogger("apertura.report")

RESULTS_NAME = "results.json"
PAGE_NAME = "report.html"


class ReportFiles(Document):
    """What the report stage wrote."""

    results: FileRef
    page: FileRef


def write_report(outcome: RunOutcome, rundir: Path) -> ReportFiles:
    """Write the report of a run into its folder, each file in place by an atomic rename."""
    rundir.mkdir(parents=True, exist_ok=True)
    text = json.dumps(results(outcome, rundir), indent=1, ensure_ascii=False, allow_nan=False)
    made = ReportFiles(
        results=put_text(rundir / RESULTS_NAME, text + "\n"),
        page=put_text(rundir / PAGE_NAME, render_page(outcome, rundir)),
    )
    log.info("%s: %d crystals, report in %s", outcome.status, len(outcome.crystals), rundir)
    return made


def put_text(path: Path, text: str) -> FileRef:
    """Write a text in place by an atomic rename."""
    partial = path.with_name(f".{path.name}.partial")
    partial.write_text(text, encoding="utf-8")
    os.replace(partial, path)  # noqa: PTH105 - pathlib's rename does not replace on every system
    return FileRef.of(path)
