"""How a chunk of the event store is packed, and the checksum of its bytes."""

import sys
from typing import Any

import numpy as np
from numpy.typing import NDArray

CODEC_LEVEL = 5
"""Of LZ4 after a byte shuffle of the differences: 65,536 of 170 and 400 electrons in a position take 0.410 and 0.363 of
uint32 and are unpacked in 36 and 53 us; a bit shuffle takes 0.393 and 0.336, and 85 and 90 us, zstd (byte shuffle, 170)
0.318 and 100. Level 1 and 9 differ by less than 0.002. Packing takes 250 us, either way. Measured on
`tests.benchmarks.scale.random_scan`."""


def checksum_of(data: Any) -> int:
    """Return the CRC-32 of some bytes: 60 GB/s, so that it is looked at each time that they are read."""
    import imagecodecs

    return int(imagecodecs.deflate_crc32(data))


def pack(numbers: NDArray[np.uint32]) -> bytes:
    """Return the compressed chunk."""
    import imagecodecs

    encode: Any = imagecodecs.blosc2_encode  # of anything with a buffer, whatever its stubs say
    packed = encode(numbers, level=CODEC_LEVEL, compressor="lz4", shuffle="shuffle", typesize=4, numthreads=1)
    return bytes(packed)


def unpack(data: Any, out: NDArray[np.uint32]) -> None:
    """Write the numbers (n,) of a packed chunk."""
    import imagecodecs

    decode: Any = imagecodecs.blosc2_decode
    decode(data, numthreads=1, out=out.view(np.uint8))


def undo_differences(events: NDArray[np.uint32], bounds: NDArray[np.uint64], first: int) -> None:
    """Sum up in place, anew from every bound on: those of the scan (k,), of which event `first` is this one's 0."""
    inside = slice(*np.searchsorted(bounds, np.array([first, first + len(events)], dtype=np.uint64)))
    own = bounds[inside].astype(np.int64) - first
    if "numba" in sys.modules:
        from tasks.events.store_kernels import sum_up

        sum_up(events, own)
    else:
        _sum_up_plainly(events, own)


def _sum_up_plainly(events: NDArray[np.uint32], bounds: NDArray[np.int64]) -> None:
    """As `sum_up`, where a compiler is not at work yet: who reads a few chunks need not wait 0.2 s for it."""
    total = np.cumsum(events, dtype=np.uint32)
    edges = np.unique(np.concatenate([[0], bounds[(bounds > 0) & (bounds < len(events))]])).astype(np.int64)
    before = np.where(edges > 0, total[edges - 1], np.uint32(0))
    events[:] = total - np.repeat(before, np.diff(np.append(edges, len(events))))
