"""Which element each peak is: by scattering power, composition, bond lengths and coordination."""

import numpy as np
from numba import njit
from numpy.typing import NDArray

from tasks.crystal.contacts import MOST_BONDS, SHORTEST_BOND_FRACTION, Contacts, covalent_radii, is_bond
from tasks.crystal.contents import non_hydrogen, scattering_power
from tasks.crystal.scattering import Radiation
from tasks.crystal.symmetry import Symmetry
from tasks.model import Composition, UnitCell
from tasks.solve.building.atoms import Model, multiplicities
from tasks.solve.building.bonds import neighbours

POWER_SPREAD = 0.20
"""Expected scatter of the logarithm of a refined scattering power."""
COUNT_WEIGHT = 6.0
"""Cost of one atom too many or too few of an element, two of them for an atom renamed against right counts. Eight sets
of `python -m tests.benchmarks.solve` get the same names with 1 to 60; with 0 two to seven atoms of six of them
change."""
NOISE_COST = 1.5
"""Cost of taking a peak for noise, if it is weaker than the lightest element."""
BAD_FIT = 3.0
"""Cost from which an atom is exchanged: a scattering power off by 2.4 of its standard deviations, or one bond too many.
On the same sets 1 gives the same names, 6 other ones for 7 of the 26 atoms of c2-25."""
EXCHANGES = 8
"""Worst atoms tried, which bounds the time. On the same sets 16 and 64 give the same names, 4 and none other ones for 4
and 8 of the 26 atoms of c2-25."""
PALETTE = ("C", "O", "Na", "Al", "Si", "S", "Cl", "K", "Ca", "Ti", "Fe", "Cu", "Zn", "Br", "Zr", "I", "Lu", "Pb")
"""Stand-ins for ranges of scattering power when nothing is known of the composition."""
PALETTE_SPREAD = 0.5
"""Natural logarithm: C, N and O scatter electrons alike to 0.08, Si by 0.51 more than C (`scattering_power`)."""


def assign_elements(
    model: Model, symmetry: Symmetry, cell: UnitCell, *, composition: Composition | None, radiation: Radiation
) -> Model:
    """Return the model with elements in place of scattering powers, occupancies 1.

    Parameters
    ----------
    model
        Atoms of one element whose occupancies are their scattering power relative to it.
    composition
        May be approximate: counts enter as a penalty, not as a constraint. Without one the most common power is taken
        for carbon or, where no bonds between such atoms are found, oxygen.
    """
    if not model.element:
        return model
    multiplicity = multiplicities(model.position, symmetry, cell)
    near = neighbours(model.position, symmetry, cell, within_angstrom=3.2)
    fractions = non_hydrogen(composition) or _guessed(model, near)
    names = sorted(fractions, key=lambda name: (scattering_power(name, radiation), name))
    share = np.array([fractions[name] for name in names])
    power = np.log([scattering_power(name, radiation) for name in names])
    measured = np.log(model.occupancy * scattering_power(model.element[0], radiation))
    if composition is None:  # the typical atom is the light one
        offset = float(np.median(measured)) - float(power[int(share.argmax())])
    else:
        offset = _scale(measured, power, share, multiplicity)
    cost = ((measured[:, None] - offset - power[None, :]) / POWER_SPREAD) ** 2 / 2.0
    strict = composition is not None
    chosen = _search(cost, multiplicity, share, strict=strict)
    for _ in range(2):  # exchanges free others to change
        for _ in range(3):
            geometry = _geometry_cost(names, tuple(names[index] for index in chosen), near)
            chosen = _search(cost + geometry, multiplicity, share, strict=strict)
        chosen = _exchanged(chosen, cost, names, near)
    element = tuple(names[index] for index in chosen)
    return model._replace(element=element, occupancy=np.ones(len(element)))


def _exchanged(
    chosen: NDArray[np.int64], cost: NDArray[np.float64], names: list[str], near: Contacts
) -> NDArray[np.int64]:
    """Return the elements after exchanges between atoms that fit badly and others, neighbours judged anew each time."""

    def costs(trial: NDArray[np.int64]) -> NDArray[np.float64]:
        geometry = _geometry_cost(names, tuple(names[index] for index in trial), near)
        return np.asarray((cost + geometry)[np.arange(len(trial)), trial])

    current = costs(chosen)
    for row in np.argsort(-current)[:EXCHANGES]:
        if current[row] < BAD_FIT:
            break
        for other in np.flatnonzero(chosen != chosen[row]):
            trial = chosen.copy()
            trial[row], trial[other] = chosen[other], chosen[row]
            value = costs(trial)
            if value.sum() < current.sum() - 1e-9:
                chosen, current = trial, value
    return chosen


def _guessed(model: Model, near: Contacts) -> dict[str, float]:
    """Return equal fractions of the palette, with C or O as the typical light atom."""
    typical = np.abs(np.log(model.occupancy / np.median(model.occupancy))) < PALETTE_SPREAD
    pair = typical[near.first] & typical[near.second]
    light = "C" if (pair & (near.distance > 1.15) & (near.distance < 1.65)).any() else "O"
    names = [name for name in PALETTE if name not in {"C", "O"}]
    return {light: 0.6} | dict.fromkeys(names, 0.4 / len(names))


