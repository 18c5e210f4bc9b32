"""What is suspected where nothing was found."""

import pytest

from tasks.crystal.contents import room_for_units
from tasks.model import Composition, UnitCell
from tasks.solve.data.diagnosis import suspicions

CINCHONINE = Composition.parse("C19 H22 N2 O")


@pytest.mark.parametrize(
    ("formula", "cell", "units"),
    [
        ("C19 H22 N2 O", (10.732, 7.283, 11.107, 90, 108.06, 90), 2),
        ("C9 H11 N O3", (6.008, 7.025, 21.69, 90, 90, 90), 4),
        ("C12 H22 O11", (7.716, 8.6638, 10.8118, 90, 102.982, 90), 2),
        ("C3 H7 N O2", (5.9279, 12.2597, 5.7939, 90, 90, 90), 4),
    ],
)
def test_molecules_are_counted_by_their_volume(formula: str, cell: tuple[float, ...], units: int) -> None:
    found = room_for_units(Composition.parse(formula), UnitCell.of(cell).volume_angstrom3)
    assert found == pytest.approx(units, rel=0.14)
    assert not any("formula units" in text for text in suspicions((), found))


def test_frameworks_are_not_counted_by_volume() -> None:
    assert room_for_units(Composition.parse("Si O2"), 2051.0) is None
    assert room_for_units(None, 2051.0) is None


def test_a_cell_with_room_for_parts_of_molecules_is_suspect() -> None:
    volume = UnitCell.of((13.4, 5.83, 12.77, 90, 108.06, 90)).volume_angstrom3
    assert "2.3 formula units" in suspicions(("little signal",), room_for_units(CINCHONINE, volume))[0]


def test_sound_intensities_put_the_blame_on_what_was_said_about_them() -> None:
    assert "cell, the Laue class or the composition" in suspicions((), None)[-1]
    assert suspicions(("little signal",), None) == ()
