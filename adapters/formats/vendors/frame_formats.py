"""All formats of frames in one table: how each is known, what its headers say, how its images are read.

`apertura inspect` and a run ask the same table in the same order, so that a file is never two things.
"""

import functools
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from adapters.formats.cbf_frames import cbf_header, is_cbf, is_other, other_header, read_cbf, read_others
from adapters.formats.file_format import FileFormat, Inspection
from adapters.formats.frame_damage import damage_named
from adapters.formats.frame_header import FrameHeader, VendorFrames, images_for, inspection
from adapters.formats.mrc_frames import mrc_header, read_mrc
from adapters.formats.smv_frames import is_smv, read_smv, smv_header
from adapters.formats.tiff_frames import read_tiff, tiff_header
from adapters.formats.vendors.blockfile import blockfile_header, is_blockfile, read_blockfile
from adapters.formats.vendors.digital_micrograph import dm_header, is_dm, read_dm
from adapters.formats.vendors.hdf5_frames import Kind, hdf5_header, hdf5_kind, is_hdf5, read_hdf5
from adapters.formats.vendors.hyperspy_zarr import is_zspy, read_zspy, zspy_header
from adapters.formats.vendors.merlin_mib import is_mib, mib_header, read_mib
from adapters.formats.vendors.tia_series import is_ser, read_ser, ser_header
from adapters.formats.vendors.tvips_stream import is_tvips, read_tvips, tvips_header
from tasks.frames import FrameImages

TIFF = {".tif", ".tiff"}
TIFF_MAGIC = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
MRC = {".mrc", ".mrcs", ".st", ".map", ".ali", ".rec"}
LOOKED_AT = 4096
"""Bytes by which a format is known: no test of this table looks further, and a series has thousands of files."""


class FrameFormat(NamedTuple):
    """One format of frames."""

    name: str
    recognises: Callable[[Path, bytes], bool]
    header: Callable[[Path], FrameHeader]
    read: Callable[[Path, tuple[int, int]], FrameImages]


def _is_tiff(path: Path, begin: bytes) -> bool:
    return path.suffix.lower() in TIFF or begin.startswith(TIFF_MAGIC)


def _is_mrc(path: Path, _: bytes) -> bool:
    return path.suffix.lower() in MRC


def _whole(read: Callable[[Path], VendorFrames]) -> Callable[[Path, tuple[int, int]], FrameImages]:
    """Return the reader for a run of one that returns headers and images of any shape."""
    return lambda path, shape: images_for(path, read(path), shape)


def _holds(kind: Kind) -> Callable[[Path, bytes], bool]:
    """Return the test for one kind of HDF5."""
    return lambda path, begin: is_hdf5(begin) and hdf5_kind(path) == kind


TABLE = (
    FrameFormat("TIFF", _is_tiff, tiff_header, read_tiff),
    FrameFormat("MRC", _is_mrc, mrc_header, read_mrc),
    FrameFormat("SMV (ADSC)", is_smv, smv_header, read_smv),
    FrameFormat("CBF", is_cbf, cbf_header, read_cbf),
    FrameFormat("Merlin MIB", is_mib, mib_header, _whole(read_mib)),
    FrameFormat("TVIPS stream", is_tvips, tvips_header, _whole(read_tvips)),
    FrameFormat("FEI TIA series (SER)", is_ser, ser_header, _whole(read_ser)),
    FrameFormat("NanoMegas block file", is_blockfile, blockfile_header, _whole(read_blockfile)),
    FrameFormat("NXmx", _holds("nexus"), hdf5_header, read_hdf5),
    FrameFormat("HyperSpy (hspy)", _holds("hyperspy"), hdf5_header, read_hdf5),
    FrameFormat("Velox EMD", _holds("velox"), hdf5_header, read_hdf5),
    FrameFormat("HyperSpy (zspy)", is_zspy, zspy_header, read_zspy),
    FrameFormat("DigitalMicrograph", is_dm, dm_header, read_dm),
    FrameFormat("fabio's image", is_other, other_header, read_others),
)


def format_of(path: Path) -> FrameFormat | None:
    """Return the format of a file or folder of frames, None if it is none that is known."""
    begin = b""
    if path.is_file():
        with path.open("rb") as stream:
            begin = stream.read(LOOKED_AT)
    return next((known for known in TABLE if known.recognises(path, begin)), None)


def describe(known: FrameFormat, path: Path) -> Inspection:
    """Return what a file of a known format is.

    Raises
    ------
    SourceError
        If it is damaged.
    """
    with damage_named(path):
        return inspection(path, known.header(path))


FRAME_FORMATS: tuple[FileFormat, ...] = tuple(
    FileFormat(known.name, known.recognises, functools.partial(describe, known)) for known in TABLE
)
