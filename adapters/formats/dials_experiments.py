"""DIALS experiments (.expt): the crystal and the beam of a reflection table; what they name elsewhere is dropped."""

import json
import math
from pathlib import Path
from typing import Any, Literal, NamedTuple

import gemmi
import numpy as np

from tasks.model import SourceError, UnitCell

LARGEST_EXPERIMENTS_BYTES = 2**26
"""Of a .expt file, read as a whole: thousands of scan points and profiles are a few MiB. Chosen, not measured."""
CELL_DIGITS = 12
"""Of lengths and angles of axes: double precision leaves a right angle off by 1e-14 of it."""
LOOKUPS = ("mask", "gain", "pedestal", "dx", "dy")
"""Files that an image set may name; dxtbx unpickles them, and nothing here needs one."""
RADIATIONS: dict[str, Literal["electron", "xray"]] = {"electron": "electron", "x-ray": "xray", "xray": "xray"}


class Experiments(NamedTuple):
    """What a .expt file says of the first experiment; None where it is silent."""

    unit_cell: UnitCell | None
    space_group: str | None
    wavelength_angstrom: float | None
    radiation: Literal["electron", "xray"] | None
    number: int
    crystals: int


def read_experiments(path: Path) -> Experiments:
    """Read the crystal and the beam of a .expt file.

    Raises
    ------
    SourceError
        If it is damaged.
    """
    content = _content(path)
    experiments, crystals, beams = (_listed(content, name) for name in ("experiment", "crystal", "beam"))
    crystal, beam = (crystals[0] if crystals else {}), (beams[0] if beams else {})
    wavelength = beam.get("wavelength")
    try:
        cell = _cell(crystal)
        hall = crystal.get("space_group_hall_symbol")
        group = None if hall is None else gemmi.find_spacegroup_by_ops(gemmi.symops_from_hall(str(hall)))
    except (ValueError, TypeError, RuntimeError) as error:
        raise SourceError(f"{path}: the first crystal is damaged: {error}", "copy the file again") from error
    return Experiments(
        cell,
        None if group is None else group.xhm(),
        float(wavelength) if isinstance(wavelength, int | float) and 0 < wavelength < math.inf else None,
        RADIATIONS.get(str(beam.get("probe", "")).lower()),
        len(experiments),
        len(crystals),
    )


def write_without_files(path: Path, target: Path) -> None:
    """Copy experiments without the files that they name: masks, gains and pedestals, which are pickles, and images.

    Raises
    ------
    SourceError
        If the source is damaged.
    """
    content = _content(path)
    for images in _listed(content, "imageset"):
        for name in LOOKUPS:
            images.pop(name, None)
    target.write_text(json.dumps(content), encoding="utf-8")


def _content(path: Path) -> dict[str, Any]:
    try:
        if path.stat().st_size > LARGEST_EXPERIMENTS_BYTES:
            raise SourceError(f"{path}: larger than {LARGEST_EXPERIMENTS_BYTES} bytes", "these are no experiments")
        content = json.loads(path.read_bytes().decode("utf-8"))
    except OSError as error:
        raise SourceError(f"{path}: cannot be read: {error.strerror}", "check its permissions") from error
    except (ValueError, RecursionError) as error:
        raise SourceError(f"{path}: no experiments of DIALS: not valid JSON: {error}", "copy the file again") from error
    if not isinstance(content, dict) or content.get("__id__") != "ExperimentList":
        raise SourceError(f"{path}: no experiments of DIALS", "give the .expt file that DIALS wrote with the table")
    return content


def _listed(content: dict[str, Any], name: str) -> list[dict[str, Any]]:
    found = content.get(name, [])
    return [item for item in found if isinstance(item, dict)] if isinstance(found, list) else []


def _cell(crystal: dict[str, Any]) -> UnitCell | None:
    axes = [crystal.get(f"real_space_{name}") for name in "abc"]
    if None in axes:
        return None
    a, b, c = np.array(axes, dtype=float).reshape(3, 3)
    lengths = [float(np.linalg.norm(axis)) for axis in (a, b, c)]
    if not all(0 < length < math.inf for length in lengths):
        raise ValueError("axes without a length")
    pairs = (((b, c), (1, 2)), ((a, c), (0, 2)), ((a, b), (0, 1)))
    angles = [
        math.degrees(math.acos(float(np.clip(one @ other / (lengths[i] * lengths[j]), -1, 1))))
        for (one, other), (i, j) in pairs
    ]
    a_, b_, c_, alpha, beta, gamma = (float(f"{value:.{CELL_DIGITS}g}") for value in (*lengths, *angles))
    return UnitCell.of((a_, b_, c_, alpha, beta, gamma))
