"""Files that cameras and their programs write as they measure: mapped, complete, and told by their headers."""

import zipfile
from pathlib import Path

import numpy as np
import pytest

from adapters.formats.frame_reader import FrameFileReader
from adapters.formats.vendors.frame_formats import describe, format_of
from adapters.formats.vendors.merlin_mib import raw_image, read_mib
from tasks.frames import FrameImages
from tasks.model import SourceError
from tests.synthetic.camera_files import raw_counters, write_mib, write_ser, write_tvips, write_velox

rosettasciio = pytest.importorskip("rsciio")

SHAPE = (64, 256)
COUNTS = np.random.default_rng(0).integers(0, 2**24, (3, *SHAPE), dtype=np.uint32)


def inspected(path: Path):
    known = format_of(path)
    assert known is not None
    return describe(known, path)


def read(path: Path, shape: tuple[int, int]) -> FrameImages:
    return FrameFileReader().read(path, shape=shape)


# --- Merlin ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("kind", "stored"), [("U08", ">u1"), ("U16", ">u2"), ("U32", ">u4")])
def test_processed_mib_is_read_with_the_row_on_top_that_is_stored_last(tmp_path: Path, kind: str, stored: str) -> None:
    counts = COUNTS.astype(stored)
    path = write_mib(tmp_path / "a.mib", [c[::-1].tobytes() for c in counts], columns=256, rows=64, kind=kind, depth=24)
    found = read(path, SHAPE)
    assert isinstance(found.images.base, np.memmap)  # nothing is read before it is asked for
    assert np.array_equal(found.images, counts)
    import rsciio.quantumdetector

    assert np.array_equal(rsciio.quantumdetector.load_mib_data(str(path))[:, ::-1], found.images)


@pytest.mark.parametrize("depth", [1, 6, 12, 24])
def test_raw_counters_of_one_chip_are_put_in_order(tmp_path: Path, depth: int) -> None:
    counts = COUNTS & (2**depth - 1)
    blocks = [raw_counters(image[::-1], depth) for image in counts]
    columns = 512 if depth == 24 else 256
    path = write_mib(tmp_path / "a.mib", blocks, columns=columns, rows=64, kind="R64", depth=depth)
    found = read(path, SHAPE)
    assert np.array_equal(found.images, counts)
    assert inspected(path).format == f"Merlin MIB, raw counters of {depth} bits"


@pytest.mark.parametrize("depth", [1, 6, 12])
def test_a_raw_quad_has_its_lower_chips_turned(tmp_path: Path, depth: int) -> None:
    image = COUNTS[:2, :, :128].reshape(1, 128, 128) & (2**depth - 1)
    stored = image[0, ::-1]
    one, two = stored[:64, :64], stored[:64, 64:]
    three, four = stored[64:, :64], stored[64:, 64:]
    row = np.hstack([np.rot90(four, 2), np.rot90(three, 2), two, one])  # as they follow each other in the file
    path = write_mib(
        tmp_path / "a.mib", [raw_counters(row, depth)], columns=256, rows=64, kind="R64", depth=depth, chips=4
    )
    assert np.array_equal(read(path, (128, 128)).images, image)


def test_a_mib_file_that_ends_early_gives_its_whole_images(tmp_path: Path) -> None:
    path = write_mib(
        tmp_path / "a.mib", [c.astype(">u2").tobytes() for c in COUNTS], columns=256, rows=64, kind="U16", depth=12
    )
    path.with_suffix(".hdr").write_text("HDR,\t\nFrames in Acquisition (Number):\t5\nFrames per Trigger (Number):\t1\n")
    path.write_bytes(path.read_bytes()[:-1])
    found = read(path, SHAPE)
    assert len(found.images) == 2
    assert found.notes == ("the file ends early: 2 of 5 images are whole, the others are lost",)
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(SourceError, match=r"a\.mib: ends before its first image is whole"):
        read(path, SHAPE)


def test_the_hdr_says_that_it_is_a_scan(tmp_path: Path) -> None:
    images = [np.zeros(SHAPE, dtype=np.uint8).tobytes()] * 6
    path = write_mib(tmp_path / "a.mib", images, columns=256, rows=64, kind="U08", depth=6)
    path.with_suffix(".hdr").write_text("Frames in Acquisition (Number):\t6\nFrames per Trigger (Number):\t3\n")
    found = inspected(path)
    assert (found.kind, found.shape, found.dtype) == ("scan", (2, 3, *SHAPE), "uint8")
    assert "scan.step_nm" in found.lacks
    assert "scan of 2 x 3" in read(path, SHAPE).notes[0]


def test_a_link_beside_the_frames_is_not_followed_out(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "secret.hdr").write_text("Frames in Acquisition (Number):\t6\n")
    path = write_mib(tmp_path / "in" / "a.mib", [bytes(64 * 256)], columns=256, rows=64, kind="U08", depth=6)
    path.with_suffix(".hdr").symlink_to(tmp_path / "secret.hdr")
    with pytest.raises(SourceError, match="outside its folder"):
        read(path, SHAPE)


@pytest.mark.needs_shared
@pytest.mark.parametrize(("name", "rows"), [("001_4x2_6bit", 256), ("002_4x2_6bit_roi128", 128)])
def test_merlins_own_files_agree_with_rosettasciio(shared_data: Path, tmp_path: Path, name: str, rows: int) -> None:
    import rsciio.quantumdetector

    with zipfile.ZipFile(shared_data / "formats" / "Merlin_navigation4x2_ROI.zip") as archive:
        archive.extractall(tmp_path)
    path = tmp_path / f"{name}.mib"
    (theirs,) = rsciio.quantumdetector.file_reader(str(path))
    found = read(path, (rows, 256))
    assert np.array_equal(found.images, theirs["data"].reshape(8, rows, 256))
    assert inspected(path).shape == (8, rows, 256)


