"""Aperture files: HDF5 masks (written and read) and JSON polygons (read).

HDF5: attributes ``format`` = "apertura apertures" and ``version`` = 1 on the root, dataset ``tilt_deg`` (n_tilts,),
and per crystal a group ``crystal-01`` with ``masks`` (n_tilts, ny, nx), or (ny, nx) for all tilts, of 0 and 1. A file
with ``masks`` and ``tilt_deg`` on its root, as the pipeline writes for every crystal, is one crystal; the attributes
may be absent. Further attributes of the root, and ``name`` of a crystal's group, are notes: `read_aperture_notes`.

JSON::

    {"format": "apertura apertures", "version": 1, "scan_shape": [64, 64],
     "crystals": [{"id": "crystal-01",
                   "apertures": [{"tilt_deg": -60.0, "polygon": [[10, 12], [10, 20], [18, 20]]},
                                 {"tilt_deg": null, "mask": [[0, 1, 1], [0, 0, 1]]}]}]}

Of several scans at one tilt all have its aperture; an HDF5 file with as many masks as scans there gives each its own.

Polygon corners are (row, column), integers are the centres of positions; ``tilt_deg`` null stands for all tilts that
have no entry of their own; several polygons of one tilt are joined. The sides of a polygon do not cross.
"""

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, BinaryIO, Literal, NamedTuple

import h5py
import numpy as np
from numpy.typing import NDArray
from pydantic import Field, ValidationError
from skimage.draw import polygon2mask

from tasks.apertures.image_stack import write_stack
from tasks.apertures.packed import MaskStack
from tasks.apertures.polygons import crossing_sides
from tasks.model import Document, InputError

FORMAT = "apertura apertures"
TILT_TOLERANCE_DEG = 0.01
"""A drawn tilt so near to that of a scan is that scan's: one written to two decimals is off by 0.005 at most."""

CRYSTAL_ID = r"crystal-\d{2,}"

Masks = dict[str, NDArray[np.bool_]]


class DrawnAperture(Document):
    """One polygon or mask."""

    tilt_deg: float | None
    polygon: tuple[tuple[float, float], ...] | None = Field(default=None, min_length=3)
    mask: tuple[tuple[Annotated[int, Field(ge=0, le=1)], ...], ...] | None = None


class DrawnCrystal(Document):
    """All that was drawn for one crystal."""

    id: str = Field(pattern=f"^{CRYSTAL_ID}$")
    apertures: tuple[DrawnAperture, ...] = Field(min_length=1)


class DrawnApertures(Document):
    """A JSON aperture file."""

    format: Literal["apertura apertures"]
    version: Literal[1]
    scan_shape: tuple[int, int]
    crystals: tuple[DrawnCrystal, ...] = Field(min_length=1)


def read_apertures(
    path: Path, *, scan_shape: tuple[int, int], tilt_deg: Sequence[float], known_tilts: Sequence[float] = ()
) -> Masks:
    """Read an aperture file.

    Parameters
    ----------
    tilt_deg
        Tilts of the series, in order.
    known_tilts
        Further tilts that the file may name although the series has no usable scan there.

    Returns
    -------
    Crystal id -> masks (n_tilts, ny, nx); empty where the file names no aperture.

    Raises
    ------
    InputError
        If the file is unreadable, or a field, shape or tilt does not fit the series.
    """
    if not path.is_file():
        raise InputError(f"{path}: no such aperture file", "name an aperture file")
    reader = _read_hdf5 if h5py.is_hdf5(path) else _read_json
    masks = reader(path, scan_shape, np.asarray(tilt_deg, dtype=np.float64), np.asarray(known_tilts, dtype=np.float64))
    empty = [name for name, mask in masks.items() if not mask.any()]
    if empty:
        raise InputError(f"{path}: {empty[0]} holds no position at any tilt", "draw at least one position")
    return masks


class ApertureNotes(NamedTuple):
    """What an aperture file says beside its masks: texts about it, and what its crystals are called, by their ids."""

    texts: dict[str, str]
    names: dict[str, str]


