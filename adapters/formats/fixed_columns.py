"""Lists in the fixed columns of HKLF 4, (3I4, 2F8, I4), read as one array; what needs a closer look is left to others.

A list of 119 000 lines takes a sixth of the time that reading line by line does (`tests/benchmarks/RESULTS.md`).
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

NARROWEST = 28
"""Characters of a line without a batch number."""


class Listed(NamedTuple):
    """Reflections as listed, (n,) each, hkl (n, 3)."""

    hkl: NDArray[np.int64]
    intensity: NDArray[np.float64]
    sigma: NDArray[np.float64]
    batch: NDArray[np.int64]


def fixed_block(lines: list[str]) -> tuple[Listed, list[str]] | None:
    """Return the leading lines of equal length as arrays, and the lines behind them; behind 0 0 0 there are none.

    None if any of them is not in fixed columns to the letter: numbers that run across columns, that are none or not
    finite, words between them.
    """
    width = len(lines[0]) if lines else 0
    if width < NARROWEST:
        return None
    count = next((number for number, line in enumerate(lines) if len(line) != width), len(lines))
    try:
        table = np.frombuffer("".join(lines[:count]).encode("ascii"), dtype=np.uint8).reshape(count, width)
        hkl = np.stack([_column(table, begin, begin + 4).astype(np.int64) for begin in (0, 4, 8)], axis=1)
        ends = np.flatnonzero(~hkl.any(axis=1))
        rest = [] if len(ends) else lines[count:]
        count = int(ends[0]) if len(ends) else count
        table, hkl = table[:count], hkl[:count]
        across = (table[:, 19:21] != ord(" ")).all(axis=1)
        if not count or across.any():
            return None
        intensity, sigma = _decimal(table, 12), _decimal(table, 20)
        batch = _batch(table)
    except ValueError:  # also of characters that are not ASCII
        return None
    if not (np.isfinite(intensity).all() and np.isfinite(sigma).all()):
        return None
    return Listed(hkl, intensity, sigma, batch), rest


def _column(table: NDArray[np.uint8], begin: int, end: int) -> NDArray[np.bytes_]:
    return np.ascontiguousarray(table[:, begin:end]).view(f"S{end - begin}").ravel()


def _decimal(table: NDArray[np.uint8], begin: int) -> NDArray[np.float64]:
    """Return numbers of eight characters; one without a point has two decimals, as Fortran takes it."""
    value = _column(table, begin, begin + 8).astype(np.float64)
    pointed = np.isin(table[:, begin : begin + 8], np.frombuffer(b".eE", dtype=np.uint8)).any(axis=1)
    return np.where(pointed, value, value / 100.0)


def _batch(table: NDArray[np.uint8]) -> NDArray[np.int64]:
    column = table[:, NARROWEST : NARROWEST + 4]
    given = (column != ord(" ")).any(axis=1) if column.shape[1] else np.zeros(len(table), dtype=bool)
    batch = np.ones(len(table), dtype=np.int64)
    if given.any():
        batch[given] = _column(column[given], 0, column.shape[1]).astype(np.int64)
    return batch
