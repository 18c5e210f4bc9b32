"""Frames as cameras and programs write them: what is read is what was measured, or the error says what to do."""

import io
import json
from collections.abc import Callable
from pathlib import Path

import mrcfile
import numpy as np
import pytest
import tifffile

from adapters.formats.frame_reader import FrameFileReader
from tasks.frames import FrameImages
from tasks.frames.stated_geometry import contradictions
from tasks.ingest import RotationSeriesManifest
from tasks.model import SourceError
from tests.synthetic.cinchonine_manifest import MANIFEST

SHAPE = (12, 17)
STACK = np.random.default_rng(0).poisson(30.0, (5, *SHAPE)).astype(np.uint16)


def read(path: Path) -> FrameImages:
    return FrameFileReader().read(path, shape=SHAPE)


@pytest.mark.parametrize(
    ("compression", "predictor"),
    [
        ("lzw", None),
        ("lzw", True),
        ("zstd", None),
        ("zstd", True),
        ("deflate", True),
        ("jpeg2000", None),
        ("packbits", None),
    ],
)
def test_compressed_tiffs_are_read(tmp_path: Path, compression: str, predictor: bool | None) -> None:
    path = tmp_path / "a.tif"
    options = {"level": 0} if compression == "jpeg2000" else None  # 0: lossless
    tifffile.imwrite(path, STACK[0], compression=compression, predictor=predictor, compressionargs=options)
    assert np.array_equal(read(path).images, STACK[:1])


def test_stacks_of_pages_and_of_imagej_are_read(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "pages.tif", STACK, photometric="minisblack", metadata=None)
    tifffile.imwrite(tmp_path / "imagej.tif", STACK, imagej=True)
    assert np.array_equal(read(tmp_path / "pages.tif").images, STACK)
    assert np.array_equal(read(tmp_path / "imagej.tif").images, STACK)


def test_an_imagej_stack_with_one_directory_is_read(tmp_path: Path) -> None:
    """ImageJ writes stacks above 4 GB with a single directory; here it is cut out of a small one."""
    path = tmp_path / "a.tif"
    with tifffile.TiffWriter(path, imagej=True) as file:
        file.write(STACK, contiguous=True)
    with tifffile.TiffFile(path) as file:
        first = file.pages.first
        place = first.offset + 2 + 12 * len(first.tags)
    content = bytearray(path.read_bytes())
    content[place : place + 4] = bytes(4)  # no next directory
    path.write_bytes(content)
    with tifffile.TiffFile(path) as file:
        assert len(file.pages) == 1
    assert np.array_equal(read(path).images, STACK)


def test_thumbnails_are_skipped_and_colours_refused(tmp_path: Path) -> None:
    with tifffile.TiffWriter(tmp_path / "a.tif") as file:
        file.write(np.zeros((4, 5), dtype=np.uint8), photometric="minisblack")
        file.write(STACK[0], photometric="minisblack")
    found = read(tmp_path / "a.tif")
    assert np.array_equal(found.images, STACK[:1])
    assert found.notes == ("1 pages of another size, such as thumbnails, were skipped",)
    tifffile.imwrite(tmp_path / "b.tif", np.zeros((*SHAPE, 3), dtype=np.uint8), photometric="rgb")
    with pytest.raises(SourceError, match=r"b\.tif: holds colour images.*not counts"):
        read(tmp_path / "b.tif")
    tifffile.imwrite(tmp_path / "c.tif", np.zeros((3, 4), dtype=np.uint16))
    with pytest.raises(SourceError, match=r"c\.tif: an image of \(3, 4\) pixels"):
        read(tmp_path / "c.tif")


def mrc(path: Path, stack: np.ndarray, change: Callable[[bytearray], None] = lambda _: None) -> Path:
    with mrcfile.new(path, overwrite=True) as file:
        file.set_data(stack)
        file.set_image_stack()
    content = bytearray(path.read_bytes())
    change(content)
    path.write_bytes(content)
    return path


def test_old_mrc_headers_are_read(tmp_path: Path) -> None:
    def old(content: bytearray) -> None:
        content[208:216] = bytes(8)  # neither "MAP " nor a machine stamp

    found = read(mrc(tmp_path / "a.mrc", STACK.astype(np.int16), old))
    assert np.array_equal(found.images, STACK)
    assert "old MRC header" in found.notes[0]


def test_a_machine_stamp_of_its_own_is_read(tmp_path: Path) -> None:
    def stamped(content: bytearray) -> None:
        content[212:216] = b"\x44\x00\x00\x00"

    assert np.array_equal(read(mrc(tmp_path / "a.mrc", STACK, stamped)).images, STACK)


