"""Whether the nearest atoms of a site are unlike it."""

import itertools

import numpy as np
import pytest

from tasks.crystal.sites import site_orders
from tasks.crystal.symmetry import operations_from_hall
from tasks.model import UnitCell
from tasks.refine.draft import DraftAtom
from tasks.refine.unlike import NOTHING_NEAR, like_cost, shells
from tests.synthetic.adversarial_structures import PUBLISHED

CADMIUM_IODIDE = UnitCell.of((4.24, 4.24, 13.67, 90, 90, 120))
SITES = (("Cd", (1 / 3, 2 / 3, 0.0)), ("I", (1 / 3, 2 / 3, 0.375)), ("I", (0.0, 0.0, 0.625)))
"""The 4H form: Wyckoff, Crystal Structures 1, 2nd ed. (1963)."""
SALTS = [
    one
    for one in PUBLISHED
    if {"C", "H"}.isdisjoint({atom.element for atom in one.atoms}) and len({atom.element for atom in one.atoms}) > 1
]


def cost_of(names: list[str], places: list[tuple[float, float, float]], hall: str, cell: UnitCell) -> float:
    atoms = [
        DraftAtom(label=f"X{i}", element=name, position=place)
        for i, (name, place) in enumerate(zip(names, places, strict=True))
    ]
    return sum(like_cost(name, shell, names) for name, shell in zip(names, shells(atoms, hall, cell), strict=True))


@pytest.mark.parametrize("iodine", [1, 2])
def test_a_cation_that_changes_places_with_an_anion_has_its_like_nearest(iodine: int) -> None:
    """Cadmium and iodine scatter alike, and both names leave lengths that bonds have."""
    names, places = [name for name, _ in SITES], [place for _, place in SITES]
    changed = list(names)
    changed[0], changed[iodine] = names[iodine], names[0]
    right, wrong = (cost_of(row, places, "P 6c -2c", CADMIUM_IODIDE) for row in (names, changed))
    assert right < 4
    assert wrong > right + 10


@pytest.mark.parametrize("structure", SALTS, ids=lambda one: one.name)
def test_no_exchange_in_a_published_salt_pleases_the_neighbours_more(structure) -> None:
    names, places = [atom.element for atom in structure.atoms], [atom.position for atom in structure.atoms]
    orders = site_orders(np.array(places), operations_from_hall(structure.hall), structure.cell)
    right = cost_of(names, places, structure.hall, structure.cell)
    for one, other in itertools.combinations(range(len(names)), 2):
        if names[one] != names[other] and orders[one] == orders[other]:
            changed = list(names)
            changed[one], changed[other] = names[other], names[one]
            assert cost_of(changed, places, structure.hall, structure.cell) > right - 1.5, changed


def test_the_nearest_atoms_are_told_by_distances_and_not_by_names() -> None:
    def found(names: str) -> list:
        atoms = [
            DraftAtom(label=f"X{i}", element=name, position=place)
            for i, (name, (_, place)) in enumerate(zip(names.split(), SITES, strict=True))
        ]
        return shells(atoms, "P 6c -2c", CADMIUM_IODIDE)

    assert found("Cd I I") == found("I Cd I")
    assert all(sum(shell.shares) == pytest.approx(1.0) for shell in found("Cd I I"))
    cadmium = found("Cd I I")[0]
    # three of each iodine at 3 angstrom, and cadmium at 4.2
    assert cadmium.shares[cadmium.atoms.index(1)] == pytest.approx(cadmium.shares[cadmium.atoms.index(2)], rel=1e-3)
    assert cadmium.shares[cadmium.atoms.index(0)] < 0.05


@pytest.mark.parametrize("names", ["Cu Mn Al", "C Pd Cl", "S O O"])
def test_nothing_is_said_of_alloys_and_molecules(names: str) -> None:
    atoms = [
        DraftAtom(label=f"X{i}", element=name, position=place)
        for i, (name, (_, place)) in enumerate(zip(names.split(), SITES, strict=True))
    ]
    assert shells(atoms, "P 6c -2c", CADMIUM_IODIDE) == [NOTHING_NEAR] * 3
