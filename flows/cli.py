"""The command line. Progress goes to stderr, results to stdout; the exit code says what happened."""

import json
import sys
import traceback
from pathlib import Path
from typing import Annotated, Literal

import typer

from flows.cli_of_runs import add_commands
from flows.command_ends import (
    BUG,
    MISSING,
    NOT_SOLVED,
    SOURCE,
    USAGE,
    AsJson,
    Out,
    conclude,
    one_thread_for_each_product,
)
from tasks.model import (
    ApertureError,
    InputError,
    LicenceExpiredError,
    ProgramNotFoundError,
    SettingsError,
)

app = typer.Typer(
    name="apertura",
    help="From a tilt series of 4D-STEM scans of nanocrystals to solved atomic structures.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

Config = Annotated[Path | None, typer.Option("--config", help="settings as YAML")]
Assignments = Annotated[list[str] | None, typer.Option("--set", help="one setting, a.b=c; may be repeated")]
Compositions = Annotated[
    list[str] | None,
    typer.Option("--composition", help='empirical contents, "C19 H22 N2 O"; repeated for several phases'),
]


def with_compositions(assign: list[str] | None, given: list[str] | None) -> list[str]:
    """Return the assignments with those that the option --composition stands for."""
    if not given:
        return assign or []
    one = len(given) == 1
    text = f"composition={json.dumps(given[0])}" if one else f"compositions={json.dumps(given)}"
    return [*(assign or []), text]


@app.command()
def run(
    source: Path,
    out: Out,
    composition: Compositions = None,
    config: Config = None,
    assign: Assignments = None,
    live: Annotated[bool, typer.Option("--live", help="follow a series that is being measured, then run it")] = False,
    quiet_s: Annotated[float, typer.Option(min=1.0, help="--live: without a new scan, after which not to wait")] = 3600,
    then: Annotated[Literal["end", "solve"], typer.Option(help="--live: what to do then")] = "end",
    as_json: AsJson = False,
) -> None:
    """Take one source folder to solved structures and a report."""
    from flows.commands import run_source
    from flows.settings import load_settings

    settings = load_settings(config, with_compositions(assign, composition))
    if not live:
        conclude(run_source(source, out, settings), as_json=as_json)
        return
    from flows.live import LiveSettings
    from flows.live_run import run_live

    def say(text: str) -> None:
        typer.echo(text, err=True)

    conclude(run_live(source, out, settings, LiveSettings(quiet_s=quiet_s, then=then), say=say), as_json=as_json)


@app.command()
def solve(
    hkl: Path,
    out: Out,
    cell: Annotated[str | None, typer.Option(help="a,b,c,alpha,beta,gamma in angstrom and degrees")] = None,
    composition: Compositions = None,
    space_group: Annotated[
        str | None, typer.Option(help='Hermann-Mauguin symbol, "P 21"; auto: not that of the file')
    ] = None,
    radiation: Annotated[str | None, typer.Option(help="electron or xray; that of the file, else electron")] = None,
    energy_kev: Annotated[
        float | None, typer.Option(help="of the electrons or photons; that of the file, else 200")
    ] = None,
    block: Annotated[str | None, typer.Option(help="data block of a CIF, or crystal of an MTZ, with several")] = None,
    config: Config = None,
    assign: Assignments = None,
    as_json: AsJson = False,
) -> None:
    """Solve and refine a structure from intensities: SHELX, CIF, FCF, cif_pets, MTZ, XDS, DIALS or a table."""
    from flows.commands import solve_intensities
    from flows.settings import load_settings

    result = solve_intensities(
        hkl,
        out,
        load_settings(config, with_compositions(assign, composition)),
        cell=cell,
        space_group=space_group,
        radiation=radiation,
        energy_kev=energy_kev,
        block=block,
    )
    conclude(result, as_json=as_json)


@app.command()
def inspect(
    file: Annotated[Path, typer.Argument(help="frames, scan, reflections, structure, manifest, or a source folder")],
    as_json: Annotated[bool, typer.Option("--json", help="as JSON")] = False,
) -> None:
    """Say what a file is, what it holds, and what a run would still have to be told."""
    from flows.inspection import inspect as look

    text, advice = look(file, as_json=as_json)
    typer.echo(text)
    if advice is not None:
        typer.echo(f"apertura: {file}: not known: {advice}", err=True)
        raise typer.Exit(SOURCE)


@app.command()
def draw(
    source: Annotated[Path, typer.Argument(help="source folder, or folder of a run")],
    port: Annotated[int | None, typer.Option(min=1, max=65535, help="on loopback; by default a free one")] = None,
    browser: Annotated[bool, typer.Option("--browser/--no-browser", help="open it in the browser")] = True,
    apertures: Annotated[Path | None, typer.Option(help="aperture file to begin with")] = None,
    work: Annotated[Path | None, typer.Option(help="folder for what is saved; by default `studio` in the run")] = None,
) -> None:
    """Open the aperture studio in a browser: look, draw, correct, judge, save and solve."""
    from flows.studio.draw import draw as serve

    def tell(text: str) -> None:
        typer.echo(text, err=True)

    serve(source, port=port, browser=browser, work=work, apertures=apertures, say=typer.echo, tell=tell)


@app.command()
def demo(out: Annotated[Path, typer.Option("--out", help="new folder")] = Path("apertura-demo")) -> None:
    """Make a small synthetic cluster and solve it with embedded engines only."""
    from flows.demo import run_demo

    conclude(run_demo(out), as_json=False)


@app.command()
def simulate(
    cif: Path,
    out: Annotated[Path, typer.Option("--out", help="new folder for the series")],
    seed: Annotated[int | None, typer.Option(help="seed of everything random")] = None,
    crystals: Annotated[int | None, typer.Option(help="number of crystals in the cluster")] = None,
    instrument: Annotated[str, typer.Option(help="ideal, 4d-camera or hybrid-pixel; --set changes it")] = "ideal",
    assign: Assignments = None,
) -> None:
    """Write a synthetic tilt series of a structure, in the acquisition contract."""
    from flows.demo import simulate_series

    options = (("seed", seed), ("cluster.crystals", crystals))
    named = [f"{name}={value}" for name, value in options if value is not None]
    folder = simulate_series(cif, out, [*named, *(assign or [])], instrument=instrument)
    typer.echo(str(folder))


EXPORT_HELP = """Write everything that is needed to carry on by hand in another program, or to deposit a structure.

\b
xds        CBF images and XDS.INP
dials      CBF images and a script of DIALS commands
nxmx       the frames as NXmx (HDF5), which DIALS reads
stacks     the frames as MRC and TIFF stacks, with .mdoc of the tilts
pets       TIFF images and a .pts file for PETS2
cif-pets   intensities by frame, for dynamical refinement (Jana)
shelx      job.ins and job.hkl for SHELXT
deposit    a zip for journals: CIF with data, FCF, frames, report
raw-csr    the scans (also of a source folder) as LiberTEM's raw_csr
"""


@app.command(help=EXPORT_HELP)
def export(
    run: Annotated[Path, typer.Argument(help="folder of a finished run; for raw-csr also of a source")],
    to: Annotated[str, typer.Option("--to", help="what to write: one of the names above")],
    out: Annotated[Path | None, typer.Option("--out", help="new folder; RUN/export-TARGET by default")] = None,
    crystal: Annotated[str | None, typer.Option(help="only this crystal")] = None,
) -> None:
    """Write folders for other programs."""
    from flows.export import export_run

    for folder in export_run(run, to, out or run / f"export-{to}", crystal=crystal):
        typer.echo(str(folder))


@app.command()
def doctor(as_json: Annotated[bool, typer.Option("--json", help="as JSON")] = False) -> None:
    """Say what is installed, which versions, which licences expire, and what each absence costs."""
    from flows.doctor import examine, table

    findings = examine()
    typer.echo(findings.model_dump_json(indent=1) if as_json else table(findings))
    if not findings.usable:
        raise typer.Exit(MISSING)


@app.command()
def schema(
    simulation: Annotated[bool, typer.Option("--simulation", help="of the settings of simulate instead")] = False,
    manifest: Annotated[str | None, typer.Option(help="of a source's manifest instead: tilt or rotation")] = None,
) -> None:
    """Print the JSON Schema of the settings, or of a manifest with the unit of every field."""
    from flows.schemas import schema_text

    typer.echo(schema_text(simulation=simulation, manifest=manifest))


@app.command("manifest")
def draft_manifest(
    folder: Annotated[Path, typer.Argument(help="folder with frames or scans, and their logs")],
    files: Annotated[str | None, typer.Option(help="glob in the folder that chooses one of several series")] = None,
    kind: Annotated[str | None, typer.Option(help="tilt or rotation, where stacks of frames may be either")] = None,
    out: Annotated[Path | None, typer.Option("--out", help="new file; by default the draft is printed")] = None,
) -> None:
    """Draft a manifest from what the files and logs in a folder state; null where they do not."""
    from flows.manifest_draft import draft_of, manifest_text, told, write_draft

    series, draft = draft_of(folder, files=files, kind=kind)
    typer.echo(told(folder, series, draft), err=True)
    if out is None:
        typer.echo(manifest_text(draft))
    else:
        write_draft(draft, out)
        typer.echo(str(out))


@app.command()
def watch(
    incoming: Annotated[Path | None, typer.Argument(help="folder to watch, beside those of the site file")] = None,
    ledger: Annotated[Path | None, typer.Option(help="SQLite file; by default the site's")] = None,
    poll_s: Annotated[float, typer.Option(min=0.05, help="seconds between two looks")] = 1.0,
    once: Annotated[bool, typer.Option("--once", help="look one time and end")] = False,
) -> None:
    """Watch for complete data sets and give each exactly one run on the Prefect server."""
    from flows.commands import watch_site

    watch_site(incoming, ledger, poll_s=poll_s, once=once)


@app.command()
def status(
    as_json: Annotated[bool, typer.Option("--json", help="as JSON")] = False,
    data: Annotated[Path | None, typer.Option("--data", help="the folder of `facility up`")] = None,
) -> None:
    """Show queue, running, last outcomes and disk of a facility: that of --data, or that PREFECT_API_URL names."""
    _of_facility(data)
    from flows.commands import needs_server
    from flows.status import status as ask
    from flows.status import table

    answer = needs_server(ask)
    typer.echo(answer.model_dump_json(indent=1) if as_json else table(answer))


@app.command()
def drain(
    pool: Annotated[str, typer.Option(help="work pool")] = "apertura",
    limit_s: Annotated[float, typer.Option(help="how long to wait for running flows")] = 86400.0,
    opened: Annotated[bool, typer.Option("--open", help="open the pool again, and wait for nothing")] = False,
    no_resume: Annotated[bool, typer.Option("--no-resume", hidden=True)] = False,  # noqa: ARG001 of earlier versions: what is done now
    data: Annotated[Path | None, typer.Option("--data", help="the folder of `facility up`")] = None,
) -> None:
    """Close a pool and let its running flows end, before its worker is stopped; the next start opens it, or --open."""
    _of_facility(data)
    from flows.commands import needs_server
    from flows.drain import drain as wait
    from flows.drain import open_again

    if opened:
        needs_server(lambda: open_again(pool))
        typer.echo(f"{pool}: open", err=True)
        return
    ended = needs_server(lambda: wait(pool, limit_s=limit_s))
    typer.echo(f"{pool}: {ended} active runs ended; closed until the next start, or `apertura drain --open`", err=True)


facility = typer.Typer(help="A facility on this machine: server, worker and watcher.", no_args_is_help=True)
app.add_typer(facility, name="facility")


@facility.command("up")
def facility_up(
    data: Annotated[Path, typer.Option("--data", help="folder for incoming, runs, logs and the server's database")],
    port: Annotated[int, typer.Option(min=1024, max=65535, help="port on loopback")] = 4200,
) -> None:
    """Start it; then drop data sets into DIR/incoming and look at the browser."""
    from flows.facility import ENVIRONMENT, SECRETS, keep_secrets, up

    started = up(data, port=port)
    folder = data.resolve()
    typer.echo(f"{started.url}\ndrop data sets into {folder / 'incoming'}")
    typer.echo(f"the browser asks once for: {keep_secrets(folder).login}   (kept in {folder / SECRETS})")
    typer.echo(f"for other programs: set -a; . {folder / ENVIRONMENT}; set +a")


@facility.command("down")
def facility_down(data: Annotated[Path, typer.Option("--data", help="the folder of `up`")]) -> None:
    """Stop it."""
    from flows.facility import down

    down(data)


add_commands(app)


def _of_facility(data: Path | None) -> None:
    if data is not None:
        from flows.facility import take_environment

        take_environment(data)


def exit_code(error: ApertureError) -> int:
    """Return the exit code of a typed error that ended a command."""
    if isinstance(error, SettingsError):
        return USAGE
    if isinstance(error, InputError):
        return SOURCE
    if isinstance(error, ProgramNotFoundError | LicenceExpiredError):
        return MISSING
    return NOT_SOLVED


def main() -> None:
    """Run the command line; every end has one of the documented exit codes."""
    one_thread_for_each_product()
    try:
        app(standalone_mode=True)
    except ApertureError as error:
        typer.echo(f"apertura: {error.code}: {error.message}", err=True)
        if error.advice:
            typer.echo(f"  {error.advice}", err=True)
        sys.exit(exit_code(error))
    except KeyboardInterrupt:
        typer.echo("apertura: interrupted; the same command resumes the run", err=True)
        sys.exit(130)
    except Exception:  # noqa: BLE001 the last resort: a bug gets its own exit code
        traceback.print_exc()
        typer.echo("apertura: this is a bug; please report it with the lines above", err=True)
        sys.exit(BUG)


if __name__ == "__main__":
    main()
