"""Automatic apertures on clusters whose truth is known."""

import h5py
import numpy as np
import pytest

from tasks.apertures.aperture_file import read_apertures
from tasks.apertures.automatic import AutomaticApertures
from tests.synthetic.aperture_scores import masks_of_set, score_apertures
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


def test_the_clean_aperture_is_purer_than_all_positions_on_held_out_events(four_crystals):
    _, _, apertures = four_crystals
    for crystal in apertures.crystals:
        assert crystal.scores.clean.purity > 0.97
        assert crystal.scores.clean.purity >= crystal.scores.all_positions.purity - 0.01


def test_the_file_that_is_written_is_read_back(four_crystals):
    series, _, apertures = four_crystals
    back = read_apertures(apertures.aperture_file.path, scan_shape=series.scan.shape, tilt_deg=apertures.tilt_deg)
    assert np.array_equal(np.array(list(back.values())), masks_of_set(apertures))


def test_the_same_input_gives_the_same_files(four_crystals, tmp_path):
    series, _, apertures = four_crystals
    again = AutomaticApertures().propose(series, tmp_path)
    assert [one.masks.sha256 for one in again.crystals] == [one.masks.sha256 for one in apertures.crystals]
    assert again.maps.sha256 == apertures.maps.sha256
