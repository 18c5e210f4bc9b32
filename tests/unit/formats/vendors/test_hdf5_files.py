"""Frames in HDF5 and Zarr: masters with data files, HyperSpy, Velox; nothing is followed out of the folder."""

import json
import os
import pickle
import shutil
from pathlib import Path

import h5py
import hdf5plugin
import numpy as np
import pytest

from adapters.formats.frame_reader import FrameFileReader
from adapters.formats.vendors.frame_formats import describe, format_of
from adapters.formats.vendors.hdf5_frames import hdf5_answer
from adapters.formats.vendors.hyperspy_zarr import zspy_answer
from tasks.frames import FrameImages
from tasks.model import SourceError
from tests.synthetic.hyperspy_signals import hyperspy_signal
from tests.synthetic.nexus_master import write_master

rosettasciio = pytest.importorskip("rsciio")

SHAPE = (24, 30)
WRITERS_WARNINGS = pytest.mark.filterwarnings("ignore:.*NestedDirectoryStore:FutureWarning", "ignore:Duplicate name")
STACK = np.random.default_rng(0).poisson(3.0, (7, *SHAPE)).astype(np.uint32)


def inspected(path: Path):
    known = format_of(path)
    assert known is not None
    return describe(known, path)


def read(path: Path, shape: tuple[int, int] = SHAPE) -> FrameImages:
    return FrameFileReader().read(path, shape=shape)


def asked(path: Path, tmp_path: Path) -> np.ndarray:
    """Read in this process, as the other one does: quick where the way between the two is not what is tested."""
    room = tmp_path / "room"
    room.mkdir(exist_ok=True)
    header = hdf5_answer(path, rooms=(room,), shape=SHAPE).header
    assert header is not None
    return np.fromfile(room / "frames", dtype=header.dtype).reshape(header.shape)


# --- masters --------------------------------------------------------------------------------------------------------


def test_a_master_gives_the_frames_of_its_data_files_in_order(tmp_path: Path) -> None:
    mask = np.zeros(SHAPE, dtype=np.uint32)
    mask[3, 4], mask[5, 6], mask[7, 8] = 1, 256, 2**31  # a gap, a user's, one whose value is shared out
    path = write_master(tmp_path / "x_master.h5", STACK, images_per_file=3, mask=mask, omega_width_deg=0.5)
    found = read(path)
    assert np.array_equal(found.images, STACK)
    assert found.stated == pytest.approx(
        {
            "beam.energy_kev": 200.0, "detector.pixel_size_mm": 0.075, "detector.camera_length_mm": 620.0,
            "detector.saturation": 40000.0, "detector.direct_beam_px[0]": 11.0, "detector.direct_beam_px[1]": 13.75,
            "oscillation.width_deg": 0.5,
        }
    )  # fmt: skip
    assert found.angles_deg == tuple(np.arange(7) * 0.5 - 10.0)
    assert found.mark == 2**32 - 1
    assert found.bad is not None
    assert np.argwhere(found.bad).tolist() == [[3, 4], [5, 6]]
    said = inspected(path)
    assert (said.format, said.kind, said.shape, said.dtype) == ("NXmx (Eiger, Arina)", "frames", (7, *SHAPE), "uint32")
    assert said.metadata["oscillation"] == {"start_deg": -10.0, "width_deg": 0.5}
    assert said.metadata["direct_beam_px"] == [11.0, 13.75]
    assert said.lacks == ("detector.gain", "detector.pedestal", "rotation_axis")


@pytest.mark.parametrize(
    "filters",
    [hdf5plugin.Bitshuffle(nelems=0, cname="lz4"), hdf5plugin.LZ4(), hdf5plugin.Zstd(), {"compression": "gzip"}, {}],
    ids=["bitshuffle-lz4", "lz4", "zstd", "gzip", "none"],
)
def test_every_compression_of_cameras_is_read(tmp_path: Path, filters: dict) -> None:
    path = write_master(tmp_path / "x_master.h5", STACK.astype(np.uint16), images_per_file=4, filters=filters)
    assert np.array_equal(asked(path, tmp_path), STACK)


def test_missing_data_files_are_named(tmp_path: Path) -> None:
    path = write_master(tmp_path / "x_master.h5", STACK, images_per_file=2)
    (tmp_path / "x_data_000002.h5").unlink()
    (tmp_path / "x_data_000004.h5").unlink()
    with pytest.raises(SourceError, match=r"names data files that are missing: x_data_000002.h5, x_data_000004.h5"):
        read(path)


