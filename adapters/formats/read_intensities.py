"""Intensities from a file of a user: HKLF 4, MTZ or XDS_ASCII, recognised by content."""

import re
from pathlib import Path
from typing import Literal

import gemmi
from scipy import constants

from adapters.formats.hklf4 import read_hklf4
from adapters.formats.intensity_table import IntensityTable
from adapters.formats.mtz import read_mtz
from adapters.formats.xds_ascii import read_xds_ascii
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
from tasks.model.provenance import Provenance

LENGTH_TOLERANCE = 0.03
"""Relative, between a cell and its symmetrised form or that of the file. Chosen, not measured: cells of electron
diffraction are a per cent or two off; a wrong group or cell misses by more."""
ANGLE_TOLERANCE_DEG = 3.0
"""The same for angles: 3 % of an edge is 1.7 degrees of shear. Chosen, not measured."""
WAVELENGTH_TOLERANCE = 0.01
"""Relative. Chosen, not measured: far above rounding in files, far below the 27 % between 200 and 300 keV."""


def reflections_from_file(
    path: Path,
    *,
    cell: UnitCell | None,
    space_group: str | None = None,
    radiation: Literal["electron", "xray"] = "electron",
    energy_kev: float,
    workdir: Path,
) -> Reflections:
    """Read intensities, find their symmetry and assemble the document.

    Without a space group the Laue group and the centring come from the data; the cell is kept in the given setting
    if the tables know the group there.

    Parameters
    ----------
    cell
        None: the one in the file (MTZ, XDS_ASCII).
    energy_kev
        Of the electrons, or of the photons.

    Raises
    ------
    SourceError
        If the file is missing, damaged or of another kind: naming the file and the line.
    SettingsError
        If the cell is missing or the space group unknown or impossible with the cell.
    """
    table = read_intensity_file(path)
    given = cell or table.unit_cell
    if given is None:
        raise SettingsError(f"{path}: the file has no unit cell", "give it: --cell a,b,c,alpha,beta,gamma")
    particulars = Particulars(
        wavelength_angstrom=wavelength_of(energy_kev, radiation),
        provenance=Provenance(engine="intensity file", version="1", inputs={path.name: FileRef.of(path).sha256}),
        radiation=radiation,
        warnings=(*table.warnings, *_contradictions(table, given, wavelength_of(energy_kev, radiation))),
    )
    name = re.sub(r"[^\w.-]+", "_", path.stem) or "intensities"
    if space_group is not None:
        laue, given = _given_symmetry(space_group, given)
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


def read_intensity_file(path: Path) -> IntensityTable:
    """Read a file of any of the three formats, told apart by its first bytes.

    Raises
    ------
    SourceError
        Naming the file and the line.
    """
    if not path.is_file():
        raise SourceError(f"{path}: there is no such file")
    with path.open("rb") as stream:
        begin = stream.read(64)
    if begin.startswith(b"MTZ "):
        return read_mtz(path)
    if begin.startswith(b"!FORMAT=XDS_ASCII"):
        return read_xds_ascii(path)
    if b"\0" in begin:
        raise SourceError(f"{path}: is neither HKLF 4 nor MTZ nor XDS_ASCII", "give one of these")
    return read_hklf4(path)


def wavelength_of(energy_kev: float, radiation: Literal["electron", "xray"]) -> float:
    """Return the wavelength in angstrom of electrons or photons of this energy."""
    if radiation == "electron":
        return Beam(energy_kev=energy_kev).wavelength_angstrom
    return constants.h * constants.c / (energy_kev * 1e3 * constants.e) * 1e10


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
