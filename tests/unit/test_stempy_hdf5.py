"""stempy's files: written and read without losing an electron."""

from pathlib import Path

import numpy as np
import pytest
from stempy.io import load_electron_counts

from adapters.formats.stempy_hdf5 import write_scan


def random_scan(seed: int, entries: int, pixels: int, mean: float = 3.0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    lengths = rng.poisson(mean, entries)
    return np.concatenate([[0], np.cumsum(lengths)]), rng.integers(0, pixels, lengths.sum())


@pytest.mark.parametrize("frames_per_position", [1, 3])
def test_stempy_reads_a_written_scan(tmp_path: Path, frames_per_position: int) -> None:
    shape, frame = (4, 6), (8, 5)
    offsets, events = random_scan(1, 24 * frames_per_position, 40)
    path = tmp_path / "scan.h5"
    write_scan(
        path,
        offsets,
        events,
        scan_shape_with_flyback=shape,
        frame_shape=frame,
        frames_per_position=frames_per_position,
    )

    array = load_electron_counts(path)

    assert array.scan_shape == shape
    assert tuple(array.frame_shape) == frame
    for entry, got in enumerate(array.data.ravel()):
        np.testing.assert_array_equal(got, events[offsets[entry] : offsets[entry + 1]])


def test_equal_scans_give_equal_bytes(tmp_path: Path) -> None:
    offsets, events = random_scan(2, 12, 30)
    for name in ("a.h5", "b.h5"):
        write_scan(tmp_path / name, offsets, events, scan_shape_with_flyback=(3, 4), frame_shape=(5, 6))

    assert (tmp_path / "a.h5").read_bytes() == (tmp_path / "b.h5").read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.h5", "b.h5"]


@pytest.mark.parametrize(
    ("offsets", "events"),
    [([0, 1], [0]), ([0, 1, 3], [0, 1]), ([1, 1, 2], [0, 1]), ([0, 1, 2], [0, 30])],
)
def test_contradictions_are_refused(tmp_path: Path, offsets: list[int], events: list[int]) -> None:
    with pytest.raises(ValueError, match=r"do not describe|outside a frame"):
        write_scan(
            tmp_path / "scan.h5",
            np.array(offsets),
            np.array(events),
            scan_shape_with_flyback=(1, 2),
            frame_shape=(5, 6),
        )
