"""Lattice, Laue group and space group from intensities whose symmetry is known by construction."""

from functools import cache

import gemmi
import numpy as np
import pytest

from tasks.crystal.conventional import conventional_basis
from tasks.crystal.lattice import metric, primitive_basis, proper_rotations, reduced_basis, transformed_cell
from tasks.crystal.scattering import structure_factors
from tasks.crystal.symmetry import compatible_groups, laue_group_of
from tasks.integrate.merging.equivalents import merge_equivalents
from tasks.integrate.reflection_file import Unmerged
from tasks.integrate.symmetry.laue import determine_laue_group, determine_laue_group_in_setting
from tasks.integrate.symmetry.space_groups import rank_space_groups
from tasks.model import UnitCell
from tests.synthetic.adversarial_data import How, observed
from tests.synthetic.adversarial_structures import published

KNOWN = {
    "P -1": (7.1, 8.3, 9.4, 81, 85, 79),
    "P 1 21/c 1": (9.1, 7.4, 11.3, 90, 106, 90),
    "P 1 21/n 1": (9.1, 7.4, 11.3, 90, 96, 90),
    "C 1 2/c 1": (14.2, 7.7, 9.3, 90, 107, 90),
    "P 21 21 21": (6.0, 7.0, 12.7, 90, 90, 90),
    "P b c a": (7.9, 9.1, 11.4, 90, 90, 90),
    "P n a 21": (11.9, 7.1, 6.4, 90, 90, 90),
    "F d d 2": (18.3, 18.6, 6.6, 90, 90, 90),
    "I 41/a :2": (9.8, 9.8, 12.3, 90, 90, 90),
    "P 43 21 2": (8.0, 8.0, 12.9, 90, 90, 90),
    "R -3:H": (12.4, 12.4, 9.7, 90, 90, 120),
    "P 63/m": (9.4, 9.4, 6.9, 90, 90, 120),
    "I a -3 d": (11.91, 11.91, 11.91, 90, 90, 90),
    "F m -3 m": (14.1, 14.1, 14.1, 90, 90, 90),
}
SAME_ABSENCES = {"P 43 21 2": {"P 41 21 2"}, "P n a 21": {"P n a m"}, "R -3:H": {"R 3:H"}, "F m -3 m": {"F -4 3 m"}}


@cache
def intensities(symbol: str) -> tuple[Unmerged, UnitCell, gemmi.SpaceGroup]:
    """Return a sphere of noisy intensities, forbidden ones with noise and leakage, of a random structure."""
    group = gemmi.find_spacegroup_by_name(symbol.replace(" :", ":"))
    cell = UnitCell.of(KNOWN[symbol])
    rng = np.random.default_rng(len(symbol))
    hkl = gemmi.make_miller_array(cell.gemmi(), gemmi.SpaceGroup("P 1"), 1.25)
    hkl = hkl[~laue_group_of(group.xhm()).operations().systematic_absences(hkl)]
    atoms = 6
    f = structure_factors(
        hkl,
        cell,
        group.operations(),
        elements=["C"] * (atoms - 1) + ["O"],
        positions=rng.random((atoms, 3)),
        u_iso_angstrom2=np.full(atoms, 0.03),
        occupancies=np.ones(atoms),
        radiation="electron",
    )
    intensity = np.abs(f) ** 2
    scale = intensity.mean()
    intensity = intensity + 0.01 * scale * rng.exponential(size=len(hkl))
    sigma = np.hypot(0.08 * intensity, 0.01 * scale)
    n = len(hkl)
    data = Unmerged(hkl, intensity + sigma * rng.normal(size=n), sigma, np.zeros(n), np.zeros(n, dtype=np.int32))
    return data, cell, group


@pytest.mark.parametrize("symbol", KNOWN)
def test_the_laue_group_and_cell_come_back_from_a_primitive_cell(symbol: str) -> None:
    data, cell, group = intensities(symbol)
    basis = primitive_basis(group.centring_type()) @ np.array([[1, 1, 0], [0, 1, 0], [0, 1, 1]])
    primitive = data._replace(hkl=np.rint(data.hkl @ basis).astype(np.int32))
    choice = determine_laue_group(primitive, transformed_cell(cell, basis))
    assert choice.laue.laue_str() == group.laue_str()
    assert choice.probability > 0.6
    assert choice.cell.volume_angstrom3 == pytest.approx(cell.volume_angstrom3, rel=1e-6)
    assert sorted(choice.cell.parameters[:3]) != []
    metric_back = choice.basis.T @ metric(transformed_cell(cell, basis)) @ choice.basis
    assert np.allclose(metric_back, metric(choice.cell), atol=1e-6)


