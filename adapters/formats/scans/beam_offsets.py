"""Offsets of the direct beam that lie beside scans: ``NAME_offsets.emd``, as notebooks for the 4D Camera write them.

Source: ``vacuum_scan_prepare.ipynb`` and ``vacuum_scan_subtract.ipynb`` (OpenChemistry distiller and stempy), and
``stempy.contrib``. An EMD file of ncempy with one array (2, rows, columns): the centre of mass of each pattern of a
scan without specimen, flyback dropped, along the detector's fast axis first and then along its slow axis
(`com_sparse`). ``NAME_centered.h5`` is a scan from which they have been taken out. A scan of the specimen may have
other rows and columns than that in vacuum, over the same field.
"""

from pathlib import Path
from typing import NamedTuple

import h5py
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from adapters.formats.scans.hdf5_safety import own_groups, own_numbers
from tasks.model import SourceError

SUFFIX = "_offsets.emd"
"""End of the name of a file with offsets."""
CENTRED = "_centered"
"""End of the name, without its suffix, of a scan from which offsets have been taken out."""
POSITIONS_MOST = 8192 * 8192
"""As many as a manifest's scan may have."""
EXTENT_MOST = 65536
"""Pixels along an edge of a detector, as far as a manifest goes: what lies beyond is no place of a beam."""
KNOWN_LEAST = 0.5
"""Share of positions whose centre is a number; the others are taken from those beside them. Chosen, not measured: a
scan in vacuum has a beam everywhere."""


class BeamOffsets(NamedTuple):
    """What lies beside a scan about the motion of its beam."""

    beam_px: NDArray[np.float32] | None
    """(rows * columns, 2): where the beam lies at each position, (slow, fast) px, flyback dropped; None = not told."""
    path: Path | None
    note: str | None
    """What a person should know."""


NOTHING = BeamOffsets(None, None, None)
"""No offsets lie beside the scan."""


def offsets_beside(path: Path, scan_shape: tuple[int, int], flyback_columns: int) -> BeamOffsets:
    """Return the offsets that belong to a scan: those of its own name, or the only ones of its folder.

    Offsets that cannot be used are told by a note, and cost nothing.
    """
    found = sorted(other for other in path.parent.glob(f"*{SUFFIX}") if other.is_file())
    if not found:
        return NOTHING
    if path.stem.endswith(CENTRED):
        return BeamOffsets(None, None, f"{path.name} is centred by its name: offsets beside it are not taken out again")
    of_its_name = path.with_name(path.stem + SUFFIX)
    chosen = of_its_name if of_its_name in found else found[0]
    if chosen != of_its_name and len(found) > 1:
        names = ", ".join(other.name for other in found[:3])
        return BeamOffsets(None, None, f"{path.name}: which of the offsets beside it are its own is not told: {names}")
    if chosen.resolve().parent != path.parent.resolve():
        return BeamOffsets(None, None, f"{chosen.name} leads out of the folder: it is not followed")
    try:
        beam = _read(chosen)
    except (SourceError, OSError, RuntimeError, KeyError, ValueError, TypeError) as error:
        said = (str(error).splitlines() or [type(error).__name__])[0][:200]
        return BeamOffsets(None, None, f"{chosen.name} cannot be used, the data are asked instead: {said}")
    return BeamOffsets(_on_scan(beam, scan_shape, flyback_columns), chosen, None)


def _read(path: Path) -> NDArray[np.float64]:
    """Return the beam of every position, (rows, columns, 2), along (slow, fast)."""
    with h5py.File(path, "r") as file:
        arrays = [array for _, group in own_groups(file) for array in _arrays(group)]
        if len(arrays) != 1:
            raise SourceError(f"it holds {len(arrays)} arrays of offsets (2, rows, columns) in place of one")
        shape = arrays[0].shape
        if shape[1] * shape[2] > POSITIONS_MOST or min(shape) < 1:
            raise SourceError(f"its offsets have the shape {shape}")
        values = np.asarray(arrays[0][()], dtype=np.float64)
    known: NDArray[np.bool_] = np.asarray((np.abs(np.nan_to_num(values, nan=np.inf)) < EXTENT_MOST).all(axis=0))
    if known.mean() < KNOWN_LEAST:
        raise SourceError(f"{1 - known.mean():.0%} of its offsets are no numbers of pixels")
    nearest = ndimage.distance_transform_edt(~known, return_distances=False, return_indices=True)
    return np.stack([values[1], values[0]], axis=-1)[nearest[0], nearest[1]]


def _arrays(group: h5py.Group) -> list[h5py.Dataset]:
    """Return the arrays of offsets in a group, or in the groups below it, of those that EMD marks."""
    places = [group, *(below for _, below in own_groups(group))]
    found = [own_numbers(place, "data", 3) for place in places if "emd_group_type" in place.attrs]
    return [array for array in found if array is not None and array.shape[0] == 2]


def _on_scan(beam: NDArray[np.float64], scan_shape: tuple[int, int], flyback_columns: int) -> NDArray[np.float32]:
    """Return the beam at every position of the scan, interpolated over the same field where the scans differ."""
    if flyback_columns and beam.shape[:2] == (scan_shape[0], scan_shape[1] + flyback_columns):
        beam = beam[:, : scan_shape[1]]
    if beam.shape[:2] != scan_shape:
        # a position covers its part of the field: centres of positions fall on centres
        row, column = (
            (np.arange(extent) + 0.5) * given / extent - 0.5
            for extent, given in zip(scan_shape, beam.shape[:2], strict=True)
        )
        places = np.meshgrid(row, column, indexing="ij")
        beam = np.stack(
            [ndimage.map_coordinates(beam[..., axis], places, order=1, mode="nearest") for axis in (0, 1)], axis=-1
        )
    return beam.reshape(-1, 2).astype(np.float32)
