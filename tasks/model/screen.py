"""A document as text that fits on a screen: what a notebook shows of a result."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel

WIDTH = 100
"""Characters of a line: what a notebook's output cell and half a wide terminal hold."""

LINES = 25
"""Lines of one document: a terminal of 30 lines, less the prompt and what was typed."""

VALUE_WIDTH = 80
"""Characters of one value, so that its name stands on the line with it."""


def on_a_screen(document: BaseModel) -> str:
    """Return the fields of a document, packed into at most 25 lines.

    Floats have six digits, texts and inner documents are cut to a line, of longer sequences the length is said;
    fields that are None or empty are left out.
    """
    name = type(document).__name__
    fields = _fields(document)
    if len(whole := f"{name}({', '.join(fields)})") <= WIDTH:
        return whole
    lines = _packed(fields)
    if len(lines) > LINES - 2:
        lines = [*lines[: LINES - 3], "  ..."]
    return "\n".join([f"{name}(", *lines, ")"])


def brief(value: Any) -> str:
    """Return one value as text of at most `VALUE_WIDTH` characters."""
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, Path):
        return _cut(str(value))
    if isinstance(value, BaseModel):
        return _inner(value)
    if isinstance(value, Mapping):
        return _joined("{", (f"{key}: {brief(item)}" for key, item in value.items()), "}", len(value))
    if isinstance(value, tuple | list):
        return _sequence(value)
    return _cut(repr(value))


def _fields(document: BaseModel) -> list[str]:
    values = ((name, getattr(document, name)) for name in type(document).model_fields)
    return [f"{name}={brief(value)}" for name, value in values if value is not None and value not in ((), {}, [], "")]


def _inner(document: BaseModel) -> str:
    name = type(document).__name__
    if set(type(document).model_fields) == {"path", "sha256"}:  # a file: where it lies says which it is
        return f"{name}({Path(str(getattr(document, 'path', ''))).name})"
    return _joined(f"{name}(", iter(_fields(document)), ")", None)


def _sequence(values: tuple[Any, ...] | list[Any]) -> str:
    if len(values) > 1 and all(isinstance(value, BaseModel) for value in values):
        kinds = sorted({type(value).__name__ for value in values})
        return f"({len(values)} of {' or '.join(kinds)})"
    return _joined("(", (brief(value) for value in values), ",)" if len(values) == 1 else ")", len(values))


def _joined(begin: str, parts: Iterable[str], end: str, number: int | None) -> str:
    """Return as many of the parts as fit; `number` is how many there are, where that is to be said."""
    rest = ", ..." if number is None else ""
    if number is not None and number > 1:
        rest = f", ... {number} in all"
    text = begin
    for part in parts:
        longer = begin + part if text == begin else f"{text}, {part}"
        if len(longer) + len(rest) + len(end) > VALUE_WIDTH:
            first = _cut(part, VALUE_WIDTH - len(begin) - len(rest) - len(end))
            return (begin + first if text == begin else text) + rest + end
        text = longer
    return text + end


def _cut(text: str, width: int = VALUE_WIDTH) -> str:
    return text if len(text) <= width else f"{text[: width - 4]} ..."


def _packed(fields: list[str]) -> list[str]:
    lines: list[str] = []
    for field in fields:
        if lines and len(lines[-1]) + len(field) + 3 <= WIDTH:
            lines[-1] += f" {field},"
        else:
            lines.append(f"  {field},")
    return lines