def test_a_single_raw_image_needs_no_file(tmp_path: Path) -> None:
    """What a reader of scans asks for: one image from its bytes."""
    path = write_mib(
        tmp_path / "a.mib", [raw_counters(COUNTS[0, ::-1] & 63, 6)], columns=256, rows=64, kind="R64", depth=6
    )
    from adapters.formats.vendors.merlin_mib import mib_layout

    layout = mib_layout(path)
    counters = np.frombuffer(path.read_bytes()[layout.header_bytes :], dtype=np.uint8)
    assert np.array_equal(raw_image(counters, layout), COUNTS[0] & 63)
    assert np.array_equal(read_mib(path).images[0], COUNTS[0] & 63)


# --- others ---------------------------------------------------------------------------------------------------------


@pytest.mark.needs_shared
def test_a_tvips_stream_agrees_with_rosettasciio(shared_data: Path) -> None:
    import rsciio.tvips

    path = shared_data / "formats" / "test_tvips_2233_000.tvips"
    (theirs,) = rsciio.tvips.file_reader(str(path))
    found = read(path, (3, 3))
    assert np.array_equal(found.images, theirs["data"])
    assert found.stated == {"beam.energy_kev": 200.0}
    assert found.angles_deg == (0.0,) * 4
    said = inspected(path)
    assert (said.kind, said.shape, said.dtype) == ("frames", (4, 3, 3), "uint16")
    assert said.metadata["energy_kev"] == 200.0
    assert "detector.camera_length_mm" in said.lacks


def test_a_stream_in_several_parts_is_one(tmp_path: Path) -> None:
    frames = COUNTS.ravel()[: 5 * 12 * 17].reshape(5, 12, 17) % 65536
    write_tvips(tmp_path / "a_000.tvips", frames, tilts=np.arange(-2.0, 3.0), parts=2)
    assert (tmp_path / "a_001.tvips").is_file()
    found = read(tmp_path / "a_000.tvips", (12, 17))
    assert np.array_equal(found.images, frames)
    assert found.angles_deg == (-2.0, -1.0, 0.0, 1.0, 2.0)
    assert found.stated == {"beam.energy_kev": 200.0, "detector.pixel_size_mm": 0.055}
    assert inspected(tmp_path / "a_000.tvips").metadata["oscillation"] == {"start_deg": -2.0, "width_deg": 1.0}


@pytest.mark.needs_shared
def test_a_series_of_tia_agrees_with_rosettasciio_and_its_emi_is_heard(shared_data: Path, tmp_path: Path) -> None:
    import rsciio.tia

    path = shared_data / "formats" / "128x128x5-diffraction_preview_1.ser"
    (theirs,) = rsciio.tia.file_reader(str(path))
    found = read(path, (128, 128))
    assert np.array_equal(found.images, theirs["data"])
    assert found.stated == {"beam.energy_kev": 200.0, "detector.camera_length_mm": 1100.0}
    assert inspected(path).metadata["tilt_deg"] == 0.0
    content = path.read_bytes()
    (tmp_path / "b_1.ser").write_bytes(content[: len(content) // 2])
    short = read(tmp_path / "b_1.ser", (128, 128))
    assert np.array_equal(short.images, found.images[:2])
    assert short.notes == ("the file ends early: 2 of 5 images are whole, the others are lost",)


@pytest.mark.needs_shared
def test_a_block_file_agrees_with_rosettasciio(shared_data: Path, tmp_path: Path) -> None:
    import rsciio.blockfile

    path = shared_data / "formats" / "test2.blo"
    (theirs,) = rsciio.blockfile.file_reader(str(path))
    found = read(path, (5, 5))
    assert np.array_equal(found.images, theirs["data"].reshape(6, 5, 5))
    assert found.stated == {"beam.energy_kev": 200.0, "detector.camera_length_mm": 200.0}
    said = inspected(path)
    assert (said.kind, said.shape) == ("scan", (2, 3, 5, 5))
    (tmp_path / "b.blo").write_bytes(path.read_bytes()[:-1])
    assert read(tmp_path / "b.blo", (5, 5)).notes == (
        "the file ends early: 5 of 6 patterns are whole, the others are lost",
    )


def test_what_is_laid_out_here_is_what_rosettasciio_reads(tmp_path: Path) -> None:
    """The writers of these tests, which larger tests and benchmarks use, against a reader that is not ours."""
    import rsciio.emd
    import rsciio.tia
    import rsciio.tvips

    frames = (COUNTS.ravel()[: 5 * 12 * 17] % 65536).reshape(5, 12, 17).astype(np.uint16)
    path = write_tvips(tmp_path / "a_000.tvips", frames, tilts=np.arange(5.0))
    assert np.array_equal(rsciio.tvips.file_reader(str(path))[0]["data"], frames)
    path = write_ser(tmp_path / "a_1.ser", frames)
    assert np.array_equal(rsciio.tia.file_reader(str(path))[0]["data"], frames)
    found = read(path, (12, 17))
    assert np.array_equal(found.images, frames)
    assert found.stated == {"beam.energy_kev": 200.0, "detector.camera_length_mm": 436.1}
    path = write_velox(tmp_path / "a.emd", frames)
    found = read(path, (12, 17))
    assert np.array_equal(found.images, frames)
    assert found.stated == {"beam.energy_kev": 200.0, "detector.camera_length_mm": 436.1}
