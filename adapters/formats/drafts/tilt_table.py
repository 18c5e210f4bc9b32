"""Tables of tilts: CSV or TSV with a head that names a column of files and one of angles."""

import csv
import io
import re
from pathlib import Path

from adapters.formats.drafts.statements import ListedTilt, StatedFile, lines_of, numbers, read_text

FORMAT = "table of tilts"
FILES = {"file", "filename", "file_name", "scan", "name"}
TILTS = {"tilt_deg", "tilt", "tilt_angle", "tiltangle", "alpha", "alpha_deg", "stage_alpha"}
ROWS_MAX = 20000
"""As many as a manifest may list."""


def is_tilt_table(path: Path, begin: bytes) -> bool:
    """Tell a table of tilts by its first line."""
    if path.suffix.lower() not in {".csv", ".tsv"}:
        return False
    head = begin.splitlines()[0].decode("utf-8-sig", "replace") if begin.splitlines() else ""
    return _columns(_cells(head)) is not None


def read_tilt_table(path: Path) -> StatedFile:
    """Return the tilts of a table; angles in degrees.

    Raises
    ------
    SourceError
        If it cannot be read.
    """
    rows = lines_of(read_text(path))
    columns = _columns(_cells(rows[0])) if rows else None
    found = []
    for number, row in enumerate(rows[1 : ROWS_MAX + 1], 2):
        cells = _cells(row)
        if columns is not None and len(cells) > max(columns) and (angle := numbers(cells[columns[1]])):
            name = re.split(r"[\\/]", cells[columns[0]].strip())[-1]
            found.append(ListedTilt(name, angle[0][0], f"line {number}"))
    return StatedFile(path, FORMAT, (), (), tuple(tilt.file for tilt in found), tuple(found))


def _cells(line: str) -> list[str]:
    delimiter = "\t" if "\t" in line else ";" if ";" in line else ","
    try:
        return next(csv.reader(io.StringIO(line), delimiter=delimiter), [])
    except csv.Error:
        return []


def _columns(head: list[str]) -> tuple[int, int] | None:
    """Return the columns of file and tilt; None unless there is one of each."""
    names = [name.strip().lower().replace(" ", "_") for name in head]
    files = [index for index, name in enumerate(names) if name in FILES]
    tilts = [
        index
        for index, name in enumerate(names)
        if re.sub(r"[_(\[]+(deg|degrees|°)[)\]]?$", "", name) in TILTS or name in TILTS
    ]
    return (files[0], tilts[0]) if len(files) == 1 and len(tilts) == 1 else None
