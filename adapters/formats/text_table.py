"""Reflections as a table with named columns, as spreadsheets and scripts write them: blanks, commas, tabs."""

import re
from pathlib import Path

import numpy as np

from adapters.formats.intensity_table import LARGEST_INDEX, IntensityTable, observations, squared
from tasks.model import SourceError

NAMES = {
    "h": ("h", "hindex", "indexh"),
    "k": ("k", "kindex", "indexk"),
    "l": ("l", "lindex", "indexl"),
    "intensity": ("i", "int", "intensity", "iobs", "imean", "imeas", "f2", "fsq", "fsquared", "fo2", "fobs2", "f2obs"),
    "amplitude": ("f", "fo", "fobs", "fmeas", "amplitude"),
    "sigma": ("sigma", "sig", "sigi", "sigmai", "si", "esd", "su", "error", "err", "sigf", "sigmaf", "sf", "sigfo",
              "sigf2", "sigmaf2", "sigimean", "sigfsq", "sigfo2", "uncertainty"),
    "batch": ("batch", "crystal", "run", "set"),
}  # fmt: skip
"""Column names without blanks, signs and case."""


def has_named_columns(text: str) -> bool:
    """Tell whether the first line that is not empty names the columns h, k and l."""
    line = next((line for line in text.splitlines() if line.strip()), "")
    found = _columns(line)
    return {"h", "k", "l"} <= found.keys()


def read_text_table(path: Path) -> IntensityTable:
    """Read h, k, l, intensity (or amplitude) and sigma by the names in the first line; lines that begin with # follow.

    Raises
    ------
    SourceError
        Naming the file and the column that is missing, or the line that is wrong.
    """
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    first = next(number for number, line in enumerate(lines) if line.strip())
    columns = _columns(lines[first])
    names = " ".join(_words(lines[first]))
    value = next((name for name in ("intensity", "amplitude") if name in columns), None)
    if value is None:
        raise SourceError(f"{path}, line {first + 1}: no column of intensities or amplitudes among {names}")
    if "sigma" not in columns:
        raise SourceError(
            f"{path}, line {first + 1}: no column of sigmas among {names}", "intensities without errors are not enough"
        )
    wanted = ["h", "k", "l", value, "sigma", *(["batch"] if "batch" in columns else [])]
    rows = []
    for number, line in enumerate(lines[first + 1 :], first + 2):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        words = _words(line)
        try:
            rows.append([float(words[columns[name]]) for name in wanted])
        except (ValueError, IndexError):
            raise SourceError(f"{path}, line {number}: {line.rstrip()[:60]!r} has not the columns {names}") from None
    if not rows:
        raise SourceError(f"{path}: holds no reflections below its header")
    table = np.array(rows)
    indices = table[:, :3]
    if not np.isfinite(table).all() or (indices != np.rint(indices)).any() or np.abs(indices).max() > LARGEST_INDEX:
        raise SourceError(f"{path}: indices that are not whole numbers, or values that are not finite")
    intensity, sigma = table[:, 3], table[:, 4]
    warnings: tuple[str, ...] = ()
    if value == "amplitude":
        intensity, sigma = squared(intensity, sigma)
        warnings = ("the file holds amplitudes only: they were squared, and weak ones are biased",)
    crystal = np.unique(table[:, 5], return_inverse=True)[1].astype(np.int32) if "batch" in columns else None
    data = observations(table[:, :3].astype(np.int32), intensity, sigma, crystal=crystal)
    return IntensityTable(data, warnings=warnings)


def _words(line: str) -> list[str]:
    text = line.strip().lstrip("#").strip()
    separators = re.compile(r"\s*[,;\t]\s*") if re.search(r"[,;\t]", text) else re.compile(r"\s+")
    return [word.strip().strip('"') for word in separators.split(text)]


def _columns(line: str) -> dict[str, int]:
    """Return the places of the columns that are known by name."""
    found: dict[str, int] = {}
    for place, word in enumerate(_words(line)):
        plain = re.sub(r"[^a-z0-9]", "", word.lower())
        for name, spellings in NAMES.items():
            if plain in spellings:
                found.setdefault(name, place)
    return found
