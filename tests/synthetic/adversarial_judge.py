"""What a run claims of a case, beside the truth."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import gemmi
import numpy as np

from tasks.model import UnitCell
from tests.synthetic.adversarial_cases import Case, names_cause
from tests.synthetic.match_any_cell import match_file, same_lattice
from tests.synthetic.match_structure import Match
from tests.synthetic.solve_cases import Published
from tests.synthetic.solve_dynamical import laue_class

CLAIMS = ("lattice", "space_group", "positions", "elements", "absolute_structure")
FOUND = 0.95
"""Part of the true atoms that must be within 0.3 A."""
SURPLUS = 0.1
"""Atoms of the cell more or less than the true ones, over those."""


class Outcome(NamedTuple):
    """What came out: of each claim whether it is settled and whether that would be right."""

    status: str
    settled: tuple[str, ...]
    right: Mapping[str, bool]
    reason: str
    """The first."""
    reasons: str
    twin: bool
    seconds: float = 0.0

    @property
    def false(self) -> tuple[str, ...]:
        """Claims that are settled and wrong; solved stands for lattice, positions and elements."""
        meant = {*self.settled, *(("lattice", "positions", "elements") if self.status == "solved" else ())}
        return tuple(claim for claim in CLAIMS if claim in meant and not self.right[claim])


def refused(case: Case, message: str) -> Outcome:
    """Return the outcome of a run that ended in a typed error."""
    return Outcome("error", (), dict.fromkeys(CLAIMS, False), message, message, twin=False)


def outcome(case: Case, results: Mapping[str, Any], folder: Path) -> Outcome:
    """Judge a finished run by its results.json, of which the first crystal counts, and its refined CIF."""
    crystal = results["crystals"][0]
    refinement = crystal["refinement"]
    reason = crystal["reason"] or ""
    status = crystal["status"]
    if status != "solved" and refinement is not None and refinement["verdict"] == "doubtful":
        status = "doubtful"
    right = dict.fromkeys(CLAIMS, False)
    if refinement is not None:
        right = _right(case, folder / refinement["cif"])
    elif crystal["integration"] is not None and case.truth is not None:
        right["lattice"] = _lattice(case, UnitCell.of(tuple(crystal["integration"]["unit_cell"])),
                                    gemmi.SpaceGroup(crystal["integration"]["laue_group"]))  # fmt: skip
    return Outcome(
        status, _settled(crystal, status), right, reason.split("; ")[0], reason,
        twin=bool((refinement or {}).get("twin")),
    )  # fmt: skip


def named(case: Case, found: Outcome) -> bool:
    """Tell whether the true cause is the first reason given; a structure found in spite of the fault needs none."""
    if found.status == "solved":
        return not found.false and (found.twin or not case.twin)
    return names_cause(case, found.reason)


def _settled(crystal: Mapping[str, Any], status: str) -> tuple[str, ...]:
    """Return what is claimed for certain; without claims in parts a solved structure claims all but its hand."""
    if (claims := crystal.get("claims")) is not None:
        return tuple(claim for claim in CLAIMS if claims[claim]["state"] == "settled")
    return CLAIMS[:-1] if status == "solved" else ()


def _right(case: Case, cif: Path) -> dict[str, bool]:
    small = gemmi.make_small_structure_from_block(gemmi.cif.read(str(cif)).sole_block())
    cell = UnitCell.of(small.cell.parameters)
    if case.truth is None:
        return dict.fromkeys(CLAIMS, False) | {"lattice": True, "absolute_structure": True}
    true = gemmi.find_spacegroup_by_ops(case.truth.group)
    lattice = _lattice(case, cell, small.spacegroup)
    # atoms are where they are in parts of the cell, even where its lengths are wrong
    lengths = case.truth.cell if lattice_of_lengths(case, cell, small.spacegroup) else told_cell(case)
    match = _match(case, cif, true, lengths)
    atoms = _atoms_per_cell(small) / _true_atoms_per_cell(case, true)
    positions = match.fraction >= FOUND and abs(atoms - 1) <= SURPLUS
    return {
        "lattice": lattice,
        "space_group": small.spacegroup.number in _numbers(true),
        "positions": positions,
        "elements": positions and match.same_element > 0.999,
        "absolute_structure": true.is_centrosymmetric() and small.spacegroup.is_centrosymmetric(),
    }


def told_cell(case: Case) -> UnitCell:
    """Return the cell that the user was told."""
    a, b, c, alpha, beta, gamma = (float(value) for value in case.cell.split(","))
    return UnitCell.of((a, b, c, alpha, beta, gamma))


def _match(case: Case, cif: Path, true: gemmi.SpaceGroup, cell: UnitCell) -> Match:
    heavy = [atom for atom in case.truth.atoms if atom.element != "H"]
    wanted = Published(tuple(atom.element for atom in heavy), np.array([atom.position for atom in heavy]), true)
    return match_file(cif, wanted, cell)


def lattice_of_lengths(case: Case, cell: UnitCell, group: gemmi.SpaceGroup) -> bool:
    """Tell whether a cell spans the true lattice, within 2 %."""
    return same_lattice(cell, group, case.truth.cell, gemmi.find_spacegroup_by_ops(case.truth.group))


def _lattice(case: Case, cell: UnitCell, group: gemmi.SpaceGroup) -> bool:
    true = laue_class(gemmi.find_spacegroup_by_ops(case.truth.group))
    same = laue_class(group).point_group_hm() == true.point_group_hm()
    return same and lattice_of_lengths(case, cell, group)


def _numbers(group: gemmi.SpaceGroup) -> set[int]:
    """Return the number of a group and that of its mirror image."""
    mirrored = []
    for operation in group.operations():
        image = gemmi.Op(operation.triplet())
        image.tran = [-shift for shift in operation.tran]
        mirrored.append(image)
    return {group.number, gemmi.find_spacegroup_by_ops(gemmi.GroupOps(mirrored)).number}


def _atoms_per_cell(small: gemmi.SmallStructure) -> float:
    """Return the atoms of the primitive cell, hydrogen apart."""
    small.setup_cell_images()
    every = [site for site in small.get_all_unit_cell_sites() if site.element.name not in {"H", "D"}]
    return float(sum(site.occ for site in every)) / len(list(small.spacegroup.operations().cen_ops))


def _true_atoms_per_cell(case: Case, true: gemmi.SpaceGroup) -> float:
    counts = case.truth.composition.counts
    heavy = sum(number for element, number in counts.items() if element != "H")
    return heavy / len(list(true.operations().cen_ops))
