"""Which element sits where: what the data say, and what the composition says."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import gemmi
import numpy as np
from numpy.typing import NDArray

from tasks.model import Composition, UnitCell
from tasks.model.scattering import Radiation, d_star_squared, scattering_factor
from tasks.refine.draft import DraftAtom, Fit
from tasks.refine.geometry import (
    SHORTEST_BOND_FRACTION,
    bonds,
    contacts,
    covalent_radius,
    group_operations,
    site_order,
)

U_GRID_ANGSTROM2 = np.geomspace(0.004, 0.25, 14)
LN_U_SPREAD = 0.5
"""Standard deviation of ln U between the atoms of one structure."""
COMPOSITION_WEIGHT = 8.0
EVIDENCE: dict[Radiation, float] = {"electron": 0.33, "xray": 1.0}
BOND_SPREAD_ANGSTROM = 0.05
MOST_COST = 9.0
TOO_NEAR = 12.0
"""What it costs an element to stand nearer to a neighbour than any bond."""
U_RATIO_SUSPICIOUS = 2.0
MOST_ALIKE = 9
WITHOUT_HYDROGEN = 2.0
"""What it costs an atom to lack the hydrogen that its geometry demands: the geometry may be off."""


class Residual(NamedTuple):
    """Observed and calculated amplitudes with weights, (n,); `f` is complex."""

    hkl: NDArray[np.int32]
    f_obs: NDArray[np.float64]
    weight: NDArray[np.float64]
    f: NDArray[np.complex128]


def residual_of(table: Mapping[str, NDArray[np.float64]]) -> Residual:
    """Return amplitudes from the table of a fit; weights take 10 % of F as a model error beside sigma."""
    f_obs = np.sqrt(np.maximum(table["f_sq_obs"], 0.0))
    f_calc = np.sqrt(np.maximum(table["f_sq_calc"], 0.0))
    sigma_f = table["sigma"] / (2.0 * np.maximum(f_obs, np.sqrt(np.maximum(table["sigma"], 1e-12))))
    typical = float(np.sqrt(np.mean(f_obs**2)))
    weight = 1.0 / (sigma_f**2 + (0.1 * f_obs) ** 2 + (0.03 * typical) ** 2)
    phase = np.radians(table["phase_deg"])
    return Residual(table["hkl"].astype(np.int32), f_obs, weight, f_calc * np.exp(1j * phase))


def exchange_costs(
    residual: Residual,
    atoms: Sequence[DraftAtom],
    elements: Sequence[str],
    *,
    hall: str,
    cell: UnitCell,
    radiation: Radiation,
    riders: Mapping[tuple[int, str], NDArray[np.float64]] | None = None,
) -> NDArray[np.float64]:
    """Return how badly each element would fit at each site, (atoms, elements), in units of one chi^2.

    For each site the contribution of its atom is taken out of F(calc) and put back as each element with the U that
    suits best; U is held near the median by a log-normal prior, for a wrong element can hide in a wrong U. Divided by
    the present chi^2 per reflection, differences are twice log-likelihood ratios, tempered for electrons, whose errors
    are dynamical and not independent.

    Parameters
    ----------
    riders
        Places (k, 3) of the hydrogen atoms that an element would carry at a site, which the model does not have: a CH
        looks heavier than a bare C.
    """
    d_star_sq = d_star_squared(residual.hkl, cell)
    factors = {e: scattering_factor(e, d_star_sq, radiation) for e in {*elements, *(a.element for a in atoms)}}
    hydrogen_factor = scattering_factor("H", d_star_sq, radiation)
    # hydrogen and atoms far too loose say nothing about the displacement of a well placed atom
    typical = float(np.median([atom.u_iso_angstrom2 for atom in atoms if atom.element != "H"] or [0.03]))
    typical = min(max(typical, 0.01), 0.1)
    present = max(_chi_sq(residual, residual.f[None, :])[0] / len(residual.f_obs), 1e-9)
    decay = np.exp(-2.0 * np.pi**2 * np.multiply.outer(U_GRID_ANGSTROM2, d_star_sq))
    prior = (np.log(U_GRID_ANGSTROM2 / typical) / LN_U_SPREAD) ** 2
    costs = np.empty((len(atoms), len(elements)))
    for i, atom in enumerate(atoms):
        wave = _site_wave(residual.hkl, atom, hall, cell)
        rest = residual.f - factors[atom.element] * displacement_factor(atom, residual.hkl, cell) * wave
        for k, element in enumerate(elements):
            bare = factors[element] * wave
            chi_sq = _chi_sq(residual, rest + decay * bare)
            costs[i, k] = float((EVIDENCE[radiation] * chi_sq / present + prior).min())
            places = None if riders is None else riders.get((i, element))
            if places is not None:
                costs[i, k] += WITHOUT_HYDROGEN
                carried = [_site_wave(residual.hkl, _moved(atom, place), hall, cell) for place in places]
                chi_sq = _chi_sq(residual, rest + decay * (bare + hydrogen_factor * np.sum(carried, axis=0)))
                costs[i, k] = min(costs[i, k], float((EVIDENCE[radiation] * chi_sq / present + prior).min()))
    return costs


def _moved(atom: DraftAtom, place: NDArray[np.float64]) -> DraftAtom:
    return atom.model_copy(update={"position": (float(place[0]), float(place[1]), float(place[2]))})


def _chi_sq(residual: Residual, trials: NDArray[np.complex128]) -> NDArray[np.float64]:
    f_calc = np.abs(trials)
    weighted = residual.weight * f_calc
    scale = (weighted @ residual.f_obs) / np.maximum((weighted * f_calc).sum(axis=1), 1e-12)
    return (residual.weight * (residual.f_obs - scale[:, None] * f_calc) ** 2).sum(axis=1)


def _site_wave(
    hkl: NDArray[np.int32],
    atom: DraftAtom,
    hall: str,
    cell: UnitCell,
) -> NDArray[np.complex128]:
    rotations, translations = group_operations(hall)
    images = rotations @ np.array(atom.position) + translations
    stabiliser = site_order(atom.position, hall, cell)
    indices = np.asarray(hkl, dtype=np.float64)
    return np.exp(2j * np.pi * (indices @ images.T)).sum(axis=1) * (atom.occupancy / stabiliser)


def displacement_factor(atom: DraftAtom, hkl: NDArray[np.int32], cell: UnitCell) -> NDArray[np.float64]:
    """Return the isotropic Debye-Waller factor of F, (n,); of an anisotropic atom that of its equivalent U."""
    return np.exp(-2.0 * np.pi**2 * atom.u_iso_angstrom2 * d_star_squared(hkl, cell))


def targets(composition: Composition, elements: Sequence[str], weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return how many atoms of each element the composition wants among sites of these multiplicities, (elements,)."""
    counts = np.array([composition.counts.get(element, 0.0) for element in elements])
    return counts / counts.sum() * weights.sum()


