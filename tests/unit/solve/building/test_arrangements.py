"""Special positions and the arrangements of atoms on them, against International Tables A and known structures."""

from collections import Counter

import pytest

from tasks.crystal.symmetry import symmetry_from_symbol
from tasks.model import Composition, UnitCell
from tasks.solve.building.arrangements import arrangements
from tasks.solve.building.special_positions import special_positions

CUBE = UnitCell.of((5.0, 5.0, 5.0, 90, 90, 90))
TABLES = [
    # multiplicities of the positions without freedom, and of those with one coordinate: International Tables A (2002)
    ("F m -3 m", CUBE, [4, 4, 8, 24], [24, 32, 48, 48, 48]),
    ("F d -3 m:2", CUBE, [8, 8, 16, 16], [32, 48, 96]),
    ("P n -3 m:2", CUBE, [2, 4, 4, 6, 12], [8, 12, 24, 24, 24]),
    ("P m -3 m", CUBE, [1, 1, 3, 3], [6, 6, 8, 12, 12, 12]),
    ("P 42/m n m", UnitCell.of((4.6, 4.6, 3.0, 90, 90, 90)), [2, 2, 4, 4], [4, 4, 4, 8]),
    ("P 63/m m c", UnitCell.of((3.2, 3.2, 5.2, 90, 90, 120)), [2, 2, 2, 2, 6], [4, 4, 6, 12]),
    ("R -3 c:H", UnitCell.of((4.8, 4.8, 13.0, 90, 90, 120)), [6, 6, 18], [12, 18]),
    ("P 1 21/c 1", UnitCell.of((5, 6, 7, 90, 100, 90)), [2, 2, 2, 2], []),
]


@pytest.mark.parametrize(("symbol", "cell", "fixed", "lines"), TABLES, ids=[row[0] for row in TABLES])
def test_special_positions_are_those_of_the_international_tables(
    symbol: str, cell: UnitCell, fixed: list[int], lines: list[int]
) -> None:
    found = special_positions(symmetry_from_symbol(symbol), cell)
    assert sorted(position.multiplicity for position in found if position.line < 0) == fixed
    by_line = {position.line: position.multiplicity for position in found if position.line >= 0}
    assert sorted(by_line.values()) == lines


def test_rock_salt_is_among_few_arrangements_and_every_one_holds_the_composition() -> None:
    cell = UnitCell.of((5.64, 5.64, 5.64, 90, 90, 90))
    found = arrangements(Composition.parse("Na Cl"), symmetry_from_symbol("F m -3 m"), cell)
    assert 1 <= len(found) <= 10
    for one in found:
        count: Counter[str] = Counter()
        for name, site in zip(one.element, one.sites, strict=True):
            count[name] += site.multiplicity
        assert count["Na"] == count["Cl"]
    places = [dict(zip(one.element, (site.multiplicity for site in one.sites), strict=True)) for one in found]
    assert {"Na": 4, "Cl": 4} in places


def test_atoms_are_never_nearer_than_a_bond() -> None:
    # four more sodium and chlorine ions in the quarters of the cell would be 2.44 A from eight others
    cell = UnitCell.of((4.2, 4.2, 4.2, 90, 90, 90))
    assert arrangements(Composition.parse("Cs Cl"), symmetry_from_symbol("F m -3 m"), cell) == []


def test_a_large_cell_is_given_up_and_not_searched_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tasks.solve.building.arrangements.MOST_STEPS", 500)
    cell = UnitCell.of((20.7, 20.7, 20.7, 90, 90, 90))
    group = symmetry_from_symbol("F m -3 m")
    assert arrangements(Composition.parse("C48 H24 O32 Zr6"), group, cell) == []


def test_a_composition_with_fractions_of_atoms_has_no_arrangement() -> None:
    assert arrangements(Composition.parse("Fe0.9 O"), symmetry_from_symbol("F m -3 m"), CUBE) == []
