"""Frames in MRC files: mrcfile reads the header, however old; the pixels are taken as far as the file goes.

Sources: MRC2014 (Cheng et al., J. Struct. Biol. 192, 146-150, 2015); IMOD's page of the format for its stamp and flags.
"""

from pathlib import Path

import mrcfile
import numpy as np

from adapters.formats.image_shape import check_shape, check_size
from tasks.frames import FrameImages
from tasks.model import SourceError

HEADER_BYTES = 1024
"""Of MRC; an extended header of `nsymbt` bytes follows."""
IMOD_STAMP = 1146047817
"""At byte 152 of files that IMOD or SerialEM wrote: the flags behind it count."""
SIGNED_BYTES = 1
"""Bit of IMOD's flags: the bytes of mode 0 are signed; unset, they are unsigned."""
EXTRA_AT = 112
"""Byte of the header at which mrcfile's field `extra2` begins."""
FLAGS_AT = 152 - EXTRA_AT
"""Place of stamp and flags, two 32-bit numbers, in `extra2`."""


def read_mrc(path: Path, shape: tuple[int, int]) -> FrameImages:
    """Return the images of an MRC file, rows in the order in which they are stored.

    That is how dxtbx takes them; the manifest's beam and axis refer to it. A file that ends early gives its whole
    images.

    Raises
    ------
    SourceError
        If there is no whole image, or the mode is unknown.
    """
    with mrcfile.open(path, permissive=True, header_only=True) as file:
        header, order = file.header.copy(), file.header.dtype["nx"].byteorder
    nx, ny, nz, extended = (int(header[name]) for name in ("nx", "ny", "nz", "nsymbt"))
    check_shape(path, (ny, nx), shape)
    stored, flagged = _dtype(path, header, order)
    frame = nx * ny * stored.itemsize
    check_size(path, frame * max(nz, 1))
    begin = HEADER_BYTES + max(extended, 0)
    whole = min(nz, (path.stat().st_size - begin) // frame)
    if whole < 1:
        raise SourceError(f"{path.name}: ends before the first of its {nz} images", "copy the file again")
    images = np.fromfile(path, dtype=stored, count=whole * nx * ny, offset=begin).reshape(-1, *shape)
    return FrameImages(images.astype(stored.newbyteorder("="), copy=False), _notes(header, images, nz, flagged=flagged))


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


def _notes(header: np.ndarray, images: np.ndarray, claimed: int, *, flagged: bool) -> tuple[str, ...]:
    notes = []
    if len(images) < claimed:
        notes.append(f"the file ends early: {len(images)} of {claimed} images are whole, the others are lost")
    if header["map"] != b"MAP ":
        notes.append("an old MRC header without its mark was read permissively")
    if images.dtype.kind == "i" and images.dtype.itemsize == 1 and not flagged and images.min() < 0:
        notes.append(
            f"8-bit values down to {images.min()}: are these unsigned bytes, without IMOD's flag that says so?"
        )
    return tuple(notes)
