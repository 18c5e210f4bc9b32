"""How the direct beam moves over the scan, against motions that are known."""

import numpy as np
import pytest

from tasks.events.descan import BlockBeams, block_beams, fit_descan
from tasks.events.scan_motion import beam_of_positions, descan_of
from tasks.events.store import ScanEvents

SHAPE = (48, 40)


def blocks(matrix, bend, rng, *, noise=0.05, scans=15):
    """Return the beams that 8 x 8 blocks of some scans see; each scan has its own beam, and one block is wrong."""
    rows, columns = np.meshgrid(np.arange(2.5, 48, 6), np.arange(2.0, 40, 5), indexing="ij")
    place = np.stack([rows.ravel(), columns.ravel()], axis=1)
    row, column = (place - (np.array(SHAPE) - 1) / 2).T
    motion = np.stack([row, column], axis=1) @ np.array(matrix).T
    motion += np.stack([row**2, row * column, column**2], axis=1) @ np.array(bend).T
    made = []
    for _ in range(scans):
        beam = rng.normal(100, 1, 2) + motion + rng.normal(0, noise, motion.shape)
        beam[rng.integers(len(beam))] += 20.0
        made.append(BlockBeams(place, beam))
    return made


def test_a_bent_motion_is_measured_with_its_linear_part():
    matrix, bend = [[0.05, 0.0], [-0.02, 0.03]], [[2e-3, 0.0, -1e-3], [0.0, 3e-3, 0.0]]
    found = fit_descan(blocks(matrix, bend, np.random.default_rng(0)), SHAPE)
    np.testing.assert_allclose(found.matrix, matrix, atol=2e-3)
    np.testing.assert_allclose(found.bend, bend, atol=1e-4)


@pytest.mark.parametrize("seed", range(5))
def test_a_linear_motion_is_not_bent(seed):
    found = fit_descan(blocks([[0.05, 0.0], [-0.02, 0.03]], np.zeros((2, 3)), np.random.default_rng(seed)), SHAPE)
    assert not found.bend.any()
    np.testing.assert_allclose(found.matrix, [[0.05, 0.0], [-0.02, 0.03]], atol=2e-3)


@pytest.mark.parametrize("seed", range(5))
def test_a_bend_that_moves_no_electron_by_a_pixel_is_none(seed):
    """0.2 px from the middle to the edge, seen with certainty: whole pixels would not change."""
    found = fit_descan(blocks(np.zeros((2, 2)), [[0.2 / 23.5**2, 0, 0], [0, 0, 0]], np.random.default_rng(seed)), SHAPE)
    assert found.span_px == 0


def test_the_beam_of_every_position_follows_the_bend():
    bend = np.array([[1e-3, 2e-3, 3e-3], [0.0, 0.0, -1e-3]])
    motion = descan_of(np.zeros((2, 2)), (3, 5), bend=bend)
    beam = beam_of_positions(motion, (3, 5), np.array([10.0, 20.0])).reshape(3, 5, 2)
    assert beam[1, 2].tolist() == [10.0, 20.0]
    np.testing.assert_allclose(beam[0, 4], [10.0 + 1e-3 - 2 * 2e-3 + 4 * 3e-3, 20.0 - 4e-3])
    assert motion.span_px == pytest.approx(np.ptp(beam[..., 0]))


def scan_with(motion, rng, *, electrons=120):
    """Return the events of one scan whose beam, 1.5 px wide, moves, on a halo; the detector has 128 columns."""
    beam = beam_of_positions(motion, SHAPE, np.array([60.0, 64.0]))
    number = rng.poisson(electrons, len(beam))
    where = np.repeat(np.arange(len(beam)), number)
    halo = rng.random(len(where)) < 0.3
    px = np.rint(beam[where] + rng.normal(0, 1, (len(where), 2)) * np.where(halo, 12.0, 1.5)[:, None]).astype(int)
    px = np.clip(px, 0, 127)
    return ScanEvents(np.concatenate([[0], np.cumsum(number)]).astype(np.uint64), (px @ [128, 1]).astype(np.uint32))


def test_a_bent_motion_is_found_in_events_over_passes():
    """Four pixels of bend: what is known is taken out before the blocks are looked at again."""
    rng = np.random.default_rng(4)
    motion = descan_of(np.zeros((2, 2)), SHAPE, bend=np.array([[4.0 / 23.5**2, 0.0, 0.0], [0.0, 0.0, -3.0 / 19.5**2]]))
    scans = [scan_with(motion, rng) for _ in range(4)]
    found = descan_of(np.zeros((2, 2)), SHAPE)
    for _ in range(3):
        seen = [
            block_beams(one, scan_shape=SHAPE, columns=128, beam_px=(60.0, 64.0), radius_px=3.0, known=found)
            for one in scans
        ]  # fmt: skip
        found = found.plus(fit_descan(seen, SHAPE), SHAPE)
    left = beam_of_positions(found, SHAPE, np.zeros(2)) - beam_of_positions(motion, SHAPE, np.zeros(2))
    left -= left.mean(axis=0)
    assert np.abs(left).max() < 0.35
    assert found.span_px == pytest.approx(motion.span_px, rel=0.1)
