"""The standard setting of an orthorhombic group: axes named as International Tables name them."""

import gemmi
import numpy as np

from tasks.crystal.twin_laws import law_of_triplet, law_triplet
from tasks.model import UnitCell
from tasks.solve.models import Solution, Solutions

ORTHORHOMBIC = range(16, 75)
"""Numbers of these space groups in International Tables A: P222 to Imma."""


def in_stated_setting(solutions: Solutions, *, keep_axes: bool) -> Solutions:
    """Return the solutions with the axes of orthorhombic groups permuted to the standard setting.

    Indexing names the axes by their lengths, so that Pnma may come out as Pmcn. Groups of other systems and
    orthorhombic ones in their standard setting are left as they are, and so is everything where `keep_axes`: the
    reasons then name the standard symbol. The same permutation goes into `Solution.to_solution_cell`.
    """
    turn = _named if keep_axes else _turned
    return solutions.model_copy(update={"candidates": tuple(map(turn, solutions.candidates))})


def _turned(solution: Solution) -> Solution:
    group = gemmi.find_spacegroup_by_ops(gemmi.symops_from_hall(solution.hall))
    if group is None or group.number not in ORTHORHOMBIC or group.is_reference_setting():
        return _named(solution)
    full = group.basisop.inverse()
    turned = gemmi.Op()
    turned.rot, turned.tran = full.rot, [0, 0, 0]
    for change in (turned, full):
        operations = group.operations()
        operations.change_basis_forward(change)
        found = gemmi.find_spacegroup_by_ops(operations)
        if found is not None and found.is_reference_setting():
            return _moved(solution, found, change)
    return _named(solution)


def _named(solution: Solution) -> Solution:
    group = gemmi.find_spacegroup_by_ops(gemmi.symops_from_hall(solution.hall))
    if group is None or group.is_reference_setting():
        return solution
    reference = gemmi.get_spacegroup_reference_setting(group.number)
    if reference.hm == group.hm:
        return solution
    reason = f"{solution.space_group} is a setting of {reference.hm} (no. {group.number}), in the axes of the data"
    return solution.model_copy(update={"reasons": (*solution.reasons, reason)})


def _moved(solution: Solution, group: gemmi.SpaceGroup, change: gemmi.Op) -> Solution:
    rotation = np.array(change.rot, dtype=np.float64) / gemmi.Op.DEN
    shift = np.array(change.tran, dtype=np.float64) / gemmi.Op.DEN
    lengths = np.abs(rotation) @ np.array(solution.unit_cell.parameters[:3])
    # a signed permutation is its own inverse transpose: indices go with the coordinates
    matrix = rotation @ np.array(solution.to_solution_cell)
    atoms = tuple(
        atom.model_copy(update={"position": tuple((rotation @ np.array(atom.position) + shift).tolist())})
        for atom in solution.atoms
    )
    a, b, c = lengths.tolist()
    twin = solution.twin
    if twin is not None:
        law = rotation @ law_of_triplet(twin.law) @ np.linalg.inv(rotation)
        twin = twin.model_copy(update={"law": law_triplet(law)})
    return solution.model_copy(
        update={
            "space_group": group.xhm(),
            "hall": group.hall,
            "unit_cell": UnitCell(a=a, b=b, c=c, alpha=90.0, beta=90.0, gamma=90.0),
            "to_solution_cell": tuple(tuple(row) for row in matrix.tolist()),
            "atoms": atoms,
            "twin": twin,
            "reasons": (
                *solution.reasons,
                f"{solution.space_group} of the axes found is stated in its standard setting, {group.xhm()}",
            ),
        }
    )
