"""The files of an ApertureSet."""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import h5py
import numpy as np
from numpy.typing import NDArray

from tasks.apertures.aperture_file import write_apertures
from tasks.apertures.image_stack import write_stack
from tasks.apertures.models import ApertureScores, CrystalAperture
from tasks.apertures.packed import MaskStack
from tasks.apertures.places import identity
from tasks.model import FileRef


class FoundCrystal(NamedTuple):
    """One automatic crystal: clean and all-positions masks of every tilt; confidence, share (n_tilts,); scores."""

    clean: MaskStack
    whole: MaskStack
    confidence: NDArray[np.float64]
    scores: ApertureScores | None
    share: NDArray[np.float64]


def write_found(
    found: Sequence[FoundCrystal], tilt_deg: NDArray[np.float64], workdir: Path
) -> tuple[CrystalAperture, ...]:
    """Write one HDF5 file per automatic crystal and return the documents."""
    made = []
    for number, one in enumerate(found, start=1):
        path = workdir / f"crystal-{number:02d}.h5"
        reference = _write_masks(path, {"masks": one.clean, "all_positions": one.whole}, tilt_deg)
        made.append(
            CrystalAperture(
                id=path.stem,
                origin="automatic",
                masks=reference,
                positions_per_tilt=tuple(one.clean.positions.tolist()),
                confidence_per_tilt=tuple(round(float(value), 4) for value in one.confidence),
                share_per_tilt=tuple(round(float(value), 4) for value in one.share),
                scores=one.scores,
            )
        )
    return tuple(made)


def write_drawn(name: str, masks: NDArray[np.bool_], tilt_deg: NDArray[np.float64], workdir: Path) -> CrystalAperture:
    """Write the masks (n_tilts, ny, nx) that a user drew and return their document."""
    path = workdir / f"{name}.h5"
    with h5py.File(path, "w") as file:
        file["tilt_deg"] = tilt_deg
        write_stack(file, "masks", masks, masks.shape, bool)
    reference = FileRef.of(path)
    positions = tuple(int(mask.sum()) for mask in masks)
    return CrystalAperture(id=name, origin="user", masks=reference, positions_per_tilt=positions)


def write_aperture_file(
    crystals: Sequence[CrystalAperture],
    masks: Sequence[MaskStack | NDArray[np.bool_]],
    tilt_deg: NDArray[np.float64],
    workdir: Path,
) -> tuple[FileRef, FileRef]:
    """Write ``apertures.h5``, which `apertures.file` reads, and ``apertures.json``, a summary for people."""
    path, summary = workdir / "apertures.h5", workdir / "apertures.json"
    write_apertures({one.id: mask for one, mask in zip(crystals, masks, strict=True)}, tilt_deg.tolist(), path)
    rows = [
        {
            "id": one.id,
            "origin": one.origin,
            "positions_per_tilt": one.positions_per_tilt,
            "confidence_per_tilt": one.confidence_per_tilt,
            "share_per_tilt": one.share_per_tilt,
            "scores": None if one.scores is None else one.scores.model_dump(),
            "notes": one.notes,
        }
        for one in crystals
    ]
    text = json.dumps({"masks": path.name, "tilt_deg": tilt_deg.tolist(), "crystals": rows}, indent=1)
    summary.write_text(text + "\n", encoding="utf-8")
    return FileRef.of(path), FileRef.of(summary)


def _write_masks(path: Path, masks: Mapping[str, MaskStack], tilt_deg: NDArray[np.float64]) -> FileRef:
    with h5py.File(path, "w") as file:
        file["tilt_deg"] = tilt_deg
        for name, stack in masks.items():
            write_stack(file, name, stack, (len(stack), *stack.scan_shape), bool)
    return FileRef.of(path)


def write_maps(
    names: Sequence[str],
    map_of: Callable[[int, str], NDArray[np.float64]],
    tilt_deg: NDArray[np.float64],
    workdir: Path,
) -> FileRef:
    """Write images (ny, nx), by tilt and name, as datasets (n_tilts, ny, nx) float32."""
    path, n_tilts = workdir / "maps.h5", len(tilt_deg)
    with h5py.File(path, "w") as file:
        file["tilt_deg"] = tilt_deg
        for name in sorted(names):
            first = map_of(0, name)
            images = (map_of(tilt, name) if tilt else first for tilt in range(n_tilts))
            write_stack(file, name, images, (n_tilts, first.shape[0], first.shape[1]), np.float32, level=1)
    return FileRef.of(path)


def write_places(
    places: Mapping[int, NDArray[np.float64]],
    scan_shape: tuple[int, int],
    tilt_deg: NDArray[np.float64],
    workdir: Path,
) -> FileRef:
    """Write where the file positions of all scans lie, (n_tilts, ny, nx, 2); `places` has those that are not sound."""
    path = workdir / "places.h5"
    sound, shape = identity(scan_shape), (len(tilt_deg), *scan_shape, 2)
    with h5py.File(path, "w") as file:
        file["tilt_deg"] = tilt_deg
        stack = file.create_dataset("places", shape, np.float32, chunks=(1, *shape[1:]), compression="gzip")
        for scan in range(len(tilt_deg)):
            stack[scan] = places.get(scan, sound)
    return FileRef.of(path)
