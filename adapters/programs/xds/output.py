"""Reading what XDS writes: its listings. Pure functions on text, tested on a real run (30 June 2024)."""

import re
from typing import NamedTuple

from adapters.programs.probe import licence_until
from tasks.model import (
    ApertureError,
    LicenceExpiredError,
    NotIndexedError,
    ProgramFailedError,
    UnitCell,
    Vector,
)

Six = tuple[float, float, float, float, float, float]
NUMBER = r"[-+]?\d+\.?\d*(?:[ED][-+]?\d+)?"


class RefinedGeometry(NamedTuple):
    """One block "REFINED VALUES OF DIFFRACTION PARAMETERS"."""

    spots: int
    spot_sd_px: float
    spindle_sd_deg: float
    space_group_number: int
    unit_cell: UnitCell
    unit_cell_esd: Six | None
    rotation_axis: Vector
    beam: Vector
    origin_px: tuple[float, float]
    distance_mm: float
    mosaicity_deg: float | None


class LatticeCharacter(NamedTuple):
    """One row of the table of 44 lattice characters."""

    number: int
    bravais: str
    quality: float
    unit_cell: Six
    accepted: bool


class Idxref(NamedTuple):
    """IDXREF.LP."""

    indexed: int
    spots: int
    geometry: RefinedGeometry
    lattices: tuple[LatticeCharacter, ...]

    @property
    def fraction(self) -> float:
        """Share of the spots indexed."""
        return self.indexed / self.spots if self.spots else 0.0


class ImageRow(NamedTuple):
    """One image of INTEGRATE.LP."""

    image: int
    error: int
    scale: float
    background_pixels: int
    overloads: int
    near_ewald: int
    strong: int
    rejected: int
    beam_divergence_deg: float
    reflecting_range_deg: float


class Integrate(NamedTuple):
    """INTEGRATE.LP."""

    images: tuple[ImageRow, ...]
    saved: int
    beam_divergence_esd_deg: float | None
    reflecting_range_esd_deg: float | None


class XdsShell(NamedTuple):
    """One row of CORRECT's table; fractions, None where XDS prints -99.9."""

    d_min_angstrom: float | None
    """None for the total."""
    observed: int
    unique: int
    possible: int
    completeness: float
    r_observed: float | None
    r_expected: float | None
    compared: int
    i_over_sigma: float
    r_meas: float | None
    cc_half: float
    cc_half_significant: bool


class Correct(NamedTuple):
    """CORRECT.LP."""

    geometry: RefinedGeometry
    variance_a: float
    variance_b: float
    i_sigma_asymptotic: float
    wilson_b: float | None
    shells: tuple[XdsShell, ...]
    total: XdsShell
    misfits: int
    absent: int
    accepted: int
    unique: int


ERRORS: tuple[tuple[str, type[ApertureError], str], ...] = (
    (
        r"(?:VERSION|LICEN[SC]E).*EXPIRED|EXPIRED.*(?:VERSION|LICEN[SC]E)",
        LicenceExpiredError,
        "get the current XDS from https://xds.mr.mpg.de",
    ),
    (
        r"INSUFFICIENT PERCENTAGE .*OF INDEXED REFLECTIONS",
        NotIndexedError,
        "too few spots fit one lattice: check geometry, axis sense, several crystals",
    ),
    (
        r"CANNOT CONTINUE WITH A TWO.DIMENSIONAL",
        NotIndexedError,
        "the spots span no three dimensions: use a wider SPOT_RANGE",
    ),
    (
        r"DIMENSION OF DIFFERENCE VECTOR SET LESS THAN",
        NotIndexedError,
        "the spots span no three dimensions: use a wider SPOT_RANGE",
    ),
    (
        r"INSUFFICIENT NUMBER OF ACCEPTED SPOTS",
        NotIndexedError,
        "too few spots: lower the spot threshold or use more frames",
    ),
    (
        r"SOLUTION IS INACCURATE",
        NotIndexedError,
        "the lattice fits the spots badly: check distance, beam centre and axis",
    ),
    (r"CANNOT INDEX REFLECTIONS", NotIndexedError, "no lattice explains the spots"),
    (r"RETURN CODE IS IER=\s*\d+", NotIndexedError, "the refinement of the indexed spots failed"),
    (r"CANNOT (?:OPEN|READ|FIND)[^\n]*", ProgramFailedError, "a file is missing or not readable for XDS"),
    (r"INSUFFICIENT NUMBER OF STRONG REFLECTIONS", ProgramFailedError, "too few strong reflections for profiles"),
)
"""Markers after ``!!! ERROR`` (XDS does not use exit codes), their class and what to do. Sources: XDSwiki, pages
"Problems" and "IDXREF"; the texts that other packages look for (autoPROC-like wrappers, xia2)."""


