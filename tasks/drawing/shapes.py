"""Shapes that a hand draws, as masks of scan positions.

Points are (row, column) in positions, integers are the centres of positions; what lies outside the scan is cut off.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage.draw import polygon2mask

Point = tuple[float, float]
"""(row, column)."""


def polygon_mask(scan_shape: tuple[int, int], corners: Sequence[Point]) -> NDArray[np.bool_]:
    """Return the positions (ny, nx) inside a polygon, as the pipeline reads the polygon of an aperture file.

    Raises
    ------
    ValueError
        If there are fewer than three corners.
    """
    if len(corners) < 3:
        raise ValueError(f"a polygon has three corners at least, got {len(corners)}")
    return np.asarray(polygon2mask(scan_shape, np.asarray(corners, dtype=np.float64)), dtype=bool)


def stroke_mask(scan_shape: tuple[int, int], points: Sequence[Point], radius: float) -> NDArray[np.bool_]:
    """Return the positions within `radius` positions of a stroke: a line through its points, or a single dot.

    The position nearest to each point is always taken, so that a brush of any size draws something.
    """
    mask = np.zeros(scan_shape, dtype=bool)
    path = np.asarray(points, dtype=np.float64).reshape(-1, 2)
    for start, stop in zip(path, path[1:] if len(path) > 1 else path, strict=False):
        _add_segment(mask, start, stop, radius)
    nearest = np.rint(path).astype(np.int64)
    inside = ((nearest >= 0) & (nearest < scan_shape)).all(axis=1)
    mask[tuple(nearest[inside].T)] = True
    return mask


def _add_segment(mask: NDArray[np.bool_], start: NDArray[np.float64], stop: NDArray[np.float64], radius: float) -> None:
    """Add what lies within the radius of a segment; only the box about it is looked at."""
    low = np.maximum(np.floor(np.minimum(start, stop) - radius), 0).astype(np.int64)
    high = np.minimum(np.ceil(np.maximum(start, stop) + radius) + 1, mask.shape).astype(np.int64)
    if (high <= low).any():
        return
    place = np.moveaxis(np.indices(tuple(high - low)), 0, -1) + low - start
    along = stop - start
    length_sq = float(along @ along)
    part = np.clip(place @ along / length_sq, 0.0, 1.0)[..., None] if length_sq > 0 else np.zeros((1, 1, 1))
    near = ((place - part * along) ** 2).sum(axis=-1) <= radius * radius
    mask[low[0] : high[0], low[1] : high[1]] |= near


def rectangle_mask(scan_shape: tuple[int, int], corner: Point, opposite: Point) -> NDArray[np.bool_]:
    """Return the positions whose centres lie in a rectangle along the scan, its sides included."""
    rows, columns = np.ogrid[: scan_shape[0], : scan_shape[1]]
    (top, bottom), (left, right) = sorted((corner[0], opposite[0])), sorted((corner[1], opposite[1]))
    return np.asarray((rows >= top) & (rows <= bottom) & (columns >= left) & (columns <= right))


def ellipse_mask(
    scan_shape: tuple[int, int], centre: Point, semi_axes: Point, *, rotation_deg: float = 0.0
) -> NDArray[np.bool_]:
    """Return the positions whose centres lie in an ellipse.

    Parameters
    ----------
    semi_axes
        Half diameters (along rows' direction, along columns'), positions; neither may be negative.
    rotation_deg
        Counter-clockwise as displayed with row 0 at the top.
    """
    if min(semi_axes) < 0:
        raise ValueError(f"semi-axes are not negative, got {semi_axes}")
    rows, columns = np.ogrid[: scan_shape[0], : scan_shape[1]]
    down, right = rows - centre[0], columns - centre[1]
    angle = np.radians(rotation_deg)
    along_column = right * np.cos(angle) - down * np.sin(angle)
    along_row = right * np.sin(angle) + down * np.cos(angle)
    a, b = (max(axis, 1e-9) for axis in semi_axes)
    return np.asarray((along_row / a) ** 2 + (along_column / b) ** 2 <= 1.0)


def connected_part(mask: NDArray[np.bool_], seed: tuple[int, int]) -> NDArray[np.bool_]:
    """Return the part of a mask that hangs together with a position by its sides; nothing if it lies outside."""
    labels, _ = ndimage.label(mask)
    number = labels[seed]
    return np.asarray((labels == number) & (number > 0))


def sides_of_line(scan_shape: tuple[int, int], start: Point, stop: Point) -> NDArray[np.int64]:
    """Return (ny, nx): 1 on one side of the straight line through two points, 2 on the other and upon it.

    Raises
    ------
    ValueError
        If both points are one.
    """
    down, right = stop[0] - start[0], stop[1] - start[1]
    if down == 0 and right == 0:
        raise ValueError("a line needs two different points")
    rows, columns = np.ogrid[: scan_shape[0], : scan_shape[1]]
    return np.where((rows - start[0]) * right - (columns - start[1]) * down < 0, 1, 2).astype(np.int64)
