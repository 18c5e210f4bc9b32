"""``XDS.INP``, and AutoLEI's ``Input_parameters.txt``, which holds the same keywords.

Source: the parameters of XDS (xds.mr.mpg.de), as `adapters/programs/xds/input.py` writes them. A pixel (ix, iy),
counted from 1 at its centre, lies at QX (ix - ORGX) X + QY (iy - ORGY) Y + DETECTOR_DISTANCE (X x Y) from the crystal,
with the detector's axes X and Y; the beam travels along INCIDENT_BEAM_DIRECTION; image i begins at STARTING_ANGLE +
OSCILLATION_RANGE (i - STARTING_FRAME). Where X = 1 0 0, Y = 0 1 0 and the beam is 0 0 1, a vector (x, y, z) is
(x, -y, -z) in the manifest's frame. What stands behind ``!`` is no keyword.
"""

import re
from pathlib import Path

from adapters.formats.drafts.flat_geometry import FlatGeometry, flat_geometry, geometry_remarks
from adapters.formats.drafts.statements import (
    FieldStatement,
    StatedFile,
    StatedWord,
    beam_statements,
    lines_of,
    numbers,
    printed,
    read_text,
    significant,
    unit_vector,
)

FORMAT = "XDS.INP"
KEYWORD = r"[A-Za-z][A-Za-z0-9_.'&/()-]*"
MARKS = (b"X-RAY_WAVELENGTH", b"DETECTOR_DISTANCE", b"OSCILLATION_RANGE", b"ROTATION_AXIS", b"ORGX")
MARKS_NEEDED = 3  # of them: an input of another program of the family (XSCALE, XDSCONV) has none
DEFAULTS = {
    "DIRECTION_OF_DETECTOR_X-AXIS": (1.0, 0.0, 0.0),
    "DIRECTION_OF_DETECTOR_Y-AXIS": (0.0, 1.0, 0.0),
    "INCIDENT_BEAM_DIRECTION": (0.0, 0.0, 1.0),
}
"""What XDS takes where nothing is written."""
RECTANGLES_MAX = 10000
"""As many as a manifest may list."""


def is_xds_inp(path: Path, begin: bytes) -> bool:
    """Tell an input file of XDS, or AutoLEI's, by its keywords."""
    if path.suffix.lower() not in {".inp", ".txt"}:
        return False
    return sum(re.search(rb"\b" + mark + rb"[ \t]*=", begin) is not None for mark in MARKS) >= MARKS_NEEDED


def read_xds_inp(path: Path) -> StatedFile:
    """Return what an input file of XDS states.

    Raises
    ------
    SourceError
        If it cannot be read.
    """
    keywords, rectangles = _keywords(read_text(path))
    statements: list[FieldStatement] = []
    remarks: list[str] = []
    if (wavelength := keywords.get("X-RAY_WAVELENGTH")) and (found := numbers(wavelength.text)):
        beam, said = beam_statements(found[0], wavelength.place)
        statements += beam
        remarks += said
    statements += _detector(keywords)
    geometry = _geometry(keywords)
    if geometry is not None:
        remarks += geometry_remarks(geometry)
        statements += _placed(keywords, geometry)
    elif "DETECTOR_DISTANCE" in keywords and "ORGX" in keywords:
        remarks.append("the beam does not meet its detector, or a direction of it is none; its geometry is left open")
    statements += _oscillation(keywords)
    statements += _untrusted(rectangles)
    others = [keyword for name, keyword in keywords.items() if re.fullmatch(r"UNTRUSTED_(QUADRILATERAL|ELLIPSE)", name)]
    remarks += [f"{keyword.place}: no rectangle; state it as detector.mask" for keyword in others]
    if any(name.startswith("SEGMENT") for name in keywords):
        remarks.append("SEGMENT: a detector of several panels, which no manifest can say; they are taken as one")
    template = keywords.get("NAME_TEMPLATE_OF_DATA_FRAMES")
    words = template.text.split() if template else []
    name = re.split(r"[\\/]", words[0])[-1] if words else ""
    return StatedFile(path, FORMAT, tuple(statements), tuple(remarks), (name,) if name else ())


def _keywords(text: str) -> tuple[dict[str, StatedWord], list[StatedWord]]:
    """Return the last value of each keyword, and all untrusted rectangles."""
    found: dict[str, StatedWord] = {}
    rectangles = []
    for number, line in enumerate(lines_of(text), 1):
        parts = re.split(rf"({KEYWORD})\s*=", line.partition("!")[0])
        for name, value in zip(parts[1::2], parts[2::2], strict=True):
            keyword = StatedWord(number, name, value.strip())
            if name == "UNTRUSTED_RECTANGLE":
                rectangles.append(keyword)
            found[name] = keyword
    return found, rectangles


def _detector(keywords: dict[str, StatedWord]) -> list[FieldStatement]:
    statements = []
    columns, rows = keywords.get("NX"), keywords.get("NY")
    if columns and rows:
        shape = _whole(rows.text), _whole(columns.text)
        if shape[0] and shape[1]:
            statements.append(FieldStatement("detector.shape_px", (shape[0], shape[1]), f"line {rows.line}, NY and NX"))
    if (size := keywords.get("QX")) and (found := numbers(size.text)) and found[0][0] > 0:
        other = numbers(keywords["QY"].text) if "QY" in keywords else []
        if not other or other[0][0] == found[0][0]:
            statements.append(FieldStatement("detector.pixel_size_mm", found[0][0], size.place, found[0][1]))
    if (overload := keywords.get("OVERLOAD")) and (found := numbers(overload.text)) and found[0][0] > 0:
        statements.append(FieldStatement("detector.saturation", found[0][0], overload.place))
    return statements


