"""Apertures of crystals whose spots are discs."""

from pathlib import Path

import numpy as np

from tasks.apertures.automatic import AutomaticApertures
from tasks.apertures.disc_pattern import find_bragg_discs
from tasks.events.beam_disc import BeamDisc
from tasks.events.scan_beam import find_disc_beam
from tasks.events.virtual_detectors import BACKGROUND, BEAM
from tasks.ingest import disc_of_series
from tasks.simulate.models import ClusterPlan, Instrument, SimulationSettings, TiltPlan
from tests.synthetic.aperture_scores import score_apertures
from tests.synthetic.simulated_store import simulated_store
from tests.synthetic.structures import natrolite

SETTINGS = SimulationSettings(
    seed=31,
    tilts=TiltPlan(start_deg=-8, stop_deg=8, step_deg=2.0),
    cluster=ClusterPlan(crystals=2, size_nm=110, bad_fraction=0, overlap=0.2),
    instrument=Instrument(
        scan_shape=(24, 24), shape_px=(288, 288), pixel_size_mm=0.02, convergence_mrad=1.0, beam_jitter_px=1.0
    ),
)


def test_crystals_are_told_apart_at_a_convergence_of_one_milliradian(tmp_path: Path) -> None:
    series, truth = simulated_store(natrolite(), SETTINGS, tmp_path)
    disc, said = disc_of_series(series)
    assert disc is not None
    assert abs(disc.radius_px - 5.5) < 0.1
    assert said == ()
    scores = score_apertures(AutomaticApertures().propose(series, tmp_path), truth)
    assert scores.found == scores.findable == 2
    assert scores.precision >= 0.95
    assert scores.swaps == scores.extra == 0


def test_background_is_counted_between_the_discs_and_every_disc_is_a_region() -> None:
    rng = np.random.default_rng(7)
    disc = BeamDisc(radius_px=11.0, edge_px=0.58)
    rows, columns = np.indices((300, 300))
    places = np.array([[60.0, 60.0], [60.0, 78.0], [220.0, 90.0], [80.0, 230.0], [240.0, 240.0]])
    rate = 0.02 + 2.0 * np.exp(-np.hypot(rows - 150, columns - 150) / 30)
    halo = rate.copy()
    rate += 60.0 * (np.hypot(rows - 150, columns - 150) < 11)
    for place in places:
        rate += 1.0 * (np.hypot(rows - place[0], columns - place[1]) < 11)
    total = rng.poisson(rate).astype(np.uint32)
    beam = find_disc_beam(total, start=np.array([148.0, 152.0]), disc=disc)
    assert np.abs(beam.centre - 150).max() < 0.1
    spots, labels = find_bragg_discs(total, beam, disc, threshold=5.0, max_spots=100)
    assert len(spots.px) == len(places)
    assert labels[150, 150] == BEAM
    for place in places:
        near = np.hypot(*(spots.px - place).T)
        mine = int(np.argmin(near))
        assert near[mine] < 0.6
        assert labels[int(place[0]), int(place[1])] == mine + 1
        inside = labels == mine + 1
        assert abs(spots.expected[mine] / halo[inside].sum() - 1) < 0.15
    background = labels == BACKGROUND
    assert background.mean() > 0.9
    assert all(not background[np.hypot(rows - y, columns - x) < 11].any() for y, x in places)
