"""Reading XDS_ASCII.HKL, the reflection file of XDS's CORRECT and XSCALE."""

import re
from pathlib import Path

import gemmi
import numpy as np
from numpy.typing import NDArray
from pydantic import JsonValue

from adapters.formats.intensity_table import LARGEST_INDEX, IntensityTable, Positions, observations
from tasks.model import SourceError, UnitCell

MOST_ITEMS = 64
"""Columns of a file; XDS and XSCALE write up to 16. Chosen, not measured: a number beyond is damage."""
SAME_WAVELENGTH = 1e-3
"""Relative, between data sets that XSCALE put together. Chosen, not measured: refinement moves it by less, and another
energy by far more."""
ITEM = re.compile(r"^!ITEM_([^=]+)=\s*(\d+)")


def read_xds_ascii(path: Path) -> IntensityTable:
    """Read a file of the format XDS_ASCII; misfits (negative sigma) are left out, as XDS documents them.

    The angle of an observation is that of its centroid, starting angle + (ZD - starting frame + 1) * width: image n
    covers ZD from n - 1 to n. Source: XDS documentation, file XDS_ASCII.HKL.

    Raises
    ------
    SourceError
        Naming the file and what is missing or the line that is damaged.
    """
    items, fields, table = _contents(path)
    for needed in ("H", "K", "L", "IOBS", "SIGMA(IOBS)"):
        if needed not in items:
            raise SourceError(f"{path}: the header has no ITEM_{needed}")
    sigma = table[:, items["SIGMA(IOBS)"]]
    keep = sigma > 0
    angle = _angles(fields, table[:, items["ZD"]]) if "ZD" in items else np.zeros(len(table))
    crystal = table[:, items["ISET"]] if "ISET" in items else np.zeros(len(table))
    data = observations(
        _indices(path, table[keep][:, [items["H"], items["K"], items["L"]]]),
        table[keep, items["IOBS"]],
        sigma[keep],
        angle_deg=angle[keep],
    )
    misfits = int(np.count_nonzero(~keep))
    sets, of_set = np.unique(crystal[keep], return_inverse=True)
    facts: list[tuple[str, JsonValue]] = [("unmerged", "ISET" in items or "ZD" in items)]
    if len(sets) > 1:
        facts.append(("batches", len(sets)))
    if "DCY" in items:
        facts.append(("zero_dose", "intensities are extrapolated to zero dose by XSCALE"))
    warnings = [f"{misfits} of {len(table)} observations left out: marked as misfits by XDS"] if misfits else []
    wavelengths = fields.get("X-RAY_WAVELENGTH", fields.get("INCLUDE_X-RAY_WAVELENGTH", []))
    if wavelengths and max(wavelengths) > min(wavelengths) * (1 + SAME_WAVELENGTH):
        warnings.append(f"data sets of several wavelengths, {min(wavelengths):g} to {max(wavelengths):g} A, are mixed")
    return IntensityTable(
        data._replace(crystal=of_set.astype(np.int32)),
        unit_cell=_cell(path, fields),
        wavelength_angstrom=wavelengths[0] if wavelengths else None,
        space_group=_space_group(fields),
        warnings=tuple(warnings),
        facts=tuple(facts),
    )


