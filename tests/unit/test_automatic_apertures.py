"""Automatic apertures on clusters whose truth is known."""

import h5py
import numpy as np
import pytest

from tasks.apertures.automatic import AutomaticApertures
from tests.synthetic.aperture_scores import score_apertures
from tests.synthetic.diffracting_cluster import Cluster, write_cluster


@pytest.fixture(scope="module")
def four_crystals(tmp_path_factory):
    folder = tmp_path_factory.mktemp("four")
    cluster = Cluster(seed=1, tilts=tuple(np.arange(-6.0, 7.0)))
    series, truth = write_cluster(cluster, folder)
    apertures = AutomaticApertures().propose(series, folder)
    return series, truth, apertures


def test_every_crystal_is_found_and_followed_without_swaps(four_crystals):
    _, truth, apertures = four_crystals
    scores = score_apertures(apertures, truth)
    assert scores.found == scores.findable
    assert scores.swaps == 0


def test_clean_positions_are_clean(four_crystals):
    _, truth, apertures = four_crystals
    scores = score_apertures(apertures, truth)
    assert scores.precision >= 0.95
    assert scores.recall >= 0.7


def test_maps_have_one_image_per_tilt_and_conserve_counts(four_crystals):
    series, _, apertures = four_crystals
    with h5py.File(apertures.maps.path) as file:
        names = {"counts", "bragg", "dark_field", "bright_field", "quality", "shift_slow", "shift_fast"}
        assert names <= set(file)
        counts = np.asarray(file["counts"])
    assert counts.shape == (len(series.scans), *series.scan.shape)
    assert counts.dtype == np.float32
    assert counts.sum(axis=(1, 2)).tolist() == [scan.counts for scan in series.scans]