def check_for_errors(text: str, step: str) -> None:
    """Raise the typed error of the first marker in a listing or in the program's output.

    Raises
    ------
    LicenceExpiredError, NotIndexedError, ProgramFailedError
        By the marker; ProgramFailedError for an unknown ``!!! ERROR``.
    """
    expired = re.search(ERRORS[0][0], text, re.IGNORECASE)
    if expired:
        until = licence_until(text)
        day = "" if until is None else f" (licensed until {until})"
        raise LicenceExpiredError(f"XDS refuses to run: {_line_at(text, expired.start())}{day}", ERRORS[0][2])
    found = re.search(r"!!!\s*ERROR[^\n]*", text)
    if found is None:
        return
    tail = text[found.start() : found.start() + 600]
    for pattern, kind, advice in ERRORS[1:]:
        if re.search(pattern, tail, re.IGNORECASE):
            raise kind(f"XDS, step {step}: {_line_at(text, found.start())}", advice)
    raise ProgramFailedError(f"XDS, step {step}: {_line_at(text, found.start())}", tail)


def parse_idxref(text: str) -> Idxref:
    """Read IDXREF.LP; the last refined solution counts.

    Raises
    ------
    ProgramFailedError
        If a part is missing.
    """
    counts = re.findall(r"^\s+(\d+) OUT OF\s+(\d+) SPOTS INDEXED", text, re.MULTILINE)
    if not counts:
        raise ProgramFailedError("IDXREF.LP states no number of indexed spots")
    lattices = tuple(
        LatticeCharacter(int(m[2]), m[3], float(m[4]), six(m[5].split()), bool(m[1].strip()))
        for m in re.finditer(r"^ (\*| ) +(\d+)\s+([a-z][A-Z])\s+([\d.]+)((?:\s+[\d.]+){6})", text, re.MULTILINE)
    )
    indexed, spots = counts[-1]
    return Idxref(int(indexed), int(spots), refined_geometry(text, "IDXREF.LP"), lattices)


def refined_geometry(text: str, name: str) -> RefinedGeometry:
    """Read the last complete block of refined diffraction parameters.

    Raises
    ------
    ProgramFailedError
        If there is none.
    """
    parts = text.split("REFINED VALUES OF DIFFRACTION PARAMETERS DERIVED FROM")[1:]
    complete = [part for part in parts if "CRYSTAL TO DETECTOR DISTANCE" in part]
    if not complete:
        raise ProgramFailedError(f"{name} has no refined diffraction parameters")
    block = complete[-1]
    esd = _values(block, "E.S.D. OF CELL PARAMETERS", 6, optional=True)
    mosaicity = _values(block, "CRYSTAL MOSAICITY (DEGREES)", 1, optional=True)
    origin = _values(block, "DETECTOR ORIGIN (PIXELS) AT", 2)
    return RefinedGeometry(
        spots=int(block.split()[0]),
        spot_sd_px=_values(block, "STANDARD DEVIATION OF SPOT    POSITION (PIXELS)", 1)[0],
        spindle_sd_deg=_values(block, "STANDARD DEVIATION OF SPINDLE POSITION (DEGREES)", 1)[0],
        space_group_number=int(_values(block, "SPACE GROUP NUMBER", 1)[0]),
        unit_cell=UnitCell.of(six(_values(block, "UNIT CELL PARAMETERS", 6))),
        unit_cell_esd=six(esd) if esd else None,
        rotation_axis=three(_values(block, "LAB COORDINATES OF ROTATION AXIS", 3)),
        beam=three(_values(block, "DIRECT BEAM COORDINATES (REC. ANGSTROEM)", 3)),
        origin_px=(origin[0], origin[1]),
        distance_mm=_values(block, "CRYSTAL TO DETECTOR DISTANCE (mm)", 1)[0],
        mosaicity_deg=mosaicity[0] if mosaicity else None,
    )


def parse_integrate(text: str) -> Integrate:
    """Read INTEGRATE.LP.

    Raises
    ------
    ProgramFailedError
        If it lists no images or no saved reflections.
    """
    pattern = r"^ +(\d+) +(-?\d+) +(\d+\.\d{3}) +(\d+) +(\d+) +(\d+) +(\d+) +(\d+) +(\d+\.\d{5}) +(\d+\.\d{5})\s*$"
    rows = tuple(
        ImageRow(int(a), int(b), float(c), int(d), int(e), int(f), int(g), int(h), float(i), float(j))
        for a, b, c, d, e, f, g, h, i, j in re.findall(pattern, text, re.MULTILINE)
    )
    saved = re.search(r"(\d+) REFLECTIONS SAVED ON FILE", text)
    if not rows or saved is None:
        raise ProgramFailedError("INTEGRATE.LP lists no images or no saved reflections", text[-500:])
    divergence = re.findall(rf"BEAM_DIVERGENCE_E\.S\.D\.=\s*({NUMBER})", text)
    mosaicity = re.findall(rf"REFLECTING_RANGE_E\.S\.D\.=\s*({NUMBER})", text)
    return Integrate(
        rows,
        int(saved.group(1)),
        float(divergence[-1]) if divergence else None,
        float(mosaicity[-1]) if mosaicity else None,
    )