def write_apertures(
    masks: Mapping[str, NDArray[np.bool_] | MaskStack],
    tilt_deg: Sequence[float],
    path: Path | BinaryIO,
    *,
    notes: ApertureNotes | None = None,
) -> None:
    """Write masks (n_tilts, ny, nx) per crystal; read back by `read_apertures`, the notes by `read_aperture_notes`."""
    texts, names = notes or ApertureNotes({}, {})
    with h5py.File(path, "w") as file:
        file.attrs["format"] = FORMAT
        file.attrs["version"] = 1
        file.attrs.update(texts)
        file["tilt_deg"] = np.asarray(tilt_deg, dtype=np.float64)
        for name, mask in masks.items():
            group = file.create_group(name)
            shape = mask.shape if isinstance(mask, np.ndarray) else (len(mask), *mask.scan_shape)
            write_stack(group, "masks", mask, shape, np.uint8)
            group.attrs.update({"name": names[name]} if name in names else {})


def read_aperture_notes(path: Path) -> ApertureNotes:
    """Return the notes of an HDF5 aperture file; none of a JSON file.

    Raises
    ------
    InputError
        If the file is there and not readable.
    """
    if not h5py.is_hdf5(path):
        return ApertureNotes({}, {})
    try:
        with h5py.File(path, "r") as file:
            texts = {key: value for key, value in file.attrs.items() if isinstance(value, str) and key != "format"}
            named = {key: file[key].attrs.get("name") for key in file}
    except (OSError, RuntimeError, KeyError, ValueError, TypeError) as error:  # as in `_read_hdf5`
        raise InputError(f"{path}: not a readable HDF5 file: {error}", "name an aperture file") from error
    return ApertureNotes(texts, {key: value for key, value in named.items() if isinstance(value, str)})


def _read_hdf5(
    path: Path, scan_shape: tuple[int, int], tilt_deg: NDArray[np.float64], known: NDArray[np.float64]
) -> Masks:
    try:
        with h5py.File(path, "r") as file:
            if file.attrs.get("format", FORMAT) != FORMAT or file.attrs.get("version", 1) != 1:
                raise InputError(f"{path}: format, version: not {FORMAT!r}, 1", "give an aperture file")
            names = [name for name in file if isinstance(file[name], h5py.Group)]
            drawn = {name: np.asarray(file[name]["masks"]) for name in names if "masks" in file[name]}
            if isinstance(file.get("masks"), h5py.Dataset):
                drawn[path.stem if re.fullmatch(CRYSTAL_ID, path.stem) else "crystal-01"] = np.asarray(file["masks"])
            tilts = np.asarray(file["tilt_deg"], dtype=np.float64) if "tilt_deg" in file else None
    except (OSError, RuntimeError, KeyError, ValueError, TypeError) as error:  # whatever h5py says of damaged links
        raise InputError(f"{path}: not a readable HDF5 file: {error}", "name an aperture file") from error
    if not drawn:
        raise InputError(f"{path}: no dataset masks, nor a group crystal-NN with one", "write one group per crystal")
    return {name: _fit(path, name, mask, scan_shape, tilts, tilt_deg, known) for name, mask in sorted(drawn.items())}


def _fit(
    path: Path,
    name: str,
    mask: NDArray[np.generic],
    scan_shape: tuple[int, int],
    tilts: NDArray[np.float64] | None,
    tilt_deg: NDArray[np.float64],
    known: NDArray[np.float64],
) -> NDArray[np.bool_]:
    field = f"{path}: {name}/masks"
    if mask.ndim not in (2, 3) or mask.shape[-2:] != scan_shape:
        raise InputError(f"{field} has the shape {mask.shape}, the scan is {scan_shape}", "redraw the aperture")
    if not np.isin(mask, (0, 1)).all():
        raise InputError(f"{field} holds values other than 0 and 1", "write a boolean mask")
    if mask.ndim == 2:
        return np.repeat(mask[None].astype(bool), len(tilt_deg), axis=0)
    if tilts is None or tilts.shape != (len(mask),):
        raise InputError(f"{path}: tilt_deg does not give one tilt for each of {len(mask)} masks", "add tilt_deg")
    out = np.zeros((len(tilt_deg), *scan_shape), dtype=bool)
    given: dict[tuple[int, ...], list[NDArray[np.bool_]]] = {}
    for tilt, one in zip(tilts, mask, strict=True):
        scans = _scans_at(float(tilt), f"{path}: tilt_deg", tilt_deg, known)
        given.setdefault(scans, []).append(one.astype(bool))
    for scans, masks in given.items():
        if len(scans) > 1 and len(masks) not in (1, len(scans)):
            raise InputError(
                f"{path}: tilt_deg: {len(masks)} masks at {tilt_deg[scans[0]]:g} for {len(scans)} scans",
                "give one mask for all repeats of a tilt, or one for each",
            )
        for number, scan in enumerate(scans):
            out[scan] = masks[number] if len(masks) == len(scans) else np.any(masks, axis=0)
    return out