def assign(
    costs: NDArray[np.float64], weights: NDArray[np.float64], wanted: NDArray[np.float64] | None
) -> NDArray[np.int64]:
    """Return the column chosen for each row: least total cost, the numbers of each element near what is wanted.

    Parameters
    ----------
    costs
        (sites, elements).
    weights
        (sites,) atoms per site, in any unit.
    wanted
        (elements,) in the same unit; None = the costs alone decide.
    """
    choice = costs.argmin(axis=1)
    if wanted is None or not len(choice):
        return choice.astype(np.int64)
    penalty = COMPOSITION_WEIGHT / float(np.median(weights))
    for _ in range(20 * len(choice)):
        gain, move = _best_move(choice.astype(np.int64), costs, weights, wanted, penalty)
        if gain >= -1e-9:
            break
        choice = move
    return choice.astype(np.int64)


def _best_move(
    choice: NDArray[np.int64],
    costs: NDArray[np.float64],
    weights: NDArray[np.float64],
    wanted: NDArray[np.float64],
    penalty: float,
) -> tuple[float, NDArray[np.int64]]:
    """Return the change of one site, or the swap of two, that lowers the total most, and by how much."""
    sites = np.arange(len(choice))
    excess = np.bincount(choice, weights=weights, minlength=costs.shape[1]) - wanted
    own = costs[sites, choice]
    # one site changes: its weight leaves one element and enters another
    leave = np.abs(excess[choice] - weights) - np.abs(excess[choice])
    enter = np.abs(excess + weights[:, None]) - np.abs(excess)
    change = costs - own[:, None] + penalty * (leave[:, None] + enter)
    change[sites, choice] = np.inf
    # two sites swap: the difference of their weights moves
    exchange = costs[:, choice] - own[:, None]
    moved = weights[None, :] - weights[:, None]
    first = np.abs(excess[choice][:, None] + moved) - np.abs(excess[choice])[:, None]
    second = np.abs(excess[choice][None, :] - moved) - np.abs(excess[choice])[None, :]
    swap = exchange + exchange.T + penalty * (first + second)
    swap[choice[:, None] == choice[None, :]] = np.inf
    result = choice.copy()
    if change.min() <= swap.min():
        i, element = np.unravel_index(int(change.argmin()), change.shape)
        result[i] = element
        return float(change.min()), result
    i, j = np.unravel_index(int(swap.argmin()), swap.shape)
    result[i], result[j] = choice[j], choice[i]
    return float(swap.min()), result


