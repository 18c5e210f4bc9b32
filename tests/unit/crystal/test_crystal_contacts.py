"""Neighbours with symmetry, bonds and what a cell holds, by known structures and by counting."""

import itertools

import gemmi
import numpy as np
import pytest

from tasks.crystal.contacts import contacts, contacts_among, covalent_radius, is_bond
from tasks.crystal.contents import atoms_by_volume, units_by_atoms, units_by_volume, units_in_cell
from tasks.crystal.symmetry import operations_of
from tasks.model import Composition, UnitCell

ROCK_SALT = np.array([[0.0, 0.0, 0.0], [0.5, 0.5, 0.5]])
CUBIC = UnitCell.of((5.64, 5.64, 5.64, 90, 90, 90))


def operations(symbol: str):
    return operations_of(gemmi.SpaceGroup(symbol).operations())


def test_each_ion_of_rock_salt_has_six_neighbours_at_half_the_axis() -> None:
    near = contacts_among(ROCK_SALT, operations("F m -3 m"), CUBIC, within_angstrom=3.0, same_angstrom=0.1)
    assert np.bincount(near.first).tolist() == [6, 6]
    assert (near.first != near.second).all()
    assert near.distance == pytest.approx(2.82)
    assert np.linalg.norm(near.cartesian, axis=1) == pytest.approx(near.distance)
    assert near.vector * 5.64 == pytest.approx(near.cartesian)
    assert is_bond(near, ("Na", "Cl")).all()
    assert not is_bond(near, ("C", "C")).any()


def test_no_image_is_missed_in_a_small_oblique_cell() -> None:
    cell = UnitCell.of((2.1, 2.9, 3.7, 62.0, 71.0, 55.0))
    near = contacts_among(np.zeros((1, 3)), operations("P 1"), cell, within_angstrom=8.0, same_angstrom=0.1)
    box = cell.gemmi()
    steps = itertools.product(range(-12, 13), repeat=3)
    lengths = [box.orthogonalize(gemmi.Fractional(*step)).length() for step in steps]
    assert near.distance.size == sum(0.1 < length <= 8.0 for length in lengths)


@pytest.mark.parametrize("symbol", ["P 1 21/c 1", "C 1 2/c 1", "R -3:H", "I 41/a m d:2"])
def test_every_image_found_is_one_of_the_group_and_listed_from_both_ends(symbol: str) -> None:
    hexagonal = symbol[0] == "R"
    cell = UnitCell.of((9.0, 9.0, 11.0, 90, 90, 120) if hexagonal else (9.0, 9.0, 11.0, 90, 90, 90))
    position = np.random.default_rng(1).random((4, 3))
    group = operations(symbol)
    near = contacts_among(position, group, cell, within_angstrom=4.0, same_angstrom=0.01)
    place = position[near.first] + near.vector
    made = np.einsum("kij,kj->ki", group.rotations[near.operation], position[near.second])
    difference = place - made - group.translations[near.operation]
    assert difference == pytest.approx(np.rint(difference), abs=1e-9)
    there = sorted(zip(near.first.tolist(), near.second.tolist(), near.distance.round(6), strict=True))
    back = sorted(zip(near.second.tolist(), near.first.tolist(), near.distance.round(6), strict=True))
    assert there == back


def test_an_atom_close_to_a_mirror_is_one_atom_within_the_distance_asked_for() -> None:
    cell = UnitCell.of((10.0, 10.0, 10.0, 90, 90, 90))
    position = np.array([[0.2, 0.01, 0.3], [0.35, 0.3, 0.3]])  # images of the first are 0.2 A apart
    mirror = operations("P 1 m 1")
    from_second = [
        (contacts(position[1:], position[:1], mirror, cell, within_angstrom=3.5, same_angstrom=same)).distance.size
        for same in (0.1, 0.3)
    ]
    assert from_second == [2, 1]
    alone = contacts_among(position[:1], mirror, cell, within_angstrom=3.5, same_angstrom=0.3)
    assert alone.distance.size == 0


def test_an_atom_is_found_from_itself_at_distance_zero_between_lists() -> None:
    near = contacts(ROCK_SALT, ROCK_SALT, operations("P 1"), CUBIC, within_angstrom=1.0, same_angstrom=0.1)
    assert near.distance.tolist() == [0.0, 0.0]
    nothing = contacts(np.zeros((0, 3)), ROCK_SALT, operations("P 1"), CUBIC, within_angstrom=1.0, same_angstrom=0.1)
    assert nothing.where(nothing.distance > 0).vector.shape == (0, 3)


def test_radii_are_those_of_cordero_and_others() -> None:
    assert [covalent_radius(element) for element in ("H", "O", "Si", "Fe")] == pytest.approx([0.31, 0.66, 1.11, 1.32])


@pytest.mark.parametrize(
    ("formula", "volume", "symbol", "units"),
    [
        ("C9 H11 N O3", 915.4, "P 21 21 21", 4),
        ("C12 H22 O11", 704.3, "P 1 21 1", 2),
        ("Na2 Al2 Si3 O12 H4", 2251.6, "F d d 2", 8),
        ("Na Al Si3 O8", 332.0, "P -1", 2),
    ],
    ids=["tyrosine", "sucrose", "natrolite", "half a cell of albite"],
)
def test_formula_units_by_volume_are_those_of_known_structures(
    formula: str, volume: float, symbol: str, units: float
) -> None:
    composition, hall = Composition.parse(formula), gemmi.SpaceGroup(symbol).hall
    assert units_by_volume(composition, volume, hall) == units
    heavy = sum(count for name, count in composition.counts.items() if name != "H")
    assert units_by_atoms(composition, units * heavy, hall) == units
    contents = {name: units * count for name, count in composition.counts.items()}
    assert units_in_cell(composition, contents, hall) == units


def test_an_organic_crystal_has_room_for_fewer_atoms_than_a_mineral() -> None:
    organic, mineral = Composition.parse("C6 H6"), Composition.parse("Si O2")
    assert atoms_by_volume(organic, 1700.0) == atoms_by_volume(None, 1700.0) == pytest.approx(100.0)
    assert atoms_by_volume(mineral, 1300.0) == pytest.approx(100.0)
