"""XSCALE for several crystals and XDSCONV: inputs as pure text, and one function that scales data sets together."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from adapters.formats.hklf4 import read_hklf4
from adapters.formats.intensity_table import IntensityTable
from adapters.formats.xds_ascii import read_xds_ascii
from adapters.programs.probe import XDS
from adapters.programs.runner import run_program
from adapters.programs.xds.output import XdsShell, check_for_errors, statistics_table
from tasks.model import ProgramFailedError, SourceError, UnitCell

OUTPUT = "SCALED.HKL"


class ScaledTogether(NamedTuple):
    """The observations of all crystals on one scale, and XSCALE's own table, the total last."""

    table: IntensityTable
    statistics: tuple[XdsShell, ...]


def xscale_inp(
    names: Sequence[str], *, space_group_number: int, cell: UnitCell, d_min: float, d_max: float = 20.0
) -> str:
    """Return XSCALE.INP for data sets in one folder, Friedel mates merged."""
    lines = [
        f"SPACE_GROUP_NUMBER= {space_group_number}",
        "UNIT_CELL_CONSTANTS= " + " ".join(f"{x:.9g}" for x in cell.parameters),
        f"OUTPUT_FILE= {OUTPUT}",
        "FRIEDEL'S_LAW= TRUE",
        "MERGE= FALSE",
        "STRICT_ABSORPTION_CORRECTION= FALSE",
    ]
    for name in names:
        lines += [f"INPUT_FILE= {name}", f"INCLUDE_RESOLUTION_RANGE= {d_max:.6g} {d_min:.6g}"]
    return "\n".join([*lines, ""])


def xdsconv_inp(source: str, *, output: str, d_min: float, d_max: float, merge: bool) -> str:
    """Return XDSCONV.INP for SHELX's format, Friedel mates merged or kept apart with `merge`."""
    return "\n".join(
        [
            f"INPUT_FILE= {source}",
            f"INCLUDE_RESOLUTION_RANGE= {d_max:.6g} {d_min:.6g}",
            f"OUTPUT_FILE= {output} SHELX",
            f"MERGE= {str(merge).upper()}",
            "FRIEDEL'S_LAW= TRUE",
            "",
        ]
    )


def scale_together(
    paths: Sequence[Path], workdir: Path, *, space_group_number: int, cell: UnitCell, d_min: float, timeout_s: float
) -> ScaledTogether:
    """Scale XDS_ASCII.HKL files of several crystals with XSCALE; they must be indexed alike.

    Raises
    ------
    ProgramNotFoundError, LicenceExpiredError, ProgramFailedError, ProgramTimeoutError
    """
    names = [f"crystal_{number:03d}.HKL" for number in range(1, len(paths) + 1)]
    for path, name in zip(paths, names, strict=True):
        (workdir / name).write_bytes(path.read_bytes())
    text = xscale_inp(names, space_group_number=space_group_number, cell=cell, d_min=d_min)
    (workdir / "XSCALE.INP").write_text(text, encoding="ascii")
    said = _run("xscale", workdir, output=OUTPUT, timeout_s=timeout_s)
    return ScaledTogether(written_reflections(workdir / OUTPUT, "XSCALE"), statistics_table(said, "XSCALE.LP"))


def convert_to_shelx(
    path: Path, workdir: Path, *, d_min: float, timeout_s: float, d_max: float = 20.0, merge: bool = False
) -> IntensityTable:
    """Convert an XDS_ASCII.HKL to SHELX's format with XDSCONV; the file is ``shelx.hkl`` in `workdir`.

    Raises
    ------
    ProgramNotFoundError, LicenceExpiredError, ProgramFailedError, ProgramTimeoutError
    """
    (workdir / "XDS_ASCII.HKL").write_bytes(path.read_bytes())
    text = xdsconv_inp("XDS_ASCII.HKL", output="shelx.hkl", d_min=d_min, d_max=d_max, merge=merge)
    (workdir / "XDSCONV.INP").write_text(text, encoding="ascii")
    _run("xdsconv", workdir, output="shelx.hkl", timeout_s=timeout_s)
    try:
        return read_hklf4(workdir / "shelx.hkl")
    except SourceError as error:
        raise ProgramFailedError(f"XDSCONV left a damaged file: {error.message}") from error


def written_reflections(path: Path, program: str) -> IntensityTable:
    """Read the XDS_ASCII file that a program has just written.

    Raises
    ------
    ProgramFailedError
        If it is missing, cut off or damaged: it is the program that failed, not the user.
    """
    try:
        return read_xds_ascii(path)
    except SourceError as error:
        raise ProgramFailedError(f"{program} left no whole reflection file: {error.message}") from error


def _run(name: str, workdir: Path, *, output: str, timeout_s: float) -> str:
    """Run a program of the XDS package and return its listing; judged by listing and output, not by exit code."""
    run = run_program([name], workdir=workdir, timeout_s=timeout_s, install=XDS.install)
    if run.returncode < 0:
        raise ProgramFailedError(f"{name.upper()} was killed by signal {-run.returncode}", run.tail())
    listing = workdir / f"{name.upper()}.LP"
    said = listing.read_text(errors="replace") if listing.is_file() else ""
    check_for_errors(said + run.stdout.read_text(errors="replace"), name.upper())
    if not (workdir / output).is_file():
        raise ProgramFailedError(f"{name.upper()} ended with {run.returncode} and without {output}", run.tail())
    return said
