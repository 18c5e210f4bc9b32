"""A SHELX instruction file as the description of the reflections beside or inside it."""

import math
import re
from pathlib import Path

import gemmi
import numpy as np

from adapters.formats.hklf4 import parse_hklf, read_hklf
from adapters.formats.intensity_table import IntensityTable
from adapters.formats.shelx_ins import ShelxFile, parse_shelx
from tasks.model import Composition, SourceError

SUFFIXES = (".ins", ".res")
"""Instructions before and after a refinement, in the order in which they are looked for."""
NEGATIVE_HKLF = r"^HKLF\s+-\d+(?:[^\n]*=[ \t\r]*\n)*[^\n]*(?:\n|\Z)"
"""An HKLF instruction behind which the reflections follow, with the lines that continue it."""
HKLF_NUMBERS = 11
"""Of the instruction up to the end of its matrix: number, scale, nine elements."""
LARGEST_ELEMENT = 100.0
"""Of a matrix of HKLF. Chosen, not measured: supercells are a few times larger, and indices must stay whole numbers."""
WHOLE = 1e-3
"""Of an index after the matrix of HKLF: SHELX leaves out reflections with fractions; matrices have 4 decimals."""


def read_shelx_source(path: Path) -> IntensityTable:
    """Read the reflections of an .ins or .res file, with what that says: those that follow HKLF, else of the .hkl file.

    Raises
    ------
    SourceError
        If either file is missing or wrong: naming it and the line.
    """
    stated, listed = _split(path)
    if listed is not None:
        return _described(path, stated, parse_hklf(listed, f"{path}, after HKLF", form=_form(stated)))
    beside = reflections_beside(path)
    if beside is None:
        name = path.with_suffix(".hkl").name
        raise SourceError(f"{path}: there is no {name} beside it", "put the file of reflections there")
    return described_by(path, beside)


def reflections_beside(instructions: Path) -> Path | None:
    """Return the .hkl file of the same name, None without one."""
    beside = (instructions.with_suffix(suffix) for suffix in (".hkl", ".HKL"))
    return next((path for path in beside if path.is_file()), None)


def holds_reflections(instructions: Path) -> bool:
    """Tell whether reflections lie in the file itself or beside it."""
    return _split(instructions)[1] is not None or reflections_beside(instructions) is not None


def instructions_beside(data: Path) -> Path | None:
    """Return the .ins or .res file of the same name, None without one."""
    return next((path for suffix in SUFFIXES if (path := data.with_suffix(suffix)).is_file()), None)


def described_by(instructions: Path, data: Path) -> IntensityTable:
    """Return the reflections of a file as instructions describe them: form, matrix, cell, group, formula, wavelength.

    Raises
    ------
    SourceError
        If either file is wrong.
    """
    stated, _ = _split(instructions)
    table = _described(instructions, stated, read_hklf(data, form=_form(stated)))
    return table._replace(facts=(*table.facts, ("instructions", instructions.name), ("reflections", data.name)))


def _split(path: Path) -> tuple[ShelxFile, str | None]:
    """Return the instructions, and the text behind HKLF if its number is negative: the reflections themselves."""
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise SourceError(f"{path}: cannot be read: {error.strerror}") from error
    found = re.search(NEGATIVE_HKLF, text, flags=re.IGNORECASE | re.MULTILINE)
    stated = parse_shelx(text[: found.end()] if found else text, str(path), bare=True)
    rest = text[found.end() :] if found else ""
    return stated, rest if rest.strip() else None


def _form(stated: ShelxFile) -> int | None:
    return abs(int(stated.hklf[0])) if stated.hklf else None


def _described(instructions: Path, stated: ShelxFile, table: IntensityTable) -> IntensityTable:
    table = _reindexed(instructions, table, stated)
    group: gemmi.SpaceGroup | None = gemmi.find_spacegroup_by_ops(stated.operations())
    warnings = [*table.warnings]
    if group is None:
        warnings.append(f"LATT and SYMM of {instructions.name} are no space group of the tables, and are not used")
    return table._replace(
        unit_cell=stated.unit_cell,
        wavelength_angstrom=stated.wavelength_angstrom if stated.wavelength_angstrom > 0 else None,
        space_group=None if group is None else group.xhm(),
        trusted_group=group is not None,
        composition=stated_composition(stated),
        warnings=tuple(warnings),
        facts=(*table.facts, *((("atoms", len(stated.atoms)),) if stated.atoms else ())),
    )


def stated_composition(stated: ShelxFile) -> str | None:
    """Return the contents of the cell by SFAC and UNIT, None without them."""
    counts: dict[str, float] = {}
    for element, number in zip(stated.elements, stated.unit, strict=False):
        if 0 < number < math.inf:
            counts[element] = counts.get(element, 0.0) + number
    return Composition(counts=counts).formula() if counts else None


def _reindexed(instructions: Path, table: IntensityTable, stated: ShelxFile) -> IntensityTable:
    """Return the table with the scale and the matrix of HKLF n s r11 ... r33 wt applied.

    Source: SHELXL manual, HKLF. The scale multiplies F and sigma(F) of HKLF 3, F^2 and sigma(F^2) of the others; the
    weight divides sigma^2; matrices whose determinant is not positive are refused.
    """
    numbers = stated.hklf
    if 2 < len(numbers) < HKLF_NUMBERS:
        raise SourceError(f"{instructions}: the matrix of HKLF has {len(numbers) - 2} of 9 numbers")
    scale = numbers[1] if len(numbers) > 1 else 1.0
    scale = scale**2 if numbers and abs(numbers[0]) == 3 else scale
    weight = numbers[HKLF_NUMBERS] if len(numbers) > HKLF_NUMBERS else 1.0
    matrix = np.array(numbers[2:HKLF_NUMBERS]).reshape(3, 3) if len(numbers) >= HKLF_NUMBERS else np.eye(3)
    if not (scale > 0 and weight > 0 and np.linalg.det(matrix) > 0 and np.abs(matrix).max() < LARGEST_ELEMENT):
        raise SourceError(
            f"{instructions}: HKLF {' '.join(f'{x:g}' for x in numbers)}: SHELX takes a positive scale, a positive "
            "weight and a matrix with a positive determinant only",
            "correct the HKLF instruction",
        )
    data = table.data._replace(
        intensity=table.data.intensity * scale, sigma=table.data.sigma * scale / math.sqrt(weight)
    )
    if np.array_equal(matrix, np.eye(3)):
        return table._replace(data=data)
    turned = data.hkl @ matrix.T
    whole = np.abs(turned - np.rint(turned)).max(axis=1) < WHOLE
    if not whole.any():
        raise SourceError(f"{instructions}: the matrix of HKLF gives all reflections fractions for indices")
    kept = type(data)(*(column[whole] for column in data))._replace(hkl=np.rint(turned[whole]).astype(np.int32))
    warnings = table.warnings
    if not whole.all():
        warnings = (*warnings, f"{int((~whole).sum())} reflections left out: the matrix of HKLF gives them fractions")
    return table._replace(data=kept, warnings=warnings)