def _scale(
    measured: NDArray[np.float64], power: NDArray[np.float64], share: NDArray[np.float64], weight: NDArray[np.float64]
) -> float:
    """Return the logarithm of the scale at which powers and composition fit best."""
    best, best_cost = 0.0, np.inf
    for trial in np.unique(np.round((measured[:, None] - power[None, :]).ravel(), 2)):
        cost = ((measured[:, None] - trial - power[None, :]) / POWER_SPREAD) ** 2 / 2.0
        nearest, lowest = cost.argmin(axis=1), cost.min(axis=1)
        noise = (lowest > NOISE_COST) & (measured - trial < power[0])
        if noise.all():
            continue
        found = np.bincount(nearest[~noise], weights=weight[~noise], minlength=len(power))
        value = float((np.where(noise, NOISE_COST, lowest) * weight).sum() / weight.sum())
        # elements that scatter alike share their fraction: compare cumulated fractions
        value += COUNT_WEIGHT * float(np.abs(np.cumsum(found) / found.sum() - np.cumsum(share)).mean())
        if value < best_cost:
            best, best_cost = float(trial), value
    return best


def lightest_power(
    model: Model, multiplicity: NDArray[np.float64], *, composition: Composition | None, radiation: Radiation
) -> float:
    """Return the occupancy that an atom of the lightest non-hydrogen element has among these pseudo-atoms."""
    fractions = non_hydrogen(composition)
    names = sorted(fractions, key=lambda name: (scattering_power(name, radiation), name))
    power = np.log([scattering_power(name, radiation) for name in names])
    share = np.array([fractions[name] for name in names])
    measured = np.log(np.maximum(model.occupancy, 1e-3))
    return float(np.exp(_scale(measured, power, share, multiplicity) + power[0]))


def _search(
    cost: NDArray[np.float64], multiplicity: NDArray[np.float64], share: NDArray[np.float64], *, strict: bool
) -> NDArray[np.int64]:
    """Return the element of each atom, (m,): single changes and swaps that lower the sum of costs and counts."""
    unit = float(multiplicity.max())
    weight = (COUNT_WEIGHT if strict else 0.02 * COUNT_WEIGHT) / unit
    chosen = cost.argmin(axis=1)
    excess = np.bincount(chosen, weights=multiplicity, minlength=len(share)) - share * multiplicity.sum()
    for _ in range(20):
        changed = _changed(cost, chosen, multiplicity, excess, weight)
        if not (_swapped(cost, chosen, multiplicity, excess, weight) or changed):
            break
    return chosen


@njit(cache=True)
def _changed(
    cost: NDArray[np.float64],
    chosen: NDArray[np.int64],
    multiplicity: NDArray[np.float64],
    excess: NDArray[np.float64],
    weight: float,
) -> bool:  # pragma: no cover
    """Give atoms other elements where that lowers the total; `chosen` (m,) and `excess` (elements,) change in place."""
    changed = False
    for row in range(len(chosen)):
        for option in range(len(excess)):
            old, count = chosen[row], multiplicity[row]
            if option == old:
                continue
            change = cost[row, option] - cost[row, old]
            change += weight * (abs(excess[old] - count) - abs(excess[old]))
            change += weight * (abs(excess[option] + count) - abs(excess[option]))
            if change < -1e-9:
                excess[old] -= count
                excess[option] += count
                chosen[row] = option
                changed = True
    return changed


@njit(cache=True)
def _swapped(
    cost: NDArray[np.float64],
    chosen: NDArray[np.int64],
    multiplicity: NDArray[np.float64],
    excess: NDArray[np.float64],
    weight: float,
) -> bool:  # pragma: no cover
    """Swap the elements of two atoms where that lowers the total, in place as `_changed`."""
    changed = False
    for row in range(len(chosen)):
        for other in range(len(chosen)):
            mine, yours = chosen[row], chosen[other]
            if mine == yours:
                continue
            moved = multiplicity[other] - multiplicity[row]
            change = cost[row, yours] - cost[row, mine] + cost[other, mine] - cost[other, yours]
            change += weight * (abs(excess[mine] + moved) - abs(excess[mine]))
            change += weight * (abs(excess[yours] - moved) - abs(excess[yours]))
            if change < -1e-9:
                excess[mine] += moved
                excess[yours] -= moved
                chosen[row], chosen[other] = yours, mine
                changed = True
    return changed


def _geometry_cost(names: list[str], element: tuple[str, ...], near: Contacts) -> NDArray[np.float64]:
    """Return how badly each element fits the surroundings of each atom, (m, elements)."""
    bonded = is_bond(near, element)
    size = len(element)
    first, second, length = near.first[bonded], near.second[bonded], near.distance[bonded]
    radius = covalent_radii(element)
    own = covalent_radii(names)
    most = np.array([MOST_BONDS.get(name, 12) for name in names])

    def summed(value: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.bincount(first, weights=value, minlength=size).astype(np.float64)

    count = np.bincount(first, minlength=size)
    mean = summed(length - radius[second]) / np.maximum(count, 1)
    stretch = (mean[:, None] - own) / np.where(own < 0.8, 0.10, 0.2)
    excess = np.maximum(0.0, summed((radius < 1.1).astype(np.float64)[second])[:, None] - most)
    reach = [SHORTEST_BOND_FRACTION * (each + radius[second]) for each in own]
    short = np.stack([summed((length < limit).astype(np.float64)) for limit in reach], axis=1)
    cost = np.minimum(stretch**2 / 2.0, 4.0) + 3.0 * excess + 3.0 * np.minimum(short, 2.0)
    return np.where(count[:, None] > 0, cost, 0.0)
