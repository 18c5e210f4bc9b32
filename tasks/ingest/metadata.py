"""What the operator and the files say, as bounded texts for the provenance; never interpreted."""

import json
from collections.abc import Mapping, Sequence

from pydantic import JsonValue

TEXT_MAX = 500
"""Characters of a text. Chosen, not measured: a sentence or two of an operator; with ITEMS_MAX the notes take 150 kB of
the provenance at most."""
ITEMS_MAX = 300
"""Texts of one kind. Chosen, not measured: see TEXT_MAX."""


def note_texts(notes: Mapping[str, JsonValue]) -> dict[str, str]:
    """Return the manifest's notes as texts, at most 300 of 500 characters."""
    items = list(notes.items())[:ITEMS_MAX]
    return {f"notes/{key[:TEXT_MAX]}": _short(value) for key, value in items}


def common_texts(texts: Sequence[Mapping[str, str]]) -> dict[str, str]:
    """Return what the scans' files say: the value that all share, or how many different values there are."""
    found: dict[str, str] = {}
    for key in sorted({key for text in texts for key in text})[:ITEMS_MAX]:
        values = {text.get(key) for text in texts}
        first = next(text[key] for text in texts if key in text)
        found[f"hdf5{key}"] = first if len(values) == 1 else f"{len(values)} different values, the first: {first}"
    return found


def _short(value: JsonValue) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= TEXT_MAX else text[: TEXT_MAX - 3] + "..."
