"""Twin laws by cosets: against the textbook's list, and the textbook's exceptions."""

import gemmi
import numpy as np
import pytest

from tasks.crystal.symmetry import laue_group_of
from tasks.crystal.twin_laws import (
    is_merohedral,
    law_between,
    law_of_triplet,
    law_triplet,
    orbit_number,
    twin_indices,
    twin_laws,
)
from tasks.model import UnitCell
from tests.synthetic.twins import CASES, TwinCase, intensities_of

HEXAGONAL = (9.4, 9.4, 6.9, 90, 90, 120)
TETRAGONAL = (5.2, 5.2, 11.4, 90, 90, 90)
CUBIC = (7.7, 7.7, 7.7, 90, 90, 90)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_the_laws_of_known_twins_are_found(case: TwinCase) -> None:
    laws = twin_laws(case.cell, laue_group_of(case.space_group))
    assert [law.law.astype(int).tolist() for law in laws] == [[list(row) for row in case.law]]


@pytest.mark.parametrize(
    ("symbol", "cell", "count"),
    [
        # International Tables C, table 1.3.4.2 without inversion: one law where a Laue class is half of its system's,
        # three of -3 in the hexagonal lattice
        ("P 4/m", TETRAGONAL, 1),
        ("P 4/m m m", TETRAGONAL, 0),
        ("P 6/m", HEXAGONAL, 1),
        ("P 6/m m m", HEXAGONAL, 0),
        ("P -3", HEXAGONAL, 3),
        ("P -3 1 m", HEXAGONAL, 1),
        ("P -3 m 1", HEXAGONAL, 1),
        ("R -3", HEXAGONAL, 1),
        ("R -3 m", HEXAGONAL, 0),
        ("I m -3", CUBIC, 1),
        ("F m -3 m", CUBIC, 0),
        ("P -1", (6.1, 7.2, 8.3, 82.0, 95.0, 104.0), 0),
        ("P 1 2/m 1", (6.1, 7.2, 8.3, 90, 101.0, 90), 0),
        ("P m m m", (5.0, 5.03, 8.3, 90, 90, 90), 1),
        ("P m m m", (5.0, 5.3, 8.3, 90, 90, 90), 0),
        ("P 1 2/m 1", (6.1, 7.2, 6.12, 90, 101.0, 90), 1),
    ],
)
def test_as_many_laws_as_cosets(symbol: str, cell: tuple[float, ...], count: int) -> None:
    laws = twin_laws(UnitCell.of(cell), gemmi.SpaceGroup(symbol))
    assert len(laws) == count
    assert all(round(float(np.linalg.det(law.law))) == 1 for law in laws)


def test_a_centred_cell_may_have_a_law_with_fractions() -> None:
    cell = UnitCell.of((5.0, 5.0 * np.sqrt(3), 8.0, 90, 90, 90))
    laws = twin_laws(cell, gemmi.SpaceGroup("C m m m"))
    assert laws == ()  # a threefold law does not leave mmm as it is
    monoclinic = twin_laws(cell, gemmi.SpaceGroup("C 1 2/m 1"))
    assert [law.triplet for law in monoclinic] == ["h,-k,-l"]
    triplets = {law.triplet for law in twin_laws(cell, gemmi.SpaceGroup("C -1"))}
    assert len(triplets) == 11
    assert any("1/2*" in triplet for triplet in triplets)


def test_laws_are_written_as_indices() -> None:
    assert law_triplet(np.array([[0, 1, 0], [1, 0, 0], [0, 0, -1]])) == "k,h,-l"
    assert law_triplet(np.array([[-1, -1, 0], [1, 0, 0], [0, 0, 1]])) == "-h-k,h,l"
    assert law_triplet(np.array([[0.5, 1.5, 0], [0.5, -0.5, 0], [0, 0, -1]])) == "1/2*h+3/2*k,1/2*h-1/2*k,-l"


@pytest.mark.parametrize("text", ["k,h,-l", "-h-k,h,l", "1/2*h+3/2*k,1/2*h-1/2*k,-l"])
def test_what_is_written_is_read(text: str) -> None:
    law = law_of_triplet(text)
    assert law_triplet(law) == text
    hkl = np.array([[1, 3, 5]], np.int32)
    h, k, l = (int(eval(part, {"h": 1, "k": 3, "l": 5})) for part in text.split(","))
    assert twin_indices(hkl, law).tolist() == [[h, k, l]]


@pytest.mark.parametrize("text", ["k,h", "k,h,l+1/0", "h,h,l", "foo"])
def test_what_is_no_law_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is no twin law"):
        law_of_triplet(text)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_the_law_of_a_descent_is_what_the_larger_group_has(case: TwinCase) -> None:
    larger = {"quartz": "P 6/m m m", "scheelite": "I 4/m m m", "cryolite": "P m m m", "apatite": "P 6/m m m"}
    law = law_between(laue_group_of(case.space_group), gemmi.SpaceGroup(larger[case.name]))
    assert law.law.astype(int).tolist() == [list(row) for row in case.law]


def test_a_group_that_is_no_half_has_no_law() -> None:
    with pytest.raises(ValueError, match="no subgroup of index two"):
        law_between(gemmi.SpaceGroup("P -3"), gemmi.SpaceGroup("P 6/m m m"))


def test_a_law_of_the_cell_alone_is_no_merohedry() -> None:
    assert is_merohedral(((0, 1, 0), (1, 0, 0), (0, 0, -1)), gemmi.SpaceGroup("P 6/m"))
    assert not is_merohedral(((1, 0, 0), (0, -1, 0), (0, 0, -1)), gemmi.SpaceGroup("P 1 2/m 1"))


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_reflections_of_one_orbit_are_those_that_a_twin_makes_alike(case: TwinCase) -> None:
    grid = np.stack(np.meshgrid(*[np.arange(-4, 5)] * 3), axis=-1).reshape(-1, 3).astype(np.int32)
    group = gemmi.SpaceGroup(case.space_group)
    grid = grid[~group.operations().systematic_absences(grid)]
    law = np.array(case.law, dtype=float)
    allowed = ~group.operations().systematic_absences(twin_indices(grid, law))
    grid, orbit = grid[allowed], orbit_number(grid[allowed], group.hall, (np.eye(3), law))
    half = intensities_of(case, grid) + intensities_of(case, twin_indices(grid, law))
    spread = np.array([np.ptp(half[orbit == number]) for number in range(orbit.max() + 1)])
    assert spread.max() < 1e-6 * half.max()
    assert orbit.max() + 1 < len(np.unique(np.round(intensities_of(case, grid), 3)))