def _scans_at(tilt: float, field: str, tilt_deg: NDArray[np.float64], known: NDArray[np.float64]) -> tuple[int, ...]:
    """Return the scans of the series at the tilt that a file names, several where a tilt was repeated; none if lost."""
    distance = np.abs(tilt_deg - tilt)
    if distance.size and distance.min() <= TILT_TOLERANCE_DEG:
        return tuple(np.flatnonzero(tilt_deg == tilt_deg[np.argmin(distance)]).tolist())
    if known.size and np.abs(known - tilt).min() <= TILT_TOLERANCE_DEG:
        return ()
    raise InputError(f"{field}: {tilt:g} is not a tilt of the series", "the file is for other tilts: correct it")


def _read_json(
    path: Path, scan_shape: tuple[int, int], tilt_deg: NDArray[np.float64], known: NDArray[np.float64]
) -> Masks:
    try:
        drawn = DrawnApertures.model_validate(json.loads(path.read_text(encoding="utf-8")))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise InputError(f"{path}: {where}: {first['msg']}", "its format: tasks/apertures/aperture_file.py") from error
    except (ValueError, OSError) as error:
        raise InputError(f"{path}: neither HDF5 nor JSON: {error}", "name an aperture file") from error
    if drawn.scan_shape != scan_shape:
        raise InputError(f"{path}: scan_shape is {drawn.scan_shape}, the scan is {scan_shape}", "redraw the apertures")
    if len({crystal.id for crystal in drawn.crystals}) < len(drawn.crystals):
        raise InputError(f"{path}: crystals: an id occurs twice", "give every crystal its own id")
    return {crystal.id: _draw(path, crystal, scan_shape, tilt_deg, known) for crystal in drawn.crystals}


def _draw(
    path: Path,
    crystal: DrawnCrystal,
    scan_shape: tuple[int, int],
    tilt_deg: NDArray[np.float64],
    known: NDArray[np.float64],
) -> NDArray[np.bool_]:
    own = np.zeros((len(tilt_deg), *scan_shape), dtype=bool)
    named = np.zeros(len(tilt_deg), dtype=bool)
    general = np.zeros(scan_shape, dtype=bool)
    for number, aperture in enumerate(crystal.apertures):
        field = f"{path}: {crystal.id}.apertures.{number}"
        mask = _area(aperture, scan_shape, field)
        if aperture.tilt_deg is None:
            general |= mask
            continue
        for index in _scans_at(aperture.tilt_deg, f"{field}.tilt_deg", tilt_deg, known):
            own[index] |= mask
            named[index] = True
    own[~named] = general
    return own


def _area(aperture: DrawnAperture, scan_shape: tuple[int, int], field: str) -> NDArray[np.bool_]:
    if (aperture.polygon is None) == (aperture.mask is None):
        raise InputError(f"{field}: give a polygon or a mask", "one of the two, not both")
    if aperture.polygon is not None:
        corners = np.array(aperture.polygon)
        if not np.all((corners > -1) & (corners < np.array(scan_shape))):
            raise InputError(f"{field}.polygon leaves the scan {scan_shape}", "corners are (row, column) from 0")
        if (sides := crossing_sides(corners)) is not None:
            first, second = ("({:.4g}, {:.4g})".format(*corners[side]) for side in sides)
            raise InputError(
                f"{field}.polygon crosses itself: its sides from {first} and from {second}",
                "give the corners in order around the region",
            )
        return np.asarray(polygon2mask(scan_shape, corners), dtype=bool)
    rows = aperture.mask or ()
    if len(rows) != scan_shape[0] or any(len(row) != scan_shape[1] for row in rows):
        raise InputError(f"{field}.mask has not the shape {scan_shape} of the scan", "one 0 or 1 per position")
    return np.array(rows, dtype=bool)
