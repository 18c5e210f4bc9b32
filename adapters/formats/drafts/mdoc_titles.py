"""Titles of an mdoc that spell out the geometry with its conventions, as `apertura export` writes them.

SerialEM's own keys cannot say where a rotation axis lies in the frames, or where in its exposure an angle was read; a
title that says so in words is taken at its word.
"""

import re

from adapters.formats.drafts.statements import (
    NUMBER,
    FieldStatement,
    ListedTilt,
    numbers,
    printed,
    rounding_of,
    unit_vector,
)

AXIS = re.compile(
    rf"rotation axis ({NUMBER}) ({NUMBER}) ({NUMBER}): x right, y up with row 0 at the top, z towards the source"
)
BEAM = re.compile(rf"direct beam at row ({NUMBER}), column ({NUMBER}), from 0")
CAMERA = {
    "detector.camera_length_mm": re.compile(rf"\bcamera length ({NUMBER}) mm, pixel {NUMBER} mm"),
    "detector.pixel_size_mm": re.compile(rf"\bcamera length {NUMBER} mm, pixel ({NUMBER}) mm"),
    "detector.gain": re.compile(rf"\bgain ({NUMBER}), pedestal {NUMBER}"),
    "detector.pedestal": re.compile(rf"\bgain {NUMBER}, pedestal ({NUMBER})"),
}
MIDDLE = "TiltAngle: middle of the exposure"
EQUAL = 1e-6
"""Degrees by which widths and steps may differ: they are written with twelve digits."""


def title_statements(titles: list[tuple[int, str]]) -> list[FieldStatement]:
    """Return what titles, each with its line, say of axis, beam and camera."""
    found = []
    for line, title in titles:
        place = f"line {line}, title"
        if match := AXIS.search(title):
            axis = unit_vector([float(part) for part in match.groups()])
            rounding = max(rounding_of(part) for part in match.groups())
            found += [] if axis is None else [FieldStatement("rotation_axis", printed(axis), place, rounding)]
        if match := BEAM.search(title):
            beam = (float(match[1]), float(match[2]))
            found.append(FieldStatement("detector.direct_beam_px", beam, place, rounding_of(match[1])))
        for field, pattern in CAMERA.items():
            if match := pattern.search(title):
                value = numbers(match[1])
                found += [FieldStatement(field, number, place, rounding) for number, rounding in value]
    return found


def oscillation_statements(
    titles: list[tuple[int, str]], tilts: list[ListedTilt], turns: list[float]
) -> list[FieldStatement]:
    """Return where the rotation begins and how far each image turns, if a title says what an angle is the middle of.

    Nothing unless every image states its turn, all are equal, and follow one another without a gap.
    """
    said = next((line for line, title in titles if MIDDLE in title), None)
    if said is None or len(tilts) < 2 or len(turns) != len(tilts) or not turns[0]:
        return []
    width = turns[0]
    last = tilts[0].tilt_deg + width * (len(tilts) - 1)
    even = all(abs(turn - width) <= EQUAL for turn in turns) and abs(tilts[-1].tilt_deg - last) <= EQUAL * len(tilts)
    if not even:
        return []
    how = f"{tilts[0].tilt_deg:g} is the middle of the exposure, as line {said} says"
    return [
        FieldStatement("oscillation.start_deg", round(tilts[0].tilt_deg - width / 2, 9), tilts[0].place, EQUAL, how),
        FieldStatement("oscillation.width_deg", width, tilts[0].place.replace("TiltAngle", "RotationDuringExposure")),
    ]
