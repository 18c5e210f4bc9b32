"""Reflections in CIF: SHELX's embedded hkl, loops of _refln_ (FCF, COD, mmCIF) and _diffrn_refln_, cif_pets."""

import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import gemmi
import numpy as np
from numpy.typing import NDArray
from pydantic import JsonValue

from adapters.formats.cif_dictionaries import small_structure
from adapters.formats.file_format import SeveralBlocksError
from adapters.formats.hklf4 import parse_hklf
from adapters.formats.hklf_instruction import with_instruction
from adapters.formats.intensity_table import LARGEST_INDEX, IntensityTable, observations, squared
from tasks.integrate import Unmerged
from tasks.model import Composition, InputError, SourceError, UnitCell

INDICES = ("index_h", "index_k", "index_l")
KINDS: tuple[tuple[str, tuple[str, ...], tuple[str, ...], bool], ...] = (
    ("_pdbx_diffrn_unmerged_refln", ("intensity_meas",), ("intensity_sigma",), False),
    ("_pdbx_diffrn_unmerged_refln", ("intensity_prf",), ("intensity_prf_sigma",), False),
    ("_pdbx_diffrn_unmerged_refln", ("intensity_sum",), ("intensity_sum_sigma",), False),
    ("_diffrn_refln", ("intensity_net",), ("intensity_sigma", "intensity_u", "intensity_net_su"), False),
    ("_refln", ("intensity_meas",), ("intensity_sigma", "intensity_meas_su", "intensity_meas_sigma"), False),
    ("_refln", ("F_squared_meas",), ("F_squared_sigma", "F_squared_meas_su"), False),
    ("_refln", ("F_meas", "F_meas_au"), ("F_sigma", "F_meas_su", "F_meas_sigma", "F_meas_sigma_au"), True),
)
"""Category, column of the value, columns of its sigma, and whether they are amplitudes; unmerged data come first."""
HKLF_LINE = r"^HKLF((?:[^\n!]*=[ \t\r]*\n)*[^\n!]*)"
"""The instruction with the lines that continue it."""
GROUPS = ("zone_axis_id", "scale_group_code", "standard_code", "scan_id")
"""Columns that tell the frames or scale groups of observations apart."""
EXCLUDED = "x"
"""Status of reflections that a refinement left out by hand (cif_core, _refln_include_status); `<` and `o` are kept."""


def read_cif_reflections(path: Path, block: str | None = None) -> IntensityTable:
    """Read the reflections of one data block, with the cell, group, wavelength and formula that it states.

    Unmerged intensities go before merged ones: `_shelx_hkl_file`, `_diffrn_refln_`, then `_refln_` intensities, F^2
    and amplitudes, which are squared. Frames (cif_pets' zone axes, scale groups) become the crystal of an observation.

    Parameters
    ----------
    block
        Name of the data block; None: the only one with reflections.

    Raises
    ------
    SourceError
        If the file is damaged, has no reflections, or has them in several blocks and none is named.
    """
    holding = [one for one in read_cif(path) if has_reflections(one)]
    chosen = [one for one in holding if block in {None, one.name}]
    names = ", ".join(one.name for one in holding)
    if not holding:
        raise SourceError(
            f"{path}: holds no reflections: no _shelx_hkl_file, and no _refln_ or _diffrn_refln_ loop with sigmas",
            "give the file of the reflections",
        )
    if not chosen:
        raise SourceError(f"{path}: no reflections in a data block {block!r}", f"blocks with reflections: {names}")
    if len(chosen) > 1:
        raise SeveralBlocksError(
            f"{path}: several data blocks hold reflections: {names}",
            "choose one: --block NAME",
            tuple(one.name for one in holding),
        )
    return _table(path, chosen[0])


def is_cif(text: str) -> bool:
    """Tell whether the first line that is neither empty nor a comment begins a data block."""
    lines = (line.strip().lower() for line in text.splitlines())
    first = next((line for line in lines if line and not line.startswith("#")), "")
    return first.startswith(("data_", "loop_", "_", "global_")) and len(first) > 1


def read_cif(path: Path) -> gemmi.cif.Document:
    """Read a CIF of any dictionary.

    Raises
    ------
    SourceError
        If it is damaged: with the place.
    """
    try:
        return gemmi.cif.read_string(path.read_text(encoding="utf-8", errors="replace"))
    except (OSError, ValueError, RuntimeError) as error:
        found = re.match(r"string:(\d+):\d+(?:\(\d+\))?: (.*)", str(error), flags=re.DOTALL)
        what = f"line {found.group(1)}: {found.group(2)}" if found else str(error)
        raise SourceError(f"{path}: not a readable CIF: {what}", "correct the line, or copy the file again") from error


