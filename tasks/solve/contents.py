"""How many atoms a cell can hold, and how strongly each element scatters, from composition and volume."""

from typing import NamedTuple

import numpy as np

from tasks.crystal.scattering import Radiation, scattering_factor
from tasks.model import Composition

# Mean volume of an atom in crystals, angstrom^3: Hofmann, Acta Cryst. B58, 489-493 (2002).
VOLUME_ANGSTROM3 = {
    "H": 5.08, "Li": 22.6, "Be": 36.0, "B": 13.24, "C": 13.87, "N": 11.8, "O": 11.39, "F": 11.17, "Na": 26.0,
    "Mg": 36.0, "Al": 39.6, "Si": 37.3, "P": 29.5, "S": 25.2, "Cl": 25.8, "K": 36.0, "Ca": 45.0, "Br": 32.7, "I": 46.2,
}  # fmt: skip
OTHER_METAL_ANGSTROM3 = 35.0
MOLECULAR = frozenset({"H", "D", "B", "C", "N", "O", "F", "P", "S", "Cl", "Br", "I", "Se", "Si"})
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
    heavy = sum(count for name, count in composition.counts.items() if name not in {"H", "D"})
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


def formula_units(composition: Composition | None, volume_angstrom3: float) -> float | None:
    """Return how many formula units of a molecular composition the cell has room for; None for any other."""
    if composition is None or not (budget := atom_budget(composition, volume_angstrom3)).molecular:
        return None
    return budget.expected / sum(count for name, count in composition.counts.items() if name not in {"H", "D"})


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
