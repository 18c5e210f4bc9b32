"""What `apertura inspect` says of a scan: what it is, its shape, and what a run would still have to be told."""

from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest

from adapters.formats.file_format import Inspection
from adapters.formats.scans.scan_formats import DENSE_FORMATS, SCAN_FORMATS, dense_format, describe_dense
from adapters.formats.stempy_writer import write_scan
from tests.synthetic.scan_files import (
    hit_packet,
    sparse_counts,
    write_arina,
    write_blockfile,
    write_empad,
    write_hyperspy,
    write_mib,
    write_tpx3,
)

SCAN, FRAME = (3, 5), (8, 8)
COUNTS = sparse_counts(1, SCAN, FRAME)


def stempy(path: Path) -> Path:
    write_scan(path, np.arange(16), np.arange(15), scan_shape_with_flyback=SCAN, frame_shape=FRAME)
    return path


def py4dstem(path: Path) -> Path:
    with h5py.File(path, "w") as file:
        cube = file.create_group("root/datacube")
        cube.attrs["emd_group_type"] = "array"
        cube["data"] = COUNTS.astype(np.float32)
    return path


CASES: dict[str, tuple[Callable[[Path], Path], str, tuple[int, ...], str | None, str | None]] = {
    "a.h5": (stempy, "stempy HDF5", (*SCAN, *FRAME), "uint32", None),
    "t.tpx3": (
        lambda path: write_tpx3(path, [(0, hit_packet(1e3, 1, 2, 3))]),
        "Timepix3 list of hits (.tpx3)",
        (),
        None,
        "detector.event_clock",
    ),
    "p.h5": (py4dstem, "EMD (py4DSTEM)", (*SCAN, *FRAME), "float32", "detector.conversion"),
    "e.xml": (
        lambda path: write_empad(path, np.ones((2, 3, 128, 128), np.float32)),
        "EMPAD",
        (2, 3, 128, 128),
        "float32",
        "detector.conversion",
    ),
}


def inspected(path: Path) -> Inspection:
    begin = path.read_bytes()[:65536]
    return next(known for known in SCAN_FORMATS if known.recognises(path, begin)).describe(path)


@pytest.mark.parametrize("name", CASES)
def test_a_scan_is_described_by_its_headers(tmp_path: Path, name: str) -> None:
    write, form, shape, dtype, lacks = CASES[name]
    found = inspected(write(tmp_path / name))
    assert (found.file, found.kind, found.format) == (name, "scan", form)
    assert (found.shape, found.dtype) == (shape, dtype)
    assert {"tilt_axis", "scan.step_nm", "beam.energy_kev"} <= set(found.lacks)
    assert lacks is None or lacks in found.lacks


@pytest.mark.parametrize(
    ("name", "write", "form"),
    [
        ("a.mib", write_mib, "Merlin MIB"),
        ("a_master.h5", write_arina, "DECTRIS Arina master"),
        ("a.hspy", lambda path, counts: write_hyperspy(path, counts.astype("u2")), "HyperSpy"),
        ("a.blo", write_blockfile, "NanoMEGAS block file"),
    ],
)
def test_a_format_is_known_by_its_content_whatever_its_name(
    tmp_path: Path, name: str, write: Callable, form: str
) -> None:
    path = write(tmp_path / name, COUNTS)
    renamed = path.rename(tmp_path / "something_master.dat")
    known = dense_format(renamed, renamed.read_bytes()[:65536])
    assert known is not None
    assert known.name == form
    assert describe_dense(known, renamed).shape[-2:] == FRAME


def test_no_file_of_one_format_is_taken_for_another(tmp_path: Path) -> None:
    paths = [CASES[name][0](tmp_path / name) for name in CASES]
    paths += [write_mib(tmp_path / "a.mib", COUNTS), write_arina(tmp_path / "a_master.h5", COUNTS)]
    paths += [write_hyperspy(tmp_path / "a.hspy", COUNTS), write_blockfile(tmp_path / "a.blo", COUNTS)]
    for path in paths:
        begin = path.read_bytes()[:65536]
        names = {known.name for known in (*SCAN_FORMATS, *DENSE_FORMATS) if known.recognises(path, begin)}
        assert len(names) == 1, (path.name, names)
