"""Commands on a finished run: regions of its crystals, a reflection back to its electrons, its work repeated."""

import json
from pathlib import Path
from typing import Annotated, Literal

import typer

from flows.command_ends import NOT_SOLVED, AsJson, Out, conclude


def add_commands(app: typer.Typer) -> None:
    """Add the commands to the command line."""
    for command in (region, trace, replay):
        app.command()(command)


def region(
    run: Annotated[Path, typer.Argument(help="folder of a finished run")],
    crystal: Annotated[str, typer.Option(help="as in results.json: crystal-01")],
    out: Out,
    file: Annotated[Path | None, typer.Option(help="aperture file: regions drawn within the crystal")] = None,
    split: Annotated[int | None, typer.Option(help="so many equal regions, which together are the crystal")] = None,
    positions: Annotated[int | None, typer.Option(help="the best so many positions at every tilt")] = None,
    statistics: Annotated[
        Literal["auto", "counts", "sums"],
        typer.Option(help="counts: a Poisson likelihood, for few electrons; sums: profile fits; auto: by how few"),
    ] = "auto",
    as_json: AsJson = False,
) -> None:
    """Measure regions of a crystal in its known geometry, also those too small to be indexed, and solve them."""
    from flows.progress import TerminalSteps
    from flows.regions import RegionsAsked, measure_regions

    with TerminalSteps() as steps:
        folder = measure_regions(run, crystal, RegionsAsked(file, split, positions), out, steps, statistics=statistics)
    conclude(folder, as_json=as_json)


def trace(
    run: Annotated[Path, typer.Argument(help="folder of a finished run")],
    crystal: Annotated[str, typer.Option(help="as in results.json: crystal-01")],
    hkl: Annotated[str, typer.Option(help="h,k,l in the cell of the crystal; equivalents are traced with it")],
    merged: Annotated[
        bool, typer.Option("--merged", help="as measured to be merged with others, in their lattice, where it was")
    ] = False,
    picture: Annotated[Path | None, typer.Option(help="also draw it: new .png, .svg or .pdf")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="as JSON, with all pixels and probe positions")] = False,
) -> None:
    """Follow a reflection back to the frames, the probe positions and the electrons that made it."""
    from flows.tracing import table
    from flows.tracing import trace as follow

    traced = follow(run, crystal, hkl, merged=merged, picture=picture)
    typer.echo(traced.model_dump_json() if as_json else table(traced))


def replay(
    run: Annotated[Path, typer.Argument(help="folder of a finished run; nothing is written into it")],
    stage: Annotated[
        str | None, typer.Option(help="ingest, apertures, beams, frames, integrate, merge, solve or refine; else all")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="as JSON")] = False,
) -> None:
    """Repeat the work of a run from its recorded inputs, and say whether the results are the same byte for byte."""
    from flows.replay import replay as repeat
    from flows.replay import sentence

    done = repeat(run, stage, tell=lambda one: typer.echo(sentence(one), err=True))
    if as_json:
        typer.echo(json.dumps([one.model_dump(mode="json") for one in done]))
    if any(one.outcome != "same" for one in done):
        raise typer.Exit(NOT_SOLVED)
