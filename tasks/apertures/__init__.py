"""Which scan positions belong to which crystal, at every tilt."""

from typing import TYPE_CHECKING

from tasks.face import open_face

if TYPE_CHECKING:
    from tasks.apertures.all_positions import all_positions_aperture, has_more_positions, outline
    from tasks.apertures.aperture_file import (
        ApertureNotes,
        read_aperture_notes,
        read_apertures,
        write_apertures,
    )
    from tasks.apertures.automatic import AutomaticApertures
    from tasks.apertures.drawn import ApertureFile
    from tasks.apertures.growing import GrowingApertures
    from tasks.apertures.models import ApertureFigures, ApertureScores, ApertureSet, CrystalAperture
    from tasks.apertures.output import write_drawn
    from tasks.apertures.ports import ApertureProposer
    from tasks.apertures.regions import best_positions, require_parts, split_aperture
    from tasks.apertures.register import consistent_offsets
    from tasks.apertures.scan_blocks import block_folder, block_scans, segment_scans
    from tasks.apertures.scan_spots import ScanSpots, spots_of_scan
    from tasks.apertures.settings import ProposalSettings
    from tasks.apertures.task import propose_apertures
else:
    __getattr__ = open_face(__name__)

__all__ = [
    "ApertureFigures",
    "ApertureFile",
    "ApertureNotes",
    "ApertureProposer",
    "ApertureScores",
    "ApertureSet",
    "AutomaticApertures",
    "CrystalAperture",
    "GrowingApertures",
    "ProposalSettings",
    "ScanSpots",
    "all_positions_aperture",
    "best_positions",
    "block_folder",
    "block_scans",
    "consistent_offsets",
    "has_more_positions",
    "outline",
    "propose_apertures",
    "read_aperture_notes",
    "read_apertures",
    "require_parts",
    "segment_scans",
    "split_aperture",
    "spots_of_scan",
    "write_apertures",
    "write_drawn",
]
