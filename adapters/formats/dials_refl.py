"""DIALS reflection tables: described from the file itself, read through DIALS' own export.

A table is one MessagePack array: its type's name, a version, and a map with the number of rows and the columns, each a
type and a block of bytes (dials, reflection_table_msgpack_adapter.h). The crystal and the beam are in the experiments,
a JSON file of the same name with the suffix .expt.
"""

import tempfile
from pathlib import Path

from pydantic import JsonValue

from adapters.formats.dials_experiments import read_experiments, write_without_files
from adapters.formats.file_format import Inspection
from adapters.formats.intensity_table import IntensityTable
from adapters.formats.messagepack_outline import Outline, read_outline
from adapters.formats.mtz import read_mtz
from adapters.host.runner import run_program
from tasks.model import SourceError

TYPE_NAME = b"dials::af::reflection_table"
MARK = b"\x93\xbb" + TYPE_NAME
"""An array of three, of which the first is a text of 27 bytes."""
PICKLE_MARKS = (b"\x80", b"(d", b"cdials")
"""First bytes of the pickled tables of DIALS 1, which are refused: to load a pickle is to run what it says."""
EXPORT_S = 60.0
"""For `dials.export` to start and write a small table: 6 s on a busy machine of two processors; the rest, chosen and
not measured, is for cold network storage."""
ROWS_PER_SECOND = 1000
"""Slower than this the export hangs. Chosen, not measured: DIALS writes tens of thousands of rows in a second."""
INSTALL = "install DIALS (apt-get install dials), or export where it is: dials.export NAME.expt NAME.refl format=mtz"


SCALED = "scaled intensities"
INTEGRATED = "integrated intensities, not scaled"
READABLE = (SCALED, INTEGRATED)


def is_refl(path: Path, begin: bytes) -> bool:
    """Tell whether a file is a reflection table of DIALS, or one of its pickles by name."""
    return path.is_file() and (begin.startswith(MARK) or path.suffix.lower() == ".refl")


def describe_refl(path: Path) -> Inspection:
    """Return what a table holds, from the outline of the file and the experiments beside it; DIALS is not needed.

    Raises
    ------
    SourceError
        If a file is damaged.
    """
    outline = _outline(path)
    expt = path.with_suffix(".expt")
    facts: dict[str, JsonValue] = {"number_of_reflections": outline.rows, "state": _state(outline)}
    facts["columns"] = list(outline.columns)
    missing = [] if _state(outline) in READABLE else ["intensities"]
    if not expt.is_file():
        return _inspection(path, facts, [*missing, f"experiments ({expt.name})", "composition"])
    stated = read_experiments(expt)
    facts |= {"experiments": f"{stated.number} in {expt.name}", "crystals": stated.crystals}
    if stated.unit_cell is not None:
        facts["unit_cell"] = list(stated.unit_cell.parameters)
    named = (("space_group", stated.space_group), ("wavelength_angstrom", stated.wavelength_angstrom))
    facts |= {name: value for name, value in (*named, ("radiation", stated.radiation)) if value is not None}
    absent = (("cell", stated.unit_cell), ("wavelength", stated.wavelength_angstrom))
    missing += [name for name, value in absent if value is None]
    return _inspection(path, facts, [*missing, "composition"])


def read_refl(path: Path) -> IntensityTable:
    """Read the intensities of an integrated or scaled table, exported by DIALS to an MTZ file.

    Raises
    ------
    SourceError
        If the table has no intensities, or no experiments beside it, or DIALS refuses either.
    ProgramNotFoundError
        If DIALS is not installed.
    ProgramTimeoutError
        If it hangs.
    """
    outline = _outline(path)
    state = _state(outline)
    if state not in READABLE:
        raise SourceError(f"{path}: holds {state}", "go on in DIALS, up to dials.integrate and better dials.scale")
    expt = path.with_suffix(".expt")
    if not expt.is_file():
        raise SourceError(
            f"{path}: the crystal and the beam are not in it but in {expt.name}, which is not beside it",
            f"put {expt.name} there, or give what DIALS exports: dials.export NAME.expt NAME.refl format=mtz",
        )
    stated = read_experiments(expt)
    with tempfile.TemporaryDirectory(prefix="apertura-dials-") as folder:
        table = read_mtz(_exported(path, expt, outline.rows, Path(folder)))
    warnings = table.warnings
    if state != SCALED:
        warnings = (*warnings, "the table is integrated and not scaled: after dials.scale it is better")
    return table._replace(
        unit_cell=stated.unit_cell or table.unit_cell,
        wavelength_angstrom=stated.wavelength_angstrom or table.wavelength_angstrom,
        space_group=stated.space_group,
        radiation=stated.radiation,
        warnings=warnings,
        facts=(*table.facts, ("state", state), ("experiments", expt.name)),
    )


def _exported(path: Path, expt: Path, rows: int, folder: Path) -> Path:
    """Export to an MTZ file, from a folder of its own: names of files are arguments in which `=` has a meaning."""
    (folder / "table.refl").symlink_to(path.resolve())
    write_without_files(expt, folder / "table.expt")
    argv = ["dials.export", "table.expt", "table.refl", "format=mtz", "mtz.hklout=table.mtz"]
    run = run_program(argv, workdir=folder, timeout_s=EXPORT_S + rows / ROWS_PER_SECOND, install=INSTALL)
    mtz = folder / "table.mtz"
    if run.returncode != 0 or not mtz.is_file():
        raise SourceError(f"{path}: dials.export refuses it with {expt.name}", run.tail(6))
    return mtz


def _state(outline: Outline) -> str:
    """Return how far a table has come in DIALS, by its columns."""
    columns = set(outline.columns)
    if "miller_index" not in columns:
        return "found spots, not indexed"
    if "intensity.scale.value" in columns:
        return SCALED
    if columns & {"intensity.prf.value", "intensity.sum.value"} and "partiality" in columns:
        return INTEGRATED
    return "indexed spots, not integrated"


def _outline(path: Path) -> Outline:
    with path.open("rb") as stream:
        begin = stream.read(len(MARK))
    if begin.startswith(PICKLE_MARKS):
        raise SourceError(
            f"{path}: a pickle of an old DIALS, which is not opened: a pickle can run any program",
            "export it with the DIALS that wrote it: dials.export NAME.expt NAME.refl format=mtz",
        )
    if not begin.startswith(MARK):
        raise SourceError(f"{path}: is no reflection table of DIALS", "copy the file again")
    return read_outline(path)


def _inspection(path: Path, facts: dict[str, JsonValue], lacks: list[str]) -> Inspection:
    return Inspection(
        file=path.name, format="DIALS reflection table", kind="reflections", metadata=facts, lacks=tuple(lacks)
    )
