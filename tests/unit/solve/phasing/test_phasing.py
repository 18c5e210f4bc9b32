import gemmi
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from tasks.crystal.lattice import transformed_cell, triangular_basis
from tasks.crystal.miller import (
    expand_to_p1,
    pack,
    sphere,
    to_hemisphere,
)
from tasks.crystal.scattering import d_star_squared
from tasks.crystal.symmetry import laue_operations
from tasks.integrate.reflection_file import Merged
from tasks.model import Composition, InputError, UnitCell
from tasks.solve.data.normalise import fit_wilson, french_wilson
from tasks.solve.data.prepared import normalised
from tasks.solve.phasing import crew
from tasks.solve.phasing.figures import point_atoms
from tasks.solve.phasing.grid import fourier_grid, grid_shape
from tasks.solve.phasing.methods import DualSpace, FlippingMethod
from tasks.solve.phasing.peak_search import find_peaks
from tasks.solve.phasing.trials import StopRule, phase_p1
from tests.synthetic.phase_truth import phase_agreement
from tests.synthetic.random_structures import random_molecule, shuffled_in_shells, simulated_intensities

CELL = UnitCell.of((7.1, 9.3, 11.2, 81.0, 97.0, 104.0))
STRUCTURE = random_molecule(12, "P 1 21/c 1", seed=3)
MERGED = simulated_intensities(STRUCTURE, d_min_angstrom=0.95, seed=3)


def prepared(merged: Merged = MERGED):
    return normalised(
        merged,
        cell=STRUCTURE.cell,
        laue_group="P 1 2/m 1",
        radiation="electron",
        composition=Composition.parse("C9NO2"),
    )


def test_incomplete_data_keep_their_outer_shells() -> None:
    kept = np.random.default_rng(1).random(len(MERGED.hkl)) < 0.25
    thin = Merged(*(column[kept] for column in MERGED))
    assert prepared(thin).d_min_angstrom < 1.02 * prepared().d_min_angstrom


def test_shells_of_which_little_was_measured_are_cut() -> None:
    rng = np.random.default_rng(1)
    outside = STRUCTURE.cell.gemmi().calculate_d_array(MERGED.hkl) < 1.2
    kept = ~outside | (rng.random(len(MERGED.hkl)) < 0.1)
    assert prepared(Merged(*(column[kept] for column in MERGED))).d_min_angstrom > 1.1


# indices


@pytest.mark.parametrize("symbol", ["P -1", "C 1 2/m 1", "F m m m", "I m -3 m", "R -3 m:H", "P 6/m m m"])
def test_orbits_of_the_asymmetric_unit_fill_the_hemisphere_once(symbol: str) -> None:
    group = gemmi.SpaceGroup(symbol)
    angles = {"R": (90, 90, 120), "P 6": (90, 90, 120)}.get(
        symbol[:1] if symbol[0] == "R" else symbol[:3], (90, 90, 90)
    )
    cell = UnitCell.of((9.0, 9.0, 9.0, *angles)) if symbol != "P -1" else CELL
    operations = laue_operations(symbol)
    everything = sphere(cell, operations, 1.3)
    asu = gemmi.ReciprocalAsu(group)
    unique = everything[[asu.is_in(list(map(int, row))) or asu.is_in([-int(i) for i in row]) for row in everything]]
    images, parent = expand_to_p1(unique, operations)
    assert sorted(pack(images)) == sorted(pack(everything))
    assert np.allclose(d_star_squared(images, cell), d_star_squared(unique[parent], cell))


@pytest.mark.parametrize(
    ("symbol", "volume"), [("F m -3 m", 0.25), ("I m m m", 0.5), ("R -3:H", 1 / 3), ("P m m m", 1)]
)
def test_primitive_cell_has_the_volume_and_the_integer_indices_of_the_lattice(symbol: str, volume: float) -> None:
    cell = UnitCell.of((9.0, 9.0, 9.0, 90, 90, 120 if symbol[0] == "R" else 90))
    operations = laue_operations(symbol)
    basis = triangular_basis(symbol[0])
    small = transformed_cell(cell, basis)
    hkl = sphere(cell, operations, 2.0)
    assert small.volume_angstrom3 == pytest.approx(volume * cell.volume_angstrom3)
    primitive = np.rint(hkl @ basis).astype(np.int32)
    assert np.allclose(hkl @ basis, primitive)
    assert d_star_squared(primitive, small) == pytest.approx(d_star_squared(hkl, cell))


def test_unknown_laue_group_is_an_input_error() -> None:
    with pytest.raises(InputError, match="Q 42"):
        laue_operations("Q 42")


# maps


