"""A candidate structure as a small CIF, for people and viewers."""

from pathlib import Path

import gemmi

from tasks.solve.models import Solution


def write_solution(solution: Solution, path: Path) -> None:
    """Write cell, space group and atoms; equal solutions give equal bytes."""
    structure = gemmi.SmallStructure()
    structure.name = path.stem
    structure.cell = solution.unit_cell.gemmi()
    structure.spacegroup_hm = solution.space_group
    structure.determine_and_set_spacegroup("2")
    for atom in solution.atoms:
        site = gemmi.SmallStructure.Site()
        site.label = atom.label
        site.type_symbol = atom.element
        site.element = gemmi.Element(atom.element)
        site.fract = gemmi.Fractional(*atom.position)
        site.u_iso = atom.u_iso_angstrom2
        site.occ = atom.occupancy
        structure.add_site(site)
    block = structure.make_cif_block()
    document = gemmi.cif.Document()
    document.add_copied_block(block)
    path.write_text(document.as_string())
