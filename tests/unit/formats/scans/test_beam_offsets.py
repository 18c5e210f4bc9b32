"""Offsets of the beam that lie beside scans: whose they are, which axis is which, and how they fit another scan."""

from pathlib import Path

import h5py
import numpy as np
import pytest
from stempy.image import com_sparse
from stempy.io import SparseArray

from adapters.formats.scans.beam_offsets import offsets_beside
from adapters.formats.scans.scan_reader import ScanFileReader
from adapters.formats.stempy_writer import write_scan
from tests.synthetic.scan_files import write_offsets

SCAN, FLYBACK = (4, 6), 1


def moving(rows: int, columns: int) -> np.ndarray:
    """Return offsets (2, rows, columns) along (fast, slow) that rise by 3 px over the columns, 2 over the rows."""
    y, x = np.meshgrid((np.arange(rows) + 0.5) / rows, (np.arange(columns) + 0.5) / columns, indexing="ij")
    return np.stack([30.0 + 3.0 * x, 20.0 + 2.0 * y])


def test_what_stempy_measures_is_read_along_the_detector_s_axes(tmp_path: Path) -> None:
    data = np.empty((24, 1), dtype=object)
    truth = np.array([(10 + position // 6, 30 + 2 * (position % 6)) for position in range(24)])
    for position, (row, column) in enumerate(truth):
        data[position, 0] = np.full(5, row * 50 + column, dtype=np.uint32)
    centres = com_sparse(SparseArray(data, scan_shape=SCAN, frame_shape=(40, 50)))
    write_offsets(tmp_path / "s_offsets.emd", centres)

    found = offsets_beside(tmp_path / "s.h5", SCAN, FLYBACK)

    np.testing.assert_allclose(found.beam_px, truth)
    assert (found.path, found.note) == (tmp_path / "s_offsets.emd", None)


@pytest.mark.parametrize("shape", [(8, 12), (5, 7), (3, 4), (64, 48)])
def test_offsets_of_another_raster_are_those_of_the_same_field(tmp_path: Path, shape: tuple[int, int]) -> None:
    write_offsets(tmp_path / "vacuum_offsets.emd", moving(*shape))
    beam = offsets_beside(tmp_path / "s.h5", SCAN, 0).beam_px
    expected = moving(*SCAN)[::-1].reshape(2, -1).T
    inner = np.s_[1:-1, 1:-1]  # beyond the centres at the edge the nearest stands in
    np.testing.assert_allclose(beam.reshape(*SCAN, 2)[inner], expected.reshape(*SCAN, 2)[inner], atol=1e-4)


def test_flyback_in_offsets_is_dropped(tmp_path: Path) -> None:
    centres = moving(4, 7)
    centres[:, :, -1] = 500.0
    write_offsets(tmp_path / "s_offsets.emd", centres)
    beam = offsets_beside(tmp_path / "s.h5", SCAN, FLYBACK).beam_px
    np.testing.assert_allclose(beam, centres[::-1, :, :-1].reshape(2, -1).T, rtol=1e-6)


def test_positions_without_a_beam_take_that_beside_them(tmp_path: Path) -> None:
    centres = moving(*SCAN)
    expected = centres[::-1, 2, 3].copy()
    centres[:, 2, 2] = np.nan
    centres[0, 2, 1] = np.inf
    write_offsets(tmp_path / "s_offsets.emd", centres)
    beam = offsets_beside(tmp_path / "s.h5", SCAN, FLYBACK).beam_px.reshape(*SCAN, 2)
    assert np.isfinite(beam).all()
    np.testing.assert_allclose(beam[2, 2], expected, atol=1.0)


def test_the_scan_s_own_offsets_come_before_others(tmp_path: Path) -> None:
    write_offsets(tmp_path / "a_offsets.emd", moving(*SCAN))
    write_offsets(tmp_path / "b_offsets.emd", moving(*SCAN) + 100.0)
    assert offsets_beside(tmp_path / "b.h5", SCAN, 0).beam_px.min() > 100.0
    other = offsets_beside(tmp_path / "c.h5", SCAN, 0)
    assert other.beam_px is None
    assert "which of the offsets beside it are its own is not told: a_offsets.emd, b_offsets.emd" in other.note


def test_offsets_are_not_taken_out_of_a_centred_scan_again(tmp_path: Path) -> None:
    write_offsets(tmp_path / "s_offsets.emd", moving(*SCAN))
    found = offsets_beside(tmp_path / "s_centered.h5", SCAN, 0)
    assert found.beam_px is None
    assert "centred by its name" in found.note


@pytest.mark.parametrize("damage", ["text", "no array", "two arrays", "all nan", "linked", "leads out", "other shape"])
def test_offsets_that_cannot_be_used_cost_nothing_and_are_named(tmp_path: Path, damage: str) -> None:
    folder = tmp_path / "series"
    folder.mkdir()
    path = write_offsets(
        folder / "s_offsets.emd", np.full((2, *SCAN), np.nan) if damage == "all nan" else moving(*SCAN)
    )
    with h5py.File(path, "a") as file:
        if damage in {"no array", "linked"}:
            del file["data/vacuum_COM/data"]
        if damage == "linked":
            write_offsets(folder / "other.emd", moving(*SCAN))
            file["data/vacuum_COM/data"] = h5py.ExternalLink("other.emd", "/data/vacuum_COM/data")
        if damage == "two arrays":
            file.copy("data/vacuum_COM", "data/again")
        if damage == "other shape":
            del file["data/vacuum_COM/data"]
            file["data/vacuum_COM/data"] = np.zeros((3, *SCAN))
    if damage == "text":
        path.write_text("no EMD")
    if damage == "leads out":
        path.rename(tmp_path / "outside.emd")
        path.symlink_to(tmp_path / "outside.emd")
    scan = folder / "s.h5"
    write_scan(scan, np.arange(29), np.arange(28), scan_shape_with_flyback=(4, 7), frame_shape=(6, 8))

    data = ScanFileReader().read(scan, scan_shape=SCAN, flyback_columns=FLYBACK, frame_shape=(6, 8))

    assert len(data.events) == 24
    assert data.beam_px is None
    assert data.notes
    assert "s_offsets.emd" in data.notes[0]


def test_the_reader_hands_offsets_on_with_their_file(tmp_path: Path) -> None:
    write_offsets(tmp_path / "vacuum_offsets.emd", moving(*SCAN))
    write_scan(tmp_path / "s.h5", np.arange(29), np.arange(28), scan_shape_with_flyback=(4, 7), frame_shape=(6, 8))
    data = ScanFileReader().read(tmp_path / "s.h5", scan_shape=SCAN, flyback_columns=FLYBACK, frame_shape=(6, 8))
    assert data.beam_px.shape == (24, 2)
    assert data.beside == (tmp_path / "vacuum_offsets.emd",)
