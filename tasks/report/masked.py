"""What of the detector was not used: in numbers for results.json, in words and as a picture for the page."""

from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from tasks.ingest import Validity
from tasks.model import Document
from tasks.report.images import FRAME_SIZE_PX, png_uri
from tasks.report.models import RunOutcome

VALID, SOMETIMES, NEVER = (244, 246, 248), (238, 153, 51), (170, 51, 68)
"""Red, green and blue of 255. Chosen, not measured: told apart by people who see red and green alike."""
TILTS_NAMED = 12
"""Tilts listed in words; of more their range is given. Chosen, not measured: a line of the page."""


class MaskedEntry(Document):
    """Some pixels that were not used."""

    kind: str
    origin: Literal["manifest", "data"] = Field(description="stated by the manifest, or found in the data")
    rectangle_px: tuple[int, int, int, int] = Field(
        description="first row, first column, last row, last column that enclose the pixels, inclusive"
    )
    pixels: int
    tilts: int = Field(description="at how many tilts")
    tilt_deg: tuple[float, ...] = Field(description="at which; none = at all")


class ValidityEntry(Document):
    """What of the detector was not used."""

    share_masked: tuple[float, float] = Field(description="of the detector, at the tilt with least and with most")
    share_masked_per_tilt: tuple[float, ...]
    parts: tuple[MaskedEntry, ...]


def validity_entry(outcome: RunOutcome) -> ValidityEntry | None:
    """Return what of the detector was not used; None where there are no frames."""
    if (validity := outcome.validity) is not None:
        tilts = outcome.source.tilt_deg
        return ValidityEntry(
            share_masked=(min(validity.share_masked), max(validity.share_masked)),
            share_masked_per_tilt=validity.share_masked,
            parts=tuple(
                MaskedEntry(
                    kind=part.kind,
                    origin=part.origin,
                    rectangle_px=part.rectangle_px,
                    pixels=part.pixels,
                    tilts=len(part.scans) or len(validity.share_masked),
                    tilt_deg=tuple(tilts[scan] for scan in part.scans if scan < len(tilts)),
                )
                for part in validity.parts
            ),
        )
    share = _share_of_frames(outcome)
    if share is None:
        return None
    masked = float(1.0 - share.mean())
    return ValidityEntry(share_masked=(masked, masked), share_masked_per_tilt=(), parts=())


def masked_words(entry: ValidityEntry) -> tuple[str, ...]:
    """Return a sentence for the whole and one for each part."""
    low, high = entry.share_masked
    if not high:
        return ("All pixels of the detector were used.",)
    share = f"{high:.2%}" if f"{low:.2%}" == f"{high:.2%}" else f"{low:.2%} to {high:.2%}, tilt by tilt,"
    return (f"{share} of the detector was not used.", *(_part_in_words(part) for part in entry.parts))


def masked_picture(outcome: RunOutcome) -> str | None:
    """Return the detector as a PNG data URI: never used in red, not at all tilts in orange; None if all was used."""
    share = _share_of_frames(outcome) if outcome.validity is None else _share_of_scans(outcome.validity)
    if share is None or bool((share >= 1.0).all()):
        return None
    step = max(1, max(share.shape) // FRAME_SIZE_PX)
    padded = np.pad(share, [(0, -extent % step) for extent in share.shape], mode="edge")
    rows, columns = padded.shape[0] // step, padded.shape[1] // step
    least = padded.reshape(rows, step, columns, step).min(axis=(1, 3))  # a single row stays visible
    image = np.full((rows, columns, 3), VALID, dtype=np.uint8)
    image[least < 1.0] = SOMETIMES
    image[least <= 0.0] = NEVER
    return png_uri(image)


def _share_of_scans(validity: Validity) -> NDArray[np.float64]:
    masks = validity.every_mask
    number = np.bincount(np.array(validity.mask_of_scan), minlength=len(masks))
    return np.asarray(np.tensordot(number / number.sum(), masks, axes=1))


def _share_of_frames(outcome: RunOutcome) -> NDArray[np.float64] | None:
    frames = next((one.frames for one in outcome.crystals if one.frames is not None), None)
    return None if frames is None else frames.masks.share_valid()


def _part_in_words(part: MaskedEntry) -> str:
    top, left, bottom, right = part.rectangle_px
    rows, columns = _range("row", top, bottom), _range("column", left, right)
    when = f", at {part.tilts} tilts ({_degrees(part.tilt_deg)})" if part.tilt_deg else ""
    who = "stated by the manifest" if part.origin == "manifest" else "found in the data"
    name = "stated not to be used" if part.kind == "stated" else part.kind
    return f"{name[0].upper()}{name[1:]}: {part.pixels} pixels within {rows}, {columns}{when}; {who}."


def _range(name: str, first: int, last: int) -> str:
    return f"{name} {first}" if first == last else f"{name}s {first} to {last}"


def _degrees(tilts: Sequence[float]) -> str:
    if len(tilts) <= TILTS_NAMED:
        return ", ".join(f"{tilt:g}" for tilt in tilts) + "°"
    return f"{min(tilts):g}° to {max(tilts):g}°"
