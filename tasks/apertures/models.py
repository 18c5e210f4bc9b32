"""Apertures: per crystal and per tilt, the scan positions that are summed."""

from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from tasks.model import Document, FileRef
from tasks.model.provenance import Provenance


class ApertureFigures(Document):
    """What an aperture gathers, over all tilts, in the half of the events that did not choose it."""

    bragg_electrons: float = Field(ge=0, description="of the crystal's own reflections")
    purity: float = Field(ge=0, le=1, description="own Bragg electrons over those of all crystals in the aperture")
    signal_to_noise: float = Field(
        ge=0, description="own Bragg electrons over their standard deviation, in the quadratic mean over the tilts"
    )


class ApertureScores(Document):
    """The chosen aperture beside the one of all positions within the crystal's outline."""

    clean: ApertureFigures
    all_positions: ApertureFigures


class CrystalAperture(Document):
    """The virtual aperture of one crystal over the tilts.

    ``masks`` is an HDF5 file with ``masks`` (n_tilts, ny, nx) bool and ``tilt_deg`` (n_tilts,), in the order of
    ``TiltSeries.scans``; tilts at which the crystal is not seen have an empty mask. Automatic apertures have a second
    dataset, ``all_positions``, of the same shape: everything within the crystal's outline, overlapped or not.

    `positions` opens this file anew every time.
    """

    id: str = Field(pattern=r"^crystal-\d{2,}(-all-positions|-part-\d+)?$")
    origin: Literal["automatic", "user"]
    masks: FileRef
    positions_per_tilt: tuple[int, ...]
    confidence_per_tilt: tuple[float, ...] = Field(default=(), description="0 to 1; empty for apertures of a user")
    share_per_tilt: tuple[float, ...] = Field(
        default=(),
        description="of the crystal's own Bragg electrons, those in the aperture; 0 = unknown; none for a user's",
    )
    scores: ApertureScores | None = Field(default=None, description="automatic apertures only")
    notes: tuple[str, ...] = ()

    @property
    def positions(self) -> NDArray[np.bool_]:
        """The scan positions that are summed, (n_tilts, ny, nx)."""
        import h5py

        with h5py.File(self.masks.path, "r") as file:
            return np.asarray(file["masks"], dtype=bool)

    def positions_at(self, scan: int) -> NDArray[np.bool_]:
        """Return those of one scan, (ny, nx)."""
        import h5py

        with h5py.File(self.masks.path, "r") as file:
            return np.asarray(file["masks"][scan], dtype=bool)


class ScanFault(Document):
    """What is wrong with one scan, and what was done about it."""

    source: str = Field(description="file name within the source folder")
    tilt_deg: float
    kind: Literal["shifted rows", "distorted", "repeated frames", "lost frames"]
    positions: int = Field(ge=0, description="scan positions that it concerns")
    columns: int = Field(default=0, description="shifted rows: between the two places")
    corrected: bool = Field(description="whether positions were put back; otherwise they are left out")
    note: str = Field(description="one sentence for the report")


class ApertureSet(Document):
    """All crystals of one series.

    ``maps`` is an HDF5 file of (n_tilts, ny, nx) float32 real-space images: at least ``counts`` (all electrons),
    ``bragg`` (significant diffraction) and ``dark_field``.
    """

    tilt_deg: tuple[float, ...]
    scan_shape: tuple[int, int]
    crystals: tuple[CrystalAperture, ...]
    maps: FileRef
    aperture_file: FileRef | None = Field(
        default=None, description="all crystals in one HDF5 file that `apertures.file` reads back after correction"
    )
    aperture_summary: FileRef | None = Field(default=None, description="JSON: tilts, positions, confidence, scores")
    faults: tuple[ScanFault, ...] = Field(default=(), description="of the scans")
    places: FileRef | None = Field(
        default=None,
        description="HDF5: ``places`` (n_tilts, ny, nx, 2), (row, column) of file positions; none = all sound",
    )
    notes: tuple[str, ...] = ()
    provenance: Provenance

    @property
    def masks(self) -> dict[str, NDArray[np.bool_]]:
        """The scan positions of every crystal, (n_tilts, ny, nx) by its id."""
        return {crystal.id: crystal.positions for crystal in self.crystals}
