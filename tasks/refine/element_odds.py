"""How sure the name of each atom is: the odds of its element against the others of the composition."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

import gemmi
import numpy as np
from numpy.typing import NDArray

from tasks.model import Composition
from tasks.refine import elements
from tasks.refine.bond_geometry import best_scale, environments, total_cost
from tasks.refine.draft import DraftAtom, DraftFit, UniqueIntensities
from tasks.refine.element_energy import ElementEnergy, sample
from tasks.refine.hydrogens import hydrogen_places
from tasks.refine.site_evidence import Option, evidence_of
from tasks.refine.unlike import like_cost, shells

SETTLED = 0.8
"""Odds below which a name is called unsettled: wrong once in five. Chosen, not measured; it only words a warning."""
LISTED = 8
"""Atoms named in a warning, the least sure first: about two lines of text. Chosen, not measured."""
ORGANIC = frozenset({"C", "N", "O"})
CARRIERS = frozenset({"C", "N"})
SEED = 0
"""Of the samples: any fixed number, so that the same data give the same odds."""
MISTAKEN = {True: 0.015, False: 0.002}
"""How often an atom is something else although nothing speaks against its name: where others scatter alike, or not."""
UNEXPLAINED = 1.0
"""Times the part of the intensities that a model says nothing of: the share of cases in which a name is no surer than a
guess. Chosen as one, its meaning: of the half of tests/benchmarks/element_odds.py that sets 80 of 81 names come out
right, as solved and dealt anew, at mean odds of 0.976, the wrong one at 0.90."""
ALIKE = 3
"""Atomic numbers apart."""


class ElementOdds(NamedTuple):
    """Odds of the element an atom has, in (0, 1], and the likeliest other one."""

    label: str
    element: str
    odds: float
    other: str


def energy_of(
    fit: DraftFit,
    atoms: Sequence[DraftAtom],
    candidates: Sequence[str],
    *,
    intensities: UniqueIntensities,
    composition: Composition | None,
) -> tuple[ElementEnergy, NDArray[np.int64]]:
    """Return the cost of elements at all sites together, by fit, bonds, room and composition, and those there are."""
    hall, cell, radiation = fit.draft.hall, fit.draft.unit_cell, intensities.radiation
    with np.load(fit.table.path, allow_pickle=False) as file:
        residual = elements.residual_of(dict(file))
    options = _options(
        atoms, candidates, _riders(atoms, candidates, fit, intensities, composition), attached_hydrogens(fit, atoms)
    )
    evidence = evidence_of(
        residual, atoms, options, attached=attached_hydrogens(fit, atoms), hall=hall, cell=cell, radiation=radiation,
        temper=elements.EVIDENCE[radiation],
    )  # fmt: skip
    names = [atom.element for atom in atoms]
    listed = sorted({option.element for row in options for option in row})
    crowding = elements.crowding_costs(atoms, listed, hall, cell)
    cost = [
        crowding[i, listed.index(option.element)] + (elements.WITHOUT_HYDROGEN if _bare(option, row) else 0.0)
        for i, row in enumerate(options)
        for option in row
    ]
    weights = multiplicities(fit, atoms)
    wanted = None
    if composition is not None:
        wanted = dict(zip(listed, elements.targets(composition, listed, weights), strict=True))
    sites = environments(atoms, hall, cell)
    energy = ElementEnergy(
        evidence, options, sites, site_cost=np.array(cost), weights=weights, wanted=wanted,
        penalty=elements.COMPOSITION_WEIGHT, scale=best_scale(sites, names), shells=shells(atoms, hall, cell),
    )  # fmt: skip
    return energy, np.zeros(len(atoms), dtype=np.int64)


def _options(
    atoms: Sequence[DraftAtom],
    candidates: Sequence[str],
    riders: Mapping[tuple[int, str], NDArray[np.float64]],
    attached: Mapping[int, Sequence[DraftAtom]],
) -> list[list[Option]]:
    """Return what may be at each site, what is there first: elements bare, and with the hydrogen they would carry.

    Another element that would carry none as its neighbours are named may keep the hydrogen there is.
    """
    found = []
    for i, atom in enumerate(atoms):
        row = [Option(atom.element, present=True)]
        for element in candidates:
            places = riders.get((i, element))
            if places is None and i in attached and element in CARRIERS and element != atom.element:
                places = np.array([hydrogen.position for hydrogen in attached[i]])
            if places is not None:
                row.append(Option(element, places))
            if places is None and element == atom.element:
                continue
            row.append(Option(element))
        found.append(row)
    return found


def _bare(option: Option, row: Sequence[Option]) -> bool:
    """Tell whether an option lacks the hydrogen that its element would carry there."""
    same = [other for other in row if other.element == option.element and other.hydrogens is not None]
    return option.hydrogens is None and not option.present and bool(same)


def _riders(
    atoms: Sequence[DraftAtom],
    candidates: Sequence[str],
    fit: DraftFit,
    intensities: UniqueIntensities,
    composition: Composition | None,
) -> dict[tuple[int, str], NDArray[np.float64]]:
    """Return where elements would carry hydrogen; nowhere if there is none by the composition, or in the model."""
    if not (fit.draft.riding if composition is None else "H" in composition.counts):
        return {}
    return hydrogen_places(atoms, candidates, fit.draft.hall, fit.draft.unit_cell, intensities.radiation)


def attached_hydrogens(fit: DraftFit, atoms: Sequence[DraftAtom]) -> dict[int, list[DraftAtom]]:
    """Return the riding hydrogen atoms by the number of their pivot."""
    by_label = {atom.label: atom for atom in fit.draft.atoms}
    number = {atom.label: index for index, atom in enumerate(atoms)}
    return {
        number[group.pivot]: [by_label[label] for label in group.hydrogens]
        for group in fit.draft.riding
        if group.pivot in number
    }


def naming_cost(fit: DraftFit, composition: Composition | None, candidates: Sequence[str]) -> float:
    """Return what bonds, room and composition have against the elements of a fit, as `ElementEnergy` counts them."""
    atoms = [atom for atom in fit.draft.atoms if atom.element not in {"H", "D"}]
    hall, cell = fit.draft.hall, fit.draft.unit_cell
    sites, names = environments(atoms, hall, cell), [atom.element for atom in atoms]
    listed = sorted({*candidates, *names})
    own = [listed.index(name) for name in names]
    cost = total_cost(sites, names, scale=best_scale(sites, names))
    near = shells(atoms, hall, cell)
    cost += sum(like_cost(name, shell, names) for name, shell in zip(names, near, strict=True))
    cost += float(elements.crowding_costs(atoms, listed, hall, cell)[np.arange(len(own)), own].sum())
    if composition is None:
        return cost
    weights = multiplicities(fit, atoms)
    excess = np.bincount(own, weights=weights, minlength=len(listed)) - elements.targets(composition, listed, weights)
    return cost + elements.COMPOSITION_WEIGHT / float(np.median(weights)) * float(np.abs(excess).sum())


def multiplicities(fit: DraftFit, atoms: Sequence[DraftAtom]) -> NDArray[np.float64]:
    """Return how many atoms of the cell each site stands for, occupancy considered, (atoms,)."""
    by_label = {row.label: float(row.multiplicity) for row in fit.atoms}
    return np.array([by_label[atom.label] * atom.occupancy for atom in atoms])


def candidate_elements(fit: DraftFit, composition: Composition | None) -> list[str]:
    """Return the elements that an atom may be: of the composition, hydrogen apart.

    Without a composition those of the model; carbon, nitrogen or oxygen may then be any of the three.
    """
    listed = set(fit.draft.elements) if composition is None else set(composition.counts)
    if composition is None and listed & ORGANIC:
        listed |= ORGANIC
    return sorted(listed - {"H", "D"})


def element_odds(
    fit: DraftFit,
    intensities: UniqueIntensities,
    composition: Composition | None,
    *,
    exchanged: Mapping[str, tuple[float, str]] = MappingProxyType({}),
    unexplained: float = 0.0,
) -> tuple[ElementOdds, ...]:
    """Return the odds of the name of each atom but hydrogen; none where there is no choice.

    How often a site has an element in assignments drawn in proportion to exp(-cost / 2): the costs are twice negative
    log-likelihoods, tempered for electron data. Assignments as a whole keep to the composition and to the bonds, so
    that two atoms that may be exchanged are both in doubt. What remains by chance, and what exchanges measured in least
    squares leave open, lower the odds.

    Parameters
    ----------
    exchanged
        By label, how likely it is that an atom has the other name of an exchange, and that name.
    unexplained
        R1 over that by chance, squared: the part of the intensities that the model says nothing of.
    """
    atoms = [atom for atom in fit.draft.atoms if atom.element not in {"H", "D"}]
    candidates = sorted({*candidate_elements(fit, composition), *(atom.element for atom in atoms)})
    if len(candidates) < 2 or not atoms:
        return ()
    energy, state = energy_of(fit, atoms, candidates, intensities=intensities, composition=composition)
    found = []
    for atom, odds in zip(atoms, sample(energy, state, np.random.default_rng(SEED)), strict=True):
        others = {name: odds.get(name, 0.0) for name in candidates if name != atom.element}
        share, name = exchanged.get(atom.label, (0.0, max(others, key=lambda name: others[name])))
        others = {other: (1.0 - share) * value for other, value in others.items()}
        others[name] = others.get(name, 0.0) + share
        mistaken = MISTAKEN[any(_alike(atom.element, name) for name in others)]
        mistaken += (1.0 - mistaken) * min(UNEXPLAINED * unexplained, 1.0)
        sure = (1.0 - mistaken) * (1.0 - share) * odds.get(atom.element, 0.0) + mistaken / len(candidates)
        found.append(ElementOdds(atom.label, atom.element, sure, max(others, key=lambda name: others[name])))
    return tuple(found)


def _alike(one: str, other: str) -> bool:
    return abs(gemmi.Element(one).atomic_number - gemmi.Element(other).atomic_number) <= ALIKE


def unsettled(odds: Sequence[ElementOdds]) -> str | None:
    """Return which names are not settled, in words; None if all are."""
    doubtful = sorted((item for item in odds if item.odds < SETTLED), key=lambda item: item.odds)
    if not doubtful:
        return None
    shown = ", ".join(f"{item.label} ({item.odds:.0%}, else {item.other})" for item in doubtful[:LISTED])
    more = f" and {len(doubtful) - LISTED} more" if len(doubtful) > LISTED else ""
    return f"the element is not settled at {len(doubtful)} of {len(odds)} atoms: {shown}{more}"
