"""R1 of left-out reflections: it must tell the space group where R1 itself prefers the larger number of parameters."""

import gemmi
import numpy as np

from tasks.crystal.scattering import structure_factors
from tasks.crystal.symmetry import Symmetry, symmetry_from_symbol
from tasks.integrate.reflection_file import Merged
from tasks.model import UnitCell
from tasks.solve.building.atoms import Model
from tasks.solve.building.cross_validation import free_r
from tasks.solve.building.least_squares import Free, refine
from tasks.solve.data.observations import observe

CELL = UnitCell.of((7.1, 9.3, 11.9, 90, 97, 90))
CENTRIC, ACENTRIC = symmetry_from_symbol("P 1 21/c 1"), symmetry_from_symbol("P 1 c 1")


def atoms(position: np.ndarray) -> Model:
    n = len(position)
    return Model(("C",) * n, position, np.full(n, 0.03), np.ones(n), np.ones(n))


def both(site: np.ndarray) -> np.ndarray:
    """Return the atoms of the acentric group that make the centric structure."""
    return np.concatenate([site, -site])


def measured(position: np.ndarray, group: Symmetry, seed: int) -> Merged:
    """Return intensities with errors of 30 % and a fill of weak reflections by multiple scattering."""
    rng = np.random.default_rng(seed)
    hkl = gemmi.make_miller_array(CELL.gemmi(), gemmi.SpaceGroup("P 1 2/m 1"), 0.95).astype(np.int32)
    n = len(position)
    f = structure_factors(
        hkl, CELL, gemmi.SpaceGroup(group.symbol).operations(), elements=("C",) * n, positions=position,
        u_iso_angstrom2=np.full(n, 0.03), occupancies=np.ones(n), radiation="electron",
    )  # fmt: skip
    intensity = np.abs(f) ** 2
    filled = intensity * np.exp(0.3 * rng.normal(size=len(hkl))) + 0.05 * intensity.mean() * rng.exponential(
        size=len(hkl)
    )
    return Merged(hkl, filled, 0.05 * filled + 0.01 * filled.mean(), np.ones(len(hkl), dtype=np.int32))


def judged(position: np.ndarray, data: Merged, group: Symmetry) -> tuple[float, float]:
    """Return R1 and that of left-out reflections after a fit."""
    observed = observe(data, group, cell=CELL, radiation="electron", d_min_angstrom=0.95)
    fit = refine(atoms(position), observed, group, free=Free(u_iso=True), cycles=12)
    return fit.r1, free_r(fit.model, observed, group)


def test_a_subgroup_fits_better_but_fails_on_what_it_has_not_seen() -> None:
    rng = np.random.default_rng(4)
    site = rng.random((12, 3))
    data = measured(site, CENTRIC, 1)
    r1, left_out = judged(site, data, CENTRIC)
    # the glide plane along b of the subgroup lies a quarter of b from the origin of the centric group
    r1_sub, left_out_sub = judged(both(site) - [0, 0.25, 0] + 0.01 * rng.normal(size=(24, 3)), data, ACENTRIC)
    assert r1_sub < r1
    assert left_out < left_out_sub


def test_a_structure_without_centre_is_not_taken_for_one_with_it() -> None:
    rng = np.random.default_rng(4)
    site = rng.random((12, 3))
    moved = both(site) - [0, 0.25, 0] + 0.02 * rng.normal(size=(24, 3))
    data = measured(moved, ACENTRIC, 1)
    _, left_out = judged(site, data, CENTRIC)
    _, left_out_sub = judged(moved, data, ACENTRIC)
    assert left_out_sub < left_out


def test_wrong_atoms_fail_on_what_they_have_not_seen() -> None:
    rng = np.random.default_rng(7)
    data = measured(rng.random((12, 3)), CENTRIC, 1)
    _, left_out = judged(rng.random((12, 3)), data, CENTRIC)
    assert left_out > 0.45
