"""The files of an ApertureSet."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import h5py
import numpy as np
from numpy.typing import NDArray

from tasks.apertures.aperture_file import write_apertures
from tasks.apertures.models import ApertureScores, CrystalAperture
from tasks.apertures.places import identity
from tasks.model import FileRef


class FoundCrystal(NamedTuple):
    """One automatic crystal: clean and all-positions masks (n_tilts, ny, nx); confidence, share (n_tilts,); scores."""

    clean: NDArray[np.bool_]
    whole: NDArray[np.bool_]
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
                positions_per_tilt=_positions(one.clean),
                confidence_per_tilt=tuple(round(float(value), 4) for value in one.confidence),
                share_per_tilt=tuple(round(float(value), 4) for value in one.share),
                scores=one.scores,
            )
        )
    return tuple(made)


def write_drawn(name: str, masks: NDArray[np.bool_], tilt_deg: NDArray[np.float64], workdir: Path) -> CrystalAperture:
    """Write the masks (n_tilts, ny, nx) that a user drew and return their document."""
    reference = _write_masks(workdir / f"{name}.h5", {"masks": masks}, tilt_deg)
    return CrystalAperture(id=name, origin="user", masks=reference, positions_per_tilt=_positions(masks))


def write_aperture_file(
    crystals: Sequence[CrystalAperture],
    masks: Sequence[NDArray[np.bool_]],
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


def _write_masks(path: Path, masks: dict[str, NDArray[np.bool_]], tilt_deg: NDArray[np.float64]) -> FileRef:
    with h5py.File(path, "w") as file:
        file["tilt_deg"] = tilt_deg
        for name, mask in masks.items():
            file.create_dataset(name, data=mask.astype(bool), compression="gzip")
    return FileRef.of(path)


def _positions(masks: NDArray[np.bool_]) -> tuple[int, ...]:
    return tuple(int(count) for count in masks.sum(axis=(1, 2)))


def write_maps(maps: Sequence[dict[str, NDArray[np.float64]]], tilt_deg: NDArray[np.float64], workdir: Path) -> FileRef:
    """Write images (ny, nx) by name and tilt as datasets (n_tilts, ny, nx) float32."""
    path = workdir / "maps.h5"
    with h5py.File(path, "w") as file:
        file["tilt_deg"] = tilt_deg
        for name in sorted(maps[0]):
            stack = np.stack([images[name] for images in maps]).astype(np.float32)
            file.create_dataset(name, data=stack, compression="gzip", compression_opts=1)
    return FileRef.of(path)


def write_places(
    places: Mapping[int, NDArray[np.float64]],
    scan_shape: tuple[int, int],
    tilt_deg: NDArray[np.float64],
    workdir: Path,
) -> FileRef:
    """Write where the file positions of all scans lie, (n_tilts, ny, nx, 2); `places` has those that are not sound."""
    path = workdir / "places.h5"
    stack = np.repeat(identity(scan_shape)[None], len(tilt_deg), axis=0)
    for scan, where in places.items():
        stack[scan] = where
    with h5py.File(path, "w") as file:
        file["tilt_deg"] = tilt_deg
        file.create_dataset("places", data=stack.astype(np.float32), compression="gzip")
    return FileRef.of(path)
