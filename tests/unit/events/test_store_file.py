"""The event store: what is written is read, in order, chunk by chunk, and damage is told."""

import contextlib
import json
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.events import store_file
from tasks.events.coin import Throws, coin_of_tilt
from tasks.events.store import ScanEvents, position_blocks
from tasks.events.store_file import INDEX, StoreWriter, write_store
from tasks.events.store_reader import open_store
from tasks.events.sums import sum_apertures, sum_parts, sum_pattern
from tasks.events.virtual_detectors import count_detectors
from tasks.model import SourceError

SHAPE = (24, 30)


def random_scan(seed: int, positions: int = 300, mean: float = 12.0, *, several: bool = False) -> ScanEvents:
    rng = np.random.default_rng(seed)
    lengths = rng.poisson(mean, positions) * (rng.random(positions) < 0.9)
    events = rng.integers(0, SHAPE[0] * SHAPE[1], lengths.sum()).astype(np.uint32)
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    bounds = offsets
    if several and offsets[-1]:
        bounds = np.unique(np.concatenate([offsets, rng.integers(0, offsets[-1], positions)]))
    for begin, end in zip(np.unique(bounds)[:-1], np.unique(bounds)[1:], strict=True):
        events[begin:end].sort()
    frames = np.unique(bounds).astype(np.uint64) if several and offsets[-1] else None
    return ScanEvents(offsets.astype(np.uint64), events, frames)


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store_file, "CHUNK_EVENTS", 64)


@pytest.mark.parametrize("compressed", [True, False])
def test_a_store_knows_the_sum_of_its_scan_and_tells_when_it_is_damaged(tmp_path: Path, compressed: bool) -> None:
    scan = random_scan(8)
    path = write_store(tmp_path / "a.events", scan, compressed=compressed, pixels=SHAPE[0] * SHAPE[1])
    summed = sum_pattern(scan, SHAPE)
    found = open_store(path)
    np.testing.assert_array_equal(found.events.sum().reshape(SHAPE), summed)
    np.testing.assert_array_equal(sum_pattern(found, SHAPE), summed)
    lit = np.arange(300) % 3 > 0
    np.testing.assert_array_equal(sum_pattern(found, SHAPE, keep=lit), sum_pattern(scan, SHAPE, keep=lit))
    content = bytearray(path.read_bytes())
    content[content.rindex(b'{"version"') - 8 * (len(scan.offsets) + 4 * len(found.events.first_events)) - 20] ^= 1
    path.write_bytes(content)
    with pytest.raises(SourceError, match="its sum is not what was written"):
        sum_pattern(open_store(path), SHAPE)


