"""Crystal structures in CIF files, read through gemmi."""

from pathlib import Path

import gemmi
import numpy as np

from tasks.model import SourceError, UnitCell
from tasks.simulate import Structure, StructureAtom

U_ISO_DEFAULT = 0.02
"""Angstrom^2, where a file states none. Chosen, not measured: between minerals (0.005 to 0.01) and molecules at room
temperature (0.04 to 0.05); it sets how fast simulated intensities fall off."""
HALL_TAGS = ("_space_group_name_Hall", "_symmetry_space_group_name_Hall")


def read_structure(path: Path) -> Structure:
    """Read the first data block that holds atoms.

    Anisotropic displacements enter by their equivalent isotropic value as the file states it; atoms without any get
    0.02 A^2. Deuterium counts as hydrogen. Atoms without coordinates and dummy atoms are left out.

    Raises
    ------
    SourceError
        If the file cannot be read or lacks cell, symmetry, or usable atoms: names the file and the item.
    """
    try:
        document = gemmi.cif.read(str(path))
    except (OSError, ValueError, RuntimeError) as error:
        raise SourceError(f"{path}: not a readable CIF: {error}") from error
    blocks = [block for block in document if len(block.find_values("_atom_site_label"))]
    if not blocks:
        raise SourceError(f"{path}: no data block holds _atom_site_label")
    block = blocks[0]
    try:
        small = gemmi.make_small_structure_from_block(block)
    except (ValueError, RuntimeError) as error:
        raise SourceError(f"{path}: data_{block.name}: {error}") from error
    cell = _cell(small, path, block.name)
    hall = _hall(block, small, path)
    return _structure(path, block.name, cell, hall, small)


def _cell(small: gemmi.SmallStructure, path: Path, name: str) -> UnitCell:
    values = small.cell.parameters
    if not small.cell.is_crystal() or not all(np.isfinite(values)):
        raise SourceError(f"{path}: data_{name}: _cell_length_a ... _cell_angle_gamma do not give a unit cell")
    try:
        return UnitCell.of(values)
    except ValueError as error:
        raise SourceError(f"{path}: data_{name}: the unit cell {values} is impossible") from error


def _hall(block: gemmi.cif.Block, small: gemmi.SmallStructure, path: Path) -> str:
    """Return a Hall symbol: of the operations if they are listed, else of the symbols and the number.

    Operations in a setting without a symbol in gemmi's table need a Hall or Hermann-Mauguin symbol that agrees.
    """
    try:
        listed = [gemmi.Op(text) for text in small.symops]
    except (ValueError, RuntimeError) as error:
        raise SourceError(f"{path}: data_{block.name}: symmetry operations: {error}") from error
    group = gemmi.find_spacegroup_by_ops(gemmi.GroupOps(listed)) if listed else None
    if group is not None:
        return group.hall
    stated = [gemmi.cif.as_string(block.find_value(tag) or "") for tag in HALL_TAGS]
    small.determine_and_set_spacegroup("h2n")
    named = [] if small.spacegroup is None else [small.spacegroup.hall]
    for symbol in [*filter(_is_hall, stated), *named]:
        if {operation.wrap().triplet() for operation in listed} <= _triplets(symbol):
            return symbol
    raise SourceError(
        f"{path}: data_{block.name}: no known space group in _space_group_symop_operation_xyz, "
        "_space_group_name_Hall, _space_group_name_H-M_alt or _space_group_IT_number, or they contradict each other"
    )


def _triplets(hall: str) -> set[str]:
    return {operation.wrap().triplet() for operation in gemmi.symops_from_hall(hall)}


def _is_hall(symbol: str) -> bool:
    if not symbol:
        return False
    try:
        gemmi.symops_from_hall(symbol)
    except (ValueError, RuntimeError):
        return False
    return True


def _structure(path: Path, name: str, cell: UnitCell, hall: str, small: gemmi.SmallStructure) -> Structure:
    atoms = []
    for site in small.sites:
        place = site.fract.tolist()
        if not all(np.isfinite(place)) or site.element.atomic_number == 0 or site.occ <= 0:
            continue
        if site.occ > 1:
            raise SourceError(f"{path}: data_{name}: atom {site.label} has the occupancy {site.occ}")
        u_iso = site.u_iso if site.u_iso > 0 else _equivalent(site)
        element = "H" if site.element.name == "D" else site.element.name
        atoms.append(
            StructureAtom(
                label=site.label,
                element=element,
                position=(place[0], place[1], place[2]),
                u_iso_angstrom2=u_iso,
                occupancy=site.occ,
            )
        )
    if not atoms:
        raise SourceError(f"{path}: data_{name}: no atom has an element and coordinates")
    return Structure(name=name, cell=cell, hall=hall, atoms=tuple(atoms))


def _equivalent(site: gemmi.SmallStructure.Site) -> float:
    aniso = site.aniso
    trace = (aniso.u11 + aniso.u22 + aniso.u33) / 3
    return trace if aniso.nonzero() and trace > 0 else U_ISO_DEFAULT
