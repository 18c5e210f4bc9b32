"""Restraints as CIF lists them, after the dictionaries of restraints.

Distances and planes by the IUCr's dictionary of restraints (cif_core_restraints), a plane as the volumes of tetrahedra
that should vanish; displacements by SHELXL's (cif_shelxl): SIMU and RIGU.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import gemmi

from tasks.refine import RefinedStructure, RestrainedPair, Restraint, tetrahedra


class RestraintLoop(NamedTuple):
    """A loop: the beginning of its names, their ends, the rows."""

    prefix: str
    tags: tuple[str, ...]
    rows: list[list[str]]


def restraint_loops(structure: RefinedStructure) -> Iterator[RestraintLoop]:
    """Yield the loops that are not empty; differences are target less actual, as in smtbx."""
    draft = structure.fit.draft
    listed = list(zip(draft.restraints, structure.fit.deviations, strict=True))
    operations = list(gemmi.symops_from_hall(structure.hall))
    for loop in (
        _distances(listed, operations),
        *_equal_distances(listed, operations),
        _planes(listed),
        _similar(listed),
        _rigid(listed),
    ):
        if loop.rows:
            yield loop


Listed = Sequence[tuple[Restraint, tuple[float, ...]]]


def _distances(listed: Listed, operations: Sequence[gemmi.Op]) -> RestraintLoop:
    tags = ("atom_site_label_1", "atom_site_label_2", "site_symmetry_2", "target", "target_weight_param", "diff")
    rows = [
        [*_pair(item.pairs[0], operations), f"{item.target_angstrom:.3f}", f"{item.esd:.3f}", f"{-off[0]:.4f}"]
        for item, off in listed
        if item.target_angstrom is not None and off
    ]
    return RestraintLoop("_restr_distance_", tags, rows)


def _equal_distances(listed: Listed, operations: Sequence[gemmi.Op]) -> Iterator[RestraintLoop]:
    chosen = [(item, off) for item, off in listed if item.kind == "equal distances" and off]
    rows, classes = [], []
    for number, (item, off) in enumerate(chosen, 1):
        rows += [[*_pair(pair, operations), str(number)] for pair in item.pairs]
        classes.append([str(number), f"{item.esd:.3f}", f"{max(off, key=abs):.4f}"])
    yield RestraintLoop(
        "_restr_equal_distance_", ("atom_site_label_1", "atom_site_label_2", "site_symmetry_2", "class_id"), rows
    )
    yield RestraintLoop("_restr_equal_distance_class_", ("class_id", "target_weight_param", "diff_max"), classes)


def _planes(listed: Listed) -> RestraintLoop:
    tags = (*(f"atom_site_label_{k}" for k in range(1, 5)), "volume_target", "weight_param", "diff")
    rows = [
        [*four, "0.0", f"{item.esd:.3f}", f"{-volume:.4f}"]
        for item, off in listed
        if item.kind == "plane"
        for four, volume in zip(tetrahedra(item.atoms), off, strict=True)
    ]
    return RestraintLoop("_restr_chirality_", tags, rows)


def _similar(listed: Listed) -> RestraintLoop:
    tags = ("atom_site_label_1", "atom_site_label_2", "target_weight_param")
    rows = [[*item.labels, f"{item.esd:.3f}"] for item, off in listed if item.kind == "similar displacements" and off]
    return RestraintLoop("_restr_SIMU_", tags, rows)


def _rigid(listed: Listed) -> RestraintLoop:
    tags = ("atom_site_label_1", "atom_site_label_2", "target_weight_param", "U33_diff", "U13_diff", "U23_diff")
    rows = [
        [*item.labels, f"{item.esd:.4f}", *(f"{difference:.4f}" for difference in off)]
        for item, off in listed
        if item.kind == "rigid bond" and off
    ]
    return RestraintLoop("_restr_RIGU_", tags, rows)


def _pair(pair: RestrainedPair, operations: Sequence[gemmi.Op]) -> list[str]:
    return [pair.first, pair.second, symmetry_code(pair.operation, operations)]


def symmetry_code(operation: str, operations: Sequence[gemmi.Op]) -> str:
    """Return the CIF's code of an operation: its number in the list and the lattice vector, ``.`` for the identity."""
    if operation == "x,y,z":
        return "."
    wanted = gemmi.Op(operation)
    for number, listed in enumerate(operations, 1):
        shift = [(a - b) / gemmi.Op.DEN for a, b in zip(wanted.tran, listed.tran, strict=True)]
        if wanted.rot == listed.rot and all(x == round(x) and -5 <= x <= 4 for x in shift):
            return f"{number}_{''.join(str(5 + round(x)) for x in shift)}"
    return "?"
