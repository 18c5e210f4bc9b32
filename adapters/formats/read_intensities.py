"""Intensities from a file of a user: SHELX, CIF, MTZ, XDS or a table, recognised by content."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Literal, NamedTuple

import gemmi
from scipy import constants

from adapters.formats.cif_reflections import read_cif_reflections
from adapters.formats.hklf4 import read_hklf
from adapters.formats.intensity_table import IntensityTable
from adapters.formats.mtz import read_mtz
from adapters.formats.shelx_source import SUFFIXES, described_by, instructions_beside, read_shelx_source
from adapters.formats.text_table import has_named_columns, read_text_table
from adapters.formats.xds_ascii import read_xds_ascii, read_xds_integrate
from tasks.crystal.lattice import symmetrised_cell
from tasks.crystal.symmetry import laue_group_of
from tasks.integrate import (
    Particulars,
    Reflections,
    assemble_reflections,
    determine_laue_group_in_setting,
    laue_warnings,
)
from tasks.model import Beam, FileRef, InputError, ScienceError, SettingsError, SourceError, UnitCell
from tasks.model.experiment import energy_of_wavelength_kev
from tasks.model.provenance import Provenance

LENGTH_TOLERANCE = 0.03
"""Relative, between a cell and its symmetrised form or that of the file. Chosen, not measured: cells of electron
diffraction are a per cent or two off; a wrong group or cell misses by more."""
ANGLE_TOLERANCE_DEG = 3.0
"""The same for angles: 3 % of an edge is 1.7 degrees of shear. Chosen, not measured."""
WAVELENGTH_TOLERANCE = 0.01
"""Relative. Chosen, not measured: far above rounding in files, far below the 27 % between 200 and 300 keV."""

DEFAULT_ENERGY_KEV = 200.0
"""Of electrons that neither the user nor the file tells: the commonest microscopes of the field."""
BEGIN_BYTES = 65536
"""Read to tell a format: a CIF may begin with a page of comments."""
FORMATS = "HKLF 3, 4 or 5, an .ins beside its .hkl, CIF or FCF, cif_pets, MTZ, XDS_ASCII, INTEGRATE.HKL, or a table"

MARKS: tuple[tuple[bytes, Callable[[Path], IntensityTable]], ...] = (
    (b"MTZ ", read_mtz),
    (b"!FORMAT=XDS_ASCII", read_xds_ascii),
    (b"!OUTPUT_FILE=INTEGRATE.HKL", read_xds_integrate),
)
"""First bytes by which a format is known, and its reader."""


def reflections_from_file(
    path: Path,
    *,
    cell: UnitCell | None,
    space_group: str | None = None,
    radiation: Literal["electron", "xray"] | None = None,
    energy_kev: float | None = None,
    workdir: Path,
    block: str | None = None,
) -> Reflections:
    """Read intensities, find their symmetry and assemble the document; see `reflections_of_table`.

    Raises
    ------
    SourceError
        If the file is missing, damaged or of another kind: naming the file and the line.
    SettingsError
        If the cell is missing or the space group unknown or impossible with the cell.
    """
    table = read_intensity_file(path, block=block, alone=cell is not None)
    return reflections_of_table(
        path,
        table,
        cell=cell,
        space_group=space_group,
        beam=stated_beam(path, table, radiation, energy_kev),
        workdir=workdir,
    )


class StatedBeam(NamedTuple):
    """What was diffracted, its wavelength in angstrom and energy in keV."""

    radiation: Literal["electron", "xray"]
    wavelength_angstrom: float
    energy_kev: float


def stated_beam(
    path: Path, table: IntensityTable, radiation: Literal["electron", "xray"] | None, energy_kev: float | None
) -> StatedBeam:
    """Return the radiation and energy that the user gave, else those of the file, else 200 keV electrons.

    Raises
    ------
    SettingsError
        If it is X-rays and neither tells the energy.
    """
    probe = radiation or table.probe or "electron"
    if energy_kev is not None:
        return StatedBeam(probe, wavelength_of(energy_kev, probe), energy_kev)
    if table.wavelength_angstrom is not None and table.probe == probe:
        stated = table.wavelength_angstrom
        return StatedBeam(probe, stated, energy_of(stated, probe))
    if probe == "xray" and radiation is None:
        raise SettingsError(f"{path}: the file has no wavelength", "give the energy of the photons: --energy-kev")
    return StatedBeam(probe, wavelength_of(DEFAULT_ENERGY_KEV, probe), DEFAULT_ENERGY_KEV)


def reflections_of_table(
    path: Path,
    table: IntensityTable,
    *,
    cell: UnitCell | None,
    space_group: str | None,
    beam: StatedBeam,
    workdir: Path,
) -> Reflections:
    """Find the symmetry of intensities and assemble the document.

    Without a space group, given or stated by a file that a person made, the Laue group and the centring come from the
    data; the cell is kept in the given setting if the tables know the group there.

    Parameters
    ----------
    cell
        None: the one in the file.
    space_group
        ``auto`` looks for it whatever the file states.

    Raises
    ------
    SourceError
        If no symmetry can be found.
    SettingsError
        If the cell is missing or the space group unknown or impossible with the cell.
    """
    given = cell or table.unit_cell
    if given is None:
        raise SettingsError(f"{path}: the file has no unit cell", "give it: --cell a,b,c,alpha,beta,gamma")
    wavelength = beam.wavelength_angstrom
    particulars = Particulars(
        wavelength_angstrom=wavelength,
        provenance=Provenance(engine="intensity file", version="1", inputs={path.name: FileRef.of(path).sha256}),
        radiation=beam.radiation,
        warnings=(*table.warnings, *_contradictions(table, given, wavelength)),
    )
    name = re.sub(r"[^\w.-]+", "_", path.stem) or "intensities"
    if space_group is None and table.trusted_group and cell is None:
        space_group = table.space_group
        taken = f"space group {space_group} taken from the file: --space-group auto looks for it"
        particulars = particulars._replace(warnings=(*particulars.warnings, taken))
    if space_group not in {None, "auto"}:
        laue, given = _given_symmetry(str(space_group), given)
        return assemble_reflections(
            name, table.data, given, particulars, laue=laue, workdir=workdir, space_group=space_group
        )
    try:
        choice = determine_laue_group_in_setting(table.data, given)
    except (ValueError, ScienceError) as error:
        raise SourceError(f"{path}: no symmetry can be found: {error}", "check the intensities and the cell") from error
    particulars = particulars._replace(warnings=(*particulars.warnings, *laue_warnings(choice)))
    data = table.data._replace(hkl=choice.reindex(table.data.hkl))
    return assemble_reflections(name, data, choice.cell, particulars, laue=choice.laue, workdir=workdir)


def read_intensity_file(path: Path, *, block: str | None = None, alone: bool = False) -> IntensityTable:
    """Read a file of any of the formats, told apart by its content (SHELX instructions by their suffix).

    Parameters
    ----------
    block
        Data block of a CIF that has several with reflections.
    alone
        Whether a bare list of reflections is all that is read; otherwise the SHELX instructions of the same name
        beside it, if there are any, say what it lacks.

    Raises
    ------
    SourceError
        Naming the file and the line.
    """
    if not path.is_file():
        raise SourceError(f"{path}: there is no such file")
    with path.open("rb") as stream:
        begin = stream.read(BEGIN_BYTES)
    for mark, read in MARKS:
        if begin.startswith(mark):
            return read(path)
    if b"\0" in begin:
        raise SourceError(f"{path}: holds no reflections in a format that is known", f"give {FORMATS}")
    text = begin.decode("utf-8", errors="replace")
    if path.suffix.lower() in SUFFIXES:
        return read_shelx_source(path)
    if _is_cif(text):
        return read_cif_reflections(path, block)
    if has_named_columns(text):
        return read_text_table(path)
    first, *others = read_with(path, alone=alone)
    return described_by(others[0], first) if others else read_hklf(first)


def read_with(path: Path, *, alone: bool = False) -> tuple[Path, ...]:
    """Return the files that are read when this one is given, it the first: whose change makes another run."""
    suffix = path.suffix.lower()
    if suffix in SUFFIXES:
        return path, *[one for end in (".hkl", ".HKL") if (one := path.with_suffix(end)).is_file()][:1]
    instructions = instructions_beside(path) if suffix == ".hkl" and not alone else None
    return (path,) if instructions is None else (path, instructions)


def _is_cif(text: str) -> bool:
    """Tell whether the first line that is neither empty nor a comment begins a data block."""
    lines = (line.strip().lower() for line in text.lstrip("\ufeff").splitlines())
    first = next((line for line in lines if line and not line.startswith("#")), "")
    return first.startswith(("data_", "loop_", "_", "global_")) and len(first) > 1


def wavelength_of(energy_kev: float, radiation: Literal["electron", "xray"]) -> float:
    """Return the wavelength in angstrom of electrons or photons of this energy."""
    if radiation == "electron":
        return Beam(energy_kev=energy_kev).wavelength_angstrom
    return constants.h * constants.c / (energy_kev * 1e3 * constants.e) * 1e10


def energy_of(wavelength_angstrom: float, radiation: Literal["electron", "xray"]) -> float:
    """Return the energy in keV of electrons or photons of this wavelength."""
    if radiation == "electron":
        return energy_of_wavelength_kev(wavelength_angstrom)
    return constants.h * constants.c / (wavelength_angstrom * 1e-10 * constants.e) / 1e3


def _given_symmetry(space_group: str, cell: UnitCell) -> tuple[gemmi.SpaceGroup, UnitCell]:
    try:
        laue = laue_group_of(space_group)
    except InputError as error:
        raise SettingsError(
            f"space group {space_group!r}: {error.message}", 'write it like "P 21/c" or "F m -3 m"'
        ) from error
    exact = symmetrised_cell(cell, laue)
    lengths = [abs(x / y - 1) for x, y in zip(cell.parameters[:3], exact.parameters[:3], strict=True)]
    angles = [abs(x - y) for x, y in zip(cell.parameters[3:], exact.parameters[3:], strict=True)]
    if max(lengths) > LENGTH_TOLERANCE or max(angles) > ANGLE_TOLERANCE_DEG:
        numbers = " ".join(f"{x:.6g}" for x in cell.parameters)
        raise SettingsError(f"space group {space_group!r} is impossible with the cell {numbers}", "correct either")
    return laue, exact


def _contradictions(table: IntensityTable, cell: UnitCell, wavelength: float) -> tuple[str, ...]:
    found = []
    if table.unit_cell is not None:
        ratios = [abs(x / y - 1) for x, y in zip(table.unit_cell.parameters, cell.parameters, strict=True)]
        if max(ratios) > LENGTH_TOLERANCE:
            numbers = " ".join(f"{x:.6g}" for x in table.unit_cell.parameters)
            found.append(f"the file states another unit cell ({numbers}); the given one is used")
    if table.wavelength_angstrom and abs(table.wavelength_angstrom / wavelength - 1) > WAVELENGTH_TOLERANCE:
        stated = f"{table.wavelength_angstrom:.5g}"
        found.append(f"the file states the wavelength {stated} A, the given energy means {wavelength:.5g} A")
    return tuple(found)
