"""What is validated: a model with what is known of its fit, its data and its contents."""

from typing import NamedTuple

import numpy as np

from tasks.crystal.contacts import contacts_among
from tasks.crystal.sites import site_multiplicities
from tasks.crystal.symmetry import operations_from_hall
from tasks.model import Composition
from tasks.refine.draft import AtomFit, Draft, DraftAtom, ModelFit, UniqueIntensities
from tasks.refine.element_odds import ElementOdds

SHARED_ANGSTROM = 0.3
"""Two atoms nearer than this stand on one site, as in `tasks.refine.geometry`."""


class Subject(NamedTuple):
    """A structure to be validated. What is None is not known, and is not asked about."""

    draft: Draft
    formula: dict[str, float]
    """Of one formula unit, as it will be published."""
    formula_units: float
    """Z, as it will be published."""
    atoms: tuple[AtomFit, ...] = ()
    """In the order of the draft's atoms; empty: no standard uncertainties are known."""
    composition: Composition | None = None
    """As the user told it."""
    fit: ModelFit | None = None
    intensities: UniqueIntensities | None = None
    odds: tuple[ElementOdds, ...] = ()
    remarks: tuple[str, ...] = ()
    """What comparisons with refinements in other groups came to, in words."""
    flack: tuple[float, float] | None = None
    """Flack parameter with its esd."""

    @property
    def heavy(self) -> list[DraftAtom]:
        """The atoms that are not hydrogen."""
        return [atom for atom in self.draft.atoms if not is_hydrogen(atom)]

    @property
    def electron(self) -> bool:
        """Whether electrons were used, as far as known."""
        return self.intensities is not None and self.intensities.radiation == "electron"

    def of_one_atom_a_site(self) -> "Subject":
        """Return the subject without atoms that share the site of another: of mixed ones the first, fullest stays."""
        places = np.array([atom.position for atom in self.draft.atoms]).reshape(-1, 3)
        near = contacts_among(
            places, operations_from_hall(self.draft.hall), self.draft.unit_cell,
            within_angstrom=SHARED_ANGSTROM, same_angstrom=-1.0,
        )  # fmt: skip
        pairs = {(int(one), int(other)) for one, other in zip(near.first, near.second, strict=True) if one != other}
        order = sorted(range(len(places)), key=lambda index: (-self.draft.atoms[index].occupancy, index))
        kept: list[int] = []
        for index in order:
            if not any((index, other) in pairs for other in kept):
                kept.append(index)
        if len(kept) == len(places):
            return self
        draft = self.draft.model_copy(update={"atoms": tuple(self.draft.atoms[index] for index in sorted(kept))})
        return self._replace(draft=draft)

    def fits(self) -> dict[str, AtomFit]:
        """Return what least squares knows of each atom, by label."""
        return {row.label: row for row in self.atoms}


def validated_fit(fit: ModelFit, formula: dict[str, float], formula_units: float) -> Subject:
    """Return the subject of a fit; what else is known is added by `_replace`."""
    return Subject(fit.draft, formula, formula_units, fit.atoms, fit=fit)


def is_hydrogen(atom: DraftAtom) -> bool:
    """Tell whether an atom is hydrogen of any mass."""
    return atom.element in {"H", "D"}


def atoms_in_cell(draft: Draft) -> dict[str, float]:
    """Return how many atoms of each element a cell holds, occupancies and special positions considered."""
    if not draft.atoms:
        return {}
    places = np.array([atom.position for atom in draft.atoms])
    number = site_multiplicities(places, operations_from_hall(draft.hall), draft.unit_cell)
    counts: dict[str, float] = {}
    for atom, images in zip(draft.atoms, number, strict=True):
        name = "H" if is_hydrogen(atom) else atom.element
        counts[name] = counts.get(name, 0.0) + float(images) * atom.occupancy
    return counts
