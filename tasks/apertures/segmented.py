"""The scans of a series, segmented: each by itself, several at once."""

import hashlib
from collections.abc import MutableMapping, Sequence

import numpy as np

from tasks.apertures.at_once import at_once
from tasks.apertures.segment import segment_scan
from tasks.apertures.segmentation import Segmentation
from tasks.apertures.settings import ProposalSettings
from tasks.apertures.shelf import Shelf
from tasks.ingest import TiltSeries, disc_of_series, open_events
from tasks.stage import code_version, fingerprint


def segment_series(
    series: TiltSeries,
    settings: ProposalSettings,
    known: MutableMapping[str, Segmentation] | None = None,
    *,
    shelf: Shelf | None = None,
) -> list[Segmentation]:
    """Find the regions of every scan; those of `known` are taken from there, and new ones put there.

    Parameters
    ----------
    known
        By what `scan_keys` says.
    shelf
        Where the arrays are laid down; None = they stay in memory.
    """
    known = {} if known is None else known
    keys = scan_keys(series, settings)
    missing = [scan for scan, key in enumerate(keys) if key not in known]
    for scan, found in zip(missing, segment_some(series, settings, missing, shelf=shelf), strict=True):
        known[keys[scan]] = found
    return [known[key] for key in keys]


def segment_some(
    series: TiltSeries, settings: ProposalSettings, scans: Sequence[int], *, shelf: Shelf | None = None
) -> list[Segmentation]:
    """Find the regions of some scans, by their numbers; see `segment_series`."""
    start = series.detector.direct_beam_px or tuple((n - 1) / 2 for n in series.detector.shape_px)
    valid = series.valid_pixels()
    disc, _ = disc_of_series(series)
    shelf = shelf or Shelf()

    def one(scan: int) -> Segmentation:
        return segment_scan(
            open_events(series.scans[scan]), series.detector.shape_px, series.scan.shape,
            start=np.array(start), settings=settings, valid=valid[scan], disc=disc, shelf=shelf,
        )  # fmt: skip

    return at_once(one, scans)


def scan_keys(series: TiltSeries, settings: ProposalSettings) -> list[str]:
    """Return what tells the segmentation of every scan: its events, its valid pixels, the disc, settings and code."""
    disc, _ = disc_of_series(series)
    made = {name: getattr(settings, name) for name in ProposalSettings.model_fields}
    common = fingerprint({"disc": repr(disc), "start": series.detector.direct_beam_px, "settings": made,
                          "shape": series.scan.shape, "code": code_version()})  # fmt: skip
    pixels = [hashlib.sha256(np.packbits(one).tobytes()).hexdigest() for one in series.valid_pixels()]
    return [f"{scan.events.sha256} {mine} {common}" for scan, mine in zip(series.scans, pixels, strict=True)]
