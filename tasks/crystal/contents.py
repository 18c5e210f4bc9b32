"""What a cell holds, from composition, volume and the atoms found: atoms, formula units, scattering power."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from tasks.crystal.scattering import Radiation, scattering_factor
from tasks.crystal.symmetry import operations_from_hall
from tasks.model import Composition

# Mean volume of an atom in crystals, angstrom^3: Hofmann, Acta Cryst. B58, 489-493 (2002).
VOLUME_ANGSTROM3 = {
    "H": 5.08, "Li": 22.6, "Be": 36.0, "B": 13.24, "C": 13.87, "N": 11.8, "O": 11.39, "F": 11.17, "Na": 26.0,
    "Mg": 36.0, "Al": 39.6, "Si": 37.3, "P": 29.5, "S": 25.2, "Cl": 25.8, "K": 36.0, "Ca": 45.0, "Br": 32.7, "I": 46.2,
}  # fmt: skip
OTHER_METAL_ANGSTROM3 = 35.0
"""Of an atom of any other metal: about the mean of the seven metals above (34.5)."""
MOLECULAR = frozenset({"H", "D", "B", "C", "N", "O", "F", "P", "S", "Cl", "Br", "I", "Se", "Si"})
VOLUME_PER_ATOM_ANGSTROM3 = 17.0
"""Of a non-hydrogen atom in organic crystals, its hydrogen included; Kempster & Lipson (Acta Cryst. B28, 3674, 1972)
give 18."""
VOLUME_PER_INORGANIC_ATOM_ANGSTROM3 = 13.0
"""In minerals, between dense oxides and zeolites."""
SAME_FRACTION = 0.02
"""Up to this the atoms found are those of the composition: occupancies are refined to about as much."""
SHORT_FORMULA = 8
"""Atoms that are not hydrogen: the atoms of so short a formula may sit on several special positions."""
POWER_D_STAR_SQ = 0.30
"""1/d^2 at which elements are compared: the middle of a map at about 1 angstrom."""


class Budget(NamedTuple):
    """Non-hydrogen atoms of the whole cell: fewest, expected and most; ``molecular``: the count can be trusted."""

    low: float
    expected: float
    high: float
    molecular: bool


def atom_budget(composition: Composition | None, volume_angstrom3: float) -> Budget:
    """Return how many non-hydrogen atoms the cell can hold.

    With a molecular composition the number of formula units follows from atomic volumes to some 10 %. Oxides are
    denser and porous frameworks less dense than the volumes say, by up to a factor of two.
    """
    if composition is None:
        return Budget(volume_angstrom3 / 45, volume_angstrom3 / 17, volume_angstrom3 / 10, molecular=False)
    heavy = not_hydrogen(composition)
    if heavy == 0:
        heavy = sum(composition.counts.values())
    formula = sum(
        count * VOLUME_ANGSTROM3.get("H" if name == "D" else name, OTHER_METAL_ANGSTROM3)
        for name, count in composition.counts.items()
    )
    expected = heavy * volume_angstrom3 / formula
    if set(composition.counts) <= MOLECULAR and "C" in composition.counts:
        return Budget(0.8 * expected, expected, 1.2 * expected, molecular=True)
    return Budget(0.4 * expected, expected, min(2.5 * expected, volume_angstrom3 / 9.0), molecular=False)


def not_hydrogen(composition: Composition) -> float:
    """Return the number of atoms of the formula that are not hydrogen."""
    return sum(count for name, count in composition.counts.items() if name not in {"H", "D"})


def atoms_by_volume(composition: Composition | None, volume_angstrom3: float) -> float:
    """Return how many non-hydrogen atoms a volume has room for, to some 20 %: all that is known before any is found."""
    organic = composition is None or "C" in composition.counts
    return volume_angstrom3 / (VOLUME_PER_ATOM_ANGSTROM3 if organic else VOLUME_PER_INORGANIC_ATOM_ANGSTROM3)


def room_for_units(composition: Composition | None, volume_angstrom3: float) -> float | None:
    """Return how many formula units of a molecular composition a cell has room for; None for any other.

    By the volumes of the elements, hydrogen included: good to 10 %, enough to tell that the number is not whole.
    """
    if composition is None or not (budget := atom_budget(composition, volume_angstrom3)).molecular:
        return None
    return budget.expected / not_hydrogen(composition)


def units_by_volume(composition: Composition, volume_angstrom3: float, hall: str) -> float:
    """Return Z before any atom is found: the number that the group can give nearest to what there is room for."""
    room = atoms_by_volume(composition, volume_angstrom3) / max(not_hydrogen(composition), 1.0)
    choices = _possible_units(len(operations_from_hall(hall).rotations))
    return min(choices, key=lambda units: (max(units / room, room / units), units))


def units_by_atoms(composition: Composition, atoms_in_cell: float, hall: str) -> float:
    """Return how many formula units the cell holds: the fewest that leave room for 92 % of the atoms found.

    Only numbers that the group's general position can give are tried: its multiplicity times n or over a divisor; of
    a short formula, whose atoms may sit on several special positions, all multiples of an eighth of it. A formula
    with fractions of atoms is written for any part of the cell: multiples of a 24th.
    """
    per_formula = not_hydrogen(composition)
    order = len(operations_from_hall(hall).rotations)
    choices = _possible_units(order)
    if per_formula <= 0:
        return float(order)
    if per_formula <= SHORT_FORMULA:
        choices = sorted({*choices, *(order * n / 8 for n in range(1, 129) if order * n % 8 == 0)})
    if any(abs(count - round(count)) > 1e-6 for count in composition.counts.values()):
        choices = sorted({*choices, *(order * n / 24 for n in range(1, 385))})
    for units in choices:
        if units * per_formula >= 0.92 * atoms_in_cell:
            return units
    return choices[-1]


def units_in_cell(composition: Composition, contents: Mapping[str, float], hall: str) -> float:
    """Return how many formula units the cell holds, by the atoms of each element found in it.

    Where these are the composition's in any whole multiple, hydrogen apart, that is the number: a short formula may
    be spread over special positions, and a porous framework says nothing by its volume. Otherwise as `units_by_atoms`.
    """
    expected = {element: count for element, count in composition.counts.items() if element not in {"H", "D"}}
    found = {element: count for element, count in contents.items() if element not in {"H", "D"}}
    total = sum(expected.values())
    if total > 0 and set(found) == set(expected):
        units = round(sum(found.values()) / total)
        if units and all(abs(found[name] - units * n) <= SAME_FRACTION * units * n for name, n in expected.items()):
            return float(units)
    return units_by_atoms(composition, sum(found.values()), hall)


def _possible_units(order: int) -> list[float]:
    """Return the order of a group over its divisors and times whole numbers up to 16: units on equivalent places."""
    divided = {order / d for d in range(1, order + 1) if order % d == 0}
    return sorted(divided | {float(order * n) for n in range(2, 17)})


def non_hydrogen(composition: Composition | None) -> dict[str, float]:
    """Return the fractions of the non-hydrogen atoms, by element; empty without a composition."""
    if composition is None:
        return {}
    counts = {name: count for name, count in composition.counts.items() if name not in {"H", "D"}}
    total = sum(counts.values())
    return {name: count / total for name, count in counts.items()}


def scattering_power(element: str, radiation: Radiation) -> float:
    """Return the scattering factor where a map at atomic resolution weighs it most."""
    return float(scattering_factor(element, np.array([POWER_D_STAR_SQ]), radiation)[0])


def reference_element(composition: Composition | None, radiation: Radiation) -> str:
    """Return the most frequent non-hydrogen element, carbon if nothing is known: the first pseudo-atom."""
    fractions = non_hydrogen(composition)
    if not fractions:
        return "C"
    return max(fractions, key=lambda name: (fractions[name], scattering_power(name, radiation)))
