"""Two hundred damaged files of each format of frames: a typed error or pixels, and nothing else."""

import io
import json
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import mrcfile
import numpy as np
import pytest

from adapters.formats.frame_reader import FrameFileReader
from adapters.formats.scan_worker import ScanWorker
from adapters.formats.vendors.digital_micrograph import dm_layout
from adapters.formats.vendors.frame_formats import describe, format_of
from adapters.formats.vendors.hdf5_frames import hdf5_answer
from adapters.formats.vendors.hyperspy_zarr import zspy_answer
from tests.synthetic.camera_files import raw_counters, write_mib, write_ser, write_tvips, write_velox
from tests.synthetic.dm4 import write_dm4
from tests.synthetic.hostile_files import mutated
from tests.synthetic.hyperspy_signals import hyperspy_signal
from tests.synthetic.nexus_master import write_master
from tests.system.test_hostile_input import files_below, survives

pytest.importorskip("rsciio")

SHAPE = (8, 16)
STACK = np.random.default_rng(0).poisson(5.0, (4, *SHAPE)).astype(np.uint16)
TIMES = 200


def mib(path: Path) -> Path:
    return write_mib(
        path / "a.mib", [c.tobytes() for c in STACK.astype(">u2")], columns=16, rows=8, kind="U16", depth=12
    )


def raw_mib(path: Path) -> Path:
    blocks = [raw_counters(image, 12) for image in STACK]
    return write_mib(path / "a.mib", blocks, columns=16, rows=8, kind="R64", depth=12)


def block_file(path: Path) -> Path:
    import rsciio.blockfile

    signal = hyperspy_signal(STACK[:, :, :8].astype(np.uint8).reshape(2, 2, 8, 8))
    for axis in signal["axes"]:
        axis["units"] = "nm" if axis["navigate"] else "cm"
    rsciio.blockfile.file_writer(str(path / "a.blo"), signal, intensity_scaling=None)
    return path / "a.blo"


def serialem(path: Path) -> Path:
    with mrcfile.new(path / "a.mrc") as file:
        file.set_data(STACK)
        file.set_image_stack()
    content = bytearray((path / "a.mrc").read_bytes())
    content[92:96], content[128:132] = np.array([8], "<i4").tobytes(), np.array([2, 1], "<i2").tobytes()
    content[1024:1024] = np.array([-100, 0, 100, 200], "<i2").tobytes()
    (path / "a.mrc").write_bytes(content)
    return path / "a.mrc"


MAPPED = {
    "MIB": mib,
    "raw MIB": raw_mib,
    "TVIPS": lambda path: write_tvips(path / "a_000.tvips", STACK, tilts=np.arange(4.0)),
    "SER": lambda path: write_ser(path / "a_1.ser", STACK),
    "blo": block_file,
    "MRC of SerialEM": serialem,
}


def damaged(good: Path, rng: np.random.Generator) -> Iterator[None]:
    """Write damaged bytes over a good file, again and again; half of the damage is in the first kilobyte."""
    content = good.read_bytes()
    for number in range(TIMES):
        head = 1024 if number % 2 else len(content)
        good.write_bytes(mutated(content[:head], rng) + content[head:])
        yield


@pytest.mark.parametrize("kind", MAPPED)
def test_mutated_files_that_are_mapped(tmp_path: Path, kind: str) -> None:
    path = MAPPED[kind](tmp_path)
    before, taken = files_below(tmp_path), 0

    def look() -> None:
        known = format_of(path)
        if known is not None:
            describe(known, path)

    def read() -> None:
        shape = (8, 8) if kind == "blo" else SHAPE
        np.asarray(FrameFileReader().read(path, shape=shape).images).sum()

    assert survives(read)
    for _ in damaged(path, np.random.default_rng(1)):
        survives(look)
        taken += survives(read)
    assert 0 < taken < TIMES
    assert files_below(tmp_path) == before


def hyperspy(path: Path) -> Path:
    import rsciio.hspy

    rsciio.hspy.file_writer(str(path / "a.hspy"), hyperspy_signal(STACK, beam_energy=200.0))
    return path / "a.hspy"


def data_file(path: Path) -> Path:
    return write_master(path / "a_master.h5", STACK, images_per_file=4).with_name("a_data_000001.h5")


def zipped_store(path: Path) -> Path:
    """Write a .zspy by hand: one chunk without compression, so that mutations reach the descriptions."""
    array = {
        "zarr_format": 2, "shape": STACK.shape, "chunks": STACK.shape, "dtype": "<u2", "compressor": None,
        "fill_value": 0, "order": "C", "filters": None,
    }  # fmt: skip
    group, place, content = json.dumps({"zarr_format": 2}), "Experiments/frames", io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for name in (".zgroup", "Experiments/.zgroup", f"{place}/.zgroup"):
            archive.writestr(name, group)
        archive.writestr(f"{place}/data/.zarray", json.dumps(array))
        archive.writestr(f"{place}/data/0.0.0", STACK.tobytes())
    (path / "a.zspy").write_bytes(content.getvalue())
    return path / "a.zspy"


APART: dict[str, tuple[Callable[[Path], Path], Callable, dict]] = {
    "NXmx": (lambda path: write_master(path / "a_master.h5", STACK, images_per_file=2), hdf5_answer, {"shape": SHAPE}),
    "data file": (data_file, hdf5_answer, {"shape": SHAPE}),
    "hspy": (hyperspy, hdf5_answer, {"shape": SHAPE}),
    "Velox": (lambda path: write_velox(path / "a.emd", STACK), hdf5_answer, {"shape": SHAPE}),
    "zspy": (zipped_store, zspy_answer, {"shape": SHAPE}),
    "DM4": (lambda path: write_dm4(path / "a.dm4", STACK, Voltage=200e3), dm_layout, {}),
}


@pytest.mark.parametrize("kind", APART)
def test_mutated_files_that_another_process_reads(tmp_path: Path, kind: str) -> None:
    write, function, arguments = APART[kind]
    (tmp_path / "in").mkdir()
    path = write(tmp_path / "in")
    before, taken = files_below(tmp_path / "in"), 0
    if function is not dm_layout:
        arguments = {**arguments, "rooms": (tmp_path,)}
    with ScanWorker(function, timeout_s=20.0) as worker:
        assert survives(lambda: worker.read(path, **arguments))
        for _ in damaged(path, np.random.default_rng(2)):
            taken += survives(lambda: worker.read(path, **arguments))
    assert 0 < taken < TIMES
    assert files_below(tmp_path / "in") == before
