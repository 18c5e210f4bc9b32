"""Single values in HDF5 with their units: a number that states none, where one is due, is no statement."""

import math
from contextlib import ExitStack

import h5py
import numpy as np
from numpy.typing import NDArray

from adapters.formats.vendors.confined_hdf5 import Item, follow

LENGTHS_MM = {"m": 1e3, "metre": 1e3, "meter": 1e3, "cm": 10.0, "mm": 1.0, "um": 1e-3, "micron": 1e-3, "µm": 1e-3}
ENERGIES_KEV = {"eV": 1e-3, "keV": 1.0, "V": 1e-3, "kV": 1.0}
ANGLES_DEG = {"deg": 1.0, "degree": 1.0, "degrees": 1.0, "rad": 180.0 / math.pi}
WAVELENGTHS_ANGSTROM = {"A": 1.0, "Å": 1.0, "angstrom": 1.0, "Angstrom": 1.0, "nm": 10.0, "pm": 0.01, "m": 1e10}
PIXELS = {"pixel": 1.0, "pixels": 1.0, "px": 1.0, "": 1.0}
"""The positions and counts that states no unit are in pixels and counts."""
NUMBERS_MOST = 20000
"""Of one array of settings: a number for each frame, as many as a rotation may have (`LARGEST_FILE_COUNT`)."""
TEXT_MOST = 200
"""Characters of a word. Chosen, not measured."""


def numbers(file: h5py.File, place: str, units: dict[str, float], opened: ExitStack) -> NDArray[np.float64] | None:
    """Return the finite numbers at `place` in the unit in which `units` counts; None if there are none."""
    item = follow(file, place, opened)
    if not isinstance(item, h5py.Dataset) or item.dtype.kind not in "uif" or not 0 < item.size <= NUMBERS_MOST:
        return None
    if item.is_virtual or item.external:
        return None
    factor = units.get(attribute_text(item, "units") or "")
    values = np.atleast_1d(np.asarray(item[()], dtype=np.float64)).ravel()
    return None if factor is None or not np.isfinite(values).all() else values * factor


def number(file: h5py.File, place: str, units: dict[str, float], opened: ExitStack) -> float | None:
    """Return the one number at `place`; None if there is none, or more than one."""
    found = numbers(file, place, units, opened)
    return float(f"{found[0]:.9g}") if found is not None and len(found) == 1 else None


def text(file: h5py.File, place: str, opened: ExitStack) -> str | None:
    """Return the one text at `place`, None if there is none."""
    item = follow(file, place, opened)
    if not isinstance(item, h5py.Dataset) or item.size != 1 or item.is_virtual or item.external:
        return None
    if item.dtype.kind not in "SO":
        return None
    return _text(np.asarray(item[()]).ravel()[0])


def attribute_text(item: Item, name: str) -> str | None:
    """Return an attribute that is a text, None if there is none."""
    value = item.attrs.get(name)
    return _text(value) if isinstance(value, str | bytes) else None


def attribute_number(item: Item, name: str) -> float | None:
    """Return an attribute that is one finite number, None if there is none."""
    value = np.asarray(item.attrs.get(name, np.nan))
    if value.size != 1 or value.dtype.kind not in "uifb":
        return None
    found = float(value.ravel()[0])
    return float(f"{found:.9g}") if math.isfinite(found) else None


def attribute_vector(item: Item, name: str) -> NDArray[np.float64] | None:
    """Return an attribute that is a direction, as a unit vector (3,); None if there is none."""
    value = np.asarray(item.attrs.get(name, ()))
    if value.size != 3 or value.dtype.kind not in "uif":
        return None
    length = float(np.linalg.norm(value))
    return value.ravel().astype(np.float64) / length if math.isfinite(length) and length > 0 else None


def _text(value: object) -> str | None:
    if isinstance(value, bytes):
        value = value.decode("utf-8", errors="replace")
    return value.strip("\0 ")[:TEXT_MOST] if isinstance(value, str) else None
