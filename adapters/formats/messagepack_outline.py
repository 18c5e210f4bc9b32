"""The outline of a DIALS reflection table: rows and columns; the blocks of bytes are skipped, not read.

Source: the MessagePack specification. A reader of its own, as none is a dependency and these would read the blocks,
which are nearly all of the file.
"""

import struct
from pathlib import Path
from typing import BinaryIO, NamedTuple

from tasks.model import SourceError

MOST_ITEMS = 10_000
"""Of one map or array. Chosen, not measured: a table has up to 100 columns and an identifier for each experiment."""
LONGEST_TEXT = 2**16
"""Bytes of a name. Chosen, not measured: names have a few tens; what claims more is damaged."""
DEEPEST = 8
"""Nesting; a table has 4 levels."""
SCALARS = {0xCA: ">f", 0xCB: ">d", 0xCC: ">B", 0xCD: ">H", 0xCE: ">I", 0xCF: ">Q",
           0xD0: ">b", 0xD1: ">h", 0xD2: ">i", 0xD3: ">q"}  # fmt: skip
"""Numbers by their first byte."""
TEXTS = {0xD9: ">B", 0xDA: ">H", 0xDB: ">I"}
BLOCKS = {0xC4: ">B", 0xC5: ">H", 0xC6: ">I"}
ARRAYS = {0xDC: ">H", 0xDD: ">I"}
MAPS = {0xDE: ">H", 0xDF: ">I"}
"""Texts, blocks of bytes, arrays and maps: by their first byte how their length is stored."""
CONSTANTS = {0xC0: None, 0xC2: False, 0xC3: True}
"""Nil, false and true."""


class Outline(NamedTuple):
    """Number of rows, and the names of the columns with their types."""

    rows: int
    columns: dict[str, str]


class _DamagedError(Exception):
    """The bytes are none of a table."""


def read_outline(path: Path) -> Outline:
    """Return the outline of a reflection table.

    Raises
    ------
    SourceError
        If the file is damaged or ends early.
    """
    with path.open("rb") as stream:
        size = path.stat().st_size
        try:
            return _outline(_value(stream, size, 0))
        except (_DamagedError, struct.error) as error:
            raise SourceError(
                f"{path}: damaged reflection table, byte {stream.tell()} of {size}: {error}", "copy the file again"
            ) from error


def _outline(table: object) -> Outline:
    body = table[2] if isinstance(table, list) and len(table) == 3 else None
    if not isinstance(body, dict):
        raise _DamagedError("it is no table")
    rows, columns = body.get("nrows"), body.get("data")
    if not (isinstance(rows, int) and rows >= 0 and isinstance(columns, dict)):
        raise _DamagedError("it has no number of rows or no columns")
    kinds = {str(name): str(kind[0]) for name, kind in columns.items() if isinstance(kind, list) and kind}
    return Outline(rows, kinds)


def _value(stream: BinaryIO, size: int, depth: int) -> object:
    """Return the next value; maps and arrays with theirs, a block of bytes as None."""
    if depth > DEEPEST:
        raise _DamagedError("nested too deeply")
    first = _bytes(stream, 1)[0]
    if 0x80 <= first < 0x90 or first in MAPS:
        count = _count(stream, MAPS.get(first), first - 0x80)
        return {str(_value(stream, size, depth + 1)): _value(stream, size, depth + 1) for _ in range(count)}
    if 0x90 <= first < 0xA0 or first in ARRAYS:
        count = _count(stream, ARRAYS.get(first), first - 0x90)
        return [_value(stream, size, depth + 1) for _ in range(count)]
    if first in BLOCKS:
        _skip(stream, _length(stream, BLOCKS[first]), size)
        return None
    return _scalar(stream, first)


def _scalar(stream: BinaryIO, first: int) -> object:
    """Return a number, a constant or a text."""
    if first < 0x80 or first >= 0xE0:
        return first if first < 0x80 else first - 0x100
    if first in CONSTANTS:
        return CONSTANTS[first]
    if first in SCALARS:
        return struct.unpack(SCALARS[first], _bytes(stream, struct.calcsize(SCALARS[first])))[0]
    if first in TEXTS or 0xA0 <= first < 0xC0:
        length = _length(stream, TEXTS[first]) if first in TEXTS else first - 0xA0
        return _bytes(stream, length).decode("utf-8", "replace")
    raise _DamagedError(f"0x{first:02x} begins no value")


def _count(stream: BinaryIO, stored: str | None, inline: int) -> int:
    count = inline if stored is None else _length(stream, stored)
    if count > MOST_ITEMS:
        raise _DamagedError(f"a list of {count} items")
    return count


def _length(stream: BinaryIO, stored: str) -> int:
    return int(struct.unpack(stored, _bytes(stream, struct.calcsize(stored)))[0])


def _skip(stream: BinaryIO, length: int, size: int) -> None:
    if stream.tell() + length > size:
        raise _DamagedError(f"a column of {length} bytes, more than follow")
    stream.seek(length, 1)


def _bytes(stream: BinaryIO, length: int) -> bytes:
    if length > LONGEST_TEXT:
        raise _DamagedError(f"a name of {length} bytes")
    found = stream.read(length)
    if len(found) < length:
        raise _DamagedError("the file ends early")
    return found
