"""Space groups as arrays and their lookup, against gemmi's tables."""

import gemmi
import numpy as np
import pytest

from tasks.crystal.sites import site_multiplicities, site_orders, stabilised
from tasks.crystal.symmetry import (
    absent,
    compatible_groups,
    epsilon,
    laue_group_of,
    operations_from_hall,
    operations_of,
    space_group,
    symmetry_of,
)
from tasks.model import InputError, UnitCell

AXIS = np.arange(-4, 5, dtype=np.int32)
BOX = np.stack(np.meshgrid(AXIS, AXIS, AXIS, indexing="ij"), axis=-1).reshape(-1, 3)
GROUPS = ["P 1", "P 1 21/n 1", "C 1 2/c 1", "P 21 21 21", "I 41/a m d:2", "R -3 c:H", "P 63/m m c", "F d -3 m:2"]
STANDARD = [g.xhm() for g in gemmi.spacegroup_table() if g.is_reference_setting()]


@pytest.mark.parametrize("symbol", GROUPS)
def test_operations_move_a_place_as_in_gemmi(symbol: str) -> None:
    group, place = gemmi.SpaceGroup(symbol), np.array([0.13, 0.27, 0.39])
    rotations, translations = operations_of(group.operations())
    theirs = [operation.apply_to_xyz(place.tolist()) for operation in group.operations()]
    assert rotations @ place + translations == pytest.approx(np.array(theirs))
    ours = symmetry_of(group).operations()
    difference = ours.rotations @ place + ours.translations - theirs
    assert difference == pytest.approx(np.rint(difference), abs=1e-9)


@pytest.mark.parametrize("symbol", GROUPS)
def test_absences_and_epsilon_are_those_of_gemmi(symbol: str) -> None:
    group = gemmi.SpaceGroup(symbol)
    operations, symmetry = group.operations(), symmetry_of(group)
    assert (absent(BOX, symmetry) == operations.systematic_absences(BOX)).all()
    assert (epsilon(BOX, symmetry) == operations.epsilon_factor_without_centering_array(BOX)).all()


@pytest.mark.parametrize("symbol", STANDARD)
def test_a_group_is_among_those_of_its_laue_class(symbol: str) -> None:
    laue = laue_group_of(symbol)
    assert laue.is_centrosymmetric()
    assert laue.is_symmorphic()
    assert laue.laue_str() == gemmi.SpaceGroup(symbol).laue_str()
    listed = compatible_groups(laue)
    assert gemmi.SpaceGroup(symbol) in listed
    assert len({group.hall for group in listed}) == len(listed)


def test_a_symbol_that_is_none_is_an_input_error() -> None:
    for refused in (space_group, laue_group_of):
        with pytest.raises(InputError, match="Q 42"):
            refused("Q 42")
    with pytest.raises(InputError, match="not a Hall symbol"):
        operations_from_hall("Q 42")


@pytest.mark.parametrize(
    ("place", "multiplicity"),
    [((0, 0, 0), 4), ((0.25, 0.25, 0.25), 8), ((0.2, 0, 0), 24), ((0.2, 0.2, 0.2), 32), ((0.11, 0.23, 0.37), 192)],
)
def test_sites_of_fm3m_have_the_multiplicities_of_the_international_tables(place, multiplicity: int) -> None:
    cell = UnitCell.of((20.0, 20.0, 20.0, 90, 90, 90))
    operations = operations_of(gemmi.SpaceGroup("F m -3 m").operations())
    position = np.array([place], dtype=np.float64)
    assert site_multiplicities(position, operations, cell)[0] == multiplicity
    assert site_orders(position, operations, cell)[0] == 192 // multiplicity


def test_a_place_next_to_a_mirror_is_on_it_by_the_distance_to_its_image() -> None:
    cell = UnitCell.of((10.0, 10.0, 10.0, 90, 90, 90))
    operations = operations_of(gemmi.SpaceGroup("P 1 m 1").operations())
    position = np.array([[0.2, 0.004, 0.3], [0.2, 0.006, 0.3]])  # images 0.08 and 0.12 A apart
    assert site_orders(position, operations, cell).tolist() == [2.0, 1.0]
    assert stabilised(position, operations, cell, within_angstrom=0.05).sum() == 2
