"""Scans of whole frames: every electron of the file is an event, counted by other readers or by hand."""

import zipfile
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
from rsciio.blockfile import file_reader as read_blockfile
from rsciio.empad import file_reader as read_empad
from rsciio.hspy import file_reader as read_hspy
from rsciio.quantumdetector import file_reader as read_mib

from adapters.formats.scans.scan_reader import ScanFileReader
from adapters.formats.stempy_writer import write_scan
from tasks.ingest import Conversion, ScanData, Stated
from tasks.model import Counting, SourceError
from tests.synthetic.scan_files import (
    sparse_counts,
    write_arina,
    write_blockfile,
    write_empad,
    write_hyperspy,
    write_mib,
    write_raw_mib,
)

SCAN, FRAME, FLYBACK = (3, 5), (6, 8), 2
WHOLE = Stated(counting=Counting(method="ideal", frames_per_position=1))
UNITS = Stated(conversion=Conversion(units_per_electron=1.0, pedestal=0.0))


def read(
    path: Path,
    scan: tuple[int, int] = SCAN,
    flyback: int = FLYBACK,
    frame: tuple[int, int] = FRAME,
    stated: Stated = WHOLE,
) -> ScanData:
    return ScanFileReader().read(
        path, scan_shape=(scan[0], scan[1] - flyback), flyback_columns=flyback, frame_shape=frame, stated=stated
    )


def dense(data: ScanData, frame: tuple[int, int]) -> np.ndarray:
    """Return how often each pixel was hit at each position, (positions, slow, fast)."""
    position = np.repeat(np.arange(len(data.offsets) - 1), np.diff(data.offsets.astype(np.int64)))
    found = np.zeros((len(data.offsets) - 1, frame[0] * frame[1]), dtype=np.int64)
    np.add.at(found, (position, data.events), 1)
    return found.reshape(-1, *frame)


def assert_holds(data: ScanData, counts: np.ndarray, flyback: int = FLYBACK) -> None:
    kept = counts[:, : counts.shape[1] - flyback]
    np.testing.assert_array_equal(dense(data, counts.shape[2:]), kept.reshape(-1, *counts.shape[2:]))
    assert data.flyback_events == counts.sum() - kept.sum()
    assert (data.offsets.dtype, data.events.dtype) == (np.uint64, np.uint32)


