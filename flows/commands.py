"""What the commands of the command line do: claim the run folder, run the pipeline, write the report."""

import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Literal, TypeVar, cast, get_args

from adapters.formats.intensity_table import IntensityTable
from adapters.formats.read_intensities import FORMATS, check_sufficient, read_intensity_file, reflections_of_table
from adapters.formats.reflection_formats import read_with
from adapters.formats.stated_beam import StatedBeam, stated_beam
from flows.parallel import abreast
from flows.pipeline import Found, Run, combine, merged_structures, structure
from flows.progress import Steps, TerminalSteps
from flows.review import NoReview
from flows.run_folder import claimed, read_results
from flows.runs import contents, report, run_pipeline
from flows.settings import Settings
from flows.storage import named_storage_errors
from tasks.integrate import Reflections
from tasks.model import FileRef, ProgramNotFoundError, SettingsError, SourceError, UnitCell
from tasks.report import CrystalOutcome, SourceSummary
from tasks.stage import fingerprint, read_document

Radiation = Literal["electron", "xray"]
T = TypeVar("T")


def run_source(source: Path, out: Path, settings: Settings) -> Path:
    """Run the whole pipeline on one source; return the run folder, with report.html and results.json in it.

    With ``PREFECT_API_URL`` set the run is recorded on that server as a flow run.
    """
    if os.environ.get("PREFECT_API_URL"):
        from flows.solve_series import solve_series

        solve_series(source=str(source.resolve()), out=str(out.resolve()), settings=settings)
        return out
    with TerminalSteps() as steps:
        return run_pipeline(source, out, settings, steps)


def solve_intensities(
    hkl: Path,
    out: Path,
    settings: Settings,
    *,
    cell: str | None,
    space_group: str | None,
    radiation: str | None,
    energy_kev: float | None,
    block: str | None = None,
) -> Path:
    """Solve and refine from a file of intensities; return the run folder."""
    if radiation is not None and radiation not in get_args(Radiation):
        raise SettingsError(f"--radiation {radiation!r}: must be electron or xray", "")
    if energy_kev is not None and not 0 < energy_kev <= 3000:
        raise SettingsError(f"--energy-kev {energy_kev}: must lie between 0 and 3000", "")
    if hkl.is_dir():
        raise SourceError(f"{hkl}: is a folder", "`apertura run` takes folders; give a file of intensities here")
    if not hkl.is_file():
        raise SourceError(f"{hkl}: no such file", f"give a file of intensities: {FORMATS}")
    given = {"cell": cell, "space_group": space_group, "radiation": radiation, "energy_kev": energy_kev}
    files = {path.name: FileRef.of(path) for path in read_with(hkl, alone=cell is not None)}
    key = fingerprint({"files": files, "block": block, **given})
    with TerminalSteps() as steps, named_storage_errors(out):
        with steps.step("read"):  # before the folder is claimed: what a file lacks is no run
            known, probe = parse_cell(cell), cast("Radiation | None", radiation)
            table = read_intensity_file(hkl, block=block, alone=cell is not None)
            check_sufficient(hkl, table, cell=known, radiation=probe, energy_kev=energy_kev)
            beam = stated_beam(hkl, table, probe, energy_kev)
        with (
            claimed(out, source_key=key, source_name=str(hkl), settings=settings) as folder,
            abreast(settings, folder) as pool,
        ):
            workdir = folder / "intensities"
            workdir.mkdir(exist_ok=True)
            with steps.step("symmetry"):
                data = reflections_of_table(hkl, table, cell=known, space_group=space_group, beam=beam, workdir=workdir)
            stated = () if table.composition is None else (table.composition,)
            run = Run(folder, settings, steps, contents(settings, stated), NoReview(), keep_axes=True, pool=pool)
            (crystal,) = pool.each(partial(structure, run), [CrystalOutcome(id="crystal-01", reflections=data)])
            source = _summary_of_file(hkl, table, beam, settings, files=len(files), sha256=key)
            report(run, Found(None, None, (crystal,), ()), source)
    return folder


def _summary_of_file(
    hkl: Path, table: IntensityTable, beam: StatedBeam, settings: Settings, *, files: int, sha256: str
) -> SourceSummary:
    return SourceSummary(
        kind="intensities",
        path=str(hkl.resolve()),
        sample=hkl.stem,
        composition=settings.composition or (None if settings.compositions else table.composition),
        compositions=settings.compositions,
        energy_kev=round(beam.energy_kev, 4),
        files=files,
        sha256=sha256,
    )


