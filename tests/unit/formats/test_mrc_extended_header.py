"""What the extended headers of MRC files state, each laid out here by hand after its description."""

from pathlib import Path

import mrcfile
import numpy as np
import pytest

from adapters.formats.frame_reader import FrameFileReader
from adapters.formats.mrc_frames import mrc_header
from tasks.model import SourceError

STACK = np.random.default_rng(0).poisson(30.0, (4, 12, 17)).astype(np.int16)
TILTS = [-20.05, -10.0, 0.0, 10.05]


def mrc(path: Path, extended: bytes, kind: bytes, words: tuple[int, int]) -> Path:
    with mrcfile.new(path) as file:
        file.set_data(STACK)
        file.set_image_stack()
    content = bytearray(path.read_bytes())
    content[92:96] = np.array([len(extended)], dtype="<i4").tobytes()
    content[104:108] = kind.ljust(4, b"\0")
    content[128:132] = np.array(words, dtype="<i2").tobytes()
    content[1024:1024] = extended
    path.write_bytes(content)
    return path


@pytest.mark.parametrize(
    ("flags", "each"), [(1, 2), (3, 8), (1 | 2 | 4 | 8 | 16 | 32, 20)], ids=["tilt", "tilt and piece", "all"]
)
def test_tilts_of_serialem(tmp_path: Path, flags: int, each: int) -> None:
    records = np.full((len(TILTS), each // 2), 77, dtype="<i2")
    records[:, 0] = np.rint(np.array(TILTS) * 100)
    path = mrc(tmp_path / "a.mrc", records.tobytes(), b"SERI", (each, flags))
    found = FrameFileReader().read(path, shape=(12, 17))
    assert found.angles_deg == tuple(TILTS)
    assert np.array_equal(found.images, STACK)


def test_flags_that_do_not_add_up_are_of_others(tmp_path: Path) -> None:
    path = mrc(tmp_path / "a.mrc", bytes(80), b"SERI", (10, 1))
    assert mrc_header(path).angles_deg == ()


@pytest.mark.parametrize("kind", [b"FEI1", b"FEI2"])
def test_tilts_tension_and_camera_length_of_fei(tmp_path: Path, kind: bytes) -> None:
    dtype = mrcfile.dtypes.get_ext_header_dtype(kind, "<")
    records = np.zeros(len(TILTS), dtype=dtype)
    records["Metadata size"] = dtype.itemsize
    records["HT"], records["Camera length"], records["Alpha tilt"] = 300e3, 0.85, TILTS
    header = mrc_header(mrc(tmp_path / "a.mrc", records.tobytes(), kind, (0, 0)))
    assert header.stated == {"beam.energy_kev": 300.0, "detector.camera_length_mm": 850.0}
    assert header.angles_deg == tuple(TILTS)


def test_tilts_and_tension_of_old_fei_headers(tmp_path: Path) -> None:
    records = np.zeros((1024, 32), dtype="<f4")
    records[: len(TILTS), 0], records[:, 13] = TILTS, 200e3
    header = mrc_header(mrc(tmp_path / "a.mrc", records.tobytes(), b"", (0, 32)))
    assert header.stated == {"beam.energy_kev": 200.0}
    assert header.angles_deg == pytest.approx(TILTS, abs=1e-5)


def test_an_extended_header_that_ends_beyond_the_file_is_damage(tmp_path: Path) -> None:
    path = mrc(tmp_path / "a.mrc", bytes(16), b"SERI", (2, 1))
    content = bytearray(path.read_bytes())
    content[92:96] = np.array([2**30], dtype="<i4").tobytes()
    path.write_bytes(content)
    with pytest.raises(SourceError, match=r"a\.mrc: ends before the first"):
        FrameFileReader().read(path, shape=(12, 17))
