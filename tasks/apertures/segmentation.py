"""One scan with its regions: what is asked for often stays in memory, the arrays are read when they are needed."""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from tasks.apertures.factorise import Factors
from tasks.apertures.masks import typical_weight
from tasks.apertures.pattern import BraggSpots
from tasks.apertures.shelf import Laid, Shelf
from tasks.apertures.window import Window, window_of
from tasks.events.scan_beam import DirectBeam

WEIGHTS = np.float64
"""In which weights are laid down: that in which they are fitted, so that they come back bit for bit."""


class RegionImage(NamedTuple):
    """Electrons per position of one region, laid down.

    ``electrons`` over the scan; ``level``: the typical weight of a position; ``window``: beyond it all is zero.
    """

    laid: Laid
    name: str
    window: Window
    scan_shape: tuple[int, int]
    electrons: float
    level: float

    def within(self) -> NDArray[np.float64]:
        """Return the image in its window."""
        return self.laid[self.name].astype(np.float64, copy=False)

    def image(self) -> NDArray[np.float64]:
        """Return the image, (ny, nx)."""
        found = np.zeros(self.scan_shape)
        found[self.window.slices] = self.within()
        return found


class Segmentation(NamedTuple):
    """Regions of one scan.

    ``patterns`` (k, n_spots), rows sum to 1; ``regions`` (k,): electrons per position of each. Read anew whenever they
    are asked for: ``counts``, spot electrons (n_positions, n_spots), and ``chosen_half``, those of one half of the
    events by a seeded coin; ``amplitude`` (n_positions,) share of the background, sums to 1; ``good`` (ny, nx), False
    at hot, empty, glitched and repeated positions; ``weights`` (n_positions, k); maps (ny, nx) by name.
    """

    beam: DirectBeam
    spots: BraggSpots
    held: Laid
    scan_shape: tuple[int, int]
    patterns: NDArray[np.float64]
    regions: tuple[RegionImage, ...]

    @property
    def counts(self) -> csr_matrix:
        """Spot electrons (n_positions, n_spots)."""
        return self._sparse("counts")

    @property
    def chosen_half(self) -> csr_matrix:
        """Those of the half of the events that chooses."""
        half = self._sparse("chosen")
        half.eliminate_zeros()
        return half

    def _sparse(self, name: str) -> csr_matrix:
        parts = (
            self.held[name].astype(np.float64),
            self.held["indices"].astype(np.int32),
            self.held["indptr"].astype(np.int32),
        )
        return csr_matrix(parts, shape=(self.scan_shape[0] * self.scan_shape[1], len(self.spots.px)))

    @property
    def amplitude(self) -> NDArray[np.float64]:
        """Share of each position in the background, (n_positions,)."""
        return self.held["amplitude"]

    @property
    def good(self) -> NDArray[np.bool_]:
        """False at positions that were not measured well, (ny, nx)."""
        return self.held["good"]

    @property
    def map_names(self) -> tuple[str, ...]:
        """Names of the maps."""
        return tuple(name.removeprefix(_MAP) for name in self.held.names if name.startswith(_MAP))

    def map_of(self, name: str) -> NDArray[np.float64]:
        """Return a map, (ny, nx)."""
        return self.held[_MAP + name]

    @property
    def weights(self) -> NDArray[np.float64]:
        """Electrons per position and region, (n_positions, k)."""
        found = np.zeros((*self.scan_shape, len(self.regions)))
        for column, region in enumerate(self.regions):
            found[(*region.window.slices, column)] = region.within()
        return found.reshape(self.scan_shape[0] * self.scan_shape[1], len(self.regions))

    @property
    def electrons(self) -> NDArray[np.float64]:
        """Electrons of each region over the scan, (k,)."""
        return np.array([region.electrons for region in self.regions])

    def with_factors(self, factors: Factors) -> "Segmentation":
        """Return the segmentation with other regions, which are laid down."""
        return self._replace(patterns=factors.patterns, regions=lay_regions(self.held.shelf, factors, self.scan_shape))

    def with_columns(self, columns: Sequence[int]) -> "Segmentation":
        """Return the segmentation with some of its regions only."""
        chosen = list(columns)
        return self._replace(patterns=self.patterns[chosen], regions=tuple(self.regions[column] for column in chosen))


_MAP = "map "


def lay_scan(
    shelf: Shelf,
    counts: csr_matrix,
    chosen_half: csr_matrix,
    amplitude: NDArray[np.float64],
    maps: Mapping[str, NDArray[np.float64]],
    good: NDArray[np.bool_],
) -> Laid:
    """Lay down what the events of one scan tell, its counts and those of one half in one sparse table."""
    counts.sort_indices()
    chosen = np.zeros(counts.nnz, dtype=np.float64)
    half = csr_matrix(chosen_half)
    half.sort_indices()
    rows = np.repeat(np.arange(half.shape[0], dtype=np.int64), np.diff(half.indptr))
    own = np.repeat(np.arange(counts.shape[0], dtype=np.int64), np.diff(counts.indptr))
    width = max(1, counts.shape[1])
    chosen[np.searchsorted(own * width + counts.indices, rows * width + half.indices)] = half.data
    return shelf.lay(
        {
            "indptr": counts.indptr.astype(np.uint32),
            "indices": counts.indices.astype(_least(width)),
            "counts": _whole(counts.data),
            "chosen": _whole(chosen),
            "amplitude": amplitude,
            "good": good,
            **{_MAP + name: image for name, image in maps.items()},
        }
    )


def lay_regions(shelf: Shelf, factors: Factors, scan_shape: tuple[int, int]) -> tuple[RegionImage, ...]:
    """Lay down the images of regions, (n_positions, k)."""
    images = np.moveaxis(factors.weights.reshape(*scan_shape, -1), -1, 0)
    return lay_images(shelf, images, factors.weights.sum(axis=0))


def lay_images(
    shelf: Shelf, images: Sequence[NDArray[np.float64]] | NDArray[np.float64], electrons: Iterable[float]
) -> tuple[RegionImage, ...]:
    """Lay down images (ny, nx) with the electrons that they hold."""
    if not len(images):
        return ()
    windows = [window_of(image) for image in images]
    cut = [image[window.slices] for image, window in zip(images, windows, strict=True)]
    laid = shelf.lay({str(n): np.ascontiguousarray(image, dtype=WEIGHTS) for n, image in enumerate(cut)})
    return tuple(
        RegionImage(laid, str(number), window, image.shape, float(total), typical_weight(image))
        for number, (image, window, total) in enumerate(zip(images, windows, electrons, strict=True))
    )


def _least(most: float) -> type[np.unsignedinteger]:
    """Return the smallest of the types that holds whole numbers up to `most`."""
    return np.uint8 if most < 2**8 else np.uint16 if most < 2**16 else np.uint32


def _whole(values: NDArray[np.float64]) -> NDArray[np.unsignedinteger]:
    return values.astype(_least(float(values.max(initial=0.0))))
