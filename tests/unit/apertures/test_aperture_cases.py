"""Series that are not as one would wish."""

from dataclasses import replace

import h5py
import numpy as np
import pytest

from tasks.apertures.automatic import AutomaticApertures
from tasks.model import NoCrystalsError
from tests.synthetic.aperture_scores import masks_of_set, score_apertures
from tests.synthetic.diffracting_cluster import Cluster, write_cluster
from tests.synthetic.stored_events import loaded, put_events

TILTS = tuple(np.arange(-4.0, 5.0))
FEW = Cluster(seed=2, tilts=TILTS, scan=(36, 36), radius=(3.5, 5.0), spread=5.0, crystals=3)


def proposed(cluster, folder):
    series, truth = write_cluster(cluster, folder)
    return AutomaticApertures().propose(series, folder), truth


def test_a_shift_of_several_diameters_between_two_tilts_swaps_nothing(tmp_path):
    apertures, truth = proposed(replace(FEW, jumps={4: (6, -9)}), tmp_path)
    scores = score_apertures(apertures, truth)
    assert scores.found == scores.findable >= 2
    assert scores.swaps == 0
    assert scores.precision >= 0.95


def test_missing_tilts_are_bridged(tmp_path):
    apertures, truth = proposed(replace(FEW, missing=(3, 4, 6)), tmp_path)
    scores = score_apertures(apertures, truth)
    assert scores.found == scores.findable >= 2
    assert scores.swaps == 0


def test_a_blank_scan_is_a_gap_and_the_crystals_go_on_behind_it(tmp_path):
    apertures, truth = proposed(replace(FEW, blank=(5,)), tmp_path)
    masks = masks_of_set(apertures)
    assert not masks[:, 5].any()
    assert all(crystal.confidence_per_tilt[5] == 0 for crystal in apertures.crystals)
    assert score_apertures(apertures, truth).swaps == 0
    assert sum(mask[[0, -1]].any(axis=(1, 2)).all() for mask in masks) >= 2


def test_a_blocked_direct_beam_is_no_hindrance(tmp_path):
    apertures, truth = proposed(replace(FEW, beam_present=False), tmp_path)
    scores = score_apertures(apertures, truth)
    assert scores.found == scores.findable >= 2
    with h5py.File(apertures.maps.path) as file:
        assert not np.asarray(file["bright_field"]).any()


def test_one_crystal_that_fills_the_field_is_said_to_do_so(tmp_path):
    cluster = Cluster(tilts=TILTS[:4], crystals=1, radius=(50, 60), spread=0.1, scan=(20, 20))
    apertures, _ = proposed(cluster, tmp_path)
    assert len(apertures.crystals) == 1
    assert any("fills the field" in note for note in apertures.notes)


def test_no_crystal_is_a_typed_error(tmp_path):
    with pytest.raises(NoCrystalsError):
        proposed(Cluster(tilts=TILTS[:3], crystals=0, scan=(20, 20)), tmp_path)


def test_hot_positions_belong_to_no_aperture(tmp_path):
    series, _ = write_cluster(replace(FEW, tilts=TILTS[:3]), tmp_path)
    scan = series.scans[1]
    offsets, events = loaded(scan)
    hot = np.argmax(np.diff(offsets))
    extra = np.resize(events[offsets[hot] : offsets[hot + 1]], 5000)
    more = np.insert(events, int(offsets[hot]), extra)
    offsets[hot + 1 :] += len(extra)
    put_events(scan.events.path, offsets, more)
    apertures = AutomaticApertures().propose(series, tmp_path)
    assert not masks_of_set(apertures)[:, 1].reshape(len(apertures.crystals), -1)[:, hot].any()


def test_the_order_in_which_scans_are_listed_or_taken_changes_little(tmp_path):
    """The tilts of the mirrored series run the other way: the same crystals at the same places."""
    series, _ = write_cluster(FEW, tmp_path)
    forth, back = tmp_path / "forth", tmp_path / "back"
    forth.mkdir(), back.mkdir()
    mirrored = series.model_copy(update={"scans": series.scans[::-1]})
    one = masks_of_set(AutomaticApertures().propose(series, forth))
    two = masks_of_set(AutomaticApertures().propose(mirrored, back))[:, ::-1]
    assert len(one) == len(two) >= 2
    agreement = np.einsum("athw,bthw->ab", one.astype(int), two.astype(int)) / one.sum(axis=(1, 2, 3))[:, None]
    assert (agreement.max(axis=1) > 0.9).all()


def test_a_crystal_that_leaves_the_field_ends_and_the_others_go_on(tmp_path):
    jumps = {5: (0, 20), 6: (0, 12)}
    apertures, truth = proposed(replace(FEW, jumps=jumps), tmp_path)
    masks, inside = masks_of_set(apertures), truth.thickness > 0
    gone = ~inside.any(axis=(2, 3))
    assert gone[5:].any()
    owner = np.einsum("cthw,tkhw->ck", masks.astype(int), inside.astype(int)).argmax(axis=1)
    for mask, crystal in zip(masks, owner, strict=True):
        assert not mask[gone[:, crystal]].any()
    assert score_apertures(apertures, truth).swaps == 0


def merged(one, other):
    """Put the electrons of the scans of the other series into those of the first, position by position."""
    for scan, more in zip(one.scans, other.scans, strict=True):
        offsets, events = zip(*(loaded(one) for one in (scan, more)), strict=True)
        parts = [np.split(e, o[1:-1].astype(int)) for o, e in zip(offsets, events, strict=True)]
        both = np.concatenate([part for pair in zip(*parts, strict=True) for part in pair])
        put_events(scan.events.path, offsets[0] + offsets[1], both)
    return one


@pytest.mark.parametrize(("radius", "said"), [((50.0, 60.0), True), ((7.0, 7.5), False)])
def test_crystals_that_overlap_everywhere_are_one_region(tmp_path, radius, said):
    """No position tells them apart: one aperture, with two lattices; stated if it fills the field."""
    made = []
    for seed in (3, 4):
        folder = tmp_path / str(seed)
        folder.mkdir()
        cluster = Cluster(seed=seed, tilts=TILTS, crystals=1, radius=radius, spread=0.1, scan=(20, 20))
        made.append(write_cluster(cluster, folder)[0])
    apertures = AutomaticApertures().propose(merged(*made), tmp_path)
    assert len(apertures.crystals) == 1
    assert any("overlap everywhere" in note for note in apertures.notes) == said


def test_a_misoriented_third_is_cut_out(tmp_path):
    cluster = Cluster(seed=8, tilts=TILTS, crystals=1, bad_third_of=0, radius=(7, 9), scan=(32, 32), spread=1.0)
    apertures, truth = proposed(cluster, tmp_path)
    masks = masks_of_set(apertures)
    good, bad = (truth.thickness[:, k] > 0 for k in (0, 1))
    best = max(masks, key=lambda mask: (mask & good & ~bad).sum())
    assert (best & bad).sum() <= 0.05 * bad.sum()
    assert (best & good & ~bad).sum() >= 0.7 * (good & ~bad).sum()
