"""Two hundred mutated files of every format of scans: a typed error or electrons, soon, and nothing else touched."""

import contextlib
import time
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest

from adapters.formats.scans.beam_offsets import offsets_beside
from adapters.formats.scans.scan_formats import SCAN_FORMATS
from adapters.formats.scans.scan_reader import ScanFileReader
from adapters.formats.stempy_writer import write_scan
from tasks.events.store_reader import open_store
from tasks.ingest import Conversion, EventClock, Stated
from tasks.model import SourceError
from tests.synthetic.hostile_files import mutated, no_longer_than
from tests.synthetic.scan_files import (
    edge_packet,
    hit_packet,
    sparse_counts,
    write_arina,
    write_blockfile,
    write_empad,
    write_hyperspy,
    write_mib,
    write_offsets,
    write_tpx3,
)

SCAN, FRAME, FILES = (3, 4), (8, 8), 200
HANG_S = 60
COUNTED = Stated()
UNITS = Stated(conversion=Conversion(units_per_electron=1.0, pedestal=0.0))
CLOCK = Stated(clock=EventClock(edge="tdc1-rise", marks="row", dwell_us=10.0, cluster_ns=100.0))


def stempy(path: Path) -> Path:
    write_scan(path, np.arange(13), np.arange(12), scan_shape_with_flyback=SCAN, frame_shape=FRAME)
    return path


def timepix3(path: Path) -> Path:
    edges = [(0, edge_packet(1000.0 + 5e4 * row)) for row in range(SCAN[0])]
    hits = [(0, hit_packet(2000.0 + 700.0 * number, number % 8, number % 7, 20)) for number in range(200)]
    return write_tpx3(path, [*edges, *hits], per_chunk=20)


def py4dstem(path: Path) -> Path:
    with h5py.File(path, "w") as file:
        cube = file.create_group("datacube_root/datacube")
        cube.attrs["emd_group_type"] = "array"
        cube.create_dataset("data", data=sparse_counts(1, SCAN, FRAME).astype("f4"), compression="gzip")
    return path


def empad(path: Path) -> Path:
    return write_empad(path, np.ones((1, 2, 128, 128), np.float32))


Shape = tuple[int, int]
CASES: dict[str, tuple[Callable[[Path], Path], Stated, Shape, Shape]] = {
    "m.mib": (lambda path: write_mib(path, sparse_counts(1, SCAN, FRAME), kind="U16"), COUNTED, SCAN, FRAME),
    "a_master.h5": (lambda path: write_arina(path, sparse_counts(1, SCAN, FRAME)), COUNTED, SCAN, FRAME),
    "h.hspy": (lambda path: write_hyperspy(path, sparse_counts(1, SCAN, FRAME).astype("u2")), UNITS, SCAN, FRAME),
    "p.h5": (py4dstem, UNITS, SCAN, FRAME),
    "e.xml": (empad, UNITS, (1, 2), (128, 128)),
    "b.blo": (lambda path: write_blockfile(path, sparse_counts(1, SCAN, FRAME)), UNITS, SCAN, FRAME),
    "t.tpx3": (timepix3, CLOCK, SCAN, (256, 256)),
}