def test_an_mrc_file_that_ends_early_gives_its_whole_images(tmp_path: Path) -> None:
    path = mrc(tmp_path / "a.mrc", STACK)
    path.write_bytes(path.read_bytes()[: -STACK[0].nbytes // 2])
    found = read(path)
    assert np.array_equal(found.images, STACK[:4])
    assert found.notes == ("the file ends early: 4 of 5 images are whole, the others are lost",)
    path.write_bytes(path.read_bytes()[:1100])
    with pytest.raises(SourceError, match="ends before the first of its 5 images"):
        read(path)


@pytest.mark.parametrize(("flags", "expected"), [(0, 200), (1, -56), (None, -56)])
def test_bytes_are_signed_as_imod_says(tmp_path: Path, flags: int | None, expected: int) -> None:
    def flagged(content: bytearray) -> None:
        if flags is not None:
            content[152:160] = np.array([1146047817, flags], dtype="<i4").tobytes()

    stack = np.full((2, *SHAPE), -56, dtype=np.int8)
    found = read(mrc(tmp_path / "a.mrc", stack, flagged))
    assert np.unique(found.images).tolist() == [expected]
    assert any("unsigned bytes" in note for note in found.notes) == (flags is None)


SMV_TYPES = {
    "unsigned_short": "u2", "signed_short": "i2", "unsigned_int": "u4", "signed_int": "i4", "long_integer": "i4",
    "float": "f4",
}  # fmt: skip


def smv(path: Path, kind: str, *, order: str = "<", size: int = 512, extra: str = "") -> Path:
    name = "little_endian" if order == "<" else "big_endian"
    words = (
        f"{{\nHEADER_BYTES={size:5d};\nDIM=2;\nBYTE_ORDER={name};\nTYPE={kind};\n"
        f"SIZE1={SHAPE[1]};\nSIZE2={SHAPE[0]};\n{extra}}}\n"
    )
    pixels = STACK[0].astype(np.dtype(order + SMV_TYPES.get(kind, "u2")))
    path.write_bytes(words.encode().ljust(size, b" ") + pixels.tobytes())
    return path


@pytest.mark.parametrize("kind", SMV_TYPES)
@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("size", [512, 1024])
def test_smv_of_every_type_and_order_is_read(tmp_path: Path, kind: str, order: str, size: int) -> None:
    found = read(smv(tmp_path / "a_001.img", kind, order=order, size=size))
    assert np.array_equal(found.images, STACK[:1])


def test_what_an_smv_header_says_is_compared_with_the_manifest(tmp_path: Path) -> None:
    said = "IMAGE_PEDESTAL=8;\nPIXEL_SIZE=0.055;\nDISTANCE=443.0;\n"
    found = read(smv(tmp_path / "a.img", "unsigned_short", extra=said))
    assert found.stated == {
        "detector.pedestal": 8.0,
        "detector.pixel_size_mm": 0.055,
        "detector.camera_length_mm": 443.0,
    }
    stated = {name: [value] for name, value in found.stated.items()}
    manifest = RotationSeriesManifest.model_validate_json(json.dumps(MANIFEST), strict=True)
    assert contradictions(stated, manifest) == (
        "detector.pedestal is 0 in the manifest, the files say 8: which is right?",
        "detector.camera_length_mm is 436.1 in the manifest, the files say 443 (+1.6%): which is right?",
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda b: b.replace(b"unsigned_short", b"unsigned_shirt"), "lacks or misspells 'unsigned_shirt'"),
        (lambda b: b.replace(b"SIZE1", b"SIZE9"), "lacks or misspells 'SIZE1'"),
        (lambda b: b.replace(b"HEADER_BYTES=  512", b"HEADER_BYTES=99999"), "holds 0 of 204 pixels"),
        (lambda b: b[:-10], "holds 199 of 204 pixels"),
    ],
)
def test_a_damaged_smv_file_is_named(tmp_path: Path, change: Callable[[bytes], bytes], message: str) -> None:
    path = smv(tmp_path / "a.img", "unsigned_short")
    path.write_bytes(change(path.read_bytes()))
    with pytest.raises(SourceError, match=message):
        read(path)


def test_a_file_of_nothing_known_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.xyz"
    path.write_bytes(io.BytesIO(b"nothing").getvalue())
    with pytest.raises(SourceError, match=r"a\.xyz: cannot be read"):
        read(path)


@pytest.mark.needs_shared
@pytest.mark.parametrize(
    "name", ["test_loading_image_saved_with_imageJ_stack.tif", "test_loading_image_saved_with_DM_stack.tif"]
)
def test_stacks_of_other_programs_agree_with_tifffile(shared_data: Path, name: str) -> None:
    path = shared_data / "formats" / name
    expected = tifffile.imread(path)
    found = FrameFileReader().read(path, shape=expected.shape[-2:])
    assert np.array_equal(found.images, expected.reshape(found.images.shape))


@pytest.mark.needs_shared
def test_a_movie_of_another_program_is_read(shared_data: Path) -> None:
    path = shared_data / "formats" / "ROI_Random_Scan_movie.mrc"
    with mrcfile.mmap(path, permissive=True) as file:
        expected = np.array(file.data)
    found = FrameFileReader().read(path, shape=expected.shape[-2:])
    assert np.array_equal(found.images, expected)


@pytest.mark.needs_shared
def test_a_real_smv_frame_agrees_with_fabio(shared_data: Path) -> None:
    import fabio

    path = shared_data / "frames" / "TIMEPIX_SU_512-stdgoni_0001.img"
    with fabio.open(path) as image:
        expected = image.data
    assert np.array_equal(FrameFileReader().read(path, shape=expected.shape).images[0], expected)
