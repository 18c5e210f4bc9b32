"""SerialEM's ``.mdoc``: a head, then one section for each image.

Source: SerialEM's help, "The .mdoc Metadata File". Sections are ``[ZValue = n]`` for a stack, ``[FrameSet = n]`` beside
a file of frames and ``[Image = name]`` for single files. The rotation of the tilt axis in it is that of the imaging
camera, from the vertical of the image, and its sense in other images is not said: it is told, not taken. ``TiltAngle``
is the stage's alpha when the image was taken. ``PixelSpacing`` is a length in the specimen, or nothing, in diffraction.
"""

import re
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

from adapters.formats.drafts.mdoc_titles import oscillation_statements, title_statements
from adapters.formats.drafts.statements import (
    FRAME_COUNT,
    FieldStatement,
    ListedTilt,
    StatedFile,
    lines_of,
    numbers,
    read_text,
)

FORMAT = "SerialEM mdoc"
SECTIONS = ("ZValue", "FrameSet", "Image")


class MdocSection(NamedTuple):
    """The lines of one image; the head is the first, without a name."""

    line: int
    kind: str
    name: str
    values: dict[str, tuple[int, str]]


def is_mdoc(path: Path, begin: bytes) -> bool:
    """Tell an mdoc by its name, or a section of it."""
    return path.suffix.lower() == ".mdoc" or (
        path.suffix.lower() in {".txt", ".idoc"} and b"[ZValue =" in begin and b"TiltAngle =" in begin
    )


def read_mdoc(path: Path) -> StatedFile:
    """Return what an mdoc states.

    Raises
    ------
    SourceError
        If it cannot be read.
    """
    text = read_text(path)
    head, *sections = _sections(text)
    statements: list[FieldStatement] = []
    remarks: list[str] = []
    voltage = _first(head, sections, "Voltage")
    if voltage and (found := numbers(voltage[1])) and found[0][0] > 1:
        statements.append(FieldStatement("beam.energy_kev", found[0][0], f"line {voltage[0]}, Voltage", found[0][1]))
    size = _first(head, sections, "ImageSize")
    if size and len(found := numbers(size[1])) >= 2 and found[0][0] >= 1 and found[1][0] >= 1:
        shape = (int(found[1][0]), int(found[0][0]))
        statements.append(FieldStatement("detector.shape_px", shape, f"line {size[0]}, ImageSize"))
    if len(sections) > 1:
        statements.append(FieldStatement(FRAME_COUNT, len(sections), f"[{sections[-1].kind} = {sections[-1].name}]"))
    remarks += _told(text, head, sections)
    tilts = _tilts(path, sections)
    titles = [(number, line) for number, line in enumerate(lines_of(text), 1) if line.lstrip().startswith("[T =")]
    statements += title_statements(titles)
    turned = oscillation_statements(titles, tilts, _turns(sections))
    statements += turned
    image = head.values.get("ImageFile")
    names = tuple(dict.fromkeys([*([_base(image[1])] if image else []), *(tilt.file for tilt in tilts if tilt.file)]))
    return StatedFile(
        path, FORMAT, tuple(statements), tuple(remarks), names, tuple(tilts), () if turned else _turning(tilts)
    )


def _sections(text: str) -> list[MdocSection]:
    found = [MdocSection(1, "", "", {})]
    for number, line in enumerate(lines_of(text), 1):
        if match := re.match(r"\s*\[\s*(\w+)\s*=\s*(.*?)\s*\]\s*$", line):
            if match[1] in SECTIONS:
                found.append(MdocSection(number, match[1], match[2], {}))
        elif match := re.match(r"\s*([A-Za-z]\w*)\s*=\s*(.*?)\s*$", line):
            found[-1].values.setdefault(match[1], (number, match[2]))
    return found


def _first(head: MdocSection, sections: list[MdocSection], name: str) -> tuple[int, str] | None:
    return next((section.values[name] for section in (head, *sections[:1]) if name in section.values), None)


def _told(text: str, head: MdocSection, sections: list[MdocSection]) -> list[str]:
    """Return what is no field of a manifest, or cannot be taken for one."""
    remarks = []
    axis = re.search(r"Tilt axis angle\s*=\s*([-+]?[\d.]+)", text)
    if axis:
        line = text.count("\n", 0, axis.start()) + 1
        remarks.append(
            f"line {line}, Tilt axis angle: {axis[1]} degrees from the vertical of the imaging camera; its place and "
            "sense in these frames are not said"
        )
    if length := _first(head, sections, "CameraLength"):
        remarks.append(f"line {length[0]}, CameraLength: {length[1]}: what the microscope shows, not a calibration")
    if electrons := _first(head, sections, "CountsPerElectron"):
        remarks.append(
            f"line {electrons[0]}, CountsPerElectron: {electrons[1]}: of SerialEM's camera; whether these frames are "
            "in its counts is not said"
        )
    return remarks


def _tilts(path: Path, sections: list[MdocSection]) -> list[ListedTilt]:
    """Return the tilts of the sections that state one, with the file that each is of, if it names one."""
    found = []
    for section in sections:
        angle = section.values.get("TiltAngle")
        if angle is None or not (value := numbers(angle[1])):
            continue
        named = section.values.get("SubFramePath", (0, ""))[1] or (section.name if section.kind == "Image" else "")
        if not named and (section.kind == "FrameSet" or len(sections) == 1):
            named = path.stem
        dose = numbers(section.values.get("ExposureDose", (0, ""))[1])
        electrons = dose[0][0] if dose and dose[0][0] > 0 else None
        found.append(ListedTilt(_base(named), value[0][0], f"line {angle[0]}, TiltAngle", electrons))
    return found


def _turns(sections: list[MdocSection]) -> list[float]:
    """Return the turn of each image during its exposure, in degrees, where it is stated."""
    stated = (section.values.get("RotationDuringExposure") for section in sections)
    return [found[0][0] for one in stated if one is not None and (found := numbers(one[1]))]


def _base(name: str) -> str:
    return re.split(r"[\\/]", name.strip())[-1] if name.strip() else ""


def _turning(tilts: list[ListedTilt]) -> tuple[str, ...]:
    """Return what the tilts say of a rotation, and what they do not."""
    steps = [following.tilt_deg - tilt.tilt_deg for tilt, following in pairwise(tilts)]
    if not steps:
        return ()
    mean = sum(steps) / len(steps)
    first = f"{tilts[0].place}: {tilts[0].tilt_deg:g} degrees"
    uneven = max(abs(step - mean) for step in steps)
    if not mean or uneven > 0.1 * abs(mean):
        return (f"{first}; the steps between the images differ by up to {uneven:.3g} degrees",)
    told = (
        f"{first}, then {mean:.5g} for each image; whether the stage turned during the exposures, and at which of "
        "their ends it was read, is not said"
    )
    return (told,)
