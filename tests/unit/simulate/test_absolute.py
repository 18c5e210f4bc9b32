"""Electrons of the absolute models: what comes in goes out, and where the truth says."""

import numpy as np
import pytest

from tasks.simulate.demo_structure import uio66
from tasks.simulate.diffraction import excitation_along_beam
from tasks.simulate.diffuse import characteristic_angle, inelastic_deflections
from tasks.simulate.exposure import expose
from tasks.simulate.models import (
    ClusterPlan,
    DamagePlan,
    Instrument,
    ScatteringPlan,
    SimulationSettings,
    TiltPlan,
)
from tasks.simulate.specimen import Specimen, prepare_specimen

WIDE = Instrument(shape_px=(1024, 1024), scan_shape=(16, 16), step_nm=16.0, flyback_columns=2, point_spread_px=0.3)
BARE = ScatteringPlan(
    model="kinematical", d_min_angstrom=1.2, halo_fraction=0, background_fraction=0, electrons_per_pattern=400
)
ONE = ClusterPlan(crystals=1, bad_fraction=0, size_nm=150)


def settings(**changes: object) -> SimulationSettings:
    start = {
        "seed": 3, "tilts": TiltPlan(start_deg=-40, stop_deg=40, step_deg=20), "instrument": WIDE, "cluster": ONE,
        "scattering": BARE,
    }  # fmt: skip
    return SimulationSettings.model_validate(start | changes)


def changed(plan: ScatteringPlan, **changes: object) -> ScatteringPlan:
    return ScatteringPlan.model_validate(plan.model_dump() | changes)


def beside_the_beam_px(specimen: Specimen, index: int) -> np.ndarray:
    rows, columns = np.divmod(expose(specimen, index).events.astype(np.int64), 1024)
    return np.hypot(*(np.stack([rows, columns]) - specimen.tilts.beam_px[index][:, None]))


@pytest.mark.parametrize("model", ["kinematical", "many-beam"])
def test_a_pattern_has_as_many_electrons_as_came_whatever_the_crystal(model: str) -> None:
    specimen = prepare_specimen(uio66(), settings(scattering=changed(BARE, model=model, blocks=16)))
    exposure = expose(specimen, 2)
    counts = np.diff(exposure.offsets).reshape(16, 18)[:, :16]
    lit = exposure.thickness_nm[0] > 30
    assert exposure.bragg_fraction[0][lit].mean() > 0.02
    assert counts[lit].mean() == pytest.approx(400, abs=4 * np.sqrt(400 / lit.sum()))
    assert counts.var() / counts.mean() == pytest.approx(1.0, abs=4 * np.sqrt(2 / 256))


@pytest.mark.parametrize("model", ["kinematical", "many-beam"])
def test_the_truth_is_what_is_counted_beside_the_direct_beam(model: str) -> None:
    specimen = prepare_specimen(uio66(), settings(scattering=changed(BARE, model=model, blocks=16)))
    exposure = expose(specimen, 1)
    outside = (beside_the_beam_px(specimen, 1) > 6).sum()
    assert exposure.expected is not None
    assert outside == pytest.approx(exposure.expected.electrons.sum(), abs=4 * np.sqrt(outside) + 0.01 * outside)
    assert outside == pytest.approx(400 * exposure.bragg_fraction.sum(), abs=4 * np.sqrt(outside) + 0.01 * outside)


def test_each_reflection_has_the_electrons_that_the_truth_says() -> None:
    """The strongest spots, counted at their places on the detector; a neighbour may be within two pixels."""
    plan = changed(BARE, model="many-beam", electrons_per_pattern=4000, blocks=16)
    cluster = ONE.model_copy(update={"mosaic_deg": 0.05})
    specimen = prepare_specimen(uio66(), settings(scattering=plan, cluster=cluster))
    exposure = expose(specimen, 0)
    rows, columns = np.divmod(exposure.events.astype(np.int64), 1024)
    expected = exposure.expected
    assert expected is not None
    q = specimen.reflections.hkl @ (specimen.rotation(0) @ specimen.domains[0].ub).T
    places = specimen.projection.offsets(q[:, :2]) + specimen.tilts.beam_px[0]
    for best in np.argsort(-expected.electrons)[:8]:
        place = places[expected.row[best]]
        near = (np.hypot(rows - place[0], columns - place[1]) < 4).sum()
        mean = expected.electrons[best]
        assert near == pytest.approx(mean, abs=5 * np.sqrt(mean) + 0.05 * mean)


def test_a_crystal_scatters_by_its_volume_and_nothing_is_rescaled() -> None:
    """The rescaled model would make the smaller one twice as bright."""
    per_volume = []
    for size in (60.0, 120.0):
        cluster = ONE.model_copy(update={"size_nm": size, "size_spread": 0.0, "mosaic_deg": 1.0})
        instrument = WIDE.model_copy(update={"step_nm": size / 10})
        specimen = prepare_specimen(uio66(), settings(cluster=cluster, instrument=instrument))
        scans = [expose(specimen, index) for index in range(5)]
        per_volume.append(sum(s.bragg_fraction.sum() for s in scans) / sum(s.thickness_nm.sum() for s in scans))
    assert per_volume[1] / per_volume[0] == pytest.approx(1.0, rel=0.15)


