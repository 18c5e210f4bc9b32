"""Miller indices and structure factors, against gemmi."""

import gemmi
import numpy as np
import pytest

from tasks.crystal.correlation import correlation
from tasks.crystal.miller import centring_allows, pack, sphere, to_hemisphere
from tasks.crystal.scattering import d_star_squared, scattering_factor, structure_factors
from tasks.model import InputError, UnitCell

CELL = UnitCell.of((7.1, 8.2, 9.3, 90.0, 101.0, 90.0))
RNG = np.random.default_rng(4)


def test_the_hemisphere_of_a_centred_lattice_is_that_of_gemmi() -> None:
    group = gemmi.SpaceGroup("C 1 2/m 1")
    ours = sphere(CELL, group.operations(), 1.1)
    theirs = gemmi.make_miller_array(CELL.gemmi(), gemmi.SpaceGroup("P 1"), 1.1)
    theirs = theirs[~group.operations().systematic_absences(theirs)]
    assert sorted(pack(ours)) == sorted(pack(to_hemisphere(theirs.astype(np.int32))[0]))
    assert centring_allows(ours, group.operations()).all()


def test_of_friedel_mates_one_is_kept_and_packed_alike() -> None:
    hkl = RNG.integers(-9, 10, (50, 3)).astype(np.int32)
    kept, flipped = to_hemisphere(hkl)
    mates, _ = to_hemisphere(-hkl)
    assert (kept == mates).all()
    assert (kept[flipped] == -hkl[flipped]).all()
    assert len(np.unique(pack(hkl))) == len(np.unique(hkl, axis=0))


@pytest.mark.parametrize("element", ["H", "C", "O", "Fe", "I"])
def test_scattering_factors_are_those_of_the_tables(element: str) -> None:
    d_star_sq = np.array([0.0, 0.3, 1.2])
    for radiation, table in (("xray", gemmi.Element(element).it92), ("electron", gemmi.Element(element).c4322)):
        theirs = [table.calculate_sf(value / 4) for value in d_star_sq]
        assert scattering_factor(element, d_star_sq, radiation) == pytest.approx(theirs, rel=1e-5)


def test_an_element_that_is_none_has_no_factor() -> None:
    with pytest.raises(InputError, match="Q"):
        scattering_factor("Q", np.zeros(1), "electron")


@pytest.mark.parametrize("symbol", ["P 1 21/c 1", "C 1 2/c 1"])
def test_structure_factors_are_those_of_gemmi_with_an_atom_on_a_special_position(symbol: str) -> None:
    group = gemmi.SpaceGroup(symbol)
    positions = np.array([[0.1, 0.2, 0.3], [0.0, 0.0, 0.0]])
    small = gemmi.SmallStructure()
    small.cell, small.spacegroup_hm = CELL.gemmi(), symbol
    small.determine_and_set_spacegroup("2")
    for element, place, occupancy in zip(("O", "Fe"), positions, (0.8, 1.0), strict=True):
        site = gemmi.SmallStructure.Site()
        site.label, site.type_symbol, site.element = element, element, gemmi.Element(element)
        site.fract, site.occ, site.u_iso = gemmi.Fractional(*place), occupancy, 0.03
        small.add_site(site)
    small.setup_cell_images()
    small.change_occupancies_to_crystallographic()
    calculator = gemmi.StructureFactorCalculatorX(small.cell)
    hkl = np.array([[1, 1, 0], [2, 0, 0], [0, 2, 2], [3, -1, 2], [-2, 2, 5]], dtype=np.int32)
    theirs = [calculator.calculate_sf_from_small_structure(small, row.tolist()) for row in hkl]
    ours = structure_factors(
        hkl,
        CELL,
        group.operations(),
        elements=["O", "Fe"],
        positions=positions,
        u_iso_angstrom2=np.full(2, 0.03),
        occupancies=np.array([0.8, 1.0]),
        radiation="xray",
    )
    assert ours == pytest.approx(np.array(theirs), rel=1e-4, abs=1e-3)
    assert d_star_squared(hkl, CELL) == pytest.approx([small.cell.calculate_1_d2(row.tolist()) for row in hkl])


def test_correlation_is_that_of_a_line_and_none_where_it_is_not_defined() -> None:
    x = np.array([1.0, 2.0, 4.0])
    assert correlation(x, 3.0 - 2.0 * x) == pytest.approx(-1.0)
    assert correlation(x[:2], x[:2]) is None
    assert correlation(x, np.ones(3)) is None
