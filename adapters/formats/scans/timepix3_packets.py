"""Packets of a Timepix3 detector as SPIDR boards send them (.tpx3): hits with their times, and edges of the TDC inputs.

Source: the appendix on file formats of the manual of SERVAL (Amsterdam Scientific Instruments). Chunks of 64-bit words,
little-endian, each with a header: ``TPX3``, chip, reserved, bytes. The high four bits of a word say what it is: 0xb a
hit, 0x6 an edge of a TDC input. Times are counted in ticks of 25/96 ns, in which both clocks are whole numbers.
"""

from pathlib import Path
from typing import NamedTuple

import numpy as np
from numba import njit, types
from numpy.typing import NDArray

from tasks.model import SourceError

TICKS_PER_NS = 96 / 25
"""A tick is the fine step of a TDC input, 0.2604 ns; the step of ToA, 25 ns, is 96 ticks."""
SIDE = 256
"""Pixels of a chip along a side."""
EDGES = {"tdc1-rise": 0xF, "tdc1-fall": 0xA, "tdc2-rise": 0xE, "tdc2-fall": 0xB}
"""Bits 59 to 56 of a TDC packet."""
WORDS_MOST = 2**29
"""Of a file, 4 GiB: hits are sorted in memory, at 34 bytes each. Chosen, not measured: 30 minutes at 3e5 hits/s."""
GOOD, WITHOUT_TIME, NO_CHUNK, CUT_OFF, UNKNOWN = range(5)
"""How the walk through the chunks ended."""
REASONS = {
    WITHOUT_TIME: "it holds hits without times (integrated ToT), which belong to no scan position",
    NO_CHUNK: "a chunk does not begin with TPX3",
    CUT_OFF: "it ends within a chunk",
    UNKNOWN: "it holds packets of no known kind",
}
"""What is said of each."""


class Hits(NamedTuple):
    """Hits and edges of one file, in its order; times in ticks, without the jumps of clocks that begin again."""

    time: NDArray[np.int64]
    pixel: NDArray[np.uint32]
    """(n,): chip * 65536 + row * 256 + column."""
    tot: NDArray[np.uint16]
    """Time over threshold, steps of 25 ns."""
    edge_time: NDArray[np.int64]
    edge_kind: NDArray[np.uint8]
    """One of `EDGES`."""


def read_hits(path: Path) -> Hits:
    """Read all packets of a file.

    Raises
    ------
    SourceError
        If it is damaged, cut off, too large, or without times.
    """
    size = path.stat().st_size
    if size % 8 or size > 8 * WORDS_MOST:
        raise SourceError(
            f"{size} bytes are no whole packets of 8 bytes, or more than {8 * WORDS_MOST}", "copy it again"
        )
    words = np.fromfile(path, dtype="<u8").astype(np.uint64, copy=False)
    kinds = (words >> np.uint64(60)).astype(np.uint8)
    hits, edges = int((kinds == 0xB).sum()), int((kinds == 0x6).sum())
    found = Hits(
        np.empty(hits, np.int64),
        np.empty(hits, np.uint32),
        np.empty(hits, np.uint16),
        np.empty(edges, np.int64),
        np.empty(edges, np.uint8),
    )
    ended, hit, edge = _walk(words, *found)
    if ended != GOOD:
        raise SourceError(f"not a readable .tpx3 file: {REASONS[ended]}", "copy it again, or write it with ToA and ToT")
    time, pixel, tot, edge_time, edge_kind = found
    return Hits(time[:hit], pixel[:hit], tot[:hit], edge_time[:edge], edge_kind[:edge])


Longs = types.Array(types.int64, 1, "C")
"""Times."""


@njit(
    types.UniTuple(types.int64, 3)(
        types.Array(types.uint64, 1, "C"),
        Longs,
        types.Array(types.uint32, 1, "C"),
        types.Array(types.uint16, 1, "C"),
        Longs,
        types.Array(types.uint8, 1, "C"),
    ),
    cache=True,
    nogil=True,
)
def _walk(words, time, pixel, tot, edge_time, edge_kind):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN202, C901
    """Go through chunks and packets; return how it ended, and how many hits and edges were written.

    The clock of the hits begins again every 2^30 steps of 25 ns, that of the edges after four times that: what comes
    less than half of the former before or after the packet before it is taken to be so.
    """
    again = np.int64(2**30 * 96)
    hits, edges, at, last, begun = 0, 0, np.int64(0), np.int64(0), False
    while at < len(words):
        head = words[at]
        if head & np.uint64(0xFFFFFFFF) != np.uint64(0x33585054):
            return NO_CHUNK, hits, edges
        chip = np.int64((head >> np.uint64(32)) & np.uint64(0xFF))
        count = np.int64(head >> np.uint64(48)) // 8
        if at + 1 + count > len(words):
            return CUT_OFF, hits, edges
        for index in range(at + 1, at + 1 + count):
            word = words[index]
            kind = np.int64(word >> np.uint64(60))
            if kind == 0xB:
                coarse = ((word & np.uint64(0xFFFF)) << np.uint64(14)) | ((word >> np.uint64(30)) & np.uint64(0x3FFF))
                now = np.int64(coarse) * 96 - np.int64((word >> np.uint64(16)) & np.uint64(0xF)) * 6
            elif kind == 0x6:
                fine = np.int64((word >> np.uint64(5)) & np.uint64(0xF))
                now = np.int64((word >> np.uint64(9)) & np.uint64(0x7FFFFFFFF)) * 12 + max(
                    fine - np.int64(1), np.int64(0)
                )
            elif kind == 0xA:
                return WITHOUT_TIME, hits, edges
            elif kind in (0x2, 0x4, 0x5, 0x7):
                continue
            else:
                return UNKNOWN, hits, edges
            if begun:
                now = last + (now - last + again // 2) % again - again // 2
            last, begun = now, True
            if kind == 0x6:
                edge_time[edges] = now
                edge_kind[edges] = np.uint8((word >> np.uint64(56)) & np.uint64(0xF))
                edges += 1
                continue
            address = np.int64((word >> np.uint64(44)) & np.uint64(0xFFFF))
            column = ((address & 0xFE00) >> 8) + ((address & 7) >> 2)
            row = ((address & 0x1F8) >> 1) + (address & 3)
            time[hits] = now
            pixel[hits] = chip * 65536 + row * 256 + column
            tot[hits] = np.uint16((word >> np.uint64(20)) & np.uint64(0x3FF))
            hits += 1
        at = at + 1 + count
    return GOOD, hits, edges
