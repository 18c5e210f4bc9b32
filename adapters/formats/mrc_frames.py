"""Frames in MRC files: mrcfile reads the header, however old; the pixels are taken as far as the file goes.

Sources: MRC2014 (Cheng et al., J. Struct. Biol. 192, 146-150, 2015); IMOD's page of the format for its stamp and flags.
"""

import io
from pathlib import Path
from typing import NamedTuple

import mrcfile
import numpy as np

from adapters.formats.frame_header import FrameHeader, checked_shape
from adapters.formats.image_shape import check_shape, check_size
from adapters.formats.mrc_extended_header import extended_statements
from tasks.frames import FrameImages
from tasks.model import SourceError

HEADER_BYTES = 1024
"""Of MRC; an extended header of `nsymbt` bytes follows."""
EXTENDED_AT = slice(92, 96)
"""Of `nsymbt`, the bytes of the extended header."""
IMOD_STAMP = 1146047817
"""At byte 152 of files that IMOD or SerialEM wrote: the flags behind it count."""
SIGNED_BYTES = 1
"""Bit of IMOD's flags: the bytes of mode 0 are signed; unset, they are unsigned."""
EXTRA_AT = 112
"""Byte of the header at which mrcfile's field `extra2` begins."""
FLAGS_AT = 152 - EXTRA_AT
"""Place of stamp and flags, two 32-bit numbers, in `extra2`."""


class MrcLayout(NamedTuple):
    """How the images lie in the file: `whole` of the claimed `nz`, and whether IMOD's flags say if bytes are signed."""

    header: np.ndarray
    dtype: np.dtype[np.number]
    begin: int
    shape: tuple[int, int]
    whole: int
    flagged: bool


def mrc_layout(path: Path) -> MrcLayout:
    """Return how the images lie in an MRC file.

    Raises
    ------
    SourceError
        If there is no whole image, or the mode is unknown.
    """
    header = _main_header(path)
    order = header.dtype["nx"].byteorder
    nx, ny, nz, extended = (int(header[name]) for name in ("nx", "ny", "nz", "nsymbt"))
    checked_shape(path, 1, ny, nx)
    stored, flagged = _dtype(path, header, order)
    frame = nx * ny * stored.itemsize
    begin = HEADER_BYTES + max(extended, 0)
    whole = min(nz, (path.stat().st_size - begin) // frame)
    if whole < 1:
        raise SourceError(f"{path.name}: ends before the first of its {nz} images", "copy the file again")
    return MrcLayout(header, stored, begin, (ny, nx), whole, flagged)


def _main_header(path: Path) -> np.ndarray:
    """Return the first 1024 bytes as mrcfile understands them.

    It is given these alone: of the extended header it would take as much memory as the field claims.
    """
    with path.open("rb") as stream:
        content = bytearray(stream.read(HEADER_BYTES))
    claimed = bytes(content[EXTENDED_AT])
    content[EXTENDED_AT] = bytes(len(claimed))
    with mrcfile.mrcinterpreter.MrcInterpreter(io.BytesIO(content), permissive=True, header_only=True) as file:
        header = file.header.copy()
    header["nsymbt"] = np.frombuffer(claimed, dtype=header.dtype["nsymbt"])[0]
    return header


def read_mrc(path: Path, shape: tuple[int, int]) -> FrameImages:
    """Return the images of an MRC file, rows in the order in which they are stored.

    That is how dxtbx takes them; the manifest's beam and axis refer to it. A file that ends early gives its whole
    images.

    Raises
    ------
    SourceError
        If there is no whole image, or the mode is unknown.
    """
    layout = mrc_layout(path)
    check_shape(path, layout.shape, shape)
    stored, count = layout.dtype, layout.whole * shape[0] * shape[1]
    check_size(path, count * stored.itemsize)
    images = np.fromfile(path, dtype=stored, count=count, offset=layout.begin).reshape(-1, *shape)
    header = mrc_header(path)
    notes = (*header.notes, *_signs(images, flagged=layout.flagged))
    native = images.astype(stored.newbyteorder("="), copy=False)
    return FrameImages(native, notes, header.stated, header.angles_deg)


def mrc_header(path: Path) -> FrameHeader:
    """Return what an MRC file says, its extended header included.

    Raises
    ------
    SourceError
        If there is no whole image, or the mode is unknown.
    """
    layout = mrc_layout(path)
    claimed, notes = int(layout.header["nz"]), []
    if layout.whole < claimed:
        notes.append(f"the file ends early: {layout.whole} of {claimed} images are whole, the others are lost")
    if layout.header["map"] != b"MAP ":
        notes.append("an old MRC header without its mark was read permissively")
    stated, angles = extended_statements(path, layout.header, layout.whole)
    return FrameHeader(
        format="MRC",
        shape=(layout.whole, *layout.shape),
        dtype=layout.dtype,
        stated=stated,
        angles_deg=angles,
        notes=tuple(notes),
    )


def _dtype(path: Path, header: np.ndarray, order: str) -> tuple[np.dtype[np.number], bool]:
    """Return how pixels are stored, and whether IMOD's flags say if bytes are signed."""
    mode = int(header["mode"])
    try:
        stored = mrcfile.utils.dtype_from_mode(mode).newbyteorder(order)
    except ValueError as error:
        raise SourceError(f"{path.name}: mode {mode} is none of the MRC format", "copy the file again") from error
    stamp, flags = np.frombuffer(header["extra2"].tobytes()[FLAGS_AT : FLAGS_AT + 8], dtype=f"{order}i4").tolist()
    flagged = mode == 0 and stamp == IMOD_STAMP
    return (np.dtype(np.uint8) if flagged and not flags & SIGNED_BYTES else stored), flagged


def _signs(images: np.ndarray, *, flagged: bool) -> tuple[str, ...]:
    if images.dtype.kind == "i" and images.dtype.itemsize == 1 and not flagged and images.min() < 0:
        return (f"8-bit values down to {images.min()}: are these unsigned bytes, without IMOD's flag that says so?",)
    return ()
