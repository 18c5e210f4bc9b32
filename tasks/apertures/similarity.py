"""How alike the regions of two scans are: by shape and position after a shift, and by diffraction."""

from itertools import product
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment
from scipy.spatial import cKDTree
from skimage.feature import peak_local_max

from tasks.apertures.segmentation import Segmentation
from tasks.apertures.window import is_one_tile, whole_field

RELROD_INVERSE_ANGSTROM = 0.003
"""How far from the sphere a reflection still shows: mosaic spread of 0.3 degrees does that at |q| = 0.57. In
`python -m tests.benchmarks.apertures weak --seeds 1` 0.006 is as good, 0.0015 loses two crystals of five (13 swaps)."""
MATCH_PX = 2.5
"""Distance up to which spots of two scans are one. In that benchmark 1.25 loses one crystal of five, and 5 lowers the
precision from 0.982 to 0.948."""

Pixel = TypeVar("Pixel", bound=np.generic)


def shift_candidates(first: NDArray[np.float64], second: NDArray[np.float64], *, count: int = 6) -> NDArray[np.int64]:
    """Return likely integer shifts (m, 2) by which the content of `first` moved to become `second`.

    Maxima of the full (zero-padded) cross-correlation of images (ny, nx), so that shifts of any size are found;
    no shift at all is always among them. Of more than one tile: of images of half the size, moved to the best place
    within a position of either.
    """
    a, b = first - first.mean(), second - second.mean()
    if not is_one_tile(first.shape):
        coarse = shift_candidates(_halved(first), _halved(second), count=count)
        return np.unique(np.vstack([[_best_near(a, b, 2 * shift) for shift in coarse], [[0, 0]]]), axis=0)
    from scipy import signal  # it imports scipy.stats: half a second that a flow's start need not wait for

    correlation = signal.fftconvolve(b, a[::-1, ::-1], mode="full")
    centre = np.array(a.shape) - 1
    peaks = peak_local_max(correlation, min_distance=2, num_peaks=count, exclude_border=False)
    return np.unique(np.vstack([peaks - centre, [[0, 0]]]), axis=0)


def _halved(image: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the sums of 2 x 2 positions."""
    even = np.pad(image, [(0, n % 2) for n in image.shape])
    return np.asarray(even[0::2, 0::2] + even[1::2, 0::2] + even[0::2, 1::2] + even[1::2, 1::2])


def _best_near(a: NDArray[np.float64], b: NDArray[np.float64], shift: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the shift within a position of another at which two images agree best."""
    near = [shift + np.array(step) for step in product((-1, 0, 1), repeat=2)]
    return max(near, key=lambda one: _agreement(a, b, one))


def _agreement(a: NDArray[np.float64], b: NDArray[np.float64], shift: NDArray[np.int64]) -> float:
    """Return the sum of products of two images, the first moved."""
    field = whole_field(a.shape)
    to = field.moved(shift).common(field)
    return float(np.vdot(a[to.moved(-shift).slices], b[to.slices])) if to.size else 0.0


def moved(images: NDArray[Pixel], shift: NDArray[np.int64]) -> NDArray[Pixel]:
    """Return images (k, ny, nx) moved by whole positions, zero where nothing moved in."""
    out = np.zeros_like(images)
    ny, nx = images.shape[1:]
    row, column = int(shift[0]), int(shift[1])
    if abs(row) < ny and abs(column) < nx:
        out[:, max(row, 0) : ny + min(row, 0), max(column, 0) : nx + min(column, 0)] = images[
            :, max(-row, 0) : ny + min(-row, 0), max(-column, 0) : nx + min(-column, 0)
        ]
    return out


def overlaps(first: NDArray[np.float64], second: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return cosines (k, l) between non-negative images."""
    a, b = first.reshape(len(first), -1), second.reshape(len(second), -1)
    norm = np.outer(np.linalg.norm(a, axis=1), np.linalg.norm(b, axis=1))
    return (a @ b.T) / np.maximum(norm, 1e-12)


def diffraction_similarity(
    first: Segmentation,
    second: Segmentation,
    *,
    step_deg: float,
    axis: NDArray[np.float64],
    inverse_angstrom_per_px: float,
) -> NDArray[np.float64]:
    """Return (k, l) in [0, 1]: how much of the persisting diffraction the regions share.

    A reflection at distance q from the tilt axis leaves the Ewald sphere by q sin(step): those that stay within a
    relrod are expected at the same place of the detector, apart from second-order terms. The Bhattacharyya
    coefficient of the spot intensities, weighted by the expected persistence.
    """
    a, weight_a = _persisting(first, step_deg=step_deg, axis=axis, scale=inverse_angstrom_per_px)
    b, weight_b = _persisting(second, step_deg=step_deg, axis=axis, scale=inverse_angstrom_per_px)
    if not len(a) or not len(b):
        return np.zeros((len(weight_a), len(weight_b)))
    near = cKDTree(a).sparse_distance_matrix(cKDTree(b), MATCH_PX, output_type="coo_matrix")
    shared = np.zeros((len(weight_a), len(weight_b)))
    for row, column in zip(near.row, near.col, strict=True):
        shared += np.outer(weight_a[:, row], weight_b[:, column])
    norm = np.outer(np.linalg.norm(weight_a, axis=1), np.linalg.norm(weight_b, axis=1))
    return np.minimum(shared / np.maximum(norm, 1e-12), 1.0)


def _persisting(
    segmentation: Segmentation, *, step_deg: float, axis: NDArray[np.float64], scale: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    px = segmentation.spots.px - segmentation.beam.centre
    across = np.abs(px @ np.array([-axis[1], axis[0]])) * scale
    persistence = np.exp(-((across * np.sin(np.radians(step_deg)) / RELROD_INVERSE_ANGSTROM) ** 2))
    keep = persistence > 0.1
    return px[keep], np.sqrt(segmentation.patterns[:, keep] * persistence[keep])


def matched(score: NDArray[np.float64]) -> float:
    """Return the sum of the best one-to-one assignment of a score matrix."""
    rows, columns = linear_sum_assignment(score, maximize=True)
    return float(score[rows, columns].sum())