@pytest.mark.parametrize("symbol", KNOWN)
def test_a_conventional_cell_is_kept_and_the_space_group_ranked_first(symbol: str) -> None:
    data, cell, group = intensities(symbol)
    choice = determine_laue_group_in_setting(data, cell)
    assert np.array_equal(choice.basis, np.eye(3))
    assert choice.laue == laue_group_of(group.xhm())
    ranked = rank_space_groups(merge_equivalents(data, choice.laue), choice.laue, choice.cell)
    near = [c.symbol for c in ranked if c.score > ranked[0].score - 4]
    assert group.xhm() in near
    assert ranked[0].symbol in {group.xhm(), *SAME_ABSENCES.get(symbol, set())}


def test_metric_symmetry_that_the_intensities_do_not_obey_is_not_taken() -> None:
    data, cell, _ = intensities("P -1")
    cubic = UnitCell(a=9, b=9, c=9, alpha=90, beta=90, gamma=90)
    choice = determine_laue_group(data, cubic)
    assert choice.laue.xhm() == "P -1"
    assert cell.volume_angstrom3 > 0


@pytest.mark.parametrize("number", [2, 10, 12, 47, 65, 69, 71, 83, 87, 123, 139, 147, 148, 162, 164, 166, 175, 191])
def test_conventional_axes_have_the_groups_own_setting(number: int) -> None:
    group = gemmi.find_spacegroup_by_number(number)
    angles = {"monoclinic": (90, 103, 90), "triclinic": (80, 95, 102)}.get(group.crystal_system_str(), (90, 90, 90))
    lengths = (7.0, 8.1, 9.2)
    if group.crystal_system_str() in {"trigonal", "hexagonal"}:
        lengths, angles = (7.0, 7.0, 9.2), (90, 90, 120)
    if group.crystal_system_str() == "tetragonal":
        lengths = (7.0, 7.0, 9.2)
    cell = UnitCell.of((*lengths, *angles))
    centred = primitive_basis(group.centring_type())
    basis = centred @ reduced_basis(transformed_cell(cell, centred))
    inverse = np.linalg.inv(basis)
    rotations = [np.rint(inverse @ r @ basis).astype(np.int64) for r in proper_rotations(group)]
    found = conventional_basis(transformed_cell(cell, basis), rotations)
    assert found.laue.number == number


def test_candidates_hold_every_axis_permutation_and_both_choices_of_cell() -> None:
    monoclinic = {g.xhm() for g in compatible_groups(gemmi.SpaceGroup("P 1 2/m 1"))}
    assert {"P 1 21/c 1", "P 1 21/n 1", "P 1 21/a 1", "P 1 21 1", "P 1 m 1"} <= monoclinic
    orthorhombic = {g.xhm() for g in compatible_groups(gemmi.SpaceGroup("P m m m"))}
    assert {"P n m a", "P n a m", "P m c n", "P 21 21 21", "P b c a", "P c a b"} <= orthorhombic
    cubic = {g.xhm() for g in compatible_groups(gemmi.SpaceGroup("F m -3 m"))}
    assert {"F m -3 m", "F 4 3 2", "F -4 3 m", "F d -3 m:2"} <= cubic
    assert "F d -3 m:1" not in cubic


def test_a_symmetry_of_the_heavy_atoms_alone_is_not_taken() -> None:
    data = observed(published("scheelite"), How(d_min=0.9), np.random.default_rng(3))
    zeros = np.zeros(len(data.hkl))
    unmerged = Unmerged(data.hkl, data.intensity, data.sigma, zeros, zeros.astype(np.int32))
    found = determine_laue_group(unmerged, data.cell)
    assert found.laue.point_group_hm() == "4/m"
    agreement = {element.order: element.disagreement for element in found.elements}
    assert agreement[4] is not None
    assert agreement[4] < 0.05
    assert max(e.disagreement or 0.0 for e in found.elements) > 0.2


def test_equivalents_that_agree_badly_along_some_paths_are_equivalents_still() -> None:
    rng = np.random.default_rng(5)
    data = observed(published("pyrite"), How(d_min=0.8), rng)
    absorbed = data.intensity * np.exp(0.45 * np.sin(data.hkl @ [1.3, 0.7, 2.1]))
    zeros = np.zeros(len(data.hkl))
    found = determine_laue_group(Unmerged(data.hkl, absorbed, data.sigma, zeros, zeros.astype(np.int32)), data.cell)
    assert found.laue.point_group_hm() == "m-3"
