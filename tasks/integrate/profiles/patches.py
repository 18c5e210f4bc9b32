"""The pixels around predicted reflections, with the background made without the predicted spots."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from tasks.integrate.geometry.prediction import Predictions
from tasks.integrate.parallel import in_threads
from tasks.integrate.spots.background import ring_background
from tasks.integrate.spots.images import Images
from tasks.integrate.spots.pooled_background import spot_mask
from tasks.integrate.spots.spot_search import radii_px
from tasks.model.arrays import Floats, Image, Integers, Mask


class Patches(NamedTuple):
    """Pixels around predictions: counts, background, valid (n, m, m); ``half`` those of the first half of the events.

    ``centre`` (n, 2) is the pixel in the middle; ``overlapped`` (n,) tells of another strong spot in the patch;
    ``near`` (n,) of predictions near enough to the sphere to be seen. ``correction`` and ``saturated`` (n, m, m) are
    those of the images; None where nothing is corrected.
    """

    centre: Integers
    counts: NDArray[np.float32]
    background: NDArray[np.float32]
    valid: Mask
    half: NDArray[np.float32] | None
    overlapped: Mask
    near: Mask
    correction: NDArray[np.float32] | None = None
    saturated: Mask | None = None


def cut_patches(
    images: Images,
    predictions: Predictions,
    beam_px: Floats,
    *,
    reach: int,
    masked: Mask,
    half: NDArray[np.unsignedinteger] | None,
    offset: tuple[float, float],
    between_spots: Callable[[int, Mask, Image], Image] | None = None,
) -> Patches:
    """Cut the pixels around every prediction, with the background made without the predicted spots.

    Parameters
    ----------
    beam_px
        (frames, 2).
    reach
        Pixels on either side of the centre.
    masked
        (n,) predictions strong enough to be kept out of the background.
    offset
        (pedestal, gain) of ``half``, which is as stored.
    between_spots
        The background (slow, fast) of a frame from the pixels of a mask, given the distances from the beam; None =
        `ring_background` of its counts.
    """
    side = 2 * reach + 1
    number = len(predictions.frame)
    middle = np.rint(predictions.px).astype(np.int64)
    counts = np.zeros((number, side, side), dtype=np.float32)
    background = np.zeros_like(counts)
    valid = np.zeros(counts.shape, dtype=bool)
    first = None if half is None else np.zeros_like(counts)
    overlapped = np.zeros(number, dtype=bool)
    correction = None if images.correction is None else np.ones_like(counts)
    saturated = None if images.saturated is None else np.zeros_like(valid)
    offsets = np.arange(-reach, reach + 1)
    order = np.argsort(predictions.frame, kind="stable")
    bounds = np.flatnonzero(np.diff(predictions.frame[order])) + 1

    def cut(rows: Integers) -> None:
        if not len(rows):
            return
        frame = int(predictions.frame[rows[0]])
        centre = middle[rows]
        image, measured = images.counts[frame], images.valid_in(frame)
        spots = spot_mask(image.shape, centre[masked[rows]], reach)
        radius = radii_px(image.shape, beam_px[frame])
        if between_spots is None:
            level = ring_background(image, measured & ~spots, radius)
        else:
            level = between_spots(frame, measured & ~spots, radius)
        slow = centre[:, 0, None, None] + offsets[None, :, None]
        fast = centre[:, 1, None, None] + offsets[None, None, :]
        inside = (slow >= 0) & (slow < image.shape[0]) & (fast >= 0) & (fast < image.shape[1])
        slow, fast = np.clip(slow, 0, image.shape[0] - 1), np.clip(fast, 0, image.shape[1] - 1)
        counts[rows] = image[slow, fast]
        background[rows] = level[slow, fast]
        valid[rows] = inside & measured[slow, fast]
        overlapped[rows] = _crowded(predictions.px[rows], masked[rows], 1.2 * reach)
        if correction is not None and images.correction is not None:
            correction[rows] = images.correction[frame][slow, fast]
        if saturated is not None and images.saturated is not None:
            saturated[rows] = images.saturated[frame][slow, fast]
        if first is not None and half is not None:
            first[rows] = (half[frame][slow, fast] - np.float32(offset[0] / 2)) / np.float32(offset[1])
            if correction is not None:
                first[rows] *= correction[rows]

    in_threads(cut, np.split(order, bounds))
    return Patches(middle, counts, background, valid, first, overlapped, masked, correction, saturated)


def _crowded(px: Floats, strong: Mask, distance: float) -> Mask:
    if strong.sum() < 2:
        return np.zeros(len(px), dtype=bool)
    gap = np.asarray(cKDTree(px[strong]).query(px, k=2)[0])
    nearest = np.where(strong, gap[:, 1], gap[:, 0])
    return np.asarray(nearest < distance)
