"""A SHELX instruction file as the description of the reflections beside or inside it."""

import math
import re
from pathlib import Path

import gemmi
import numpy as np

from adapters.formats.hklf4 import parse_hklf, read_hklf
from adapters.formats.hklf_instruction import with_instruction
from adapters.formats.intensity_table import IntensityTable
from adapters.formats.shelx_ins import ShelxFile, parse_shelx
from tasks.crystal.twin_laws import law_triplet
from tasks.model import Composition, SourceError

SUFFIXES = (".ins", ".res")
"""Instructions before and after a refinement, in the order in which they are looked for."""
NEGATIVE_HKLF = r"^HKLF\s+-\d+(?:[^\n]*=[ \t\r]*\n)*[^\n]*(?:\n|\Z)"
"""An HKLF instruction behind which the reflections follow, with the lines that continue it."""


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
    suffixes = (*SUFFIXES, *(suffix.upper() for suffix in SUFFIXES))
    return next((path for suffix in suffixes if (path := data.with_suffix(suffix)).is_file()), None)


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
    table = with_instruction(str(instructions), table, stated.hklf)
    group: gemmi.SpaceGroup | None = gemmi.find_spacegroup_by_ops(stated.operations())
    warnings = [*table.warnings]
    if group is None:
        warnings.append(f"LATT and SYMM of {instructions.name} are no space group of the tables, and are not used")
    if (law := twin_law(stated)) is not None:
        warnings.append(
            f"{instructions.name} refines a twin by the law {law}: no law is taken over, those of the lattice are "
            "tried where the intensities ask for it"
        )
    return table._replace(
        unit_cell=stated.unit_cell,
        wavelength_angstrom=stated.wavelength_angstrom if stated.wavelength_angstrom > 0 else None,
        space_group=None if group is None else group.xhm(),
        trusted_group=group is not None,
        composition=stated_composition(stated),
        warnings=tuple(warnings),
        facts=(*table.facts, *((("atoms", len(stated.atoms)),) if stated.atoms else ())),
    )


def twin_law(stated: ShelxFile) -> str | None:
    """Return the law of TWIN as indices; None without one, and of twins by inversion, which merged intensities hide."""
    law = np.array(stated.twin[:9]).reshape(-1, 3)
    return None if not len(law) or np.allclose(law, -np.eye(3)) else law_triplet(law)


def stated_composition(stated: ShelxFile) -> str | None:
    """Return the contents of the cell by SFAC and UNIT, None without them."""
    counts: dict[str, float] = {}
    for element, number in zip(stated.elements, stated.unit, strict=False):
        if 0 < number < math.inf:
            counts[element] = counts.get(element, 0.0) + number
    return Composition(counts=counts).formula() if counts else None
