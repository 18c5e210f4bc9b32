"""Which pixels of the detector were measured in which scan: the one fact that all later stages share."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tasks.events.faults import DetectorFault, bounds_of, find_faults
from tasks.events.sums import sum_pattern
from tasks.ingest.events import open_events
from tasks.ingest.models import MaskedPart, TiltScan, Validity
from tasks.model import Detector, FileRef, SourceError

MASKS_NAME = "masks.npz"
MOST_MASKED = 0.9
"""Of the detector, in a scan: what is left holds no lattice. Chosen, not measured: a tenth of a camera is a strip."""


def find_validity(
    scans: tuple[TiltScan, ...], detector: Detector, stated: NDArray[np.bool_], workdir: Path
) -> Validity:
    """Find the pixels that count nothing, always or too much, or lie in a shadow, scan by scan; write their masks.

    Parameters
    ----------
    scans
        In the order in which the masks are numbered.
    stated
        (slow, fast), pixels that the manifest states not to be used.

    Raises
    ------
    SourceError
        If next to nothing of the detector is left in every scan.
    """
    shape = detector.shape_px
    start = detector.direct_beam_px or tuple((extent - 1) / 2 for extent in shape)

    def pattern(number: int) -> NDArray[np.uint32]:
        return sum_pattern(open_events(scans[number]), shape)

    found = find_faults(pattern, len(scans), stated, start=np.array(start, dtype=np.float64))
    share = 1.0 - found.masks.mean(axis=(1, 2))
    if float(share.min()) > MOST_MASKED:
        raise SourceError(
            f"{float(share.min()):.0%} of the detector is masked in every scan, by detector.mask or for want of counts",
            "check detector.mask and direct_beam_px; non-zero means not to be used",
        )
    parts = [_part(fault, len(scans), stated_by_manifest=False) for fault in found.faults]
    if stated.any():
        every = DetectorFault("block", stated, np.arange(len(scans)))
        parts.insert(0, _part(every, len(scans), stated_by_manifest=True))
    return Validity(
        shape_px=shape,
        masks=_write(found.masks, workdir / MASKS_NAME) if not found.masks.all() else None,
        mask_of_scan=tuple(found.mask_of_scan.tolist()),
        share_masked=tuple(round(float(value), 6) for value in share[found.mask_of_scan]),
        parts=tuple(parts),
    )


def _part(fault: DetectorFault, scans: int, *, stated_by_manifest: bool) -> MaskedPart:
    top, left, bottom, right = bounds_of(fault.pixels)
    return MaskedPart(
        kind="stated" if stated_by_manifest else fault.kind,
        origin="manifest" if stated_by_manifest else "data",
        rectangle_px=(top, left, bottom - 1, right - 1),
        pixels=int(fault.pixels.sum()),
        scans=() if len(fault.scans) == scans else tuple(fault.scans.tolist()),
    )


def _write(masks: NDArray[np.bool_], path: Path) -> FileRef:
    np.savez_compressed(path, valid=np.packbits(masks, axis=-1), columns=np.array(masks.shape[-1]))
    return FileRef.of(path)
