"""EMPAD (Cornell, Thermo Fisher): a .raw file of 130 x 128 float32, two rows of them no pixels, and an .xml beside it.

Source: RosettaSciIO 0.15 (``rsciio.empad``), by which tests check this module, and py4DSTEM's reader. The values are
not counted: an electron adds some hundred units. Not read through RosettaSciIO as that follows any name in the .xml.
"""

import re
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePath

import numpy as np

from adapters.formats.scans.dense_scan import DenseScan, Shape, stream_blocks
from tasks.model import SourceError

FRAME = (128, 128)
"""Pixels of the detector."""
ROWS_STORED = 130
"""Of a frame in the file: the last two hold no pixels."""
FRAME_BYTES = ROWS_STORED * FRAME[1] * 4
"""Of float32."""
XML_BYTES_MAX = 2**20
"""The files seen are 5 kB."""
IN_NAME = re.compile(r"_x(\d{1,4})_y(\d{1,4})$")
"""End of the name of a .raw file: columns and rows of the scan."""


def is_empad(path: Path, begin: bytes) -> bool:
    """Tell an .xml of EMPAD by what it names, a .raw by its name and size: it has no header."""
    if path.suffix.lower() == ".raw":
        return path.is_file() and path.stat().st_size > 0 and path.stat().st_size % FRAME_BYTES == 0
    return begin.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"<") and b"<raw_file" in begin


@contextmanager
def open_empad(path: Path) -> Iterator[DenseScan]:
    """Open a scan by its .xml or its .raw file.

    Raises
    ------
    SourceError
        If the .xml is damaged or names a file elsewhere, or the frames are cut off.
    """
    raw, stated, metadata = (path, None, {}) if path.suffix.lower() == ".raw" else _described(path)
    if not raw.is_file():
        raise SourceError(f"{raw.name}, which holds the frames, is missing", "copy it beside the .xml")
    size = raw.stat().st_size
    positions, rest = divmod(size, FRAME_BYTES)
    if rest or not positions:
        raise SourceError(
            f"{raw.name} ends within frame {positions + 1}: {size} bytes are no multiple of {FRAME_BYTES}",
            "the measurement was stopped, or the file is not copied in full",
        )
    named = IN_NAME.search(raw.stem)
    in_name = (int(named[2]), int(named[1])) if named else None
    with raw.open("rb") as stream:
        yield DenseScan(
            positions,
            FRAME,
            np.dtype("<f4"),
            "analogue",
            lambda: (
                block
                for block, _ in stream_blocks(
                    stream, offset=0, positions=positions, record=FRAME_BYTES, pixels=FRAME[0] * FRAME[1] * 4
                )
            ),
            scan_shape=stated or in_name,
            metadata=metadata,
            beside=() if raw == path else (raw,),
        )


def _described(path: Path) -> tuple[Path, Shape | None, dict[str, str]]:
    """Return the .raw file that an .xml names, the scan's rows and columns if it says, and a few of its texts."""
    root = _parsed(path)
    holder = root.find(".//raw_file")
    name = "" if holder is None else holder.get("filename", "")
    name = PurePath(name.replace("\\", "/")).name  # the path on the microscope's computer is of no use here
    raw = path.parent / name
    if not name or name.startswith(".") or raw.resolve().parent != path.parent.resolve():
        raise SourceError("raw_file of the .xml names no file of the folder")
    columns, rows = (_whole(root, name) for name in ("pix_x", "pix_y"))
    texts = {f"/empad/{item.tag}": (item.text or "").strip()[:200] for item in root if (item.text or "").strip()}
    return raw, (rows, columns) if rows and columns else None, dict(list(texts.items())[:100])


def _whole(root: ET.Element, name: str) -> int | None:
    text = (root.findtext(name) or "").strip()
    return int(text) if text.isdecimal() and len(text) < 6 else None


def _parsed(path: Path) -> ET.Element:
    content = path.read_bytes() if path.stat().st_size <= XML_BYTES_MAX else b""
    if not content or b"\0" in content or b"<!" in content.replace(b"<!--", b""):
        raise SourceError(
            f"{path.name} is larger than {XML_BYTES_MAX} bytes, or declares entities, or is not UTF-8",
            "this is no .xml of EMPAD",
        )
    try:
        return ET.fromstring(content)  # noqa: S314 # nosec B314 - without declarations there is nothing to expand
    except (ET.ParseError, ValueError) as error:
        raise SourceError(f"{path.name} is no valid XML: {error}", "copy it again") from error
