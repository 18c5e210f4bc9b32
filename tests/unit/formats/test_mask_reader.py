"""Masks of a detector: every format that the contract names, and whatever may not be read is refused with its field."""

import pickle
from pathlib import Path

import h5py
import numpy as np
import pytest
import tifffile

from adapters.formats.mask_reader import MaskFileReader
from tasks.model import SourceError

SHAPE = (12, 20)


def mask() -> np.ndarray:
    bad = np.zeros(SHAPE, dtype=bool)
    bad[2:5, 7] = True
    bad[11, 19] = True
    return bad


def read(path: Path, dataset: str | None = None) -> np.ndarray:
    return MaskFileReader().read(path, dataset=dataset, shape=SHAPE)


@pytest.mark.parametrize("kind", [bool, np.uint8, np.int64, np.float32])
def test_npy_masks_of_any_numbers_are_read(tmp_path: Path, kind: type) -> None:
    np.save(tmp_path / "m.npy", mask().astype(kind) * kind(1))
    np.testing.assert_array_equal(read(tmp_path / "m.npy"), mask())


def test_a_dataset_of_an_hdf5_file_is_read(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "m.h5", "w") as file:
        file["entry/bad"] = mask().astype(np.uint8) * 7
        file["entry/alias"] = h5py.SoftLink("/entry/bad")
    np.testing.assert_array_equal(read(tmp_path / "m.h5", "/entry/bad"), mask())
    np.testing.assert_array_equal(read(tmp_path / "m.h5", "/entry/alias"), mask())


def test_tiffs_of_one_and_eight_bits_are_read(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "one.tif", mask())
    tifffile.imwrite(tmp_path / "eight.tiff", mask().astype(np.uint8) * 255)
    with tifffile.TiffFile(tmp_path / "one.tif") as file:
        assert file.pages.first.bitspersample == 1
    np.testing.assert_array_equal(read(tmp_path / "one.tif"), mask())
    np.testing.assert_array_equal(read(tmp_path / "eight.tiff"), mask())


class Touch:
    """Leaves a mark when it is unpickled."""

    def __init__(self, path: str) -> None:
        self.path = path

    def __reduce__(self):
        return (open, (self.path, "w"))


def pickled(path: Path) -> None:
    path.write_bytes(pickle.dumps(Touch(str(path.with_name("mark")))))


def objects(path: Path) -> None:
    array = np.empty(SHAPE, dtype=object)
    array[0, 0] = Touch(str(path.with_name("mark")))
    np.save(path, array, allow_pickle=True)


def archive(path: Path) -> None:
    with path.open("wb") as file:
        np.savez(file, mask=mask())


def huge(path: Path) -> None:
    with path.open("wb") as file:
        np.lib.format.write_array_header_1_0(file, {"descr": "|u1", "fortran_order": False, "shape": (10**9, 10**9)})


@pytest.mark.parametrize(
    ("write", "message"),
    [
        (
            lambda path: np.save(path, np.zeros((20, 12))),
            r"has the shape \(20, 12\), detector.shape_px says \(12, 20\)",
        ),
        (lambda path: np.save(path, np.zeros((1, 12, 20))), r"has the shape \(1, 12, 20\)"),
        (lambda path: np.save(path, np.full(SHAPE, "x")), "instead of numbers"),
        (lambda path: np.save(path, np.full(SHAPE, 1j)), "instead of numbers"),
        (lambda path: np.save(path, np.full(SHAPE, np.nan)), "no numbers"),
        (archive, "is no .npy file"),
        (lambda path: path.write_bytes(b""), "is no .npy file"),
        (lambda path: path.write_bytes(b"\x93NUMPY\x01\x00v"), "cannot be read"),
        (pickled, "is no .npy file"),
        (objects, "cannot be read|instead of numbers"),
        (huge, "cannot be read|has the shape"),
    ],
    ids=["turned", "stack", "text", "complex", "nan", "archive", "empty", "cut", "pickle", "objects", "huge"],
)
def test_what_is_no_mask_in_npy_is_refused(tmp_path: Path, write, message: str) -> None:
    write(tmp_path / "m.npy")
    with pytest.raises(SourceError, match=f"detector.mask m.npy: .*({message})"):
        read(tmp_path / "m.npy")
    assert not (tmp_path / "mark").exists()


def test_datasets_that_are_absent_or_elsewhere_are_refused(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["bad"] = mask()
        file["entry/bad"] = mask()
    layout = h5py.VirtualLayout(shape=SHAPE, dtype=bool)
    layout[:] = h5py.VirtualSource(tmp_path / "other.h5", "bad", shape=SHAPE)
    with h5py.File(tmp_path / "m.h5", "w") as file:
        file["group/x"] = 1
        file["out"] = h5py.ExternalLink("other.h5", "/bad")
        file["door"] = h5py.ExternalLink("other.h5", "/entry")
        file["way"] = h5py.SoftLink("/door/bad")
        file.create_virtual_dataset("virtual", layout)
    for dataset, message in [
        ("/nothing", "has no dataset /nothing"),
        ("/group", "has no dataset /group"),
        ("/out", "leads to another file"),
        ("/door/bad", "leads to another file"),
        ("/way", "keeps its values in other files"),
        ("/virtual", "keeps its values in other files"),
    ]:
        with pytest.raises(SourceError, match=f"detector.mask m.h5: {message}|{message}"):
            read(tmp_path / "m.h5", dataset)
    (tmp_path / "text.h5").write_text("not HDF5")
    with pytest.raises(SourceError, match=r"detector.mask text.h5: cannot be read"):
        read(tmp_path / "text.h5", "/bad")


def test_other_tiffs_are_refused(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "deep.tif", mask().astype(np.uint16))
    tifffile.imwrite(tmp_path / "two.tif", np.stack([mask().astype(np.uint8)] * 2), photometric="minisblack")
    tifffile.imwrite(tmp_path / "turned.tif", mask().T.astype(np.uint8))
    (tmp_path / "text.tif").write_text("no TIFF")
    for name, message in [
        ("deep.tif", "16 bits per pixel"),
        ("two.tif", "holds 2 images"),
        ("turned.tif", "has the shape"),
        ("text.tif", "cannot be read"),
    ]:
        with pytest.raises(SourceError, match=f"detector.mask {name}: .*{message}"):
            read(tmp_path / name)
