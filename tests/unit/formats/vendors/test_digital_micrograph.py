"""DM4: the tags are walked by RosettaSciIO, the pixels are those that were written, damage ends in time."""

from pathlib import Path

import numpy as np
import pytest

from adapters.formats.frame_reader import FrameFileReader
from adapters.formats.vendors import apart
from adapters.formats.vendors.digital_micrograph import dm_layout
from adapters.formats.vendors.frame_formats import describe, format_of
from tasks.model import ProgramNotFoundError, SourceError
from tests.synthetic.dm4 import write_dm4

pytest.importorskip("rsciio")

STACK = np.random.default_rng(0).poisson(30.0, (5, 12, 17))


@pytest.mark.parametrize("dtype", ["uint16", "int32", "float32"])
def test_the_layout_of_a_stack_is_found(tmp_path: Path, dtype: str) -> None:
    stack = STACK.astype(dtype)
    path = write_dm4(tmp_path / "a.dm4", stack, Voltage=200e3, STEM_Camera_Length=255.0, Illumination_Mode="STEM")
    header, begin = dm_layout(path)
    assert (header.shape, header.dtype) == (stack.shape, stack.dtype)
    assert np.array_equal(np.fromfile(path, dtype=dtype, count=stack.size, offset=begin), stack.ravel())
    assert header.stated == {"beam.energy_kev": 200.0, "detector.camera_length_mm": 255.0}


def test_the_camera_length_of_scanning_is_that_of_scanning_only(tmp_path: Path) -> None:
    path = write_dm4(
        tmp_path / "a.dm4", STACK.astype("uint16"), Voltage=200e3, STEM_Camera_Length=255.0, Illumination_Mode="TEM"
    )
    assert dm_layout(path).header.stated == {"beam.energy_kev": 200.0}


def test_a_stack_is_read_and_told(tmp_path: Path) -> None:
    stack = STACK.astype("uint16")
    path = write_dm4(tmp_path / "a.dm4", stack, Voltage=200e3)
    found = FrameFileReader().read(path, shape=(12, 17))
    assert np.array_equal(found.images, stack)
    assert isinstance(found.images, np.memmap)
    known = format_of(path)
    assert known is not None
    said = describe(known, path)
    assert (said.format, said.kind, said.shape, said.dtype) == ("DigitalMicrograph", "frames", (5, 12, 17), "uint16")
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(SourceError, match=r"a\.dm4"):
        FrameFileReader().read(path, shape=(12, 17))


def test_a_library_that_is_not_there_is_named() -> None:
    with pytest.raises(ProgramNotFoundError, match="need the library absentlib") as told:
        apart.optional("absentlib.reader", "files of nothing")
    assert "apertura[formats]" in told.value.advice
