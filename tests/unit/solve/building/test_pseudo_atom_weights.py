"""The quick sums of a search agree with the plain ones, and its weights with their formulae."""

import gemmi
import numpy as np
import pytest
from scipy import special

from tasks.crystal.scattering import d_star_squared
from tasks.crystal.symmetry import symmetry_from_symbol
from tasks.integrate.reflection_file import Merged
from tasks.model import UnitCell
from tasks.solve.building.atoms import START_U, Model, calculate, site_orders, stabilisers
from tasks.solve.building.density import snap
from tasks.solve.building.equal_atoms import arrange, structure_factors_of
from tasks.solve.building.weighting import weigh, weighting_of
from tasks.solve.data.observations import observe, shells_of, smooth_mean
from tests.synthetic.solve_cases import representatives

ORTHORHOMBIC = UnitCell.of((7.0, 8.0, 9.5, 90, 90, 90))
GROUPS = ("P 1", "P -1", "P 21 21 21", "P 1 21/n 1", "F d d 2", "C m c m", "I a -3 d", "P 43 21 2")


def cell_for(symbol: str) -> UnitCell:
    system = gemmi.SpaceGroup(symbol).crystal_system_str()
    sides = {"cubic": (9.0, 9.0, 9.0), "tetragonal": (7.0, 7.0, 9.5)}.get(system, (7.0, 8.0, 9.5))
    return UnitCell.of((*sides, 90, 90, 90))


@pytest.mark.parametrize("symbol", GROUPS)
def test_sums_over_equal_atoms_are_those_of_the_plain_formula(symbol: str) -> None:
    symmetry, cell = symmetry_from_symbol(symbol), cell_for(symbol)
    hkl = gemmi.make_miller_array(cell.gemmi(), gemmi.SpaceGroup(symbol), 1.1).astype(np.int32)
    hkl = np.concatenate([hkl[::2], -hkl[1::2]])
    rng = np.random.default_rng(4)
    position = np.concatenate([[[0.0, 0.0, 0.0], [0.5, 0.5, 0.0]], rng.random((5, 3))])
    model = Model(("C",) * 7, position, np.full(7, START_U), rng.uniform(0.5, 2.0, 7), np.ones(7))
    d_star_sq = d_star_squared(hkl, cell)
    expected = calculate(hkl, model, symmetry, cell=cell, radiation="electron", d_star_sq=d_star_sq)
    atoms = arrange(hkl, symmetry, element="C", u_iso=START_U, d_star_sq=d_star_sq, radiation="electron")
    order = site_orders(position, symmetry, cell)
    assert (order == stabilisers(position, symmetry, cell)[0]).all()
    assert atoms.centric == symmetry.centric
    found = structure_factors_of(atoms, position, model.occupancy / order)
    assert np.allclose(found, expected, atol=1e-9 * np.abs(expected).max())


def test_positions_near_a_special_one_are_moved_onto_it() -> None:
    symmetry = symmetry_from_symbol("P m m m")
    near = np.array([[0.02, -0.03, 0.51], [0.25, 0.3, 0.2], [0.01, 0.3, 0.98]])
    assert snap(near, symmetry, ORTHORHOMBIC, 0.9) == pytest.approx(
        np.array([[0.0, 0.0, 0.5], [0.25, 0.3, 0.2], [0.0, 0.3, 0.0]]), abs=1e-12
    )


def test_a_constant_is_its_own_mean_and_a_fall_off_is_followed() -> None:
    rng = np.random.default_rng(0)
    d_star_sq = rng.uniform(0.01, 1.0, 6000)
    shells = shells_of(d_star_sq)
    assert smooth_mean(shells, np.full(6000, 3.0)) == pytest.approx(3.0)
    inner = (d_star_sq > 0.1) & (d_star_sq < 0.9)
    falling = np.exp(-4.0 * d_star_sq)
    assert smooth_mean(shells, falling)[inner] == pytest.approx(falling[inner], rel=0.02)


def test_coefficients_of_a_partial_model_are_two_m_eo_less_d_ec() -> None:
    symmetry = symmetry_from_symbol("P 21 21 21")
    hkl = representatives(
        gemmi.make_miller_array(ORTHORHOMBIC.gemmi(), gemmi.SpaceGroup("P 21 21 21"), 0.8).astype(np.int32), "P m m m"
    )
    rng = np.random.default_rng(1)
    position = rng.random((6, 3))
    model = Model(("C",) * 6, position, np.full(6, START_U), np.ones(6), np.ones(6))
    d_star_sq = d_star_squared(hkl, ORTHORHOMBIC)
    truth = calculate(hkl, model, symmetry, cell=ORTHORHOMBIC, radiation="electron", d_star_sq=d_star_sq)
    intensity = np.abs(truth) ** 2
    seen = rng.random(len(hkl)) < 0.8
    merged = Merged(hkl[seen], intensity[seen], 0.01 * intensity[seen] + 1e-6, np.ones(int(seen.sum()), dtype=np.int32))
    observed = observe(merged, symmetry, cell=ORTHORHOMBIC, radiation="electron", d_min_angstrom=0.8)
    weighting = weighting_of(observed, symmetry, reference="C", sharpness=1.0)
    whole = weigh(weighting, model)
    assert whole.correlation == pytest.approx(1.0, abs=1e-6)
    assert len(whole.coefficients) == len(observed.hkl) + len(observed.missing)
    trust = np.sqrt(0.96)  # the most that is believed
    argument = 2 * trust * observed.e_value**2 / (1 - trust**2)
    merit = np.where(observed.centric, np.tanh(argument / 2), special.i1e(argument) / special.i0e(argument))
    expected = np.where(observed.centric, merit, 2 * merit - trust) * observed.e_value
    right = calculate(
        observed.hkl, model, symmetry, cell=ORTHORHOMBIC, radiation="electron", d_star_sq=observed.d_star_sq
    )
    inside = len(observed.hkl)
    assert np.abs(whole.coefficients[:inside]) == pytest.approx(np.abs(expected), abs=1e-4)
    turned = whole.coefficients[:inside] * right.conj()
    assert np.abs(turned.imag).max() < 1e-9 * np.abs(turned).max()
    part = weigh(weighting, model.take(np.arange(3)))
    assert part.correlation < 0.95
