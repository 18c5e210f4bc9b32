"""Scans segmented before the apertures are asked for: a unit of work for some scans, done here or on other machines.

What a unit leaves beside the folder of the stage is taken up by `AutomaticApertures`, scan by scan, if it was made of
the same electrons, valid pixels, settings and code; what is not there is made there. So the apertures are the same
byte for byte whoever segmented the scans, and a stage that was interrupted does not begin anew.
"""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np
from pydantic import Field

from tasks.apertures.pattern import BraggSpots
from tasks.apertures.segmentation import RegionImage, Segmentation
from tasks.apertures.segmented import scan_keys, segment_some
from tasks.apertures.settings import ProposalSettings
from tasks.apertures.shelf import Laid, Shelf
from tasks.apertures.window import Window
from tasks.events.scan_beam import DirectBeam
from tasks.ingest import TiltSeries
from tasks.model import Document, FileRef, NoCrystalsError, SourceError
from tasks.stage import beside, read_document, stage

KEPT = "scans"
"""In the name of the folder beside that of the apertures."""
BLOCK_POSITIONS = 20 * 65_536
"""Of the scans in one block, at most: 65,536 positions take 2 to 4 s of one core, so that a block takes about a minute
(20 s to 10 minutes are asked of blocks)."""


class LaidFile(Document):
    """Arrays in one file, and at which byte each begins."""

    file: FileRef
    places: dict[str, int]


class SavedRegion(Document):
    """A region's image, by its name in the file of regions; see `tasks.apertures.segmentation.RegionImage`."""

    name: str
    window: tuple[int, int, int, int]
    electrons: float
    level: float


class SavedScan(Document):
    """One segmented scan; `own` holds the centre of the beam, the spots and the patterns of the regions."""

    key: str
    sigma_px: float
    beam_seen: bool
    window_px: float | None
    measured: float
    held: LaidFile
    own: LaidFile
    images: LaidFile | None = None
    regions: tuple[SavedRegion, ...] = Field(default=())


class SegmentedScans(Document):
    """Some scans of a series, segmented."""

    scans: tuple[SavedScan, ...]


def _summary(found: SegmentedScans) -> str:
    return f"{len(found.scans)} scans, {sum(len(scan.regions) for scan in found.scans)} regions"


@stage(name="segment scans of {series.sample}", summary=_summary)
def segment_scans(
    series: TiltSeries, engine: ProposalSettings, scans: tuple[int, ...], workdir: Path
) -> SegmentedScans:
    """Find the regions of some scans of a series, by their numbers."""
    shelf = Shelf(workdir, keep=True)
    keys = scan_keys(series, engine)
    found = segment_some(series, engine, scans, shelf=shelf)
    return SegmentedScans(scans=tuple(_saved(one, keys[scan], shelf) for scan, one in zip(scans, found, strict=True)))


def block_folder(stage_folder: Path, first: int) -> Path:
    """Return the folder of the block that begins with a scan, beside that of the apertures."""
    return beside(stage_folder, KEPT) / f"block-{first:05d}"


def block_scans(series: TiltSeries, workers: int) -> list[tuple[int, ...]]:
    """Return the numbers of the scans of every block: enough blocks for so many workers, none too long."""
    total, positions = len(series.scans), series.scan.shape[0] * series.scan.shape[1]
    size = max(1, min(-(-total // workers), BLOCK_POSITIONS // positions))
    return [tuple(range(first, min(first + size, total))) for first in range(0, total, size)]


@contextmanager
def scans_beside(stage_folder: Path, shelf: Shelf) -> Iterator[dict[str, Segmentation]]:
    """Give what units of work have left beside the folder of the apertures, by the key of each scan.

    It is gone when the apertures are there, or when it is known that there are none; not where they were interrupted.
    """
    kept = beside(stage_folder, KEPT)
    found: dict[str, Segmentation] = {}
    for folder in sorted(kept.glob("block-*")):
        with suppress(SourceError):  # of another version, or cut off: the stage does without it
            for scan in read_document(folder, SegmentedScans).scans:
                files = [one.file for one in (scan.held, scan.own, scan.images) if one is not None]
                if all(file.path.is_file() and file.unchanged() for file in files):
                    found[scan.key] = _taken_up(scan, shelf)
    try:
        yield found
    except NoCrystalsError:
        shutil.rmtree(kept, ignore_errors=True)
        raise
    shutil.rmtree(kept, ignore_errors=True)


def _saved(one: Segmentation, key: str, shelf: Shelf) -> SavedScan:
    own = shelf.lay(
        {"centre": one.beam.centre, "px": one.spots.px, "expected": one.spots.expected, "patterns": one.patterns}
    )
    regions = tuple(
        SavedRegion(name=region.name, window=tuple(region.window), electrons=region.electrons, level=region.level)
        for region in one.regions
    )
    return SavedScan(
        key=key,
        sigma_px=one.beam.sigma,
        beam_seen=one.beam.seen,
        window_px=one.beam.window_px,
        measured=one.spots.measured,
        held=_file_of(one.held),
        own=_file_of(own),
        images=_file_of(one.regions[0].laid) if one.regions else None,
        regions=regions,
    )


def _file_of(laid: Laid) -> LaidFile:
    path, places = laid.where
    return LaidFile(file=FileRef.of(path), places=places)


def _taken_up(scan: SavedScan, shelf: Shelf) -> Segmentation:
    held, own = (Laid(shelf, one.places, one.file.path, keep=True) for one in (scan.held, scan.own))
    shape: tuple[int, int] = held["good"].shape
    images = None if scan.images is None else Laid(shelf, scan.images.places, scan.images.file.path, keep=True)
    regions = tuple(
        RegionImage(images, one.name, Window(*one.window), shape, one.electrons, one.level)
        for one in scan.regions
        if images is not None
    )
    beam = DirectBeam(np.array(own["centre"]), scan.sigma_px, scan.beam_seen, scan.window_px)
    spots = BraggSpots(own["px"], own["expected"], scan.measured)
    return Segmentation(beam, spots, held, shape, own["patterns"], regions)
