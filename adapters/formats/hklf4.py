"""Reading SHELX's HKLF 4 files as they occur: fixed columns, wide columns, batch numbers, text after the end."""

import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from adapters.formats.intensity_table import IntensityTable, observations
from tasks.model import SourceError

SAMPLE_LINES = 200
"""Read to tell fixed columns from separated ones. Chosen, not measured: columns run into each other first at strong
reflections or indices below -99, which the first lines may lack; a bad line further on is an error that names it."""


class _Row(NamedTuple):
    hkl: tuple[int, int, int]
    intensity: float
    sigma: float
    batch: int


def read_hklf4(path: Path) -> IntensityTable:
    """Read h k l I sigma [batch] up to the 0 0 0 line (or a blank one, or the end of the file).

    Fixed columns (3I4, 2F8, I4) are tried first, as SHELX reads them (SHELX-97 manual, section 2.2); if the file does
    not fit, columns separated by blanks. Whatever follows the end, such as a program's CIF text, is not read.

    Raises
    ------
    SourceError
        Naming the file and the line that is no reflection, or if there is none at all.
    """
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise SourceError(f"{path}: cannot be read: {error.strerror}") from error
    lines = text.splitlines()
    parse = _layout(path, lines)
    rows = list(_rows(path, lines, parse))
    if not rows:
        raise SourceError(f"{path}: holds no reflections", "give a file in SHELX's HKLF 4 format")
    batch = np.array([row.batch for row in rows], dtype=np.int32)
    data = observations(
        np.array([row.hkl for row in rows], dtype=np.int32),
        np.array([row.intensity for row in rows]),
        np.array([row.sigma for row in rows]),
        crystal=np.unique(batch, return_inverse=True)[1].astype(np.int32),
    )
    return IntensityTable(data)


def _layout(path: Path, lines: list[str]) -> Callable[[str], _Row]:
    """Return the parser that fits the first lines."""
    first = next((i for i, line in enumerate(lines) if line.strip()), None)
    if first is None:
        raise SourceError(f"{path}: is empty", "give a file in SHELX's HKLF 4 format")
    sample = [line for line in lines[first : first + SAMPLE_LINES] if line.strip()]
    for parse in (_fixed, _separated):
        count = 0
        for line in sample:
            try:
                row = parse(line)
            except ValueError:
                break
            count += 1
            if row.hkl == (0, 0, 0):
                return parse
        if count == len(sample):
            return parse
    return _fixed if len(sample[0]) >= 28 else _separated


def _rows(path: Path, lines: list[str], parse: Callable[[str], _Row]) -> Iterator[_Row]:
    begun = False
    for number, line in enumerate(lines, 1):
        if not line.strip():
            if begun:
                return
            continue
        if (begun and line.lstrip()[0] in "_#;") or line.upper().startswith(("REM", "TITL")):
            return
        try:
            row = parse(line)
        except ValueError as error:
            raise SourceError(
                f"{path}, line {number}: {line.rstrip()[:60]!r} is no reflection: {error}",
                "HKLF 4 wants h k l in 3 columns of 4, I and sigma in 2 columns of 8 characters",
            ) from None
        if row.hkl == (0, 0, 0):
            return
        begun = True
        yield row


def _fixed(line: str) -> _Row:
    """Read (3I4, 2F8.2, I4); a number without a point has two decimals, as Fortran takes it."""
    h, k, l = (int(line[i : i + 4]) for i in (0, 4, 8))
    intensity, sigma = (_fortran(line[i : i + 8]) for i in (12, 20))
    if _is_one_number_across(line, 20):
        raise ValueError("a number runs across the columns")
    rest = line[28:32].strip()
    return _Row((h, k, l), intensity, sigma, int(rest) if rest else 1)


def _is_one_number_across(line: str, column: int) -> bool:
    """Tell whether the word across a column boundary is one number, so that the columns are wider than 8."""
    if not line[column - 1 : column + 1].strip() or " " in line[column - 1 : column + 1]:
        return False
    word = line[:column].rsplit(maxsplit=1)[-1] + line[column:].split(maxsplit=1)[0]
    try:
        float(word)
    except ValueError:
        return False
    return "." in word


def _fortran(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{text.strip()} is no finite number")
    return value if any(c in text for c in ".eE") else value / 100.0


def _separated(line: str) -> _Row:
    words = line.split()
    if len(words) < 5:
        raise ValueError(f"{len(words)} columns where at least 5 are needed")
    h, k, l = (int(word) for word in words[:3])
    intensity, sigma = float(words[3]), float(words[4])
    if not (math.isfinite(intensity) and math.isfinite(sigma)):
        raise ValueError(f"{words[3]} {words[4]} are not finite numbers")
    batch = int(words[5]) if len(words) > 5 and words[5].lstrip("+-").isdigit() else 1
    return _Row((h, k, l), intensity, sigma, batch)
