"""Contacts of large structures, found by a tree: the same, to the bit and in the same order, as by looking at all."""

import gemmi
import numpy as np
import pytest

from tasks.crystal import contacts
from tasks.crystal.symmetry import operations_from_hall
from tasks.model import UnitCell

CELLS = [
    ("P 1", (6.0, 8.0, 9.0, 80.0, 97.0, 103.0)),
    ("P 1 21/c 1", (17.0, 14.0, 11.0, 90.0, 99.0, 90.0)),
    ("P 63/m m c", (4.0, 4.0, 9.0, 90.0, 90.0, 120.0)),
]


@pytest.mark.parametrize(("symbol", "parameters"), CELLS, ids=[row[0] for row in CELLS])
@pytest.mark.parametrize("reach", [0.95, 4.5])
def test_a_tree_finds_the_contacts_that_a_look_at_all_images_finds(
    symbol: str, parameters: tuple[float, ...], reach: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    places = np.random.default_rng(5).random((12, 3)) * 1.4 - 0.2
    places[0] = 0.0
    operations, cell = operations_from_hall(gemmi.SpaceGroup(symbol).hall), UnitCell.of(parameters)
    found = []
    for few in (0, 10**9):
        monkeypatch.setattr(contacts, "FEW_IMAGES", few)
        found.append(contacts.contacts(places, places, operations, cell, within_angstrom=reach, same_angstrom=0.1))
    tree, everything = found
    assert len(everything.first) >= 12
    for mine, other in zip(tree, everything, strict=True):
        assert np.array_equal(mine, other)