def test_inelastic_scattering_grows_as_one_minus_exp_and_leaves_the_rest_where_it_was() -> None:
    plan = changed(BARE, inelastic_mean_free_path_nm=100.0)
    specimen, plain = (prepare_specimen(uio66(), settings(scattering=one)) for one in (plan, BARE))
    with_losses, without = expose(specimen, 2), expose(plain, 2)
    assert with_losses.expected is not None
    assert without.expected is not None
    depth = without.thickness_nm[0]
    weights = without.bragg_fraction[0]
    kept = (weights * np.exp(-depth / 100.0)).sum() / weights.sum()
    ratio = with_losses.expected.electrons.sum() / without.expected.electrons.sum()
    assert ratio == pytest.approx(kept, rel=0.05)
    angles = np.linalg.norm(inelastic_deflections(200_000, 300.0, plan, np.random.default_rng(0)), axis=1)
    width = characteristic_angle(300.0, 22.0)
    assert width == pytest.approx(22 / (1.5871 * 510.999e3 * 0.77653**2), rel=1e-3)  # v/c of the textbooks
    within = np.log1p((1e-3 / width) ** 2) / np.log1p(2 / width)
    assert (angles < 1e-3).mean() == pytest.approx(within, abs=0.005)


def test_damage_follows_the_order_in_which_the_scans_are_taken() -> None:
    tilts = TiltPlan(start_deg=-40, stop_deg=40, step_deg=20, order="dose-symmetric")
    dose = settings().dose_e_per_a2
    assert dose == pytest.approx(400 / 160**2)
    damage = DamagePlan(lifetime_e_per_a2=3 * dose, b_factor_per_dose=0.5 / dose)
    hurt = prepare_specimen(uio66(), settings(tilts=tilts, damage=damage))
    whole = prepare_specimen(uio66(), settings(tilts=tilts))
    assert hurt.tilts.order.tolist() == [4, 2, 0, 1, 3]  # 0, 20, -20, 40, -40
    assert hurt.tilts.dose_e_per_a2 == pytest.approx((hurt.tilts.order + 0.5) * dose)
    for index in (0, 2):
        bad, good = expose(hurt, index).expected, expose(whole, index).expected
        assert bad is not None
        assert good is not None
        done = hurt.tilts.dose_e_per_a2[index]
        both, mine, theirs = np.intersect1d(bad.row, good.row, return_indices=True)
        strong = good.electrons[theirs] > 1
        fall = np.exp(-done / (3 * dose) - 0.5 / dose * done / 2 * hurt.reflections.d_star[both] ** 2)
        assert bad.electrons[mine][strong] == pytest.approx(good.electrons[theirs][strong] * fall[strong], rel=1e-6)


def test_a_bent_crystal_diffracts_a_reflection_along_a_stripe() -> None:
    """The place where one reflection is brightest moves along the crystal; the unbent one is bright everywhere."""
    spreads = []
    for bend in (0.0, 6.0):
        cluster = ONE.model_copy(update={"bend_deg": bend, "mosaic_deg": 0.2})
        exposure = expose(prepare_specimen(uio66(), settings(cluster=cluster)), 2)
        thick = exposure.thickness_nm[0] > 60
        spreads.append((exposure.bragg_fraction[0][thick] / exposure.thickness_nm[0][thick]).std())
    assert spreads[1] > 3 * spreads[0]


def test_debris_scatters_where_it_lies_and_has_no_spots() -> None:
    cluster = ClusterPlan(crystals=0, debris=3, debris_size_nm=60.0)
    specimen = prepare_specimen(uio66(), settings(cluster=cluster))
    exposure = expose(specimen, 2)
    position = np.repeat(np.arange(16 * 18), np.diff(exposure.offsets))
    away = beside_the_beam_px(specimen, 2) > 8
    counts = np.bincount(position[away], minlength=16 * 18).reshape(16, 18)[:, :16]
    debris = specimen.model.debris.thickness_nm(np.eye(3), specimen.shift_nm(2), specimen.positions_nm).reshape(16, 16)  # type: ignore[union-attr]
    assert counts[debris == 0].sum() == 0
    assert counts.sum() == pytest.approx(400 * -np.expm1(-debris / 200.0).sum(), rel=0.1)
    assert exposure.expected is not None
    assert len(exposure.expected.row) == 0


def test_the_lower_of_two_crystals_gets_what_the_upper_one_leaves() -> None:
    cluster = ClusterPlan(crystals=6, bad_fraction=0, size_nm=150, overlap=0.9, height_nm=900)
    plan = changed(BARE, model="many-beam", blocks=8, beams=60)
    exposure = expose(prepare_specimen(uio66(), settings(cluster=cluster, scattering=plan)), 2)
    assert ((exposure.thickness_nm > 0).sum(axis=0) > 2).any()
    assert exposure.bragg_fraction.sum(axis=0).max() < 1


@pytest.mark.parametrize(
    ("change", "name"),
    [
        ({"damage": DamagePlan(lifetime_e_per_a2=3.0)}, "damage"),
        ({"cluster": ClusterPlan(bend_deg=1.0)}, r"cluster\.bend_deg"),
        ({"instrument": Instrument(probe_nm=3.0)}, r"instrument\.probe_nm"),
    ],
)
def test_the_rescaled_model_refuses_effects_that_it_does_not_know(change: dict[str, object], name: str) -> None:
    with pytest.raises(ValueError, match=name):
        SimulationSettings.model_validate({"scattering": ScatteringPlan(model="rescaled"), **change})
    with pytest.raises(ValueError, match="depletion"):
        ScatteringPlan(model="many-beam", depletion=0.5)


def test_the_sphere_rises_where_the_beam_leans_away() -> None:
    """Leaning the beam by theta is turning the crystal the other way: both change the excitation by theta |q|."""
    q, wavelength = np.array([[0.5, 0.0, -0.003]]), 0.0197
    leaning = excitation_along_beam(q, wavelength, np.array([2e-3, 0.0]))
    assert leaning - excitation_along_beam(q, wavelength) == pytest.approx([2e-3 * 0.5], rel=1e-4)
