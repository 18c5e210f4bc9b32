"""What is done to a drawing at one tilt."""

from typing import NamedTuple

import numpy as np
from scipy import ndimage

from flows.studio.sketch import Mask, Mode, Point
from tasks.drawing import Drawing, Likeness


class Seed(NamedTuple):
    """What an aperture was grown from, so that it can be grown anew with another likeness."""

    position: tuple[int, int]
    like: Likeness
    target: str | None
    base: Mask
    mode: Mode


def position_at(point: Point, shape: tuple[int, int]) -> tuple[int, int] | None:
    """Return the position or pixel under a point; None outside."""
    row, column = (round(value) for value in point)
    return (row, column) if 0 <= row < shape[0] and 0 <= column < shape[1] else None


def crystal_at(drawing: Drawing, tilt: int, position: tuple[int, int]) -> str | None:
    """Return the crystal at a position, the smallest of several; None if there is none."""
    there = [one for one in drawing.crystals if one.state != "rejected" and one.mask(tilt)[position]]
    return min(there, key=lambda one: one.positions_per_tilt[tilt]).id if there else None


def with_area(
    drawing: Drawing, crystal: str | None, tilt: int, mask: Mask, *, tilts: int
) -> tuple[Drawing, str | None]:
    """Return it with this mask (ny, nx) of a crystal, or of a new one for None; and whose it is then.

    A new crystal of no position is not made.
    """
    if crystal is not None and crystal in drawing.ids:
        return drawing.with_mask(crystal, tilt, mask), crystal
    if not mask.any():
        return drawing, None
    masks = np.zeros((tilts, *mask.shape), dtype=bool)
    masks[tilt] = mask
    return drawing.with_new(masks), drawing.next_id()


def pieces_apart(drawing: Drawing, crystal: str, tilt: int) -> Drawing:
    """Return it with the pieces of a crystal that do not touch at this tilt as crystals of their own.

    Raises
    ------
    ValueError
        If there is one piece only.
    """
    labels, count = ndimage.label(drawing.crystal(crystal).mask(tilt), np.ones((3, 3)))
    if count < 2:
        raise ValueError("it is in one piece at this tilt: cut it with a line")
    return drawing.split(crystal, tilt, labels=labels)
