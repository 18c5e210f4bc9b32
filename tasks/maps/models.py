"""What the maps of a crystal are."""

from pydantic import Field

from tasks.model import Document, FileRef
from tasks.model.provenance import Provenance


class CrystalMaps(Document):
    """Misorientation, scale, strain and width of the rocking curve of a crystal by probe position.

    ``file`` is HDF5, on the scan positions (ny, nx) of the tilt ``tilt_deg``, NaN where nothing is measured:
    ``angle_deg`` and ``angle_sigma_deg``; ``rotation_deg`` (ny, nx, 3), rotation vector in the laboratory at tilt 0
    against the crystal's mean orientation, and its ``rotation_covariance_deg2`` (ny, nx, 3, 3); ``scale`` and
    ``scale_sigma``, 1 on average; ``strain`` and ``strain_sigma``, isotropic, against the crystal's mean;
    ``curve`` and ``curve_sigma``, width of the rocking curve (mosaicity and thickness) over the mean of the positions;
    ``electrons`` in the own pixels, above background; ``pooled`` where 3 x 3 positions stand for one; ``cell``
    (n_tilts, ny, nx), which position of the maps each scan position of each tilt belongs to, -1 = none.
    """

    id: str
    file: FileRef
    tilt_deg: float = Field(description="of the scan that the maps lie on: the one nearest to 0")
    positions: int = Field(ge=0, description="of the maps that have values")
    pooled: int = Field(ge=0, description="of these, with too few electrons: measured with their 3 x 3 neighbours")
    left_out: int = Field(ge=0, description="positions of the crystal with too few electrons even so")
    electrons: float = Field(description="in the own pixels of the reflections, above background")
    angle_sigma_deg: float | None = Field(description="median of the sigmas; None = nothing is measured")
    bend_deg: float | None = Field(
        description="by how much the lattice turns from end to end, were it to turn evenly; None = not measured"
    )
    bend_sigma_deg: float | None
    curve_ratio: float = Field(description="width of a position's rocking curve over that of the whole crystal")
    curve_ratio_sigma: float
    spread: float = Field(description="squared deviations of counts over Poisson's; sigmas are raised by its root")
    scale_sigma: float | None = Field(description="median of the sigmas of scale")
    strain_sigma: float | None = Field(description="median of the sigmas of strain")
    curve_sigma: float | None = Field(description="median of the sigmas of the positions' relative widths")
    provenance: Provenance