@pytest.mark.needs_shared
def test_a_scan_of_merlin_holds_what_rosettasciio_counts(shared_data: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(shared_data / "formats" / "Merlin_navigation4x2_ROI.zip") as archive:
        archive.extractall(tmp_path)
    for name in ("001_4x2_6bit.mib", "002_4x2_6bit_roi128.mib"):
        expected = read_mib(str(tmp_path / name))[0]["data"]
        assert_holds(read(tmp_path / name, (2, 4), 1, expected.shape[2:], Stated()), expected.astype(np.int64), 1)


@pytest.mark.needs_shared
def test_a_scan_of_an_arina_holds_what_the_file_does(shared_data: Path) -> None:
    # the vendor's example was taken without a beam: it is opened, read to its end and found empty
    with pytest.raises(SourceError, match="the scan is empty"):
        read(shared_data / "formats" / "test_00_master.h5", (4, 4), 0, (192, 192))


@pytest.mark.needs_shared
def test_a_block_file_holds_what_rosettasciio_reads(shared_data: Path) -> None:
    path = shared_data / "formats" / "test2.blo"
    expected = read_blockfile(str(path))[0]["data"].astype(np.int64)
    assert_holds(read(path, (2, 3), 0, (5, 5), UNITS), expected, 0)


@pytest.mark.needs_shared
def test_a_cube_of_py4dstem_is_converted_as_is_stated(shared_data: Path) -> None:
    path = shared_data / "formats" / "py4DSTEM_size2x3x4x5.h5"
    with h5py.File(path) as file:
        values = file["datacube_root/datacube/data"][()].astype(np.float64)
    stated = Stated(conversion=Conversion(units_per_electron=7.5, pedestal=-3.0, threshold=20.0))
    expected = np.where(values >= 20.0, np.floor((values + 3.0) / 7.5 + 0.5), 0).astype(np.int64)
    assert_holds(read(path, (2, 3), 1, (4, 5), stated), expected, 1)


@pytest.mark.parametrize("kind", ["U08", "U16", "U32"])
@pytest.mark.parametrize("frame", [(6, 8), (5, 7)])
def test_counts_of_every_depth_of_merlin_are_kept(tmp_path: Path, kind: str, frame: tuple[int, int]) -> None:
    counts = sparse_counts(1, SCAN, frame)
    counts[1, 1, 4, 6] = {"U08": 200, "U16": 50_000, "U32": 90_000}[kind]
    path = write_mib(tmp_path / "a.mib", counts, kind=kind, quad=kind == "U16")
    expected = read_mib(str(path), navigation_shape=SCAN[::-1])[0]["data"]
    np.testing.assert_array_equal(expected, counts)
    assert_holds(read(path, frame=frame, stated=Stated()), counts)


@pytest.mark.parametrize("dtype", ["u1", "u2", "u4"])
def test_counts_of_an_arina_are_kept_over_all_its_files(tmp_path: Path, dtype: str) -> None:
    counts = sparse_counts(2, SCAN, FRAME)
    mask, stored = np.zeros(FRAME), counts.copy()
    mask[2, 3], mask[1, 2] = 1, 2**31  # the other lies between chips, and counts
    counts[:, :, 2, 3], stored[:, :, 2, 3] = 0, np.iinfo(dtype).max  # so it marks pixels that are not measured
    data = read(write_arina(tmp_path / "a_master.h5", stored, dtype=dtype, mask=mask), stated=Stated())
    assert_holds(data, counts)
    assert [path.name for path in data.beside] == [f"a_data_00000{number}.h5" for number in (1, 2, 3)]


@pytest.mark.parametrize("chunks", [None, (1, 1, 6, 8), (2, 2, 3, 8), (3, 5, 1, 1)])
@pytest.mark.parametrize("dtype", ["u2", "i4", ">u2"])
def test_counts_of_hyperspy_are_kept_whatever_its_chunks(tmp_path: Path, chunks: tuple | None, dtype: str) -> None:
    counts = sparse_counts(3, SCAN, FRAME)
    path = write_hyperspy(tmp_path / "a.hspy", counts.astype(dtype), chunks=chunks)
    np.testing.assert_array_equal(read_hspy(str(path))[0]["data"], counts)
    assert_holds(read(path), counts)


def test_values_of_an_empad_are_converted_as_is_stated(tmp_path: Path) -> None:
    rng = np.random.default_rng(4)
    electrons = rng.poisson(0.05, (2, 3, 128, 128))
    values = (100.0 * electrons + rng.normal(5.0, 10.0, electrons.shape)).astype(np.float32)
    path = write_empad(tmp_path / "scan.xml", values)
    np.testing.assert_array_equal(read_empad(str(path))[0]["data"], values)
    stated = Stated(conversion=Conversion(units_per_electron=100.0, pedestal=5.0))
    for listed in (path, tmp_path / "scan_x3_y2.raw"):
        assert_holds(read(listed, (2, 3), 1, (128, 128), stated), electrons, 1)


def test_a_threshold_loses_what_lies_below_it(tmp_path: Path) -> None:
    values = np.zeros((1, 3, 6, 8), np.float32)
    values[0, :, 0, 0] = 24.9, 25.0, 70.0
    path = write_hyperspy(tmp_path / "a.hspy", values)
    stated = Stated(conversion=Conversion(units_per_electron=20.0, pedestal=1.0, threshold=25.0))
    data = read(path, (1, 3), 0, stated=stated)
    assert np.diff(data.offsets.astype(int)).tolist() == [0, 1, 3]


HALF = 2**31


@pytest.mark.parametrize(
    ("write", "stated", "message"),
    [
        (lambda p, c: write_hyperspy(p, c.astype("f4")), WHOLE, "float32 values that are not counted: detector.conv"),
        (lambda p, c: write_hyperspy(p, c.astype("u2")), Stated(), "does not say whether its whole numbers are elec"),
        (lambda p, c: write_hyperspy(p, c.astype("i2") - 1), WHOLE, "scan row 0, column 0, pixel (0, "),
        (lambda p, c: write_hyperspy(p, c.astype("i2") - 1), WHOLE, "-1 is negative"),
        (lambda p, c: write_hyperspy(p, c.astype("u4") + HALF), WHOLE, "is more than 1048576 electrons"),
        (lambda p, c: write_hyperspy(p, np.where(c > 2, np.nan, c)), UNITS, "row 0, column 0, pixel (1, 2): nan is no"),
        (lambda p, c: write_hyperspy(p, np.where(c > 2, -np.inf, c)), UNITS, "-inf is no number"),
        (lambda p, c: write_hyperspy(p, c * 0), WHOLE, "the scan is empty"),
        (lambda p, c: write_mib(p, c[:2]), WHOLE, "the file has 10 frames, the manifest's scan.shape and flyback_colu"),
        (lambda p, c: write_hyperspy(p, c[:2]), WHOLE, "the file has (2, 5) rows and columns, the manifest's scan.sha"),
        (lambda p, c: write_mib(p, c[..., :7]), WHOLE, "the file has (6, 7) rows and columns, the manifest's detector"),
        (lambda p, c: write_blockfile(p, c[..., :6]), WHOLE, "uint8 values that are not counted: detector.conversion"),
    ],
)
def test_what_is_no_scan_of_electrons_is_refused_with_its_reason(
    tmp_path: Path, write: Callable, stated: Stated, message: str
) -> None:
    path = write(tmp_path / "a", sparse_counts(5, SCAN, FRAME))
    frame = (6, 6) if "uint8" in message else FRAME
    with pytest.raises(SourceError) as refused:
        read(path, frame=frame, stated=stated)
    assert message in refused.value.message


def test_what_the_manifest_lacks_is_written_out_in_full(tmp_path: Path) -> None:
    path = write_hyperspy(tmp_path / "a.hspy", sparse_counts(5, SCAN, FRAME).astype("f4"))
    with pytest.raises(SourceError) as refused:
        read(path)
    assert '"conversion": {"units_per_electron": ..., "pedestal": ..., "threshold": ...}' in refused.value.message


def test_counted_files_are_not_converted_once_more(tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    write_scan(path, np.arange(3), np.arange(2), scan_shape_with_flyback=(1, 2), frame_shape=FRAME)
    with pytest.raises(SourceError, match=r"detector\.conversion is stated, but the file holds counted electrons"):
        read(path, (1, 2), 0, stated=UNITS)
    assert len(read(path, (1, 2), 0).events) == 2


def test_a_frame_that_merlin_lost_is_named(tmp_path: Path) -> None:
    counts = sparse_counts(6, SCAN, FRAME)
    whole = write_mib(tmp_path / "a.mib", np.concatenate([counts, counts[:1]])).read_bytes()
    record = 384 + FRAME[0] * FRAME[1]
    (tmp_path / "a.mib").write_bytes(whole[: 4 * record] + whole[5 * record : 16 * record])
    with pytest.raises(SourceError, match="frame 5 has the number 6 in place of 5: frames are missing"):
        read(tmp_path / "a.mib")
    (tmp_path / "a.mib").write_bytes(whole[: 15 * record - 3])
    with pytest.raises(SourceError, match="ends within frame 15"):
        read(tmp_path / "a.mib")


@pytest.mark.parametrize(("depth", "most"), [(1, 1), (6, 63), (12, 4095), (24, 70_000)])
def test_raw_counters_of_merlin_are_counted(tmp_path: Path, depth: int, most: int) -> None:
    counts = np.minimum(sparse_counts(6, SCAN, (4, 64)), most)
    counts[2, 2, 3, 5] = most
    path = write_raw_mib(tmp_path / "a.mib", counts.astype(np.uint32), depth=depth)
    assert_holds(read(path, frame=(4, 64), stated=Stated()), counts)


def test_files_that_an_arina_master_lacks_are_named(tmp_path: Path) -> None:
    path = write_arina(tmp_path / "a_master.h5", sparse_counts(7, SCAN, FRAME))
    (tmp_path / "a_data_000002.h5").unlink()
    with pytest.raises(SourceError, match=r"1 of 3 files with frames are missing: a_data_000002\.h5"):
        read(path)


def test_files_of_an_arina_in_the_wrong_place_are_named(tmp_path: Path) -> None:
    path = write_arina(tmp_path / "a_master.h5", sparse_counts(7, SCAN, FRAME))
    first, second = tmp_path / "a_data_000001.h5", tmp_path / "a_data_000002.h5"
    first.rename(tmp_path / "kept.h5")
    second.rename(first)
    (tmp_path / "kept.h5").rename(second)
    with pytest.raises(SourceError, match=r"a_data_000001\.h5 begins with frame 8 where 1 is due"):
        read(path)


@pytest.mark.parametrize(("dtype", "depth"), [("u4", None), ("u4", 32), ("u4", 16), ("u2", 16), ("u1", 8)])
def test_an_overflow_that_the_mask_does_not_explain_is_named(tmp_path: Path, dtype: str, depth: int | None) -> None:
    counts = sparse_counts(7, SCAN, FRAME)
    largest = 2 ** (depth or 32) - 1
    counts[1, 2, 3, 4] = largest
    path = write_arina(tmp_path / "a_master.h5", counts, dtype=dtype, depth=depth)
    for stated in (Stated(), UNITS):
        with pytest.raises(SourceError, match=r"scan row 1, column 2, pixel \(3, 4\) is marked as not counted"):
            read(path, stated=stated)


@pytest.mark.parametrize("name", ["../b/a_data_000001.h5", "/etc/hostname", "linked.h5"])
def test_no_file_outside_the_folder_of_a_master_is_followed(tmp_path: Path, name: str) -> None:
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        write_arina(tmp_path / folder / "a_master.h5", sparse_counts(8, SCAN, FRAME), per_file=100)
    (tmp_path / "a" / "linked.h5").symlink_to(tmp_path / "b" / "a_data_000001.h5")
    with h5py.File(tmp_path / "a" / "a_master.h5", "a") as file:
        del file["entry/data/data_000001"]
        file["entry/data/data_000001"] = h5py.ExternalLink(name, "/entry/data/data")
    with pytest.raises(SourceError, match="no file of the master's folder"):
        read(tmp_path / "a" / "a_master.h5")


@pytest.mark.parametrize("how", ["virtual", "external", "link"])
def test_data_of_hyperspy_in_other_files_are_not_followed(tmp_path: Path, how: str) -> None:
    counts = sparse_counts(9, SCAN, FRAME).astype("u2")
    other = write_hyperspy(tmp_path / "other.hspy", counts)
    counts.tofile(tmp_path / "other.bin")
    path = write_hyperspy(tmp_path / "a.hspy", counts)
    with h5py.File(path, "a") as file:
        experiment = file["Experiments/scan"]
        del experiment["data"]
        if how == "virtual":
            layout = h5py.VirtualLayout(shape=counts.shape, dtype="u2")
            layout[...] = h5py.VirtualSource(str(other), "Experiments/scan/data", shape=counts.shape)
            experiment.create_virtual_dataset("data", layout)
        elif how == "external":
            stored = [(str(tmp_path / "other.bin"), 0, h5py.h5f.UNLIMITED)]
            experiment.create_dataset("data", counts.shape, "u2", external=stored)
        else:
            experiment["data"] = h5py.ExternalLink(str(other), "Experiments/scan/data")
    with pytest.raises(SourceError):
        read(path)


@pytest.mark.parametrize("name", ["../raw.raw", "/etc/hostname", "..", "gone.raw"])
def test_an_empad_names_only_files_of_its_folder(tmp_path: Path, name: str) -> None:
    folder = tmp_path / "a"
    folder.mkdir()
    path = write_empad(folder / "scan.xml", np.ones((1, 2, 128, 128), np.float32))
    (folder / "scan_x2_y1.raw").rename(tmp_path / "raw.raw")
    path.write_text(path.read_text().replace("scan_x2_y1.raw", name))
    with pytest.raises(SourceError, match=r"missing|names no file of the folder"):
        read(path, (1, 2), 0, (128, 128), UNITS)


def test_entities_of_an_empad_are_not_expanded(tmp_path: Path) -> None:
    path = write_empad(tmp_path / "scan.xml", np.ones((1, 2, 128, 128), np.float32))
    bomb = '<!DOCTYPE root [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;">]><root>'
    path.write_text(path.read_text().replace("<root>", bomb))
    with pytest.raises(SourceError, match="declares entities"):
        read(path, (1, 2), 0, (128, 128), UNITS)


def test_the_number_of_electrons_is_bounded_before_memory_is_taken(tmp_path: Path) -> None:
    path = write_hyperspy(tmp_path / "a.hspy", np.full((1, 2, 6, 8), 2**20, np.uint32))
    with pytest.raises(SourceError, match="more electrons in the scan than events_max"):
        ScanFileReader(events_max=1000).read(
            path, scan_shape=(1, 2), flyback_columns=0, frame_shape=FRAME, stated=WHOLE
        )


def test_a_file_of_no_known_format_is_refused_with_those_that_are(tmp_path: Path) -> None:
    (tmp_path / "a.dat").write_text("no scan")
    with pytest.raises(SourceError, match=r"no scan of a format that is known: stempy HDF5, Merlin MIB"):
        read(tmp_path / "a.dat")


@pytest.mark.parametrize(("value", "said"), [(62, ()), (63, ("2 readings of pixels are the most",))])
def test_a_counter_that_is_full_is_told(tmp_path: Path, value: int, said: tuple[str, ...]) -> None:
    counts = sparse_counts(3, (3, 5), (8, 8))
    counts[1, 2, 4, 4] = counts[0, 0, 4, 4] = value
    data = read(write_mib(tmp_path / "a.mib", counts), (3, 5), 1, (8, 8), Stated())
    assert_holds(data, counts, 1)
    assert len(data.notes) == len(said)
    assert all(note.startswith(begin) for note, begin in zip(data.notes, said, strict=True))