def bytes_below(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("name", CASES)
def test_two_hundred_mutated_files_of_a_format(tmp_path: Path, name: str) -> None:
    write, stated, scan, frame = CASES[name]
    folder = tmp_path / "source"
    folder.mkdir()
    path = write(folder / name)
    good, rng, refused = path.read_bytes(), np.random.default_rng(len(name)), 0
    others = {other: content for other, content in bytes_below(tmp_path).items() if other != path}
    begin, kept = time.monotonic(), tmp_path / "kept.events"
    with ScanFileReader(timeout_s=8.0).storing() as store:
        for _ in range(FILES):
            path.write_bytes(mutated(good, rng) or b"x")
            try:
                store(path, scan_shape=scan, flyback_columns=0, frame_shape=frame, stated=stated, store=kept)
            except SourceError:
                refused += 1
            else:
                found = open_store(kept)
                assert int(found.offsets[-1]) == len(found.events) > 0
                assert int(found.events[:].max()) < frame[0] * frame[1]
                kept.unlink()
        path.write_bytes(good)
        good_one = store(path, scan_shape=scan, flyback_columns=0, frame_shape=frame, stated=stated, store=kept)
        assert good_one.counts
        kept.unlink()
    assert time.monotonic() - begin < HANG_S
    assert refused > FILES / 4
    assert {other: content for other, content in bytes_below(tmp_path).items() if other != path} == others


def test_two_hundred_mutated_files_beside_a_master(tmp_path: Path) -> None:
    master = write_arina(tmp_path / "a_master.h5", sparse_counts(1, SCAN, FRAME))
    part = tmp_path / "a_data_000001.h5"
    good, rng, refused = part.read_bytes(), np.random.default_rng(3), 0
    with ScanFileReader(timeout_s=8.0).storing() as store:
        for _ in range(FILES):
            part.write_bytes(mutated(good, rng) or b"x")
            try:
                store(master, scan_shape=SCAN, flyback_columns=0, frame_shape=FRAME, store=tmp_path / "kept.events")
            except SourceError:
                refused += 1
    assert refused > FILES / 4


def test_two_hundred_mutated_files_of_offsets_cost_no_scan(tmp_path: Path) -> None:
    path = write_offsets(tmp_path / "s_offsets.emd", np.random.default_rng(1).normal(30.0, 1.0, (2, *SCAN)))
    scan = stempy(tmp_path / "s.h5")
    good, rng, noted = path.read_bytes(), np.random.default_rng(4), 0
    with ScanFileReader(timeout_s=8.0).storing() as store:
        for _ in range(FILES):
            path.write_bytes(mutated(good, rng) or b"x")
            data = store(scan, scan_shape=SCAN, flyback_columns=0, frame_shape=FRAME, store=tmp_path / "kept.events")
            noted += bool(data.notes)
            assert data.beam_px is None or np.isfinite(data.beam_px).all()
    assert noted > FILES / 4


@pytest.mark.parametrize("name", ["m.mib", "e.xml", "b.blo", "t.tpx3"])
def test_what_is_said_of_a_hundred_mutated_files_is_typed_too(tmp_path: Path, name: str) -> None:
    path = CASES[name][0](tmp_path / name)
    good, rng = path.read_bytes(), np.random.default_rng(5)

    with no_longer_than(HANG_S):
        for _ in range(100):
            content = mutated(good, rng) or b"x"
            path.write_bytes(content)
            for known in SCAN_FORMATS:
                if known.recognises(path, content[:65536]):
                    with contextlib.suppress(SourceError):
                        known.describe(path)


def test_a_scan_that_claims_more_than_it_holds_takes_no_memory(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.hspy", "w") as file:
        experiment = file.create_group("Experiments/huge")
        experiment.create_dataset("data", (8192, 8192, 4096, 4096), dtype="u2", chunks=(1, 1, 64, 64))
    with pytest.raises(SourceError, match="the file has"):
        ScanFileReader().read(tmp_path / "a.hspy", scan_shape=SCAN, flyback_columns=0, frame_shape=FRAME, stated=UNITS)
    with h5py.File(tmp_path / "b.hspy", "w") as file:
        experiment = file.create_group("Experiments/huge")
        experiment.create_dataset("data", (64, 64, 2048, 2048), dtype="u2", chunks=(64, 64, 1024, 1024))
    with pytest.raises(SourceError, match="more than memory should hold"):
        ScanFileReader().read(tmp_path / "b.hspy", scan_shape=(64, 64), flyback_columns=0, frame_shape=(2048, 2048))
    assert offsets_beside(tmp_path / "a.hspy", SCAN, 0).beam_px is None