def parse_correct(text: str) -> Correct:
    """Read CORRECT.LP; the last statistics table, that of all images, counts.

    Raises
    ------
    ProgramFailedError
        If a part is missing.
    """
    model = re.search(rf"^\s+a\s+b\s+ISa\s*\n\s*({NUMBER})\s+({NUMBER})\s+({NUMBER})", text, re.MULTILINE)
    shells = statistics_table(text, "CORRECT.LP")
    if model is None:
        raise ProgramFailedError("CORRECT.LP has no error model")
    wilson = re.search(rf"WILSON LINE .*B=\s*({NUMBER})", text)
    return Correct(
        geometry=refined_geometry(text, "CORRECT.LP"),
        variance_a=float(model.group(1)),
        variance_b=float(model.group(2)),
        i_sigma_asymptotic=float(model.group(3)),
        wilson_b=float(wilson.group(1)) if wilson else None,
        shells=tuple(shell for shell in shells if shell.d_min_angstrom is not None),
        total=next(shell for shell in shells if shell.d_min_angstrom is None),
        misfits=_last_count(text, "NUMBER OF REJECTED MISFITS"),
        absent=_last_count(text, "NUMBER OF SYSTEMATIC ABSENT REFLECTIONS"),
        accepted=_last_count(text, "NUMBER OF ACCEPTED OBSERVATIONS"),
        unique=_last_count(text, "NUMBER OF UNIQUE ACCEPTED REFLECTIONS"),
    )


def statistics_table(text: str, name: str) -> tuple[XdsShell, ...]:
    """Read the last table "SUBSET OF INTENSITY DATA", the total last (CORRECT.LP).

    Raises
    ------
    ProgramFailedError
        If there is none or it is cut off.
    """
    parts = text.split("SUBSET OF INTENSITY DATA WITH SIGNAL/NOISE")
    pattern = (
        r"^\s+(total|\d+\.\d+)\s+(\d+)\s+(\d+)\s+(\d+)\s+(-?[\d.]+)%\s+(-?[\d.]+)%\s+(-?[\d.]+)%\s+(\d+)\s+(-?[\d.]+)"
        r"\s+(-?[\d.]+)%\s+(-?[\d.]+)(\*?)"
    )
    rows = re.findall(pattern, parts[-1], re.MULTILINE) if len(parts) > 1 else []
    end = next((i for i, row in enumerate(rows) if row[0] == "total"), None)
    if end is None:
        raise ProgramFailedError(f"{name} has no complete table of statistics")
    return tuple(_shell(row) for row in rows[: end + 1])


def _shell(row: tuple[str, ...]) -> XdsShell:
    def fraction(text: str) -> float | None:
        value = float(text)
        return None if value <= -99.0 else value / 100.0

    return XdsShell(
        d_min_angstrom=None if row[0] == "total" else float(row[0]),
        observed=int(row[1]),
        unique=int(row[2]),
        possible=int(row[3]),
        completeness=float(row[4]) / 100.0,
        r_observed=fraction(row[5]),
        r_expected=fraction(row[6]),
        compared=int(row[7]),
        i_over_sigma=float(row[8]),
        r_meas=fraction(row[9]),
        cc_half=float(row[10]) / 100.0,
        cc_half_significant=bool(row[11]),
    )


def _values(block: str, label: str, count: int, *, optional: bool = False) -> list[float]:
    match = re.search(rf"^\s*{re.escape(label)}((?:\s+{NUMBER}){{{count}}})", block, re.MULTILINE)
    if match is None:
        if optional:
            return []
        raise ProgramFailedError(f"the listing has no line {label!r}")
    return [float(x) for x in match.group(1).split()]


def _last_count(text: str, label: str) -> int:
    found = re.findall(rf"{re.escape(label)}\s+(\d+)", text)
    if not found:
        raise ProgramFailedError(f"the listing has no line {label!r}")
    return int(found[-1])


def _line_at(text: str, position: int) -> str:
    return " ".join(text[position:].splitlines()[0].split())


def three(values: list[float]) -> Vector:
    """Return three numbers as a vector."""
    x, y, z = values
    return (x, y, z)


def six(values: list[float] | list[str]) -> Six:
    """Return six numbers as the parameters of a cell."""
    a, b, c, d, e, f = (float(x) for x in values)
    return (a, b, c, d, e, f)