def read_xds_integrate(path: Path) -> IntensityTable:
    """Read INTEGRATE.HKL of XDS: integrated, but neither scaled nor rid of outliers.

    Intensities and sigmas are multiplied by the column RLP, the reciprocal of Lorentz and polarisation factors, as
    CORRECT does. Source: XDS documentation, file INTEGRATE.HKL.

    Raises
    ------
    SourceError
        Naming the file and what is missing or the line that is damaged.
    """
    lines = path.read_text(encoding="ascii", errors="replace").splitlines()
    end = next((i for i, line in enumerate(lines) if line.startswith("!END_OF_HEADER")), None)
    if end is None:
        raise SourceError(f"{path}: has no !END_OF_HEADER")
    header, fields = lines[:end], _fields(lines[:end])
    start = next((i for i, line in enumerate(header) if line.startswith("!H,K,L,IOBS,SIGMA")), None)
    if start is None:
        raise SourceError(f"{path}: the header names no columns H,K,L,IOBS,SIGMA")
    names = ",".join(line.lstrip("!").strip().strip(",") for line in header[start : start + 2]).split(",")
    body = [line for line in lines[end + 1 :] if line.strip() and not line.startswith("!")]
    place = {name.strip(): number for number, name in enumerate(names)}
    if not body or not place.keys() >= {"IOBS", "SIGMA", "ZCAL", "RLP"}:
        raise SourceError(
            f"{path}: holds no reflections with the columns IOBS, SIGMA, ZCAL and RLP", "was INTEGRATE run to its end?"
        )
    table = _numbers(path, body, end + 2, max(place[name] for name in ("IOBS", "SIGMA", "ZCAL", "RLP")) + 1)
    sigma = table[:, place["SIGMA"]]
    keep = sigma > 0
    factor = table[keep, place["RLP"]]
    data = observations(
        _indices(path, table[keep, :3]),
        table[keep, place["IOBS"]] * factor,
        sigma[keep] * factor,
        angle_deg=_angles(fields, table[keep, place["ZCAL"]]),
    )
    wavelength = fields.get("X-RAY_WAVELENGTH")
    return IntensityTable(
        data,
        unit_cell=_cell(path, fields),
        wavelength_angstrom=wavelength[0] if wavelength else None,
        warnings=("INTEGRATE.HKL holds unscaled intensities: XDS_ASCII.HKL of CORRECT is better",),
    )


def read_xds_positions(path: Path) -> Positions:
    """Read where the reflections of an XDS_ASCII.HKL lie; none if it has no positions (merged files).

    Raises
    ------
    SourceError
        As `read_xds_ascii`.
    """
    items, fields, table = _contents(path)
    if not items.keys() >= {"XD", "YD", "ZD"}:
        table = table[:0]
    x, y, z = (table[:, items.get(name, 0)] for name in ("XD", "YD", "ZD"))
    hkl = _indices(path, table[:, [items["H"], items["K"], items["L"]]])
    return Positions(hkl, y - 1.0, x - 1.0, _angles(fields, z))


Table = np.ndarray[tuple[int, int], np.dtype[np.float64]]


def _contents(path: Path) -> tuple[dict[str, int], dict[str, list[float]], Table]:
    """Return the columns by name, the header's numbers and all data lines."""
    try:
        lines = path.read_text(encoding="ascii", errors="replace").splitlines()
    except OSError as error:
        raise SourceError(f"{path}: cannot be read: {error.strerror}") from error
    if not lines or "FORMAT=XDS_ASCII" not in lines[0]:
        raise SourceError(f"{path}: does not begin with !FORMAT=XDS_ASCII")
    header, body, first = _split(path, lines)
    items = {m.group(1): int(m.group(2)) - 1 for m in map(ITEM.match, header) if m}
    wrong = next((name for name, place in items.items() if not 0 <= place < MOST_ITEMS), None)
    if wrong is not None:
        raise SourceError(f"{path}: ITEM_{wrong} is no column: {items[wrong] + 1}")
    return items, _fields(header), _numbers(path, body, first, max(items.values(), default=0) + 1)


def _split(path: Path, lines: list[str]) -> tuple[list[str], list[str], int]:
    """Return header, data lines and the number of the first data line."""
    end = next((i for i, line in enumerate(lines) if line.startswith("!END_OF_HEADER")), None)
    if end is None:
        raise SourceError(f"{path}: has no !END_OF_HEADER")
    stop = next((i for i in range(end + 1, len(lines)) if lines[i].startswith("!END_OF_DATA")), None)
    if stop is None:
        raise SourceError(f"{path}: has no !END_OF_DATA: the file is cut off", "run the program that wrote it again")
    if stop == end + 1:
        raise SourceError(f"{path}: holds no reflections")
    return lines[:end], lines[end + 1 : stop], end + 2


