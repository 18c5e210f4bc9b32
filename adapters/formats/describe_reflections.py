"""What a file of reflections holds and lacks, for `apertura inspect`."""

from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic import JsonValue

from adapters.formats.file_format import Choice, Inspection, SeveralBlocksError
from adapters.formats.intensity_table import LARGEST_INDEX, IntensityTable
from adapters.formats.stated_beam import energy_of

BLOCKS_SHOWN = 20
"""Blocks of one file that are read and described, the others only named. Chosen, not measured: a screenful."""


def describe_reflections(path: Path, name: str, read: Callable[[Path, Choice], IntensityTable]) -> Inspection:
    """Return what the reader of a format finds in a file; of several blocks, what it finds in each.

    Raises
    ------
    SourceError
        If the file is damaged.
    """
    try:
        table = read(path, Choice())
    except SeveralBlocksError as several:
        return _of_blocks(path, name, read, several.names)
    return Inspection(
        file=path.name, format=name, kind="reflections", metadata=facts_of(table), lacks=tuple(lacking(table))
    )


def _of_blocks(
    path: Path, name: str, read: Callable[[Path, Choice], IntensityTable], names: tuple[str, ...]
) -> Inspection:
    tables = {block: read(path, Choice(block=block)) for block in names[:BLOCKS_SHOWN]}
    blocks: dict[str, JsonValue] = {block: facts_of(table) for block, table in tables.items()}
    if len(names) > BLOCKS_SHOWN:
        blocks["others"] = list(names[BLOCKS_SHOWN:])
    missing = dict.fromkeys(what for table in tables.values() for what in lacking(table))
    return Inspection(
        file=path.name, format=name, kind="reflections", metadata={"blocks": blocks}, lacks=("block", *missing)
    )


def lacking(table: IntensityTable) -> Iterable[str]:
    """Yield what a structure cannot be solved from, or only as well as assumed, for a file does not state it."""
    if table.unit_cell is None:
        yield "cell"
    if table.composition is None:
        yield "composition"
    if table.wavelength_angstrom is None:
        yield "wavelength"


def facts_of(table: IntensityTable) -> dict[str, JsonValue]:
    """Return what a file states and what can be counted in it, under plain names."""
    facts: dict[str, JsonValue] = {
        "number_of_reflections": len(table.data.hkl),
        "distinct_indices": _distinct(table.data.hkl),
    }
    if table.unit_cell is not None:
        facts["unit_cell"] = list(table.unit_cell.parameters)
        d_angstrom = table.unit_cell.gemmi().calculate_d_array(table.data.hkl)
        facts["d_min_angstrom"] = float(f"{d_angstrom.min():.4g}")
    if table.wavelength_angstrom is not None:
        facts["wavelength_angstrom"] = table.wavelength_angstrom
    if table.wavelength_angstrom is not None and table.probe is not None:
        facts["energy_kev"] = float(f"{energy_of(table.wavelength_angstrom, table.probe):.5g}")
    stated = {"radiation": table.probe, "space_group": table.space_group, "composition": table.composition}
    facts |= {name: value for name, value in stated.items() if value is not None}
    batches = len(np.unique(table.data.crystal))
    if batches > 1:
        facts["batches"] = batches
    facts |= dict(table.facts)
    if table.warnings:
        facts["notes"] = list(table.warnings)
    return facts


def _distinct(hkl: NDArray[np.int32]) -> int:
    """Return the number of different indices, packed into one number each: sorting rows takes ten times as long."""
    h, k, l = (hkl.astype(np.int64) + LARGEST_INDEX + 1).T
    return len(np.unique((h << 32) + (k << 16) + l))
