"""Do several files say the same of a field? If so, the most precise is believed; if not, none is."""

import math
from typing import NamedTuple

from adapters.formats.drafts.statements import FieldStatement, Value

BEAM_AGREES_PX = 1.0
"""Programs count pixels from their centre, their corner, 0 or 1. A manifest's beam position is a starting value."""
AXIS_AGREES = 1e-4
"""Of components of a unit vector, beside their rounding: they are scaled to length 1 after being rounded."""
CALIBRATION_AGREES = 1e-3
"""Of a camera length, over itself, beside its rounding: programs calculate it with wavelengths of three digits. Chosen,
not measured; a calibration is worse than that."""


class NamedStatement(NamedTuple):
    """A statement, and the file it stands in."""

    statement: FieldStatement
    file: str

    @property
    def origin(self) -> str:
        """File, place, and what was done to what is written there."""
        how = f" ({self.statement.how})" if self.statement.how else ""
        return f"{self.file}, {self.statement.place}{how}"


class FieldChoice(NamedTuple):
    """What is known of a field."""

    value: Value | None
    origins: tuple[NamedStatement, ...]
    """The statement that is believed, then those that agree with it."""
    contradictions: tuple[str, ...] = ()


def choose(field: str, stated: list[NamedStatement]) -> FieldChoice:
    """Return the most precise of the statements of a field if all the others agree with it; else nothing."""
    if not stated:
        return FieldChoice(None, ())
    ranked = sorted(stated, key=lambda one: one.statement.rounding)
    best, *others = ranked
    against = [other for other in others if not _agree(best.statement, other.statement)]
    if against:
        told = tuple(
            f"{field}: {shown(best.statement.value)} in {best.origin}, but {shown(other.statement.value)} in "
            f"{other.origin}: {_difference(field, best.statement.value, other.statement.value)}"
            for other in against
        )
        return FieldChoice(None, (), told)
    return FieldChoice(best.statement.value, tuple(ranked))


def shown(value: object) -> str:
    """Return a value as it is printed."""
    if isinstance(value, float):
        return f"{value:.9g}"
    if isinstance(value, tuple | list):
        return "[" + ", ".join(shown(part) for part in value) + "]"
    return str(value)


def _agree(one: FieldStatement, other: FieldStatement) -> bool:
    first, second = one.value, other.value
    if isinstance(first, tuple) and isinstance(second, tuple):
        if len(first) != len(second):
            return False
        slack = one.rounding + other.rounding
        slack = max(slack, BEAM_AGREES_PX) if one.field == "detector.direct_beam_px" else slack
        slack += AXIS_AGREES if one.field in {"rotation_axis", "tilt_axis"} else 1e-6
        return max(abs(a - b) for a, b in zip(first, second, strict=True)) <= slack
    if isinstance(first, str) or isinstance(second, str) or isinstance(first, tuple) or isinstance(second, tuple):
        return first == second
    slack = one.rounding + other.rounding + 1e-6 * max(abs(first), abs(second))
    if one.field == "detector.camera_length_mm":
        slack += CALIBRATION_AGREES * abs(first)
    return abs(first - second) <= slack


def _difference(field: str, one: Value, other: Value) -> str:
    """Return by how much two values differ: of axes the angle, of numbers also in percent unless they are angles."""
    if isinstance(one, tuple) and isinstance(other, tuple) and len(one) == len(other):
        if len(one) == 3:
            cosine = sum(a * b for a, b in zip(one, other, strict=True))
            angle = math.degrees(math.acos(max(-1.0, min(1.0, cosine))))
            return f"{angle:.3g} degrees apart" + (", the sense is turned round" if angle > 90 else "")
        return f"up to {max(abs(a - b) for a, b in zip(one, other, strict=True)):.4g} apart"
    if isinstance(one, int | float) and isinstance(other, int | float):
        apart = abs(one - other)
        if field.endswith("_deg"):
            return f"{apart:.4g} degrees apart"
        return f"{apart:.4g} apart" + (f" ({100 * apart / abs(one):.2g} %)" if one else "")
    return "not the same"
