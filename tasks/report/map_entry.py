"""What results.json says of the maps of a crystal."""

from typing import Literal

from pydantic import Field

from tasks.integrate import JoinedParts
from tasks.maps import CrystalMaps
from tasks.model import Document


class PartsEntry(Document):
    """A crystal that bends, measured by parts of nearly one orientation each, beside the whole in one orientation."""

    parts: int
    used: Literal["parts", "one orientation"] = Field(description="whose intensities the structure is solved from")
    half_sets_one: float | None = Field(
        description="correlation of |F| between halves of the crossings; null = unknown"
    )
    half_sets_parts: float | None
    half_sets_reflections: int = Field(description="that both have in both halves")
    half_sets_won: float | None = Field(description="share of the halves drawn in which the parts agree better")


class MapsEntry(Document):
    """Maps over the probe positions: misorientation, scale, strain, rocking curve; the HDF5 file has their sigmas."""

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
    curve_sigma: float | None = Field(description="of a position's rocking curve over the others', median")
    curve_ratio: float = Field(description="width of a position's rocking curve over that of the whole crystal")
    curve_ratio_sigma: float
    by_parts: PartsEntry | None = Field(description="null where no bend was found that is wide against the curve")


def map_entry(maps: CrystalMaps, file: str, joined: JoinedParts | None) -> MapsEntry:
    """Return the entry of maps whose file is named so, of a crystal that may have been measured by parts."""
    figures = maps.model_dump(include=set(MapsEntry.model_fields) - {"file", "by_parts"})
    return MapsEntry(file=file, by_parts=None if joined is None else _parts_entry(joined), **figures)


def _parts_entry(joined: JoinedParts) -> PartsEntry:
    figures = joined.model_dump(include=set(PartsEntry.model_fields) - {"used"})
    return PartsEntry(used="parts" if joined.better else "one orientation", **figures)
