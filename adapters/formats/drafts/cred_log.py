"""Logs of continuous-rotation ED: ``cRED_log.txt`` of Instamatic, and of programs that write the same lines.

Source: Instamatic, `experiments/cred/experiment.py` and `processing/ImgConversion.py`. Its quirks: ``Pixelsize`` is in
reciprocal angstrom per pixel, whatever the label says; ``Physical pixelsize`` is in millimetres where it is labelled
um; ``Camera length`` is what the microscope shows, not a calibration; the oscillation angle has no sign. Its rotation
axis, in radians, lies at (cos, sin, 0) in the manifest's frame for the TIFF and SMV images (`rotation_axis_to_xyz` for
DIALS); the MRC images for RED are written upside down. Angles in degrees come from other programs, whose zero and sense
differ.
"""

import math
import re
from pathlib import Path
from typing import NamedTuple

from adapters.formats.drafts.statements import (
    FRAME_COUNT,
    NUMBER,
    SCALE,
    FieldStatement,
    StatedFile,
    beam_statements,
    lines_of,
    possible,
    read_text,
    rounding_of,
    significant,
)

FORMAT = "cRED log"
MARKS = ("starting angle:", "ending angle:", "oscillation angle:", "rotation axis:", "physical pixelsize:")
"""Lines of a cRED log in lower case."""
MARKS_NEEDED = 3  # of them: a log that was cut still tells what it is, and a note with one of the words does not
UPRIGHT = frozenset({".tif", ".tiff", ".img", ".smv", ".cbf"})
"""Images that Instamatic writes as the camera sees them; its MRC images are flipped."""
SMALLEST_SCALE, LARGEST_SCALE = 1e-6, 1.0
"""Reciprocal angstrom in one pixel: the largest camera reaches 15 A with the first, a hundred pixels 0.01 A with the
second. Instamatic writes 1 where it has no calibration, and what is larger counts pixels per reciprocal angstrom."""
UNITS_MM = {"um": 1e-3, "µm": 1e-3, "μm": 1e-3, "micron": 1e-3, "mm": 1.0, "cm": 10.0, "m": 1000.0}
"""Millimetres in each unit that a log writes beside a length."""


class LogLine(NamedTuple):
    """``key: value unit`` of a log."""

    number: int
    key: str
    value: float
    rounding: float
    unit: str

    @property
    def place(self) -> str:
        """Where it stands."""
        return f"line {self.number}, {self.key}"


def is_cred_log(path: Path, begin: bytes) -> bool:
    """Tell a cRED log by its lines."""
    text = begin.lower()
    return path.suffix.lower() in {".txt", ".log"} and sum(mark.encode() in text for mark in MARKS) >= MARKS_NEEDED


def read_cred_log(path: Path) -> StatedFile:
    """Return what a cRED log states.

    Raises
    ------
    SourceError
        If it cannot be read.
    """
    text = read_text(path)
    lines = _lines(text)
    statements: list[FieldStatement] = []
    remarks: list[str] = []
    if wavelength := lines.get("wavelength"):
        found, said = beam_statements((wavelength.value, wavelength.rounding), wavelength.place)
        statements += found
        remarks += said
    for found, said in (_pixels(lines), _turning(lines), _axis(lines, text)):
        statements += found
        remarks += said
    remarks += _not_fields(lines)
    return StatedFile(path, FORMAT, tuple(statements), tuple(remarks))


def _lines(text: str) -> dict[str, LogLine]:
    """Return the lines with a number by their key in lower case; the first of each counts."""
    found: dict[str, LogLine] = {}
    for number, line in enumerate(lines_of(text), 1):
        match = re.match(rf"\s*([A-Za-z][A-Za-z ]{{0,60}}?)\s*:\s*({NUMBER})\s*([^\s.,;]{{0,20}})", line)
        if match and possible(float(match[2])):
            key = match[1].lower()
            found.setdefault(key, LogLine(number, match[1], float(match[2]), rounding_of(match[2]), match[3].lower()))
    return found


