"""Cells that are too long, and long cells that are right."""

import gemmi
import numpy as np
import pytest

from tasks.integrate.reflection_file import Unmerged
from tasks.integrate.symmetry.supercell import smaller_cell
from tasks.model import UnitCell
from tests.synthetic.adversarial_data import How, Spoilt, in_a_supercell, observed
from tests.synthetic.adversarial_structures import published


def unmerged(data: Spoilt) -> Unmerged:
    zeros = np.zeros(len(data.hkl))
    return Unmerged(data.hkl, data.intensity, data.sigma, zeros, zeros.astype(np.int32))


@pytest.mark.parametrize(("axis", "times"), [(0, 2), (1, 3), (2, 4), (2, 6)])
def test_an_axis_that_is_too_long_is_divided(axis: int, times: int) -> None:
    rng = np.random.default_rng(axis + times)
    data = observed(published("anhydrite"), How(d_min=0.8), rng)
    found = smaller_cell(unmerged(in_a_supercell(axis, times)(data, rng)), UnitCell.of(
        tuple(value * (times if place == axis else 1) for place, value in enumerate(data.cell.parameters))
    ))  # fmt: skip
    assert found is not None
    assert found.cell.parameters == pytest.approx(data.cell.parameters)
    assert np.array_equal(np.unique(found.data.hkl, axis=0), np.unique(data.hkl, axis=0))
    assert "supercell" in found.words[0]


@pytest.mark.parametrize("name", ["kyanite", "natrolite", "pyrite", "calcite", "scheelite", "quartz"])
def test_glides_screws_and_centring_are_no_supercell(name: str) -> None:
    data = observed(published(name), How(d_min=0.9), np.random.default_rng(1))
    assert smaller_cell(unmerged(data), data.cell) is None


def test_weak_reflections_between_that_rise_above_noise_make_a_superstructure() -> None:
    rng = np.random.default_rng(2)
    data = in_a_supercell(2, 2)(observed(published("forsterite"), How(d_min=0.8), rng), rng)
    odd = data.hkl[:, 2] % 2 == 1
    true = 10.0 * rng.exponential(size=int(odd.sum()))  # one per cent of the mean, half a sigma
    data.intensity[odd] += true
    assert smaller_cell(unmerged(data), data.cell) is None


def test_a_zone_with_a_glide_plane_is_not_taken_for_the_whole() -> None:
    cell = UnitCell.of((9.1, 7.4, 11.3, 90, 106, 90))
    data = observed(published("coesite"), How(d_min=0.4), np.random.default_rng(1))
    zone = data.hkl[:, 1] == 0
    only = Spoilt(data.hkl[zone], data.intensity[zone], data.sigma[zone], cell)
    assert gemmi.SpaceGroup("C 1 2/c 1").operations().is_systematically_absent([2, 0, 1])
    assert smaller_cell(unmerged(only), cell) is None
