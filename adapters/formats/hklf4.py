"""Reading SHELX's HKLF 3, 4 and 5 as they occur: fixed columns, wide columns, batches, twins, text after the end."""

import math
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from adapters.formats.fixed_columns import Listed, fixed_block
from adapters.formats.hklf5 import is_twinned, table_of_domains
from adapters.formats.intensity_table import LARGEST_INDEX, IntensityTable, observations, squared
from tasks.model import SourceError

SAMPLE_LINES = 200
"""Read to tell fixed columns from separated ones. Chosen, not measured: columns run into each other first at strong
reflections or indices below -99, which the first lines may lack; a bad line further on is an error that names it."""
FORMS = (3, 4, 5)
"""Numbers of HKLF that are read."""
OTHER_FORMS = {
    1: "are the condensed data of SHELX-76",
    2: "are Laue data, each reflection with a wavelength of its own",
    6: "are powder data or have the six indices of a modulated structure",
}
"""What the other numbers mean (SHELXL manual, HKLF; Bruker's programs for 6), for the error that refuses them."""
MOST_INDICES = 6
"""Three of the lattice and up to three of the modulation (Bruker's HKLF 6)."""
MOST_ORDER = 9
"""Of a satellite. Chosen, not measured: satellites beyond the fourth order are rare, and no list of intensities is made
of whole numbers up to 9."""
SEVERAL_A_LINE = (8, 12, 16)
"""Columns of two, three and four reflections h k l I on one line, none with a sigma."""


class _Row(NamedTuple):
    hkl: tuple[int, int, int]
    intensity: float
    sigma: float
    batch: int


def read_hklf(path: Path, *, form: int | None = None) -> IntensityTable:
    """Read a file of SHELX's HKLF 3, 4 or 5; see `parse_hklf`.

    Raises
    ------
    SourceError
        Naming the file and the line that is no reflection, or if there is none at all.
    """
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise SourceError(f"{path}: cannot be read: {error.strerror}") from error
    return parse_hklf(text, str(path), form=form)


def parse_hklf(text: str, name: str, *, form: int | None = None) -> IntensityTable:
    """Read h k l I sigma [batch] up to the 0 0 0 line (or a blank one, or the end of the text).

    Fixed columns (3I4, 2F8, I4) are tried first, as SHELX reads them (SHELX-97 manual, section 2.2); if the file does
    not fit, columns separated by blanks. Whatever follows the end, such as a program's CIF text, is not read.

    Of HKLF 5 (overlapping reflections of several domains) see `table_of_domains`.

    Parameters
    ----------
    form
        Number of the HKLF instruction; None: 4, or 5 where the batches say so.

    Raises
    ------
    SourceError
        Naming the file and the line that is no reflection, or if there is none at all.
    """
    if form is not None and form not in FORMS:
        raise SourceError(
            f"{name}: HKLF {form} is not read: these {OTHER_FORMS.get(form, 'are no form that SHELXL documents')}",
            "export the reflections from the program that measured them as HKLF 4: h k l, F squared and sigma",
        )
    lines = text.splitlines()
    parse = _layout(name, lines)
    listed = _listed(name, lines, parse)
    if form == 5 or (form is None and is_twinned(listed)):
        return table_of_domains(name, listed)
    warnings: tuple[str, ...] = ()
    intensity, sigma = listed.intensity, listed.sigma
    if form == 3:
        intensity, sigma = squared(intensity, sigma)
        warnings = ("the file holds amplitudes only: they were squared, and weak ones are biased",)
    data = observations(
        listed.hkl.astype(np.int32),
        intensity,
        sigma,
        crystal=np.unique(listed.batch, return_inverse=True)[1].astype(np.int32),
    )
    return IntensityTable(data, warnings=warnings, facts=(("hklf", form or 4),))


def _listed(name: str, lines: list[str], parse: Callable[[str], _Row]) -> Listed:
    """Return all reflections up to the end of the list; all at once where every line is in fixed columns.

    Raises
    ------
    SourceError
        Naming the line that is no reflection, or if there is none at all.
    """
    block = fixed_block(lines) if parse is _fixed else None
    if block is not None and _is_the_end(block[1]):
        return block[0]
    rows = list(_rows(name, lines, parse))
    if not rows:
        raise SourceError(f"{name}: holds no reflections", "give a file in SHELX's HKLF 4 format")
    return _of_rows(rows)


