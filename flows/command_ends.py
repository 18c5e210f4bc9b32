"""What commands share: options, exit codes, and how a run's end is told."""

import json
import os
from pathlib import Path
from typing import Annotated

import typer

SOLVED, NOT_SOLVED, USAGE, SOURCE, MISSING, BUG = 0, 1, 2, 3, 4, 70
"""Exit codes that users rely on; 70 is EX_SOFTWARE of sysexits.h."""

Out = Annotated[Path, typer.Option("--out", help="run folder: new, empty, or of the same run (resumed)")]
AsJson = Annotated[bool, typer.Option("--json", help="print results.json to stdout")]


def one_thread_for_each_product() -> None:
    """Keep OpenBLAS to one thread in this process and those it starts; to be said before numpy is imported.

    Crystals and scans are worked on side by side, and what is multiplied is small: threads wait for each other. A scan
    of the demo with many-beam scattering takes 0.65 CPU s so, and 5 with two threads on a busy machine of two
    processors; a run of one crystal takes 38 CPU s for 42. The last digit of some results depends on the number of
    threads: so it is one on every machine, and a run is replayed byte for byte on another.
    """
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")


def conclude(rundir: Path, *, as_json: bool) -> None:
    """Say what a run came to, print its results if asked, and end with the exit code of that."""
    text = (rundir / "results.json").read_text(encoding="utf-8")
    found = json.loads(text)
    status = found["status"]
    typer.echo(found["headline"], err=True)
    typer.echo(f"{status}: {rundir / 'report.html'}", err=True)
    if as_json:
        typer.echo(text)
    if status != "solved":
        raise typer.Exit(NOT_SOLVED)
