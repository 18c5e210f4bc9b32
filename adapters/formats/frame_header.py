"""What the headers of a file of frames say, before any pixel is read: one answer for `inspect` and for a run."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import JsonValue

from adapters.formats.file_format import Inspection
from adapters.formats.image_shape import check_shape
from tasks.frames import FrameImages
from tasks.model import SourceError

NEEDED = (
    "beam.energy_kev", "detector.pixel_size_mm", "detector.camera_length_mm", "detector.gain", "detector.pedestal",
    "detector.saturation", "rotation_axis", "oscillation.start_deg", "oscillation.width_deg",
)  # fmt: skip
"""Fields that rotation_series.json must hold (tasks/ingest/README.md), beside what every file tells."""
NEEDED_OF_A_SCAN = (
    "beam.energy_kev", "detector.pixel_size_mm", "detector.camera_length_mm", "scan.step_nm", "scan.rotation_deg",
    "tilt_axis", "scans[].tilt_deg",
)  # fmt: skip
"""Fields that tilt_series.json must hold, beside what every file tells."""
LARGEST_EXTENT = 65536
"""Pixels along an edge, as far as a manifest goes (`Detector.shape_px`)."""
ELECTRON_KEV = (10.0, 3000.0)
"""Energies that a header may state for a beam of electrons; others are fields that nobody filled in."""
PIXEL_MM = (0.001, 1.0)
"""Sizes that a header may state for a pixel of a camera, binned; others are calibrated units, or nobody filled it."""


class FrameHeader(NamedTuple):
    """One file of frames, told by its headers.

    ``stated``: fields of the manifest by their dotted names, as far as the file knows them; ``angles_deg``: of the
    goniometer, for each image or once; ``scan``: (rows, columns) where the file says that its images are a scan;
    ``words``: what else is worth showing; ``mark``: the value of a pixel that was not measured.
    """

    format: str
    shape: tuple[int, int, int]
    dtype: np.dtype[np.generic]
    stated: Mapping[str, float] = {}
    angles_deg: tuple[float, ...] = ()
    scan: tuple[int, int] | None = None
    words: Mapping[str, JsonValue] = {}
    notes: tuple[str, ...] = ()
    bad: NDArray[np.bool_] | None = None
    mark: float | None = None


class VendorFrames(NamedTuple):
    """The header, and the images (n, slow, fast), which are mapped from the file where it allows that."""

    header: FrameHeader
    images: NDArray[np.number]


def images_for(path: Path, found: VendorFrames, shape: tuple[int, int]) -> FrameImages:
    """Return the images for a run.

    Raises
    ------
    SourceError
        If they have another shape than the manifest says.
    """
    header = found.header
    check_shape(path, header.shape[1:], shape)
    notes = list(header.notes)
    if header.scan is not None:
        rows, columns = header.scan
        notes.append(f"the file says that it is a scan of {rows} x {columns} positions: they were taken as a rotation")
    angles = header.angles_deg if len(header.angles_deg) == header.shape[0] else ()
    return FrameImages(found.images, tuple(notes), header.stated, angles, header.bad, header.mark)


def inspection(path: Path, header: FrameHeader) -> Inspection:
    """Return what `apertura inspect` says of the file."""
    scan = header.scan is not None
    known = {*header.stated, *header.words, *(f"scan.{word}" for word in header.words)}
    if header.angles_deg:
        known |= {"scans[].tilt_deg", "oscillation.start_deg"}
    if _turns(header):
        known.add("oscillation.width_deg")
    return Inspection(
        file=path.name,
        format=header.format,
        kind="scan" if scan else "frames",
        shape=(*(header.scan or header.shape[:1]), *header.shape[1:]),
        dtype=str(header.dtype.newbyteorder("=")),
        metadata=_metadata(header),
        lacks=tuple(field for field in (NEEDED_OF_A_SCAN if scan else NEEDED) if field not in known),
    )


def _metadata(header: FrameHeader) -> dict[str, JsonValue]:
    """Return the statements under the manifest's names, a pair or a block as one."""
    found: dict[str, JsonValue] = {}
    oscillation: dict[str, JsonValue] = {}
    beam = [header.stated.get(f"detector.direct_beam_px[{axis}]") for axis in (0, 1)]
    for field, value in header.stated.items():
        block, _, name = field.rpartition(".")
        if block == "oscillation":
            oscillation[name] = value
        elif not name.endswith("]"):
            found[name] = value
    if None not in beam:
        found["direct_beam_px"] = [*beam]
    angles = header.angles_deg
    if _turns(header):
        oscillation["start_deg"] = angles[0]
        oscillation.setdefault("width_deg", float(f"{(angles[-1] - angles[0]) / (len(angles) - 1):.9g}"))
    elif angles and oscillation:
        oscillation["start_deg"] = angles[0]
    elif angles:
        found["tilt_deg"] = angles[0]
    if oscillation:
        found["oscillation"] = oscillation
    return {**found, **header.words, **({"notes": [*header.notes]} if header.notes else {})}


def _turns(header: FrameHeader) -> bool:
    """Tell whether the angles of the images are those of a rotation: one for all may be a field that nobody filled."""
    return len(header.angles_deg) > 1 and max(header.angles_deg) > min(header.angles_deg)


def checked_shape(path: Path, count: int, rows: int, columns: int) -> tuple[int, int, int]:
    """Return the shape of a stack; raise a SourceError if a header claims what no camera has."""
    if not (0 < rows <= LARGEST_EXTENT and 0 < columns <= LARGEST_EXTENT):
        raise SourceError(f"{path.name}: its header claims images of {rows} x {columns} pixels", "copy the file again")
    if count < 1:
        raise SourceError(f"{path.name}: ends before its first image is whole", "copy the file again")
    return count, rows, columns


def statements(**fields: float | None) -> dict[str, float]:
    """Return those of the usual statements that a header really makes: finite, and of a size that can be.

    `fields` are named as in the manifest's blocks `beam` and `detector`.
    """
    usual = {"energy_kev": ELECTRON_KEV, "pixel_size_mm": PIXEL_MM}
    found = {}
    for name, value in fields.items():
        low, high = usual.get(name, (0.0, math.inf))
        if value is not None and math.isfinite(value) and low < value < high:
            found[f"beam.{name}" if name == "energy_kev" else f"detector.{name}"] = float(f"{value:.9g}")
    return found