def _numbers(path: Path, body: list[str], first: int, columns: int) -> Table:
    """Return the first columns of all lines, read at once; where that fails, the line that is to blame is named."""
    if not any(line.strip() for line in body):
        raise SourceError(f"{path}: holds no reflections")
    try:
        table = np.loadtxt(body, usecols=range(columns), ndmin=2, comments=None)
    except ValueError:
        for number, line in enumerate(body, first):
            _check_line(path, number, line, columns)
        raise SourceError(f"{path}: lines of different kinds among the reflections", "copy the file again") from None
    if (bad := ~np.isfinite(table).all(axis=1)).any():
        raise SourceError(f"{path}, line {first + int(bad.argmax())}: a value that is not finite")
    return table


def _check_line(path: Path, number: int, line: str, columns: int) -> None:
    words = line.split()[:columns]
    try:
        complete = len([float(word) for word in words]) == columns
    except ValueError:
        complete = False
    if not complete:
        raise SourceError(f"{path}, line {number}: {line.rstrip()[:60]!r} has not {columns} numbers")


def _indices(path: Path, values: NDArray[np.float64]) -> NDArray[np.int32]:
    if not len(values):
        raise SourceError(f"{path}: no reflection has a positive sigma", "XDS marks misfits by negative ones")
    if np.abs(values).max() > LARGEST_INDEX:
        raise SourceError(f"{path}: {values.flat[np.abs(values).argmax()]:g} is no Miller index", "copy the file again")
    return np.rint(values).astype(np.int32)


def _fields(header: list[str]) -> dict[str, list[float]]:
    """Return the header's numeric fields; a line may hold several ``NAME= numbers``."""
    fields: dict[str, list[float]] = {}
    for line in header:
        for name, text in re.findall(r"([A-Z][-A-Z_.()']*)=\s*([-+.\dEe\s]+)", line[1:]):
            numbers = re.findall(r"[-+]?\d*\.?\d+(?:[Ee][-+]?\d+)?", text)
            if numbers:
                values = [float(x) for x in numbers]
                known = fields.setdefault(name, values)
                if name == "X-RAY_WAVELENGTH" and known is not values:  # XSCALE states that of each data set
                    known += values
    return fields


def _cell(path: Path, fields: dict[str, list[float]]) -> UnitCell | None:
    numbers = fields.get("UNIT_CELL_CONSTANTS")
    if numbers is None:
        return None
    if len(numbers) != 6:
        raise SourceError(f"{path}: UNIT_CELL_CONSTANTS has {len(numbers)} numbers")
    a, b, c, alpha, beta, gamma = numbers
    try:
        return UnitCell.of((a, b, c, alpha, beta, gamma))
    except ValueError as error:
        raise SourceError(f"{path}: the unit cell {numbers} of UNIT_CELL_CONSTANTS is impossible") from error


def _space_group(fields: dict[str, list[float]]) -> str | None:
    """Return the group by its number: what XDS merged in, which is a Laue group's more often than the crystal's."""
    number = fields.get("SPACE_GROUP_NUMBER", [0.0])[0]
    group: gemmi.SpaceGroup | None = gemmi.find_spacegroup_by_number(int(number)) if 0 < number < 231 else None
    return None if group is None else group.xhm()


def _angles(
    fields: dict[str, list[float]], z: np.ndarray[tuple[int], np.dtype[np.float64]]
) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    width = fields.get("OSCILLATION_RANGE", [0.0])[0]
    start = fields.get("STARTING_ANGLE", [0.0])[0]
    frame = fields.get("STARTING_FRAME", [1.0])[0]
    return start + (z - (frame - 1.0)) * width