def suspicious_swaps(fit: Fit, *, most: int) -> tuple[tuple[str, str], ...]:
    """Return pairs of atoms whose elements look exchanged, the worst first.

    A heavy atom far looser than a light one says so: its displacement makes up for scattering power that is not
    there, and the light one's for power that is missing. C, N, O and F are too alike for that.
    """
    riding = {label for group in fit.draft.riding for label in group.hydrogens}
    rows = [
        (atom.label, gemmi.Element(atom.element).atomic_number, max(row.u_equivalent, 1e-3))
        for atom, row in zip(fit.draft.atoms, fit.atoms, strict=True)
        if atom.label not in riding
    ]
    ratios = [
        (heavy[2] / light[2], heavy[0], light[0])
        for heavy in rows
        for light in rows
        if heavy[1] > max(light[1], MOST_ALIKE) and heavy[2] > U_RATIO_SUSPICIOUS * light[2]
    ]
    return tuple((heavy, light) for _, heavy, light in sorted(ratios, reverse=True)[:most])


def resolving_swaps(atoms: Sequence[DraftAtom], hall: str, cell: UnitCell, *, most: int) -> tuple[tuple[str, str], ...]:
    """Return pairs of atoms whose exchange of elements leaves fewer contacts nearer than a bond, the best first.

    Costs of single sites cannot see this: each of the two is judged beside the wrong element of the other.
    """
    heavy = [atom for atom in atoms if atom.element not in {"H", "D"}]
    if not heavy:
        return ()
    radii = np.array([covalent_radius(atom.element) for atom in heavy])
    positions = np.array([atom.position for atom in heavy])
    pairs = contacts(positions, positions, hall, cell, cutoff=2.0 * SHORTEST_BOND_FRACTION * float(radii.max()))
    first = np.array([pair.first for pair in pairs], dtype=np.int64)
    second = np.array([pair.second for pair in pairs], dtype=np.int64)
    distance = np.array([pair.distance for pair in pairs])

    def too_near(radius: NDArray[np.float64]) -> NDArray[np.bool_]:
        return distance < SHORTEST_BOND_FRACTION * (radius[first] + radius[second])

    now = too_near(radii)
    found = []
    for i in np.unique(first[now]):
        for j in range(len(heavy)):
            if radii[j] >= radii[i]:
                continue
            changed = radii.copy()
            changed[[i, j]] = radii[[j, i]]
            left = int(too_near(changed).sum())
            if left < int(now.sum()):
                ratio = heavy[i].u_iso_angstrom2 / max(heavy[j].u_iso_angstrom2, 1e-3)
                found.append((left, -ratio, heavy[i].label, heavy[j].label))
    return tuple((one, other) for _, _, one, other in sorted(found)[:most])


