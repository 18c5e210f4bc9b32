"""What an HDF5 file says about itself, as a bounded list of short texts; nothing is interpreted."""

from collections.abc import Iterable

import h5py
import numpy as np

ITEMS_MAX = 200
"""Entries kept of one file, 80 kB with their names: they go into a document, which a hostile file must not fill.
Chosen, not measured."""
TEXT_MAX = 200
"""Characters of one name or value. Chosen, not measured: a line or two to read; longer ones are cut with dots."""
VALUES_MAX = 16
"""Numbers shown of one array: a 4 x 4 matrix. Larger ones are data, of which type and shape are said."""


def summarise(file: h5py.File, places: Iterable[str]) -> dict[str, str]:
    """Return attributes and small datasets below some groups, by path; larger datasets by type and shape.

    Only hard links are followed, each object is visited once, and at most 200 items of 200 characters are kept.
    """
    found: dict[str, str] = {}

    def visit(name: str, item: h5py.Group | h5py.Dataset) -> bool | None:
        for key in item.attrs:
            _keep(found, f"{name}@{key}", item.attrs.get(key))
        if isinstance(item, h5py.Dataset):
            small = item.size is not None and item.size <= VALUES_MAX and not (item.is_virtual or item.external)
            _keep(found, name, item[()] if small else f"{item.dtype} {item.shape}")
        return True if len(found) >= ITEMS_MAX else None  # True ends the walk

    for place in places:
        if not isinstance(file.get(place, getlink=True), h5py.HardLink):
            continue
        root = file[place]
        visit(f"/{place}", root)
        if isinstance(root, h5py.Group):
            root.visititems(lambda name, item, place=place: visit(f"/{place}/{name}", item))
    return found


def _keep(found: dict[str, str], name: str, value: object) -> None:
    if len(found) >= ITEMS_MAX:
        return
    text = value.decode("utf-8", "replace") if isinstance(value, bytes) else _text(value)
    clean = "".join(char if char.isprintable() else " " for char in text)
    found[name[:TEXT_MAX]] = clean if len(clean) <= TEXT_MAX else clean[: TEXT_MAX - 3] + "..."


def _text(value: object) -> str:
    if isinstance(value, np.ndarray):
        parts = [item.decode("utf-8", "replace") if isinstance(item, bytes) else str(item) for item in value.flat]
        return " ".join(parts[:VALUES_MAX])
    return str(value)
