"""Shared occupancies and displacements as smtbx constraints. Imported by the worker only, after cctbx."""

from cctbx import xray
from smtbx.refinement.constraints import adp
from smtbx.refinement.constraints.occupancy import dependent_occupancy

from tasks.refine import Draft

OCCUPANCY_RANGE = (0.01, 0.99)
"""Of a refined occupancy: beyond, an atom or its alternative is not there, and its place and displacements have no
gradient, so that the normal matrix is singular. Chosen, not measured."""


def conformers(draft: Draft) -> tuple[list[int], list[int]]:
    """Return for smtbx's table of bonds the part of each atom, and that of those which do not bond to their images."""
    parts = [abs(atom.part) for atom in draft.atoms]
    # smtbx knows no sign: a negative part gets a number that no positive one has
    conformer = [part if atom.part >= 0 else part + 10 for atom, part in zip(draft.atoms, parts, strict=True)]
    return conformer, [part if atom.part < 0 else 0 for atom, part in zip(draft.atoms, parts, strict=True)]


def disorder_constraints(draft: Draft) -> list[object]:
    """Return one free variable for each group of occupancies, and displacements shared by atoms.

    The first of the atoms is that which carries the variable; the rest to one is that of the group named with a minus.
    """
    index = {atom.label: position for position, atom in enumerate(draft.atoms)}
    shared: dict[str, list[int]] = {}
    for atom in draft.atoms:
        if atom.u_as is not None:
            shared.setdefault(atom.u_as, [index[atom.u_as]]).append(index[atom.label])
    groups = sorted({atom.occupancy_group.lstrip("-") for atom in draft.atoms if atom.occupancy_group is not None})
    constraints: list[object] = [adp.shared_u(members) for members in shared.values()]
    for group in groups:
        # the multipliers are those of chemical occupancies, which are one on special positions too
        own = [(i, 1.0) for i, atom in enumerate(draft.atoms) if atom.occupancy_group == group]
        rest = [(i, 1.0) for i, atom in enumerate(draft.atoms) if atom.occupancy_group == f"-{group}"]
        constraints.append(dependent_occupancy(own, rest))
    return constraints


def refine_occupancies(structure: xray.structure, draft: Draft) -> None:
    """Let the occupancies of a draft's groups have gradients."""
    for scatterer, atom in zip(structure.scatterers(), draft.atoms):
        scatterer.flags.set_grad_occupancy(atom.occupancy_group is not None)


def keep_in_range(structure: xray.structure, draft: Draft) -> None:
    """Move refined occupancies that left the range that means something back to its ends."""
    least, most = OCCUPANCY_RANGE
    for scatterer, atom in zip(structure.scatterers(), draft.atoms):
        if atom.occupancy_group is not None:
            scatterer.occupancy = min(max(scatterer.occupancy, least), most)
