"""Where the crystals of every scan are, and what the held-out events say of it: scan by scan, kept as bits."""

from functools import partial
from typing import NamedTuple

from tasks.apertures.at_once import at_once
from tasks.apertures.follow import Followed
from tasks.apertures.masks import masks_of
from tasks.apertures.packed import PackedMask, TrackMasks, packed
from tasks.apertures.scores import Judged, judge


class Outlines(NamedTuple):
    """Masks of one scan by track, as in `tasks.apertures.masks.Masks`; ``judged``: what clean and whole ones hold."""

    present: dict[int, PackedMask]
    clean: dict[int, PackedMask]
    whole: dict[int, PackedMask]
    judged: tuple[dict[int, Judged], dict[int, Judged]]


def outlines_of(followed: Followed) -> list[Outlines]:
    """Return the outlines of all scans."""
    return at_once(partial(_outlines, followed), range(len(followed.segmentations)))


def _outlines(followed: Followed, scan: int) -> Outlines:
    segmentation, owners = followed.segmentations[scan], followed.owners[scan]
    windows = [region.window for region in segmentation.regions]
    masks = masks_of([region.image() for region in segmentation.regions], windows, good=segmentation.good)
    clean, whole = judge(segmentation, (masks.clean, masks.whole))
    present, clean_ones, whole_ones = (dict(zip(owners, map(packed, each), strict=True)) for each in masks)
    return Outlines(
        present, clean_ones, whole_ones, (dict(zip(owners, clean, strict=True)), dict(zip(owners, whole, strict=True)))
    )


def clean_masks(outlines: list[Outlines], followed: Followed, n_tracks: int) -> TrackMasks:
    """Return the clean masks of all tracks, empty where a region is in doubt."""
    made = TrackMasks(n_tracks, len(outlines), followed.scan_shape)
    for scan, one in enumerate(outlines):
        for number, mask in one.clean.items():
            if number not in followed.doubtful[scan]:
                made.put(number, scan, mask)
    return made


def whole_masks(outlines: list[Outlines], followed: Followed, n_tracks: int) -> TrackMasks:
    """Return all positions that diffract within the outline of each track."""
    made = TrackMasks(n_tracks, len(outlines), followed.scan_shape)
    for scan, one in enumerate(outlines):
        for number, mask in one.whole.items():
            made.put(number, scan, mask)
    return made
