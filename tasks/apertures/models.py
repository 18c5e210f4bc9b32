"""Apertures: per crystal and per tilt, the scan positions that are summed."""

from typing import Literal

from pydantic import Field

from tasks.model import Document, FileRef
from tasks.model.provenance import Provenance


class CrystalAperture(Document):
    """The virtual aperture of one crystal over the tilts.

    ``masks`` is an HDF5 file with ``masks`` (n_tilts, ny, nx) bool and ``tilt_deg`` (n_tilts,), in the order of
    ``TiltSeries.scans``; tilts at which the crystal is not seen have an empty mask.
    """

    id: str = Field(pattern=r"^crystal-\d{2,}$")
    origin: Literal["automatic", "user"]
    masks: FileRef
    positions_per_tilt: tuple[int, ...]
    confidence_per_tilt: tuple[float, ...] = Field(default=(), description="0 to 1; empty for apertures of a user")
    notes: tuple[str, ...] = ()


class ApertureSet(Document):
    """All crystals of one series.

    ``maps`` is an HDF5 file of (n_tilts, ny, nx) float32 real-space images: at least ``counts`` (all electrons),
    ``bragg`` (significant diffraction) and ``dark_field``.
    """

    tilt_deg: tuple[float, ...]
    scan_shape: tuple[int, int]
    crystals: tuple[CrystalAperture, ...]
    maps: FileRef
    notes: tuple[str, ...] = ()
    provenance: Provenance