def _is_the_end(lines: list[str]) -> bool:
    """Tell whether a list that stood before these lines ends with them."""
    first = lines[0].strip() if lines else ""
    return not first or _ends(first) or first[0] in "_#;" or first.upper().startswith(("REM", "TITL"))


def _of_rows(rows: Sequence[_Row]) -> Listed:
    return Listed(
        np.array([row.hkl for row in rows], dtype=np.int64),
        np.array([row.intensity for row in rows]),
        np.array([row.sigma for row in rows]),
        np.array([row.batch for row in rows], dtype=np.int64),
    )


def looks_like_hklf(text: str) -> bool:
    """Tell whether the first line of a text that is neither blank nor a title is a reflection."""
    lines = (line for line in text.splitlines() if line.strip() and not line.upper().startswith(("REM", "TITL")))
    line = next(lines, "")
    if _holds_several(line):
        return True
    for parse in (_fixed, _separated):
        try:
            parse(line)
        except ValueError:
            continue
        return True
    return False


def _layout(name: str, lines: list[str]) -> Callable[[str], _Row]:
    """Return the parser that fits the first lines."""
    first = next((i for i, line in enumerate(lines) if line.strip()), None)
    if first is None:
        raise SourceError(f"{name}: is empty", "give a file in SHELX's HKLF 4 format")
    sample = [line for line in lines[first : first + SAMPLE_LINES] if line.strip()]
    if all(_holds_several(line) for line in sample[:-1] or sample):
        several = len(sample[0].split()) // 4
        raise SourceError(
            f"{name}: each line holds {several} reflections without sigmas", "intensities without errors are not enough"
        )
    if all(_index_count(line) == _index_count(sample[0]) > 3 for line in sample[:-1] or sample):
        raise SourceError(
            f"{name}: each line has {_index_count(sample[0])} indices: a modulated structure, which is not solved here",
            "give the main reflections alone as HKLF 4: h k l, F squared and sigma",
        )
    for parse in (_fixed, _separated):
        count = 0
        for line in sample:
            if _ends(line):
                return parse
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


def _holds_several(line: str) -> bool:
    """Tell whether a line holds several h k l I: whole numbers where the next indices would be."""
    words = line.split()
    return len(words) in SEVERAL_A_LINE and all(word.lstrip("+-").isdigit() for word in words[4:7])


def _index_count(line: str) -> int:
    """Return how many whole numbers begin a line of h k l (m ...) I sigma, as far as points tell: 3 if they do not."""
    words = line.split()
    first = next((number for number, word in enumerate(words) if "." in word), 0)
    pointed = first + 1 < len(words) and "." in words[first + 1]
    whole = all(word.lstrip("+-").isdecimal() for word in words[:first])
    whole = whole and all(abs(int(word)) <= MOST_ORDER for word in words[3:first])
    return first if pointed and whole and 3 < first <= MOST_INDICES else 3


def _ends(line: str) -> bool:
    """Tell whether a line is 0 0 0 with nothing behind, as programs and people end a file."""
    return line.split() == ["0", "0", "0"]


def _rows(name: str, lines: list[str], parse: Callable[[str], _Row]) -> Iterator[_Row]:
    begun = False
    for number, line in enumerate(lines, 1):
        if not line.strip():
            if begun:
                return
            continue
        if (begun and line.lstrip()[0] in "_#;") or line.upper().startswith(("REM", "TITL")) or _ends(line):
            return
        try:
            row = parse(line)
        except ValueError as error:
            raise SourceError(
                f"{name}, line {number}: {line.rstrip()[:60]!r} is no reflection: {error}",
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
    batch = int(words[5]) if len(words) > 5 and words[5].lstrip("+-").isdecimal() else 1
    if max(map(abs, (h, k, l, batch))) > LARGEST_INDEX:
        raise ValueError(f"{' '.join(words[:3])} {batch} are not indices and a batch number")
    return _Row((h, k, l), intensity, sigma, batch)
