"""A first model that another program found, fitted and judged as our own are."""

import gemmi
import numpy as np

from tasks.crystal.symmetry import symmetry_of
from tasks.integrate import Reflections, read_merged
from tasks.model import Composition, UnitCell, Vector
from tasks.solve.building.atoms import Model
from tasks.solve.building.model_building import fitted_as_given
from tasks.solve.building.ranking import judge_built
from tasks.solve.data.prepared import normalised_to_find_atoms
from tasks.solve.models import Atom, Solution
from tasks.solve.search.candidates import open_workshop, task_for


def solution_from_atoms(
    atoms: tuple[Atom, ...],
    group: gemmi.SpaceGroup,
    data: Reflections,
    composition: Composition | None,
    *,
    cell: UnitCell,
    to_cell: tuple[Vector, Vector, Vector],
    figures: dict[str, float],
) -> Solution:
    """Return the candidate that atoms in a space group are, judged by our figures.

    The atoms stay as the program gave them; R1 and what else the verdict rests on are of the quick isotropic fit of
    those that are not hydrogen, so that programs can be compared.

    Parameters
    ----------
    cell, to_cell
        The axes of the atoms, and how indices of the data become indices in them.
    figures
        What the program says itself; kept beside ours.

    Raises
    ------
    InputError
        If there are too few intensities to fit to.
    """
    symmetry = symmetry_of(group)
    prepared = normalised_to_find_atoms(
        read_merged(data.merged),
        cell=data.unit_cell,
        laue_group=data.laue_group,
        radiation=data.radiation,
        composition=composition,
    )
    hkl = np.rint(prepared.unique.hkl @ np.array(to_cell).T).astype(np.int32)
    workshop = open_workshop(
        prepared.unique._replace(hkl=hkl),
        [symmetry],
        cell=cell,
        radiation=data.radiation,
        composition=composition,
        d_min_angstrom=prepared.d_min_angstrom,
    )
    task = task_for(workshop, symmetry)
    built = fitted_as_given(task, _model(atoms))
    judgement = judge_built(task, built)
    return Solution(
        space_group=group.xhm(),
        hall=group.hall,
        unit_cell=cell,
        to_solution_cell=to_cell,
        atoms=atoms,
        r1=min(1.0, built.fit.r1),
        figures=figures | {name: round(value, 5) for name, value in judgement.figures.items()},
        verdict=judgement.verdict,
        reasons=judgement.reasons,
    )


def _model(atoms: tuple[Atom, ...]) -> Model:
    """Return the atoms that are not hydrogen; all of them if there is nothing else."""
    heavy = [atom for atom in atoms if atom.element not in {"H", "D"}] or list(atoms)
    return Model(
        tuple(atom.element for atom in heavy),
        np.array([atom.position for atom in heavy], dtype=np.float64),
        np.array([atom.u_iso_angstrom2 for atom in heavy]),
        np.array([atom.occupancy for atom in heavy]),
        np.array([atom.peak or 0.0 for atom in heavy]),
    )