def test_a_store_is_read_alike_without_a_compiler(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scan = random_scan(9, several=True)
    found = open_store(write_store(tmp_path / "a.events", scan))
    monkeypatch.delitem(sys.modules, "numba")
    np.testing.assert_array_equal(found.events[:], scan.events)


@given(st.integers(0, 10_000), st.integers(1, 80), st.floats(0, 60), st.booleans(), st.booleans())
@settings(deadline=None, max_examples=40)
def test_what_is_written_is_read(
    tmp_path_factory: pytest.TempPathFactory, seed: int, positions: int, mean: float, several: bool, compressed: bool
) -> None:
    scan = random_scan(seed, positions, mean, several=several)
    path = write_store(tmp_path_factory.mktemp("s") / "a.events", scan, compressed=compressed)
    found = open_store(path)
    np.testing.assert_array_equal(found.offsets, scan.offsets)
    np.testing.assert_array_equal(found.events[:], scan.events)
    if scan.frames is not None:
        np.testing.assert_array_equal(found.frames, scan.frames)
    begin, end = sorted(np.random.default_rng(seed).integers(0, len(scan.events) + 1, 2))
    np.testing.assert_array_equal(found.events[begin:end], scan.events[begin:end])


def test_positions_come_once_in_their_order_and_chunks_without_any_are_not_read(tmp_path: Path) -> None:
    scan = random_scan(1)
    found = open_store(write_store(tmp_path / "a.events", scan))
    positions = np.array([0, 3, 4, 150, 299])
    came: list[int] = []
    firsts = set()
    for block in position_blocks(found, positions):
        firsts.add(block.first)
        came += positions[block.ranges].tolist()
        for position, begin, end in zip(positions[block.ranges], block.begins, block.ends, strict=True):
            np.testing.assert_array_equal(
                block.events[begin:end], scan.events[slice(*scan.bounds[[position, position + 1]])]
            )


def test_the_way_in_which_a_scan_comes_leaves_no_trace(tmp_path: Path) -> None:
    scan = random_scan(2, several=True)
    whole = write_store(tmp_path / "whole.events", scan)
    lengths, frames = np.diff(scan.bounds), np.asarray(scan.frames).astype(np.int64)
    with StoreWriter(tmp_path / "parts.events") as writer:
        for first in range(0, 300, 7):
            begin, end = scan.bounds[first], scan.bounds[min(first + 7, 300)]
            inside = frames[(frames >= begin) & (frames <= end)]
            writer.append(lengths[first : first + 7], scan.events[begin:end], np.diff(inside))
        parts = writer.finish()
    assert parts.read_bytes() == whole.read_bytes()


def test_electrons_of_a_frame_that_do_not_ascend_are_put_in_order(tmp_path: Path) -> None:
    scan = ScanEvents(np.array([0, 3, 5], np.uint64), np.array([5, 1, 3, 9, 2], np.uint32))
    assert open_store(write_store(tmp_path / "a.events", scan)).events[:].tolist() == [1, 3, 5, 2, 9]


def padded(content: bytes) -> tuple[int, int]:
    """Return where the bytes begin and end that bring the offsets to a multiple of 8."""
    footer = json.loads(content[content.rindex(b'{"version"') : content.rindex(b"}") + 1])
    index = np.frombuffer(content[: content.rindex(b'{"version"')][-INDEX.itemsize :], dtype=INDEX)[0]
    return int(index["byte"] + index["bytes"]), footer["offsets_at"]


@pytest.mark.parametrize("compressed", [True, False])
def test_every_flipped_bit_is_told(tmp_path: Path, compressed: bool) -> None:
    scan = random_scan(3)
    path = write_store(tmp_path / "a.events", scan, compressed=compressed)
    good, rng = path.read_bytes(), np.random.default_rng(4)
    padding = range(*padded(good))
    for _ in range(60):
        place = int(rng.integers(8, len(good)))
        path.write_bytes(good[:place] + bytes([good[place] ^ (1 << int(rng.integers(8)))]) + good[place + 1 :])
        unused = place in padding
        with contextlib.nullcontext() if unused else pytest.raises(SourceError, match=r"a\.events"):
            assert len(open_store(path).events[:]) == len(scan.events)


def test_a_damaged_chunk_is_named(tmp_path: Path) -> None:
    path = write_store(tmp_path / "a.events", random_scan(5))
    content = bytearray(path.read_bytes())
    content[40] ^= 1
    path.write_bytes(content)
    with pytest.raises(SourceError, match=r"a\.events: chunk 0 \(bytes 8 to \d+\) is not what was written"):
        sum_pattern(open_store(path), SHAPE)


def test_a_store_that_was_cut_off_is_told(tmp_path: Path) -> None:
    path = write_store(tmp_path / "a.events", random_scan(5))
    content = path.read_bytes()
    for size in (0, 5, 100, len(content) - 1):
        path.write_bytes(content[:size])
        with pytest.raises(SourceError, match="not a whole event store"):
            open_store(path)


def test_what_is_not_finished_leaves_nothing(tmp_path: Path) -> None:
    def stop() -> None:
        with StoreWriter(tmp_path / "a.events") as writer:
            writer.append(np.array([2]), np.array([1, 2], np.uint32))
            raise ValueError("stopped")

    with pytest.raises(ValueError, match="stopped"):
        stop()
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("threads", [1, 2, 4])
def test_many_apertures_and_detectors_are_those_taken_one_by_one(tmp_path: Path, threads: int) -> None:
    scan = random_scan(6)
    rng = np.random.default_rng(7)
    stored = open_store(write_store(tmp_path / "a.events", scan))
    apertures = rng.random((9, 300)) < 0.3
    detectors = rng.random((11, *SHAPE)) < 0.2
    one_by_one = [sum_pattern(scan, SHAPE, keep=one) for one in apertures]
    np.testing.assert_array_equal(sum_apertures(stored, apertures, SHAPE, threads=threads), one_by_one)
    owner = np.repeat(np.arange(300), np.diff(scan.bounds))
    counts = [np.bincount(owner, weights=one.ravel()[scan.events], minlength=300) for one in detectors]
    np.testing.assert_array_equal(count_detectors(stored, detectors, threads=threads), counts)


@pytest.mark.parametrize("compressed", [True, False, None])
def test_pixels_that_overflow_a_byte_are_summed_whole(tmp_path: Path, compressed: bool | None) -> None:
    rng = np.random.default_rng(10)
    offsets = np.arange(301) * 60
    events = np.sort(rng.integers(0, 5, (300, 60)) * rng.integers(0, 140, (300, 60)), axis=1).astype(np.uint32).ravel()
    scan = ScanEvents(offsets.astype(np.uint64), events)
    if compressed is not None:
        path = write_store(tmp_path / "a.events", scan, compressed=compressed, pixels=SHAPE[0] * SHAPE[1])
        scan = open_store(path)
        np.testing.assert_array_equal(scan.events.sum(), np.bincount(events, minlength=SHAPE[0] * SHAPE[1]))
    masks = np.array([np.arange(300) % 3 > 0, np.arange(300) < 250, np.arange(300) >= 0, np.arange(300) > 299])
    expected = [np.bincount(events[np.repeat(one, 60)], minlength=SHAPE[0] * SHAPE[1]) for one in masks]
    assert max(one.max() for one in expected) > 3 * 256
    for chosen in ([0, 1, 2, 3], [2], [0, 3], [3]):
        found = sum_apertures(scan, masks[chosen], SHAPE, threads=2)
        np.testing.assert_array_equal(found.reshape(len(chosen), -1), np.array(expected)[chosen])


def test_parts_of_a_scan_are_those_summed_one_by_one(tmp_path: Path) -> None:
    scan = open_store(write_store(tmp_path / "a.events", random_scan(11)))
    rng = np.random.default_rng(12)
    part_of, shifts = rng.integers(-1, 4, 300), rng.integers(-3, 4, (300, 2))
    found = sum_parts(scan, part_of, 4, SHAPE, shifts=shifts)
    for number, one in enumerate(found):
        np.testing.assert_array_equal(one, sum_pattern(scan, SHAPE, shifts=shifts, keep=part_of == number))


def test_throws_are_those_of_one_long_row() -> None:
    throws = Throws(coin_of_tilt(3, 4))
    taken = np.concatenate([throws.take(number) for number in (0, 1, 7, 1000, 70_000, 13, 200_000)])
    np.testing.assert_array_equal(taken, coin_of_tilt(3, 4).integers(0, 2, size=len(taken), dtype=np.uint8))