@pytest.mark.parametrize("way", ["absolute", "above", "link"])
def test_links_out_of_the_folder_are_not_followed(tmp_path: Path, way: str) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    path = write_master(folder / "x_master.h5", STACK, images_per_file=7)
    outside = tmp_path / "x_data_000001.h5"
    shutil.move(folder / "x_data_000001.h5", outside)
    target = {"absolute": str(outside), "above": "../x_data_000001.h5", "link": "x_data_000001.h5"}[way]
    if way == "link":
        (folder / "x_data_000001.h5").symlink_to(outside)
    with h5py.File(path, "a") as file:
        del file["entry/data/data_000001"]
        file["entry/data/data_000001"] = h5py.ExternalLink(target, "entry/data/data")
    with pytest.raises(SourceError, match="outside its folder"):
        hdf5_answer(path)


def virtual(path: Path, source: str, place: str = "entry/data/data") -> Path:
    layout = h5py.VirtualLayout(shape=STACK.shape, dtype=STACK.dtype)
    layout[:] = h5py.VirtualSource(source, place, shape=STACK.shape)
    with h5py.File(path, "w") as file:
        file["entry/definition"] = "NXmx"
        file.create_group("entry/data").create_virtual_dataset("data", layout, fillvalue=9)
    return path


def test_a_virtual_dataset_within_the_folder_is_read_and_one_out_of_it_is_not(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    with h5py.File(folder / "part.h5", "w") as file:
        file["entry/data/data"] = STACK
    assert np.array_equal(asked(virtual(folder / "good.nxs", "part.h5"), tmp_path), STACK)
    shutil.copy(folder / "part.h5", tmp_path / "part.h5")
    for source in (str(tmp_path / "part.h5"), "../part.h5"):
        with pytest.raises(SourceError, match="outside its folder"):
            hdf5_answer(virtual(folder / "bad.nxs", source))
    with pytest.raises(SourceError, match=r"missing: absent\.h5"):  # the library would fill in nines
        hdf5_answer(virtual(folder / "bad.nxs", "absent.h5"))
    with h5py.File(folder / "leading.h5", "w") as file:
        file["entry/data/data"] = h5py.ExternalLink(str(tmp_path / "part.h5"), "entry/data/data")
    with pytest.raises(SourceError, match=r"leading\.h5 holds no images"):
        hdf5_answer(virtual(folder / "bad.nxs", "leading.h5"))
    with pytest.raises(SourceError, match="virtual datasets one behind the other"):  # it is its own source
        hdf5_answer(virtual(folder / "bad.nxs", "bad.nxs"))


def test_external_storage_is_refused(tmp_path: Path) -> None:
    (tmp_path / "raw").write_bytes(STACK.tobytes())
    with h5py.File(tmp_path / "a.nxs", "w") as file:
        file["entry/definition"] = "NXmx"
        file.create_group("entry/data").create_dataset(
            "data", STACK.shape, STACK.dtype, external=[(str(tmp_path / "raw"), 0, STACK.nbytes)]
        )
    with pytest.raises(SourceError, match="files without a format"):
        hdf5_answer(tmp_path / "a.nxs")


def test_claims_of_size_are_refused_before_memory_is_taken(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.nxs", "w") as file:
        file["entry/definition"] = "NXmx"
        file.create_dataset("entry/data/data", (10**6, 8192, 8192), "u4", chunks=(1, 64, 64))
    with pytest.raises(SourceError, match="claims"):
        hdf5_answer(tmp_path / "a.nxs")
    with h5py.File(tmp_path / "b.nxs", "w") as file:
        file["entry/definition"] = "NXmx"
        file.create_dataset("entry/data/data", (100, 2048, 2048), "u4", chunks=(1, 64, 64))
    with pytest.raises(SourceError, match="of which 0 are stored"):
        hdf5_answer(tmp_path / "b.nxs")


def test_links_that_lead_in_a_circle_end(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.nxs", "w") as file:
        file["entry/definition"] = "NXmx"
        file["entry/data/data"] = h5py.SoftLink("/entry/data/data")
    with pytest.raises(SourceError, match="more than 8 links"):
        hdf5_answer(tmp_path / "a.nxs")


@pytest.mark.needs_shared
def test_the_master_of_a_real_arina_agrees_with_h5py(shared_data: Path) -> None:
    path = shared_data / "formats" / "test_00_master.h5"
    with h5py.File(shared_data / "formats" / "test_00_data_000001.h5") as file:
        expected = file["entry/data/data"][()]
    found = read(path, (192, 192))
    assert np.array_equal(found.images, expected)
    assert found.stated == {
        "beam.energy_kev": 300.0, "detector.pixel_size_mm": 0.1, "detector.saturation": 8352.0,
    }  # fmt: skip
    assert "detector.camera_length_mm" in inspected(path).lacks  # the file says 0


# --- HyperSpy -------------------------------------------------------------------------------------------------------


def test_hspy_of_rosettasciio_is_read(tmp_path: Path) -> None:
    import rsciio.hspy

    signal = hyperspy_signal(STACK, beam_energy=200.0, camera_length=436.1, Stage={"tilt_alpha": 4.0})
    rsciio.hspy.file_writer(str(tmp_path / "a.hspy"), signal)
    found = read(tmp_path / "a.hspy")
    assert np.array_equal(found.images, STACK)
    assert found.stated == {"beam.energy_kev": 200.0, "detector.camera_length_mm": 436.1}
    assert inspected(tmp_path / "a.hspy").metadata["tilt_deg"] == 4.0
    scan = STACK[:6].reshape(2, 3, *SHAPE)
    rsciio.hspy.file_writer(str(tmp_path / "b.hspy"), hyperspy_signal(scan))
    said = inspected(tmp_path / "b.hspy")
    assert (said.kind, said.shape) == ("scan", (2, 3, *SHAPE))
    assert np.array_equal(asked(tmp_path / "b.hspy", tmp_path), STACK[:6])


@WRITERS_WARNINGS
@pytest.mark.parametrize("store", ["folder", "zip"])
def test_zspy_of_rosettasciio_is_read(tmp_path: Path, store: str) -> None:
    import rsciio.zspy
    import zarr

    path = tmp_path / "a.zspy"
    target = zarr.storage.ZipStore(str(path), mode="w") if store == "zip" else str(path)
    rsciio.zspy.file_writer(target, hyperspy_signal(STACK, beam_energy=300.0))
    found = read(path)
    assert np.array_equal(found.images, STACK)
    assert found.stated == {"beam.energy_kev": 300.0}
    assert inspected(path).shape == (7, *SHAPE)


@WRITERS_WARNINGS
def test_a_store_with_pickles_or_links_is_refused(tmp_path: Path) -> None:
    import rsciio.zspy

    class Evil:
        def __reduce__(self) -> tuple:
            return os.mkdir, (str(tmp_path / "owned"),)

    path = tmp_path / "a.zspy"
    rsciio.zspy.file_writer(str(path), hyperspy_signal(STACK))
    described = path / "Experiments" / "frames" / "data" / ".zarray"
    good = json.loads(described.read_text())
    chunk = next(file for file in described.parent.rglob("*") if file.is_file() and not file.name.startswith("."))
    for change in ({"filters": [{"id": "pickle"}]}, {"compressor": {"id": "pickle"}}, {"dtype": "|O"}):
        described.write_text(json.dumps({**good, **change}))
        chunk.write_bytes(pickle.dumps(Evil()))
        with pytest.raises(SourceError):
            zspy_answer(path, rooms=(tmp_path,))
    described.write_text(json.dumps({**good, "shape": [10**6, *SHAPE]}))
    with pytest.raises(SourceError, match="claims 2880000000 bytes of pixels"):
        zspy_answer(path, rooms=(tmp_path,))
    described.write_text(json.dumps(good))
    chunk.unlink()
    chunk.symlink_to("/etc/passwd")
    with pytest.raises(SourceError, match="is a link"):
        zspy_answer(path, rooms=(tmp_path,))
    assert not (tmp_path / "owned").exists()


# --- Velox ----------------------------------------------------------------------------------------------------------


@pytest.mark.needs_shared
def test_velox_agrees_with_rosettasciio(shared_data: Path) -> None:
    import rsciio.emd

    path = shared_data / "formats" / "fei_example_tem_stack.emd"
    theirs = rsciio.emd.file_reader(str(path))[0]
    found = read(path, (3, 3))
    assert np.array_equal(found.images, theirs["data"])
    assert found.stated == {"beam.energy_kev": 300.0}  # an image: its camera length is not that of a pattern
    assert found.angles_deg == pytest.approx((-12.58637,) * 2, abs=1e-4)
