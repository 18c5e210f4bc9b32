"""Regions of an aperture: disjoint parts that are the whole, best positions chosen by others, and what is refused."""

import numpy as np
import pytest

from tasks.apertures.regions import best_positions, require_parts, split_aperture
from tasks.model import InputError


def blob(rows: slice, columns: slice, *, tilts: int = 3) -> np.ndarray:
    masks = np.zeros((tilts, 20, 30), dtype=bool)
    for tilt in range(tilts):
        masks[tilt, rows, slice(columns.start + tilt, columns.stop + tilt)] = True
    return masks


def test_parts_are_disjoint_equal_and_together_the_whole() -> None:
    crystal = blob(slice(4, 10), slice(3, 21))
    parts = split_aperture(crystal, 4)
    assert list(parts) == ["crystal-01", "crystal-02", "crystal-03", "crystal-04"]
    assert np.array_equal(np.sum(list(parts.values()), axis=0), crystal.astype(int))
    for mask in parts.values():
        counts = mask.sum(axis=(1, 2))
        assert set(counts.tolist()) == {27}


def test_a_part_is_the_same_end_of_the_crystal_at_every_tilt() -> None:
    crystal = blob(slice(4, 10), slice(3, 21))
    first = split_aperture(crystal, 3)["crystal-01"]
    for tilt in range(3):
        columns = np.argwhere(first[tilt])[:, 1] - tilt
        assert columns.min() == 3
        assert columns.max() <= 9


def test_more_parts_than_positions_are_refused() -> None:
    with pytest.raises(InputError, match="5 regions: a crystal of 4 positions"):
        split_aperture(blob(slice(4, 6), slice(3, 5)), 5)


def test_the_best_positions_are_chosen_by_their_neighbours() -> None:
    crystal = blob(slice(4, 11), slice(3, 12), tilts=1)
    signal = np.zeros(crystal.shape)
    signal[0, 6:9, 5:8] = 10.0
    signal[0, 4, 11] = 1000.0
    chosen = best_positions(crystal, signal, 1)
    assert not chosen[0, 4, 11]
    signal[0, 4, 11] = 0.0
    assert np.argwhere(best_positions(crystal, signal, 1)).tolist() == [[0, 7, 6]]


def test_no_more_positions_are_chosen_than_there_are() -> None:
    crystal = blob(slice(4, 6), slice(3, 5))
    assert np.array_equal(best_positions(crystal, np.ones(crystal.shape), 99), crystal)


def test_regions_outside_overlapping_or_mostly_empty_are_refused() -> None:
    crystal = blob(slice(4, 10), slice(3, 21), tilts=4)
    part = split_aperture(crystal, 2)["crystal-01"]
    require_parts({"crystal-01": part, "crystal-02": crystal & ~part}, crystal, "crystal-07", file="mine.h5")
    with pytest.raises(
        InputError, match=r"mine.h5: region crystal-02: \d+ of its positions belong to region crystal-01"
    ):
        require_parts({"crystal-01": part, "crystal-02": crystal}, crystal, "crystal-07", file="mine.h5")
    beyond = part.copy()
    beyond[0, 0, 0] = True
    with pytest.raises(InputError, match=r"mine.h5: region crystal-01: 1 of its .* lie outside crystal-07"):
        require_parts({"crystal-01": beyond}, crystal, "crystal-07", file="mine.h5")
    rare = part.copy()
    rare[1:] = False
    with pytest.raises(InputError, match="empty at 3 of the 4 tilts"):
        require_parts({"crystal-01": rare}, crystal, "crystal-07", file="mine.h5")