@settings(deadline=None, max_examples=30)
@given(seed=st.integers(0, 1000))
def test_a_map_gives_back_its_coefficients_and_peaks_at_its_atoms(seed: int) -> None:
    rng = np.random.default_rng(seed)
    hkl = sphere(CELL, laue_operations("P -1"), 1.0)
    position = rng.random((1, 3))
    grid = fourier_grid(hkl, grid_shape(CELL, 0.35))
    coefficients = point_atoms(hkl, position, np.ones(1)).astype(np.complex64)
    density = grid.to_map(coefficients)
    assert np.allclose(grid.to_coefficients(density), coefficients, atol=1e-3)
    found = find_peaks(density, CELL, count=1, distance_angstrom=1.0).position[0]
    delta = found - position[0]
    assert np.abs((delta - np.round(delta)) * CELL.parameters[:3]).max() < 0.1


def test_a_flat_map_has_no_peaks() -> None:
    flat = np.zeros((8, 9, 10), dtype=np.float32)
    assert len(find_peaks(flat, CELL, count=5, distance_angstrom=1.0).height) == 0


def test_equal_neighbours_are_one_peak_and_near_ones_are_dropped() -> None:
    density = np.zeros((20, 20, 20), dtype=np.float32)
    density[0, 0, 0] = density[19, 0, 0] = 2.0
    density[10, 10, 10] = 1.0
    cell = UnitCell.of((8.0, 8.0, 8.0, 90, 90, 90))
    peaks = find_peaks(density, cell, count=5, distance_angstrom=0.9)
    assert len(peaks.height) == 2
    assert peaks.position[1] == pytest.approx([0.5, 0.5, 0.5])


def test_too_coarse_a_grid_is_refused() -> None:
    with pytest.raises(ValueError, match="too coarse"):
        fourier_grid(np.array([[8, 0, 0]], dtype=np.int32), (12, 12, 12))


# amplitudes