def _pixels(lines: dict[str, LogLine]) -> tuple[list[FieldStatement], list[str]]:
    statements: list[FieldStatement] = []
    remarks: list[str] = []
    if (size := lines.get("physical pixelsize")) is not None:
        factor, how = UNITS_MM.get(size.unit, 0.0), ""
        if factor == UNITS_MM["um"] and size.value < 1:
            factor, how = 1.0, f"written as '{size.unit}', as Instamatic does; no pixel is that small"
        if factor and size.value > 0:
            value = significant(size.value * factor)
            statements.append(FieldStatement("detector.pixel_size_mm", value, size.place, size.rounding * factor, how))
        else:
            remarks.append(f"{size.place}: {size.value:g} {size.unit or 'without a unit'} is no size; left open")
    if (scale := lines.get("pixelsize")) is not None:
        if SMALLEST_SCALE < scale.value < LARGEST_SCALE and "nm" not in scale.unit:
            statements.append(FieldStatement(SCALE, scale.value, scale.place, scale.rounding))
        else:
            remarks.append(f"{scale.place}: {scale.value:g} {scale.unit} is no calibration of a diffraction pattern")
    return statements, remarks


def _turning(lines: dict[str, LogLine]) -> tuple[list[FieldStatement], list[str]]:
    start = lines.get("starting angle") or lines.get("start angle")
    end = lines.get("ending angle") or lines.get("end angle")
    step = lines.get("oscillation angle") or lines.get("stepsize")
    count = lines.get("number of frames")
    statements: list[FieldStatement] = []
    remarks: list[str] = []
    if start is not None:
        statements.append(FieldStatement("oscillation.start_deg", start.value, start.place, start.rounding))
    if count is not None and count.value == int(count.value) and count.value > 0:
        statements.append(FieldStatement(FRAME_COUNT, int(count.value), count.place))
    if step is None or not step.value:
        return statements, remarks
    if start is None or end is None:
        remarks.append(f"{step.place}: {step.value:g} degrees, without start and end its sense is open")
        return statements, remarks
    backwards = end.value < start.value
    how = "its sign from the angles of start and end" if backwards and step.value > 0 else ""
    width = -abs(step.value) if backwards else abs(step.value)
    statements.append(FieldStatement("oscillation.width_deg", width, step.place, step.rounding, how))
    if count is not None:
        reached = start.value + width * count.value
        slack = abs(width) + step.rounding * abs(count.value) + start.rounding + end.rounding
        if abs(reached - end.value) > slack:
            remarks.append(
                f"contradicts itself: {count.value:g} frames of {width:g} degrees from {start.value:g} end at "
                f"{reached:.2f}, {end.key.lower()} says {end.value:g} ({abs(reached - end.value):.2f} degrees apart); "
                "frames may have been lost"
            )
    return statements, remarks


def _axis(lines: dict[str, LogLine], text: str) -> tuple[list[FieldStatement], list[str]]:
    axis = lines.get("rotation axis")
    if axis is None:
        return [], []
    program = next((line.lower() for line in lines_of(text) if line.lstrip().lower().startswith("program:")), None)
    named = program is not None and "instamatic" in program
    if axis.unit.startswith("rad") and (named or program is None):
        vector = (significant(math.cos(axis.value)), significant(math.sin(axis.value)), 0.0)
        how = f"(cos, sin, 0) of {axis.value:g} radians, as Instamatic means it"
        return [FieldStatement("rotation_axis", vector, axis.place, axis.rounding, how, images=UPRIGHT)], []
    return [], [f"{axis.place}: {axis.value:g} {axis.unit}: where this program counts from, and which way, is not said"]


def _not_fields(lines: dict[str, LogLine]) -> list[str]:
    remarks = []
    if (nominal := lines.get("camera length")) is not None:
        remarks.append(
            f"{nominal.place}: {nominal.value:g} {nominal.unit} is what the microscope shows, not a calibration"
        )
    stretch = lines.get("stretch amplitude")
    if stretch is not None and stretch.value:
        remarks.append(
            f"{stretch.place}: {stretch.value:g} {stretch.unit}: an elliptic distortion, which no manifest can say"
        )
    return remarks
