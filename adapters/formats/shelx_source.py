"""A SHELX instruction file as the description of the reflections beside it."""

from pathlib import Path

import gemmi
import numpy as np

from adapters.formats.hklf4 import read_hklf
from adapters.formats.intensity_table import IntensityTable
from adapters.formats.shelx_ins import ShelxFile, read_shelx
from tasks.model import Composition, SourceError

SUFFIXES = (".ins", ".res")
"""Instructions before and after a refinement, in the order in which they are looked for."""
WHOLE = 1e-3
"""Of an index after the matrix of HKLF: SHELX leaves out reflections with fractions; matrices have 4 decimals."""


def read_shelx_source(path: Path) -> IntensityTable:
    """Read the reflections of the .hkl file beside an .ins or .res file, with what that says.

    Raises
    ------
    SourceError
        If either file is missing or wrong: naming it and the line.
    """
    beside = [path.with_suffix(suffix) for suffix in (".hkl", ".HKL")]
    data = next((one for one in beside if one.is_file()), None)
    if data is None:
        raise SourceError(f"{path}: there is no {beside[0].name} beside it", "put the file of reflections there")
    return described_by(path, data)


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
    stated = read_shelx(instructions, bare=True)
    form = abs(int(stated.hklf[0])) if stated.hklf else None
    table = _reindexed(read_hklf(data, form=form), stated)
    group: gemmi.SpaceGroup | None = gemmi.find_spacegroup_by_ops(stated.operations())
    warnings = [*table.warnings]
    if group is None:
        warnings.append(f"LATT and SYMM of {instructions.name} are no space group of the tables, and are not used")
    return table._replace(
        unit_cell=stated.unit_cell,
        wavelength_angstrom=stated.wavelength_angstrom if stated.wavelength_angstrom > 0 else None,
        space_group=None if group is None else group.xhm(),
        trusted_group=group is not None,
        composition=_composition(stated),
        warnings=tuple(warnings),
    )


def _composition(stated: ShelxFile) -> str | None:
    counts: dict[str, float] = {}
    for element, number in zip(stated.elements, stated.unit, strict=False):
        if number > 0:
            counts[element] = counts.get(element, 0.0) + number
    return Composition(counts=counts).formula() if counts else None


def _reindexed(table: IntensityTable, stated: ShelxFile) -> IntensityTable:
    """Return the table with the scale and the matrix of HKLF n s r11 ... r33 applied."""
    scale = stated.hklf[1] if len(stated.hklf) > 1 else 1.0
    matrix = np.array(stated.hklf[2:11]).reshape(3, 3) if len(stated.hklf) >= 11 else np.eye(3)
    data = table.data._replace(intensity=table.data.intensity * scale, sigma=table.data.sigma * abs(scale))
    if np.array_equal(matrix, np.eye(3)):
        return table._replace(data=data)
    turned = data.hkl @ matrix.T
    whole = np.abs(turned - np.rint(turned)).max(axis=1) < WHOLE
    kept = type(data)(*(column[whole] for column in data))._replace(hkl=np.rint(turned[whole]).astype(np.int32))
    warnings = table.warnings
    if not whole.all():
        warnings = (*warnings, f"{int((~whole).sum())} reflections left out: the matrix of HKLF gives them fractions")
    return table._replace(data=kept, warnings=warnings)
