"""One alert, and how a figure beyond its limits becomes one."""

from collections.abc import Sequence
from typing import Literal, NamedTuple

from pydantic import Field

from tasks.model import Document
from tasks.refine.alerts.codes import CODES

AlertLevel = Literal["A", "B", "C"]
SHOWN = 6
"""Atoms or pairs that a text names, the worst first: as many as fit in a line of the report. Chosen, not measured."""


class Alert(Document):
    """Something in a structure to be looked at: A almost surely wrong, B probably, C worth a look."""

    code: str = Field(description="of our own scheme: `tasks.refine.alerts.codes`")
    level: AlertLevel
    text: str = Field(description="what was found, with the figure and its limit")
    advice: str = Field(description="what to do")
    explanation: str = Field(default="", description="why it may be so in a right structure; empty: nothing known")
    value: float | None = Field(default=None, description="the worst figure")
    limit: float | None = Field(default=None, description="of this level")


class Grades(NamedTuple):
    """Limits of one figure: beyond `c` an alert C, beyond `b` B, beyond `a` A; None: never that."""

    c: float | None = None
    b: float | None = None
    a: float | None = None
    least: bool = False
    """Whether the figure should be above its limits, not below."""

    def times(self, factor: float) -> "Grades":
        """Return the limits times a factor."""
        c, b, a = (None if limit is None else limit * factor for limit in (self.c, self.b, self.a))
        return self._replace(c=c, b=b, a=a)

    def level(self, value: float) -> tuple[AlertLevel, float] | None:
        """Return the worst level that a figure reaches, with its limit; None if it is in order."""
        steps: tuple[tuple[AlertLevel, float | None], ...] = (("A", self.a), ("B", self.b), ("C", self.c))
        for level, limit in steps:
            if limit is not None and (value < limit if self.least else value > limit):
                return level, limit
        return None


def raised(code: str, level: AlertLevel, text: str, *, value: float | None = None, limit: float | None = None) -> Alert:
    """Return an alert with the advice that belongs to its code."""
    return Alert(code=code, level=level, text=text, advice=CODES[code].advice, value=value, limit=limit)


def graded(code: str, value: float | None, grades: Grades, text: str) -> tuple[Alert, ...]:
    """Return the alert of one figure, none if it is in order or not known; `text` has fields `value` and `limit`."""
    if value is None or (found := grades.level(value)) is None:
        return ()
    level, limit = found
    return (raised(code, level, text.format(value=value, limit=limit), value=value, limit=limit),)


def listed(
    code: str, rows: Sequence[tuple[str, float]], grades: Grades, text: str, *, form: str = ".2f"
) -> tuple[Alert, ...]:
    """Return one alert for each level that some of the named figures reach, the worst of them named.

    Parameters
    ----------
    rows
        Names, of atoms or pairs, with their figures.
    text
        With the field `limit`; names and figures follow.
    """
    alerts = []
    for level in ("A", "B", "C"):
        reached = [
            (name, value, found[1])
            for name, value in rows
            if (found := grades.level(value)) is not None and found[0] == level
        ]
        if not reached:
            continue
        reached.sort(key=lambda row: row[1], reverse=not grades.least)
        names = ", ".join(f"{name} {value:{form}}" for name, value, _ in reached[:SHOWN])
        more = f" and {len(reached) - SHOWN} more" if len(reached) > SHOWN else ""
        _, worst, limit = reached[0]
        alerts.append(raised(code, level, f"{text.format(limit=limit)}: {names}{more}", value=worst, limit=limit))
    return tuple(alerts)
