"""raw_csr: the three files are a matrix of scan positions and pixels as LiberTEM's page describes them."""

import tomllib
from pathlib import Path

import numpy as np
import pytest
from scipy.sparse import csr_matrix

from adapters.formats import raw_csr_writer
from adapters.formats.raw_csr_writer import write_raw_csr
from tasks.events.store import ScanEvents

SCAN, FRAME = (5, 7), (11, 13)


def scan_of(repeats: int = 1) -> tuple[ScanEvents, np.ndarray]:
    """Return a scan, with empty positions and pixels hit several times, and its dense counts (35, 143)."""
    rng = np.random.default_rng(4)
    counts = rng.poisson(0.2, (SCAN[0] * SCAN[1], FRAME[0] * FRAME[1]))
    counts[[0, 11, 34]] = 0
    counts[3, 20] = 3 * repeats
    events = [rng.permutation(np.repeat(np.arange(counts.shape[1]), row)) for row in counts]
    offsets = np.concatenate([[0], np.cumsum([len(one) for one in events])]).astype(np.uint64)
    return ScanEvents(offsets, np.concatenate(events).astype(np.uint32)), counts


def read_by_hand(sidecar: Path) -> tuple[np.ndarray, dict]:
    """Read the data set with numpy and scipy, as LiberTEM's documentation of raw_csr says."""
    described = tomllib.loads(sidecar.read_text())
    params, files = described["params"], described["raw_csr"]
    assert params["filetype"] == "raw_csr"
    indptr, indices, data = (
        np.fromfile(sidecar.parent / files[f"{key}_file"], dtype=files[f"{key}_dtype"])
        for key in ("indptr", "indices", "data")
    )
    shape = (int(np.prod(params["nav_shape"])), int(np.prod(params["sig_shape"])))
    matrix = csr_matrix((data, indices, indptr), shape=shape)
    assert matrix.has_canonical_format
    return matrix.toarray(), described


@pytest.mark.parametrize("block", [4, 35, 1 << 14])
def test_every_count_is_where_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, block: int) -> None:
    monkeypatch.setattr(raw_csr_writer, "POSITIONS_PER_BLOCK", block)
    scan, counts = scan_of()
    found, described = read_by_hand(write_raw_csr(scan, tmp_path, "scan-00000", scan_shape=SCAN, frame_shape=FRAME))
    np.testing.assert_array_equal(found, counts)
    assert described["params"]["nav_shape"] == list(SCAN)
    assert described["params"]["sig_shape"] == list(FRAME)
    assert described["raw_csr"]["data_dtype"] == "|u1"


def test_many_electrons_in_one_pixel_take_a_larger_type(tmp_path: Path) -> None:
    scan, counts = scan_of(repeats=200)
    found, described = read_by_hand(write_raw_csr(scan, tmp_path, "a", scan_shape=SCAN, frame_shape=FRAME))
    np.testing.assert_array_equal(found, counts)
    assert described["raw_csr"]["data_dtype"] == "<u2"


def test_a_scan_without_electrons_is_an_empty_matrix(tmp_path: Path) -> None:
    empty = ScanEvents(np.zeros(36, dtype=np.uint64), np.zeros(0, dtype=np.uint32))
    found, _ = read_by_hand(write_raw_csr(empty, tmp_path, "a", scan_shape=SCAN, frame_shape=FRAME))
    assert found.sum() == 0