def merge_finished_runs(runs: list[Path], out: Path, settings: Settings, steps: Steps) -> Path:
    """Merge the crystals of finished runs; return the new run folder.

    Raises
    ------
    SourceError
        If a folder is not of a finished run, or the runs hold fewer than two integrated crystals.
    """
    crystals = [crystal for number, run in enumerate(runs, 1) for crystal in finished_crystals(run, number)]
    if len(crystals) < 2:
        raise SourceError(f"{len(crystals)} integrated crystals in {len(runs)} runs", "name runs with crystals")
    key = fingerprint({"crystals": [crystal.reflections for crystal in crystals]})
    names = ", ".join(run.name for run in runs)
    with (
        claimed(out, source_key=key, source_name=names, settings=settings) as folder,
        abreast(settings, folder) as pool,
    ):
        run = Run(folder, settings, steps, contents(settings, first_contents(runs)), NoReview(), pool=pool)
        combined = combine(run, tuple(crystals))
        merged = merged_structures(run, combined)
        source = SourceSummary(
            kind="intensities",
            path=names,
            sample=names,
            composition=settings.composition,
            compositions=settings.compositions,
            energy_kev=None,
            files=len(crystals),
            sha256=key,
        )
        report(run, Found(None, None, tuple(crystals), merged, combined), source)
    return folder


def finished_crystals(run: Path, number: int) -> list[CrystalOutcome]:
    """Return the integrated crystals of a finished run, with names that tell the runs apart."""
    read_results(run)
    found = []
    for folder in sorted((run / "crystals").glob("*/integrate")):
        data = read_document(folder, Reflections)
        name = f"run-{number:02d}-{data.id}"
        found.append(CrystalOutcome(id=name, reflections=data.model_copy(update={"id": name, "members": (name,)})))
    return found


def first_contents(runs: list[Path]) -> tuple[str, ...]:
    """Return the compositions that the first run was given that was given any."""
    for run in runs:
        source = read_results(run)["source"]
        if found := source.get("compositions") or [text for text in [source.get("composition")] if text]:
            return tuple(found)
    return ()


def parse_cell(text: str | None) -> UnitCell | None:
    """Read ``a,b,c,alpha,beta,gamma``."""
    if text is None:
        return None
    try:
        a, b, c, alpha, beta, gamma = (float(part) for part in text.split(","))
        return UnitCell(a=a, b=b, c=c, alpha=alpha, beta=beta, gamma=gamma)
    except ValueError as error:
        raise SettingsError(
            f"--cell {text!r}: not a unit cell", "give six numbers, a,b,c,alpha,beta,gamma, in angstrom and degrees"
        ) from error


def watch_site(incoming: Path | None, ledger: Path | None, *, poll_s: float, once: bool) -> None:
    """Watch the folders of the site file and `incoming`."""
    from flows.arrivals import Watcher
    from flows.ledger import Ledger
    from flows.live_arrivals import LiveStarts
    from flows.preflight import check_password
    from flows.proposals import check_groups
    from flows.site import load_site

    site = load_site()
    check_groups(site)
    if incoming is not None:
        if not incoming.is_dir():
            raise SettingsError(f"{incoming}: no such folder", "give the folder that data sets arrive in")
        site = site.model_copy(update={"incoming": (*site.incoming, incoming.resolve())})
    if not site.incoming:
        raise SettingsError("no folder to watch", "give one, or name them in the site file (APERTURA_SITE)")
    where = ledger or site.ledger
    if where is None:
        raise SettingsError("no ledger", "give --ledger FILE, or name it in the site file (APERTURA_SITE)")
    check_password()
    live = LiveStarts(site)
    needs_server(lambda: Watcher(site, Ledger(where)).watch(poll_s=poll_s, once=once, also=live.look))


def needs_server(ask: Callable[[], T]) -> T:
    """Call something that talks to a Prefect server.

    Raises
    ------
    ProgramNotFoundError
        If no server is named or it does not answer.
    """
    if not os.environ.get("PREFECT_API_URL"):
        raise ProgramNotFoundError("PREFECT_API_URL is not set", "name the Prefect server, or `apertura facility up`")
    import httpx

    try:
        return ask()
    except httpx.HTTPError as error:
        if isinstance(error, httpx.HTTPStatusError) and error.response.status_code == httpx.codes.UNAUTHORIZED:
            raise ProgramNotFoundError(
                "the Prefect server wants a password",
                "give --data DIR, or set PREFECT_API_AUTH_STRING to user:password",
            ) from error
        raise ProgramNotFoundError(f"the Prefect server does not answer: {type(error).__name__}", "start it") from error
