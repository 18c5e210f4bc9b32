"""Multiple bonds of metals are bonds, however short; two atoms of one peak are none."""

import pytest

from tasks.crystal.contacts import shortest_bond


@pytest.mark.parametrize(
    ("one", "other", "distance_angstrom"),
    [("V", "O", 1.577), ("U", "O", 1.76), ("Mo", "N", 1.63), ("N", "N", 1.10), ("Si", "O", 1.57), ("C", "O", 1.13)],
)
def test_known_bonds_are_not_too_short(one: str, other: str, distance_angstrom: float) -> None:
    assert shortest_bond(one, other) < distance_angstrom
    assert shortest_bond(other, one) == shortest_bond(one, other)


@pytest.mark.parametrize(("one", "other", "distance_angstrom"), [("U", "O", 1.5), ("Ca", "Ca", 2.5), ("C", "C", 1.0)])
def test_nearer_atoms_are_no_pair(one: str, other: str, distance_angstrom: float) -> None:
    assert shortest_bond(one, other) > distance_angstrom
