"""The asymmetric unit as a chemist wants to see it: bonded atoms together, labels in order."""

from collections import deque

import gemmi
import numpy as np

from tasks.crystal.lattice import orthogonalisation
from tasks.refine.draft import Draft
from tasks.refine.geometry import Contact, bonds
from tasks.refine.observed import draft_labels


def tidied(draft: Draft) -> Draft:
    """Return an isotropic draft without riding atoms, its atoms in bonded fragments near the cell's origin, relabelled.

    Atoms are moved to the image that bonds to the fragment, heaviest element first, and are sorted by atomic number,
    carbon in the order of the fragment. Equivalent by symmetry: F(calc) does not change.
    """
    atoms = list(draft.atoms)
    if not atoms:
        return draft
    orthogonal = orthogonalisation(draft.unit_cell)
    by_first: dict[int, list[Contact]] = {}
    for bond in bonds(atoms, draft.hall, draft.unit_cell):
        by_first.setdefault(bond.first, []).append(bond)
    weight = [gemmi.Element(atom.element).atomic_number for atom in atoms]
    placed: dict[int, np.ndarray] = {}
    order: list[int] = []
    for start in sorted(range(len(atoms)), key=lambda i: -weight[i]):
        if start in placed:
            continue
        placed[start] = np.array(atoms[start].position) % 1.0
        queue = deque([start])
        while queue:
            current = queue.popleft()
            order.append(current)
            # the bond runs from the atom as it was; only translations and images of a moved atom need a new search
            for target, position in _neighbours(draft, current, placed[current], by_first, orthogonal):
                if target not in placed:
                    placed[target] = position
                    queue.append(target)
    ranked = sorted(order, key=lambda i: -weight[i])
    labels = draft_labels([atoms[i].element for i in ranked])
    return draft.model_copy(
        update={
            "atoms": tuple(
                atoms[i].model_copy(update={"label": label, "position": tuple(float(x) for x in placed[i])})
                for i, label in zip(ranked, labels, strict=True)
            )
        }
    )


def _neighbours(
    draft: Draft,
    current: int,
    position: np.ndarray,
    by_first: dict[int, list[Contact]],
    orthogonal: np.ndarray,
) -> list[tuple[int, np.ndarray]]:
    """Return the atoms bonded to an atom that stands at `position`, an image of where the draft has it."""
    old = np.array(draft.atoms[current].position)
    rotation = np.eye(3)
    for operation in gemmi.symops_from_hall(draft.hall):
        trial = np.array(operation.rot, dtype=np.float64) / gemmi.Op.DEN
        image = trial @ old + np.array(operation.tran, dtype=np.float64) / gemmi.Op.DEN
        delta = image - position
        if np.linalg.norm(orthogonal @ (delta - np.round(delta))) < 1e-3:
            rotation = trial
            break
    return [
        (bond.second, position + rotation @ np.linalg.solve(orthogonal, np.array(bond.vector)))
        for bond in by_first.get(current, [])
    ]
