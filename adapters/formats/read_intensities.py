"""Intensities from a file of a user, recognised by content, and what a run needs of them."""

import re
from pathlib import Path
from typing import Literal

import gemmi

from adapters.formats.file_format import Choice
from adapters.formats.inspect_file import format_of
from adapters.formats.intensity_table import IntensityTable
from adapters.formats.stated_beam import StatedBeam, stated_beam
from tasks.crystal.lattice import symmetrised_cell
from tasks.crystal.symmetry import laue_group_of
from tasks.integrate import (
    Particulars,
    Reflections,
    assemble_reflections,
    determine_laue_group_in_setting,
    laue_warnings,
    reindexed,
    smaller_cell,
)
from tasks.model import FileRef, InputError, ScienceError, SettingsError, SourceError, UnitCell
from tasks.model.provenance import Provenance

LENGTH_TOLERANCE = 0.03
"""Relative, between a cell and its symmetrised form or that of the file. Chosen, not measured: cells of electron
diffraction are a per cent or two off; a wrong group or cell misses by more."""
ANGLE_TOLERANCE_DEG = 3.0
"""The same for angles: 3 % of an edge is 1.7 degrees of shear. Chosen, not measured."""
WAVELENGTH_TOLERANCE = 0.01
"""Relative. Chosen, not measured: far above rounding in files, far below the 27 % between 200 and 300 keV."""

FORMATS = (
    "SHELX (.hkl of HKLF 3, 4 or 5, .ins or .res), CIF or FCF, cif_pets, MTZ, XDS_ASCII, XSCALE, INTEGRATE.HKL, "
    "DIALS .refl with its .expt, or a table with named columns"
)
"""What is read, for messages; adapters/README.md has the whole table."""


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


def check_sufficient(
    path: Path,
    table: IntensityTable,
    *,
    cell: UnitCell | None,
    radiation: Literal["electron", "xray"] | None,
    energy_kev: float | None,
) -> None:
    """Refuse a file that does not say what a structure is solved from, where the user does not either.

    Raises
    ------
    SettingsError
        Naming all that is missing, and how it is given.
    """
    lacks, options = [], []
    if cell is None and table.unit_cell is None:
        lacks.append("unit cell")
        options.append("--cell a,b,c,alpha,beta,gamma")
    xrays = table.probe == "xray" and radiation is None
    if xrays and energy_kev is None and table.wavelength_angstrom is None:
        lacks.append("wavelength of its X-rays")
        options.append("--energy-kev of the photons")
    if lacks:
        raise SettingsError(f"{path}: the file has no {' and no '.join(lacks)}", f"give {' and '.join(options)}")


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
        overlaps=table.overlaps,
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
    observations = table.data
    if table.overlaps is None and (smaller := smaller_cell(observations, given)) is not None:
        observations, given = smaller.data, smaller.cell
        particulars = particulars._replace(warnings=(*particulars.warnings, *smaller.words))
    try:
        choice = determine_laue_group_in_setting(observations, given)
    except (ValueError, ScienceError) as error:
        raise SourceError(f"{path}: no symmetry can be found: {error}", "check the intensities and the cell") from error
    particulars = reindexed(particulars, choice)
    particulars = particulars._replace(warnings=(*particulars.warnings, *laue_warnings(choice)))
    data = observations._replace(hkl=choice.reindex(observations.hkl))
    return assemble_reflections(name, data, choice.cell, particulars, laue=choice.laue, workdir=workdir)


def read_intensity_file(path: Path, *, block: str | None = None, alone: bool = False) -> IntensityTable:
    """Read a file of any of the formats, told apart as `apertura inspect` does.

    Parameters
    ----------
    block
        Data block of a CIF, or crystal or data set of an MTZ file, where several have reflections.
    alone
        Whether a bare list of reflections is all that is read; otherwise the SHELX instructions of the same name
        beside it, if there are any, say what it lacks.

    Raises
    ------
    SourceError
        Naming the file and the line.
    """
    found = format_of(path)
    if found is None:
        raise SourceError(f"{path}: holds no reflections in a format that is known", f"give {FORMATS}")
    if found.read is None:
        raise SourceError(f"{path}: holds no reflections: its format is {found.name}", f"give {FORMATS}")
    return found.read(path, Choice(block, alone))


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
