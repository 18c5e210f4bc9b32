"""XSCALE for several crystals and XDSCONV: inputs as pure text, and one function that scales data sets together."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from adapters.formats.intensity_table import IntensityTable
from adapters.formats.xds_ascii import read_xds_ascii
from adapters.programs.probe import XDS
from adapters.programs.runner import run_program
from adapters.programs.xds.output import XdsShell, check_for_errors, statistics_table
from tasks.model import ProgramFailedError, UnitCell

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
    run = run_program(["xscale"], workdir=workdir, timeout_s=timeout_s, install=XDS.install)
    listing = workdir / "XSCALE.LP"
    said = listing.read_text(errors="replace") if listing.is_file() else ""
    check_for_errors(said + run.stdout.read_text(errors="replace"), "XSCALE")
    if not (workdir / OUTPUT).is_file():
        raise ProgramFailedError(f"XSCALE ended with {run.returncode} and without {OUTPUT}", run.tail())
    return ScaledTogether(read_xds_ascii(workdir / OUTPUT), statistics_table(said, "XSCALE.LP"))