def has_reflections(block: gemmi.cif.Block) -> bool:
    """Tell whether a data block holds reflections with sigmas in one of the forms that are read."""
    return _kind(block) is not None or _embedded(block) is not None


def _table(path: Path, block: gemmi.cif.Block) -> IntensityTable:
    stated = _stated(path, block)
    embedded = _embedded(block)
    if embedded is not None:
        numbers = _hklf(path, block)
        form = abs(int(numbers[0])) if numbers else None
        found = parse_hklf(embedded, f"{path}, _shelx_hkl_file", form=form)
        found = with_instruction(f"{path}, _shelx_res_file", found, numbers)
        return stated._replace(
            data=found.data,
            warnings=(*stated.warnings, *found.warnings),
            facts=(*stated.facts, ("reflections", "embedded hkl"), *found.facts),
        )
    kind = _kind(block)
    if kind is None:
        raise SourceError(f"{path}: data_{block.name} holds no reflections")
    category, value, sigma, amplitudes = kind
    data, left_out = _loop(path, block, category, value, sigma, amplitudes=amplitudes)
    warnings = [*stated.warnings]
    if left_out:
        warnings.append(f"{left_out} reflections left out: without a value or a positive sigma, or excluded (x)")
    if amplitudes:
        warnings.append("the file holds amplitudes only: they were squared, and weak ones are biased")
    if len(frames := np.unique(data.crystal)) > 1:
        warnings.append(f"the observations of {len(frames)} frames or scale groups are merged as they stand")
    facts = (*stated.facts, ("reflections", f"{category}_{value}"))
    return stated._replace(data=data, warnings=tuple(warnings), facts=facts)


def _column(block: gemmi.cif.Block, category: str, name: str) -> gemmi.cif.Column | None:
    """Return a column by its name of CIF 1.1 (`_refln_index_h`) or of DDLm and mmCIF (`_refln.index_h`)."""
    for tag in (f"{category}_{name}", f"{category}.{name}"):
        column = block.find_loop(tag)
        if len(column):
            return column
    return None


def _kind(block: gemmi.cif.Block) -> tuple[str, str, str, bool] | None:
    """Return category, names of value and sigma, and whether they are amplitudes, of the first kind that is there."""
    for category, values, sigmas, amplitudes in KINDS:
        if any(_column(block, category, name) is None for name in INDICES):
            continue
        value = next((name for name in values if _column(block, category, name) is not None), None)
        sigma = next((name for name in sigmas if _column(block, category, name) is not None), None)
        if value is not None and sigma is not None:
            return category, value, sigma, amplitudes
    return None


def _embedded(block: gemmi.cif.Block) -> str | None:
    for tag in ("_shelx_hkl_file", "_iucr_refine_reflections_details"):
        text = gemmi.cif.as_string(block.find_value(tag) or "?").strip("\r\n")
        if len(text) > len("?"):
            return text
    return None


def _hklf(path: Path, block: gemmi.cif.Block) -> tuple[float, ...]:
    """Return the numbers of the HKLF instruction of an embedded result file; none without one."""
    embedded = (block.find_value(tag) for tag in ("_shelx_res_file", "_iucr_refine_instructions_details"))
    text = gemmi.cif.as_string(next((value for value in embedded if value is not None), "?"))
    found = re.search(HKLF_LINE, text, flags=re.IGNORECASE | re.MULTILINE)
    if found is None:
        return ()
    try:
        numbers = tuple(float(word) for word in found.group(1).replace("=", " ").split())
    except ValueError as error:
        raise SourceError(f"{path}, _shelx_res_file: HKLF: {error}") from error
    if not all(map(math.isfinite, numbers)):
        raise SourceError(f"{path}, _shelx_res_file: HKLF with numbers that are not finite")
    return numbers


def _loop(
    path: Path, block: gemmi.cif.Block, category: str, value: str, sigma: str, *, amplitudes: bool
) -> tuple[Unmerged, int]:
    """Return the observations of a loop, and how many of its rows were left out."""
    hkl = np.stack([_numbers(path, block, category, name) for name in INDICES], axis=1)
    found, error = (_numbers(path, block, category, name) for name in (value, sigma))
    if amplitudes:
        found, error = squared(found, error)
    good = np.isfinite(found) & np.isfinite(error) & (error > 0) & np.isfinite(hkl).all(axis=1) & hkl.any(axis=1)
    for name in ("observed_status", "include_status", "status"):
        if (column := _column(block, category, name)) is not None:
            good &= np.array([text.strip("'\"") != EXCLUDED for text in column])
    if not good.any():
        raise SourceError(f"{path}: data_{block.name}: no reflection of {category}_{value} has a positive sigma")
    if (np.abs(hkl[good] - np.rint(hkl[good])) > 1e-6).any():
        raise SourceError(f"{path}: data_{block.name}: indices that are not whole numbers: a modulated structure?")
    if np.abs(hkl[good]).max() > LARGEST_INDEX:
        raise SourceError(f"{path}: data_{block.name}: {np.abs(hkl[good]).max():g} is no Miller index")
    groups = _groups(block, category, len(good))
    data = observations(
        np.rint(hkl[good]).astype(np.int32), found[good], error[good], crystal=groups[good].astype(np.int32)
    )
    return data, int(np.count_nonzero(~good))


