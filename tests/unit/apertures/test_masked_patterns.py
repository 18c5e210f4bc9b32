"""What the apertures see of a detector with dead parts: the same spots elsewhere, no labels there, comparable maps."""

import numpy as np
import pytest

from tasks.apertures.pattern import find_bragg_spots
from tasks.events.scan_beam import DirectBeam, find_direct_beam
from tasks.events.virtual_detectors import IGNORED
from tests.synthetic.scan_sums import CENTRE, SHAPE, scan_sums


@pytest.fixture(scope="module")
def pattern() -> np.ndarray:
    return scan_sums(1, seed=3, electrons=200000.0)[0]


def spots_of(pattern: np.ndarray, valid: np.ndarray | None):
    beam = DirectBeam(CENTRE, 1.0, seen=True)
    return find_bragg_spots(pattern, beam, sigma_px=1.0, threshold=6.0, max_spots=400, valid=valid)


def test_a_dead_part_hides_its_spots_and_no_others(pattern: np.ndarray) -> None:
    valid = np.ones(SHAPE, dtype=bool)
    valid[180:230] = False
    whole, _ = spots_of(pattern, None)
    part, labels = spots_of(np.where(valid, pattern, 0).astype(np.uint32), valid)
    inside = (whole.px[:, 0] > 175) & (whole.px[:, 0] < 235)
    assert inside.sum() > 5
    kept = {tuple(px) for px in part.px[(part.px[:, 0] < 175) | (part.px[:, 0] > 235)].tolist()}
    others = {tuple(px) for px in whole.px[~inside].tolist()}
    assert len(kept ^ others) < 0.1 * len(others)  # some stand at the threshold
    assert (labels[~valid] == IGNORED).all()
    assert not ((part.px[:, 0] >= 180) & (part.px[:, 0] < 230)).any()


def test_the_background_is_that_of_the_live_part(pattern: np.ndarray) -> None:
    valid = np.ones(SHAPE, dtype=bool)
    valid[: SHAPE[0] // 2] = False
    whole, _ = spots_of(pattern, None)
    part, _ = spots_of(np.where(valid, pattern, 0).astype(np.uint32), valid)
    expected = {tuple(px): value for px, value in zip(whole.px.tolist(), whole.expected, strict=True)}
    ratio = [value / expected[tuple(px)] for px, value in zip(part.px.tolist(), part.expected, strict=True)
             if tuple(px) in expected and px[0] > SHAPE[0] // 2 + 6]  # fmt: skip
    assert len(ratio) > 10
    assert np.median(ratio) == pytest.approx(1.0, abs=0.03)
    assert whole.measured == 1.0
    assert part.measured == pytest.approx(0.5, abs=0.02)


def test_masked_pixels_do_not_move_the_centre_of_a_hidden_beam(pattern: np.ndarray) -> None:
    hot = pattern.copy()
    hot[60:64, 90:94] = 100000
    valid = np.ones(SHAPE, dtype=bool)
    valid[60:64, 90:94] = False
    found = find_direct_beam(hot, start=CENTRE, valid=valid)
    assert found.seen
    assert np.abs(found.centre - CENTRE).max() < 0.5