def exponential_intensities(rng: np.random.Generator, n: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    d_star_sq = rng.uniform(0.01, 1.0, n)
    return rng.exponential(1.0, n) * 7.0 * np.exp(-3.0 / 2 * d_star_sq), d_star_sq


def test_wilson_fit_recovers_b_and_scale_and_normalises() -> None:
    intensity, d_star_sq = exponential_intensities(np.random.default_rng(1), 20000)
    fit = fit_wilson(intensity, d_star_sq, np.ones(20000), general=np.ones(20000, dtype=bool))
    assert fit.b_angstrom2 == pytest.approx(3.0, abs=0.15)
    assert fit.scale == pytest.approx(7.0, rel=0.08)
    assert (intensity / fit.expected_intensity).mean() == pytest.approx(1.0, abs=0.03)


def test_french_wilson_is_the_root_of_strong_intensities_and_positive_for_negative_ones() -> None:
    f, sigma = french_wilson(np.array([100.0, -3.0, -30.0, 0.0]), np.array([1.0, 2.0, 2.0, 1e-9]), np.full(4, 20.0))
    assert f[0] == pytest.approx(10.0, rel=0.01)
    assert sigma[0] == pytest.approx(1.0 / 20.0, rel=0.05)
    assert 0 < f[2] < f[1] < 1.5
    assert np.isfinite(sigma).all()


def test_french_wilson_agrees_with_numerical_integration() -> None:
    f, sigma = french_wilson(np.array([1.0]), np.array([2.0]), np.array([5.0]))
    j = np.linspace(1e-9, 40, 400001)
    density = np.exp(-0.5 * ((j - 1.0) / 2.0) ** 2 - j / 5.0)
    mean = (density * np.sqrt(j)).sum() / density.sum()
    assert f[0] == pytest.approx(mean, rel=2e-3)
    assert sigma[0] == pytest.approx(np.sqrt((density * j).sum() / density.sum() - mean**2), rel=1e-2)


# diagnosis


def trouble(merged: Merged) -> str:
    return "; ".join(prepared(merged).diagnosis.trouble)


def test_sound_data_have_no_trouble() -> None:
    data = prepared()
    assert data.diagnosis.trouble == ()
    assert data.diagnosis.completeness == pytest.approx(1.0)
    assert data.diagnosis.e_squared_minus_one == pytest.approx(0.968, abs=0.1)  # centrosymmetric


def test_each_fault_is_named() -> None:
    rng = np.random.default_rng(0)
    assert "do not fall with resolution" in trouble(MERGED._replace(intensity=rng.permutation(MERGED.intensity)))
    assert "all but equal" in trouble(MERGED._replace(intensity=np.full(len(MERGED.hkl), 5.0)))
    assert "little signal" in trouble(MERGED._replace(sigma=MERGED.intensity.mean() * np.ones(len(MERGED.hkl))))
    few = rng.random(len(MERGED.hkl)) < 0.35
    assert "unique reflections, 37 % of all, were measured" in trouble(Merged(*(column[few] for column in MERGED)))
    low = d_star_squared(MERGED.hkl, STRUCTURE.cell) < 1 / 1.5**2
    assert "does not separate atoms" in trouble(Merged(*(column[low] for column in MERGED)))


def test_overlap_of_two_acentric_crystals_is_named() -> None:
    first, second = (
        simulated_intensities(random_molecule(24, "P 1 21 1", seed=seed), d_min_angstrom=0.95, seed=seed, noise=0.02)
        for seed in (3, 4)
    )
    assert "twinning" not in trouble(first)
    assert "twinning" in trouble(first._replace(intensity=first.intensity + second.intensity))


def test_no_intensity_is_an_input_error() -> None:
    with pytest.raises(InputError, match="cannot be put on a scale"):
        prepared(MERGED._replace(intensity=np.zeros(len(MERGED.hkl))))
    with pytest.raises(InputError, match="usable"):
        prepared(Merged(*(column[:5] for column in MERGED)))


def test_not_a_number_and_sigma_zero_are_survived() -> None:
    intensity, sigma = MERGED.intensity.copy(), MERGED.sigma.copy()
    intensity[3], sigma[5], sigma[7] = np.nan, 0.0, -1.0
    data = prepared(MERGED._replace(intensity=intensity, sigma=sigma))
    assert np.isfinite(data.e).all()
    assert len(data.unique.hkl) == len(MERGED.hkl) - 1


# phasing


def agreement(phases) -> float:
    truth = STRUCTURE.structure_factors(phases.hkl, "electron")
    return phase_agreement(phases.hkl, phases.phase_rad, truth, phases.amplitude).correlation


def test_agreement_does_not_depend_on_origin_and_hand() -> None:
    truth = STRUCTURE.structure_factors(prepared().hkl, "electron")
    hkl = prepared().hkl
    moved = -(np.angle(truth) + 2 * np.pi * hkl @ np.array([0.123, 0.777, 0.41]))
    found = phase_agreement(hkl, moved, truth, np.abs(truth))
    assert found.correlation == pytest.approx(1.0, abs=1e-3)
    assert found.mean_error_deg < 1.0


@pytest.mark.parametrize("method", [DualSpace(), FlippingMethod()], ids=lambda method: method.method)
def test_a_small_structure_is_phased_and_the_figures_say_so(method: DualSpace | FlippingMethod) -> None:
    best = phase_p1(prepared(), method=method, seed=1, n_trials=8)[0]
    assert agreement(best) > 0.7
    assert best.figures["cfom"] > 0.5
    assert best.figures["cc_free"] > 0.6


def test_shuffled_intensities_do_not_look_phased() -> None:
    shuffled = shuffled_in_shells(MERGED, STRUCTURE.cell, seed=5)
    rule = StopRule(batch=4, rounds=2)
    best = phase_p1(prepared(shuffled), method=DualSpace(), n_trials=4, stop=rule)[0]
    assert best.figures["cfom"] < 0.35
    assert best.figures["cc_free"] < 0.5


def test_equal_seeds_give_equal_phases_in_any_number_of_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(crew, "WORTH_PROCESSES_S", -1.0)
    data = prepared()
    method = DualSpace(cycles=20, cycles_per_atom=0)
    rule = StopRule(cfom=1.0, batch=3, rounds=2)
    once = phase_p1(data, method=method, seed=7, n_trials=3, stop=rule)
    with crew.Crew(2) as two:
        twice = phase_p1(data, method=method, seed=7, n_trials=3, stop=rule, crew=two)
    assert [phases.trial for phases in once] == [phases.trial for phases in twice]
    assert all(np.array_equal(a.phase_rad, b.phase_rad) for a, b in zip(once, twice, strict=True))


def test_the_time_budget_ends_the_search() -> None:
    rule = StopRule(cfom=1.0, time_budget_s=1e-6)
    assert len(phase_p1(prepared(), method=DualSpace(), n_trials=1000, stop=rule)) == 1


def test_hemisphere_holds_one_of_each_friedel_pair() -> None:
    hkl = np.array([[1, 2, 3], [-1, -2, -3], [1, -1, 0], [-1, 1, 0], [-2, 0, 0], [2, 0, 0]], dtype=np.int32)
    kept, flipped = to_hemisphere(hkl)
    assert flipped.tolist() == [False, True, True, False, True, False]
    assert len(np.unique(pack(kept))) == 3