def _numbers(path: Path, block: gemmi.cif.Block, category: str, name: str) -> NDArray[np.float64]:
    """Return a column as numbers, esds in brackets dropped; `?` and `.` are NaN."""
    column = _column(block, category, name)
    if column is None:
        raise SourceError(f"{path}: data_{block.name} has no {category}_{name}")
    values = np.array([gemmi.cif.as_number(text) for text in column])
    for row in np.flatnonzero(np.isnan(values)).tolist():
        text = column[row]
        if text not in {"?", "."} and not text.lower().lstrip("+-").startswith(("nan", "inf")):
            raise SourceError(f"{path}: data_{block.name}: {category}_{name}: {text[:40]!r} is no number")
    return values


def _groups(block: gemmi.cif.Block, category: str, count: int) -> NDArray[np.int64]:
    for name in GROUPS:
        if (column := _column(block, category, name)) is not None:
            return np.asarray(np.unique(list(column), return_inverse=True)[1], dtype=np.int64)
    return np.zeros(count, dtype=np.int64)


def _stated(path: Path, block: gemmi.cif.Block) -> IntensityTable:
    """Return a table without observations: what the block says of cell, group, wavelength, formula and radiation."""
    none = np.zeros(0)
    table = IntensityTable(observations(np.zeros((0, 3), dtype=np.int32), none, none))
    small = small_structure(block)
    warnings: list[str] = []
    if small.cell.is_crystal():
        try:
            table = table._replace(unit_cell=UnitCell.of(small.cell.parameters))
        except ValueError as error:
            raise SourceError(
                f"{path}: data_{block.name}: the unit cell {small.cell.parameters} is impossible"
            ) from error
    small.determine_and_set_spacegroup("s.h2n")
    group: gemmi.SpaceGroup | None = small.spacegroup
    if group is not None:
        table = table._replace(space_group=group.xhm(), trusted_group=True)
    elif small.symops:
        warnings.append("the space group of the file is in no table, and is not used")
    wavelength = gemmi.cif.as_number(
        _first(
            block,
            (
                "_diffrn_radiation_wavelength",
                "_diffrn_radiation_wavelength.value",
                "_diffrn_radiation_wavelength.wavelength",
                "_diffrn_source.pdbx_wavelength",
                "_diffrn_source.pdbx_wavelength_list",
                "_pdbx_diffrn_unmerged_cell.wavelength",
            ),
        )
        or "?"
    )
    if wavelength > 0:
        table = table._replace(wavelength_angstrom=float(wavelength))
    facts: list[tuple[str, JsonValue]] = [("block", block.name)]
    if atoms := atom_count(block):
        facts.append(("atoms", atoms))
    composition = _formula(block, warnings)
    return table._replace(
        radiation=_radiation(block), composition=composition, warnings=tuple(warnings), facts=tuple(facts)
    )


def atom_count(block: gemmi.cif.Block) -> int:
    """Return the number of atoms of a structure in a data block, of small molecules or mmCIF."""
    return max(
        len(block.find_values(tag)) for tag in ("_atom_site_fract_x", "_atom_site.fract_x", "_atom_site.Cartn_x")
    )


def _first(block: gemmi.cif.Block, tags: Sequence[str]) -> str | None:
    """Return the first value of the first item that is there, looped or not."""
    for tag in tags:
        for value in block.find_values(tag):
            if value not in {"?", "."}:
                return str(gemmi.cif.as_string(value))
    return None


def _radiation(block: gemmi.cif.Block) -> Literal["electron", "xray"] | None:
    text = (
        _first(block, ("_diffrn_radiation_probe", "_diffrn_radiation.probe", "_diffrn_radiation_type",
                       "_diffrn_radiation.type", "_exptl.method", "_exptl_method")) or ""
    ).lower()  # fmt: skip
    if "electron" in text:
        return "electron"
    return "xray" if "x-ray" in text or "k\\a" in text or "synchrotron" in text else None


def _formula(block: gemmi.cif.Block, warnings: list[str]) -> str | None:
    text = _first(block, ("_chemical_formula_sum", "_chemical_formula.sum"))
    if text is None:
        return None
    try:
        return Composition.parse(text).formula()
    except InputError:
        warnings.append(f"_chemical_formula_sum {text[:60]!r} is not understood, and is not used")
        return None