def _whole(text: str) -> int:
    match = re.match(r"\d{1,6}\b", text)
    return int(match[0]) if match else 0


def _vector(keywords: dict[str, StatedWord], name: str) -> tuple[float, float, float] | None:
    keyword = keywords.get(name)
    if keyword is None:
        return DEFAULTS.get(name)
    found = numbers(keyword.text)
    return (found[0][0], found[1][0], found[2][0]) if len(found) >= 3 else None


def _first(keywords: dict[str, StatedWord], name: str) -> tuple[float, float] | None:
    found = numbers(keywords[name].text) if name in keywords else []
    return found[0] if found else None


def _geometry(keywords: dict[str, StatedWord]) -> FlatGeometry | None:
    fast, slow, beam = (_vector(keywords, name) for name in DEFAULTS)
    if fast is None or slow is None or beam is None:
        return None
    distance, column, row, size = (_first(keywords, name) for name in ("DETECTOR_DISTANCE", "ORGX", "ORGY", "QX"))
    height = _first(keywords, "QY") or size
    x, y = unit_vector(fast), unit_vector(slow)
    if x is None or y is None:
        return None
    normal = (x[1] * y[2] - x[2] * y[1], x[2] * y[0] - x[0] * y[2], x[0] * y[1] - x[1] * y[0])
    far = 1.0 if distance is None else distance[0]
    right = (1 - column[0]) * size[0] if column and size else 0.0
    down = (1 - row[0]) * height[0] if row and height else 0.0
    corner = [right * x[i] + down * y[i] + far * normal[i] for i in range(3)]
    return flat_geometry(fast=x, slow=y, corner_mm=corner, beam_towards_detector=beam)


def _placed(keywords: dict[str, StatedWord], geometry: FlatGeometry) -> list[FieldStatement]:
    """Return distance, beam position and axis: each only if its own keyword is there."""
    statements = []
    distance, column, row = (_first(keywords, name) for name in ("DETECTOR_DISTANCE", "ORGX", "ORGY"))
    width, height = _first(keywords, "QX"), _first(keywords, "QY") or _first(keywords, "QX")
    if distance:
        place = keywords["DETECTOR_DISTANCE"].place
        statements.append(
            FieldStatement("detector.camera_length_mm", significant(geometry.distance_mm), place, distance[1])
        )
    if distance and column and row and width and height and width[0] > 0 and height[0] > 0:
        beam = (significant(geometry.beam_mm[0] / height[0]), significant(geometry.beam_mm[1] / width[0]))
        place = f"line {keywords['ORGX'].line}, ORGX and ORGY"
        how = "XDS counts pixels from 1"
        statements.append(FieldStatement("detector.direct_beam_px", beam, place, max(column[1], row[1]), how))
    written = _vector(keywords, "ROTATION_AXIS")
    if written is not None and not geometry.mirrored:
        axis = unit_vector(geometry.turned(written).tolist())
        rounding = max((part[1] for part in numbers(keywords["ROTATION_AXIS"].text)[:3]), default=0.0)
        if axis is not None:
            how = f"from XDS's frame, {' '.join(f'{part:g}' for part in written)}"
            statements.append(
                FieldStatement("rotation_axis", printed(axis), keywords["ROTATION_AXIS"].place, rounding, how)
            )
    return statements


def _oscillation(keywords: dict[str, StatedWord]) -> list[FieldStatement]:
    statements = []
    width, start = _first(keywords, "OSCILLATION_RANGE"), _first(keywords, "STARTING_ANGLE")
    if width and width[0]:
        statements.append(
            FieldStatement("oscillation.width_deg", width[0], keywords["OSCILLATION_RANGE"].place, width[1])
        )
    frame = _first(keywords, "STARTING_FRAME") or _first(keywords, "DATA_RANGE")
    if start and frame and frame[0] == int(frame[0]):
        statement = FieldStatement("oscillation.start_deg", start[0], keywords["STARTING_ANGLE"].place, start[1])
        statements.append(statement._replace(of_frame=int(frame[0])))
    return statements


def _untrusted(rectangles: list[StatedWord]) -> list[FieldStatement]:
    """Return the rectangles as the manifest counts them: XDS's are x1 < x < x2 and y1 < y < y2, from 1."""
    found = []
    for keyword in rectangles[:RECTANGLES_MAX]:
        values = [int(value) for value, _ in numbers(keyword.text)[:4]]
        if len(values) == 4 and values[1] - values[0] > 1 and values[3] - values[2] > 1:
            x1, x2, y1, y2 = values
            found.append((float(max(y1, 0)), float(max(x1, 0)), float(y2 - 2), float(x2 - 2)))
    if not found:
        return []
    place = f"line {rectangles[0].line} and following, UNTRUSTED_RECTANGLE"
    return [FieldStatement("detector.bad_rectangles_px", tuple(part for one in found for part in one), place)]