TERMINAL: dict[str, tuple[tuple[float, float], ...]] = {
    "C": ((1.50, 0.0), (1.33, 3.0), (1.19, 4.0)),
    "N": ((1.47, 0.0), (1.33, 0.0), (1.15, 1.0)),
    "O": ((1.22, 0.0), (1.26, 0.0), (1.36, 0.0), (1.42, 0.0)),
    "F": ((1.35, 0.0),),
}
"""Distances to carbon of an atom with one bond, angstrom, and what each costs as a rarity."""
BRIDGING: dict[str, tuple[tuple[float, float], ...]] = {
    "C": ((1.39, 0.0), (1.45, 0.0), (1.51, 0.0)),
    "N": ((1.34, 1.0), (1.38, 1.0), (1.46, 1.0)),
    "O": ((1.37, 1.0), (1.43, 1.0)),
}
"""Mean distances to carbon of an atom with two bonds."""
MOST_BONDS = {"C": 4, "N": 4, "O": 2, "F": 1, "Cl": 1, "Br": 1, "I": 1}
LIGHT = frozenset({"C", "N", "O", "F"})


def chemistry_costs(
    atoms: Sequence[DraftAtom], elements: Sequence[str], hall: str, cell: UnitCell
) -> NDArray[np.float64]:
    """Return a penalty for elements that the bonds at a site speak against, (atoms, elements); zero where all may be.

    Only for C, N, O, F and halogens among themselves, and not at a site that bonds to anything else: more neighbours
    than the element takes, and distances that it does not have as the end of a chain or between two atoms.
    """
    penalties = np.zeros((len(atoms), len(elements)))
    lengths: list[list[float]] = [[] for _ in atoms]
    heavy = np.zeros(len(atoms), dtype=bool)
    for bond in bonds(atoms, hall, cell):
        if atoms[bond.second].element in LIGHT:
            lengths[bond.first].append(bond.distance)
        elif atoms[bond.second].element not in {"H", "D"}:
            heavy[bond.first] = True
    for i, found in enumerate(lengths):
        if heavy[i]:
            continue
        for k, element in enumerate(elements):
            penalties[i, k] = _bond_cost(element, found)
    return penalties


def crowding_costs(
    atoms: Sequence[DraftAtom], elements: Sequence[str], hall: str, cell: UnitCell
) -> NDArray[np.float64]:
    """Return a penalty for elements too large for their site, (atoms, elements): see `geometry.close_contacts`."""
    heavy = [i for i, atom in enumerate(atoms) if atom.element not in {"H", "D"}]
    penalties = np.zeros((len(atoms), len(elements)))
    if not heavy:
        return penalties
    own = np.array([covalent_radius(element) for element in elements])
    radii = np.array([covalent_radius(atoms[i].element) for i in heavy])
    positions = np.array([atoms[i].position for i in heavy])
    reach = SHORTEST_BOND_FRACTION * float(own.max() + radii.max())
    for pair in contacts(positions, positions, hall, cell, cutoff=reach):
        too_near = pair.distance < SHORTEST_BOND_FRACTION * (own + radii[pair.second])
        row = heavy[pair.first]
        penalties[row] = np.maximum(penalties[row], TOO_NEAR * too_near)
    return penalties


def _bond_cost(element: str, lengths: Sequence[float]) -> float:
    if element not in MOST_BONDS:
        return 0.0
    surplus = 10.0 * max(0, len(lengths) - MOST_BONDS[element])
    if len(lengths) == 0:
        return {"C": 6.0, "N": 4.0}.get(element, 0.0)
    table = {1: TERMINAL, 2: BRIDGING}.get(len(lengths), {}).get(element)
    if table is None:
        return surplus + (1.5 if element == "N" and len(lengths) >= 3 else 0.0)
    mean = float(np.mean(lengths))
    misfit = min(((mean - ideal) / BOND_SPREAD_ANGSTROM) ** 2 + rarity for ideal, rarity in table)
    return surplus + min(misfit, MOST_COST)
