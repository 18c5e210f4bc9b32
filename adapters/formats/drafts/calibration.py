"""Statements that follow from others: camera length from a scale, the first frame's angle, one sense of rotation."""

from pathlib import Path

from adapters.formats.drafts.agreement import FieldChoice, NamedStatement
from adapters.formats.drafts.statements import SCALE, FieldStatement, StatedFile, significant
from tasks.model import Beam

START, WIDTH = "oscillation.start_deg", "oscillation.width_deg"


def camera_lengths(root: Path, files: list[StatedFile], choices: dict[str, FieldChoice]) -> list[NamedStatement]:
    """Return pixel size / (scale * wavelength) for every scale in reciprocal angstrom per pixel that is stated.

    Pixel size and wavelength are those that were chosen; nothing where they are open.
    """
    energy, pixel = choices["beam.energy_kev"], choices["detector.pixel_size_mm"]
    if not isinstance(energy.value, int | float) or not isinstance(pixel.value, int | float):
        return []
    wavelength = Beam(energy_kev=energy.value).wavelength_angstrom if 1 < energy.value <= 3000 else 0.0
    found = []
    for stated in files:
        for statement in stated.statements:
            if statement.field != SCALE or not isinstance(statement.value, float) or not wavelength:
                continue
            if pixel.value <= 0:
                continue
            length = pixel.value / (statement.value * wavelength)
            relative = statement.rounding / statement.value + pixel.origins[0].statement.rounding / pixel.value
            how = f"{pixel.value:.6g} mm / ({statement.value:.6g} per angstrom * {wavelength:.6g} A)"
            name = stated.path.relative_to(root).as_posix()
            made = FieldStatement(
                "detector.camera_length_mm", significant(length), statement.place, relative * length, how
            )
            found.append(NamedStatement(made, name))
    return found


def started(
    named: list[NamedStatement], files: list[StatedFile], root: Path, first: int | None
) -> list[NamedStatement]:
    """Return the starts with those of another frame moved to the first one, by the width in the same file.

    A start whose file states no width stays out if it is of another frame.
    """
    widths = {
        stated.path.relative_to(root).as_posix(): statement
        for stated in files
        for statement in stated.statements
        if statement.field == WIDTH
    }
    found = []
    for one in named:
        frame, start = one.statement.of_frame, one.statement.value
        if frame is None or first is None or frame == first or not isinstance(start, int | float):
            found.append(one)
            continue
        width = widths.get(one.file)
        if width is None or not isinstance(width.value, int | float):
            continue
        steps = first - frame
        moved = one.statement._replace(
            value=significant(start + steps * width.value),
            rounding=one.statement.rounding + abs(steps) * width.rounding,
            how=f"{start:g} of frame {frame}, moved to frame {first}",
        )
        found.append(one._replace(statement=moved))
    return found


def turned_alike(files: list[StatedFile]) -> list[StatedFile]:
    """Return the files with one sense of rotation, where some state a negative width and others a positive one.

    A rotation by -a about an axis is one by a about the opposite axis; Instamatic's log has the first, its XDS.INP the
    second. It leaves the angle of the start as it is, which gives XDS another zero: such a start is taken out, told.
    """
    senses = {width > 0 for stated in files if (width := _number(stated, WIDTH))}
    if len(senses) < 2:
        return files
    turned = [_forwards(stated) for stated in files]
    kept = {_number(stated, START) for stated, new in zip(files, turned, strict=True) if new is not stated} - {None}
    return [
        stated if stated not in files or _number(stated, START) not in kept else _without_start(stated)
        for stated in turned
    ]


def _number(stated: StatedFile, field: str) -> float | None:
    found = next((statement.value for statement in stated.statements if statement.field == field), None)
    return float(found) if isinstance(found, int | float) else None


def _forwards(stated: StatedFile) -> StatedFile:
    width = _number(stated, WIDTH)
    if width is None or width > 0 or "rotation_axis" not in {one.field for one in stated.statements}:
        return stated
    return stated._replace(statements=tuple(_opposite(statement) for statement in stated.statements))


def _without_start(stated: StatedFile) -> StatedFile:
    start = next(one for one in stated.statements if one.field == START)
    told = f"{start.place}: the angle of the stage, while its axis is turned round: it counts from another zero"
    left = tuple(one for one in stated.statements if one.field != START)
    return stated._replace(statements=left, remarks=(*stated.remarks, told))


def _opposite(statement: FieldStatement) -> FieldStatement:
    value = statement.value
    how = f"{statement.how}; " if statement.how else ""
    if statement.field in {WIDTH, START} and isinstance(value, int | float):
        return statement._replace(value=-value + 0.0, how=f"{how}turning about the opposite axis")
    if statement.field == "rotation_axis" and isinstance(value, tuple):
        return statement._replace(value=tuple(-part + 0.0 for part in value), how=f"{how}turned round")
    return statement
