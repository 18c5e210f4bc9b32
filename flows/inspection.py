"""`apertura inspect` for people: one screen of text."""

import textwrap
from collections.abc import Iterable, Mapping
from pathlib import Path

from pydantic import JsonValue

from adapters.formats.file_format import Inspection

KINDS = {
    "frames": "frames of diffraction patterns",
    "scan": "4D-STEM scan",
    "reflections": "reflections",
    "structure": "crystal structure",
    "manifest": "what a manifest says of a series",
    "unknown": "nothing that is known here",
}
HOW = {
    "cell": "--cell a,b,c,alpha,beta,gamma",
    "composition": '--composition "C19 H22 N2 O", in any multiple',
    "wavelength": "--energy-kev; of electrons 200 keV are assumed",
    "block": "--block NAME, one of those above",
    "manifest": "`apertura manifest FOLDER` drafts one from what the files and logs state",
}
"""How `apertura solve` or `run` is told what a file lacks."""
UNITS = {
    "angstrom": "A", "kev": "keV", "mm": "mm", "deg": "deg", "px": "px", "nm": "nm", "mrad": "mrad", "s": "s",
    "e_per_A2": "e/A^2",
}  # fmt: skip
"""Units as names of facts end in them, and how they are shown behind the value."""
LABELS = {"d_min_angstrom": "resolution_angstrom", "reflections": "taken_from"}
"""Facts that people call something else."""
WIDTH = 100
"""Characters of a line. Chosen, not measured: a terminal, or a window beside another."""
NAME_WIDTH = 30
"""Characters of a name before its value stands on a line of its own. Chosen, not measured: a third of the line."""
ROWS_SHOWN = 40
"""Facts that are shown; others, and those that are paths within an HDF5 file, are counted. Chosen, not measured: a
screen with what is lacking; --json has them all."""
SENTENCE = 40
"""Characters from which a text in a list has a line of its own. Chosen, not measured: longer than any name."""
LIST_SHOWN = 12
"""Values of a list that are shown, the others counted. Chosen, not measured: a line or two; --json has them all."""


def inspect(path: Path, *, as_json: bool) -> tuple[str, str | None]:
    """Return what a file is, as text or JSON; and what to do about it where it is none that is known, else None.

    Raises
    ------
    SourceError
        If there is no such file, or it is damaged.
    """
    from adapters.formats.inspect_file import inspect_file

    found = inspect_file(path)
    text = found.model_dump_json(indent=1) if as_json else inspection_text(found)
    return text, advice(found) if found.kind == "unknown" else None


def inspection_text(found: Inspection) -> str:
    """Return what a file is, holds and lacks, as one screen."""
    head = f"{found.file}: {found.format}" if found.format != "unknown" else f"{found.file}: unknown format"
    plain = {name: value for name, value in found.metadata.items() if "/" not in name}
    rows = [("holds", _holding(found)), *_facts(plain)]
    hidden = max(len(rows) - ROWS_SHOWN, 0) + len(found.metadata) - len(plain)
    rows = rows[:ROWS_SHOWN]
    margin = min(NAME_WIDTH, max(len(name) for name, _ in rows)) + 4
    lines = [head, *(line for name, value in rows for line in _row(name, value, margin))]
    if hidden:
        lines.append(f"  and {hidden} facts more: --json")
    if found.lacks:
        lines += ["  lacks", *(_lack(what, found) for what in found.lacks)]
    return "\n".join(_line(line) for line in lines)


def _row(name: str, value: str, margin: int) -> Iterable[str]:
    """Yield a name with its value beside it, below it where the name is long."""
    texts = textwrap.wrap(value, WIDTH - margin) or [""]
    if len(name) > NAME_WIDTH:
        yield f"  {name}"
    else:
        yield f"  {name:<{margin - 4}}  {texts.pop(0)}".rstrip()
    yield from (" " * margin + text for text in texts)


def _line(text: str) -> str:
    """Return a line that is not too long, without what a file could tell a terminal to do."""
    plain = "".join(char if char.isprintable() else "?" for char in text)
    return plain if len(plain) <= WIDTH else f"{plain[: WIDTH - 3]}..."


def advice(found: Inspection) -> str:
    """Return what to do about something that is not known."""
    if found.format == "folder":
        return HOW["manifest"]
    if found.format != "unknown":
        return f"a {found.format} file without {' or '.join(found.lacks)}: give the one that holds them"
    return "the table in adapters/README.md lists the formats that are read; export the data in one of them"


def _holding(found: Inspection) -> str:
    text = KINDS[found.kind]
    if found.format == "folder":
        text = "files without a manifest"
    elif found.format == "source folder":
        text = "a series with its manifest, for `apertura run`"
    elif found.kind == "reflections" and any(what.startswith("reflections") for what in found.lacks):
        text = "what describes reflections, but not the reflections"
    if found.shape:
        text += f", {' x '.join(map(str, found.shape))}"
    return text if found.dtype is None else f"{text}, {found.dtype}"


def _facts(metadata: Mapping[str, JsonValue], indent: str = "") -> Iterable[tuple[str, str]]:
    for name, value in metadata.items():
        plain, unit = _unit(LABELS.get(name, name))
        label = indent + plain.replace("_", " ")
        if isinstance(value, dict):
            yield label, ""
            yield from _facts(value, f"{indent}  ")
        elif isinstance(value, list) and any(isinstance(item, str) and len(item) > SENTENCE for item in value):
            yield from ((label if number == 0 else "", str(item)) for number, item in enumerate(value))
        else:
            yield label, f"{_value(value)} {unit}".rstrip()


def _unit(name: str) -> tuple[str, str]:
    """Return the name without its unit, and the unit as it is shown."""
    if name == "unit_cell":
        return name, "(A, deg)"
    if name.endswith("_per_px"):
        return name, ""
    for end, unit in UNITS.items():
        if name.endswith(f"_{end}"):
            return name.removesuffix(f"_{end}"), unit
    return name, ""


def _value(value: JsonValue) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.8g}"
    if isinstance(value, list):
        shown = ", ".join(map(_value, value[:LIST_SHOWN]))
        return shown if len(value) <= LIST_SHOWN else f"{shown} and {len(value) - LIST_SHOWN} more"
    return str(value)


def _lack(what: str, found: Inspection) -> str:
    how = HOW.get(what) if found.kind == "reflections" or what == "manifest" else None
    if what == "wavelength" and found.metadata.get("radiation") == "xray":
        how = "--energy-kev of the photons"
    return f"    {what}: {how}" if how else f"    {what}"
