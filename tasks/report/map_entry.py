"""What results.json says of the maps of a crystal."""

from pydantic import Field

from tasks.maps import CrystalMaps
from tasks.model import Document


class MapsEntry(Document):
    """Maps over the probe positions: misorientation, scale, strain; the HDF5 file has them with their sigmas."""

    file: str = Field(description="path in the run folder")
    tilt_deg: float = Field(description="of the scan that the maps lie on")
    positions: int
    pooled: int = Field(description="of these, measured with their 3 x 3 neighbours")
    left_out: int = Field(description="positions with too few electrons")
    electrons: float = Field(description="in the own pixels of the reflections, above background")
    bend_deg: float | None = Field(description="from end to end, were the lattice to turn evenly")
    bend_sigma_deg: float | None
    angle_sigma_deg: float | None = Field(description="median over the positions")
    scale_sigma: float | None
    strain_sigma: float | None
    curve_ratio: float = Field(description="width of a position's rocking curve over that of the whole crystal")
    curve_ratio_sigma: float


def map_entry(maps: CrystalMaps, file: str) -> MapsEntry:
    """Return the entry of maps whose file is named so."""
    figures = maps.model_dump(include=set(MapsEntry.model_fields) - {"file"})
    return MapsEntry(file=file, **figures)
