"""Files of structures, for `apertura inspect`: CIF, SHELX and PDB with atoms and no reflections."""

import math
from collections.abc import Iterable
from pathlib import Path

import gemmi
from pydantic import JsonValue

from adapters.formats.cif_dictionaries import small_structure
from adapters.formats.cif_reflections import atom_count, read_cif
from adapters.formats.file_format import FileFormat, Inspection, text_of
from adapters.formats.shelx_ins import read_shelx
from adapters.formats.shelx_source import stated_composition
from tasks.model import SourceError

PDB_RECORDS = ("HEADER", "CRYST1", "ATOM  ", "HETATM", "MODEL ", "TITLE ", "REMARK", "OBSLTE", "SPLIT ")
"""With which a PDB file begins (wwPDB format 3.3)."""


def describe_cif_structure(path: Path) -> Inspection:
    """Return what the first data block with atoms says.

    Raises
    ------
    SourceError
        If the file is damaged.
    """
    document = read_cif(path)
    holding = [block for block in document if atom_count(block)]
    if not holding:
        names = [block.name for block in document]
        return Inspection(
            file=path.name, format="CIF", kind="unknown", metadata={"blocks": names}, lacks=("reflections", "atoms")
        )
    block = holding[0]
    small = small_structure(block)
    small.determine_and_set_spacegroup("s.h2n")
    facts: dict[str, JsonValue] = {"block": block.name, "atoms": atom_count(block)}
    if len(holding) > 1:
        facts["blocks_with_atoms"] = [one.name for one in holding]
    formula = block.find_value("_chemical_formula_sum")
    if formula is not None and formula not in {"?", "."}:
        facts["composition"] = gemmi.cif.as_string(formula)
    return _structure(path, "CIF", facts, small.cell, small.spacegroup)


def describe_shelx_structure(path: Path) -> Inspection:
    """Return what an .ins or .res file without reflections says.

    Raises
    ------
    SourceError
        If it is damaged.
    """
    stated = read_shelx(path, bare=True)
    group: gemmi.SpaceGroup | None = gemmi.find_spacegroup_by_ops(stated.operations())
    facts: dict[str, JsonValue] = {"title": stated.title, "atoms": len(stated.atoms)}
    if (composition := stated_composition(stated)) is not None:
        facts["composition"] = composition
    if 0 < stated.wavelength_angstrom < math.inf:
        facts["wavelength_angstrom"] = stated.wavelength_angstrom
    found = _structure(path, "SHELX instructions", facts, stated.unit_cell.gemmi(), group)
    lacks = (*(what for what in found.lacks if what != "atoms"), f"reflections ({path.with_suffix('.hkl').name})")
    return found.model_copy(update={"kind": "structure" if stated.atoms else "reflections", "lacks": lacks})


def _describe_pdb(path: Path) -> Inspection:
    try:
        structure = gemmi.read_pdb(str(path))
    except (RuntimeError, ValueError, OSError) as error:
        raise SourceError(f"{path}: is no readable PDB file: {error}", "copy the file again") from error
    atoms = sum(chain.count_atom_sites() for model in structure for chain in model)
    facts: dict[str, JsonValue] = {"title": structure.name, "atoms": atoms, "models": len(structure)}
    return _structure(path, "PDB", facts, structure.cell, structure.find_spacegroup())


def _structure(
    path: Path, name: str, facts: dict[str, JsonValue], cell: gemmi.UnitCell, group: gemmi.SpaceGroup | None
) -> Inspection:
    if cell.is_crystal() and all(map(math.isfinite, cell.parameters)):
        facts["unit_cell"] = list(cell.parameters)
    if group is not None:
        facts["space_group"] = group.xhm()
    lacks = tuple(_lacking(facts))
    return Inspection(file=path.name, format=name, kind="structure", metadata=facts, lacks=lacks)


def _lacking(facts: dict[str, JsonValue]) -> Iterable[str]:
    if not facts["atoms"]:
        yield "atoms"
    if "unit_cell" not in facts:
        yield "cell"
    if "space_group" not in facts:
        yield "space group"


def _is_pdb(path: Path, begin: bytes) -> bool:
    text = text_of(begin)
    return path.is_file() and text is not None and text.upper().startswith(PDB_RECORDS) and "\nHKLF" not in text


STRUCTURE_FORMATS = (FileFormat("PDB", _is_pdb, _describe_pdb),)
"""Structures whose files hold nothing else; CIF and SHELX files stand with the reflections."""
