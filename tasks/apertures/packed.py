"""Masks of many tracks and scans in little memory: the bits of the rectangle that each one fills."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple, overload

import numpy as np
from numpy.typing import NDArray

from tasks.apertures.window import Window, filled


class PackedMask(NamedTuple):
    """One mask (ny, nx): its window's positions as bits, and how many are True."""

    window: Window
    bits: NDArray[np.uint8]
    scan_shape: tuple[int, int]
    positions: int

    def mask(self) -> NDArray[np.bool_]:
        """Return the mask, (ny, nx)."""
        found = np.zeros(self.scan_shape, dtype=bool)
        if self.positions:
            inside = found[self.window.slices]
            inside[...] = np.unpackbits(self.bits, count=inside.size).reshape(inside.shape)
        return found


def packed(mask: NDArray[np.bool_]) -> PackedMask:
    """Return a mask (ny, nx) packed."""
    window = filled(mask)
    bits = np.packbits(mask[window.slices])
    return PackedMask(window, bits, (mask.shape[0], mask.shape[1]), int(np.count_nonzero(mask)))


class MaskStack(Sequence[NDArray[np.bool_]]):
    """The masks of one track at all tilts, each unpacked when it is asked for."""

    def __init__(self, masks: Sequence[PackedMask | None], scan_shape: tuple[int, int]) -> None:
        self._masks, self.scan_shape = masks, scan_shape

    def __len__(self) -> int:
        return len(self._masks)

    @overload
    def __getitem__(self, index: int) -> NDArray[np.bool_]: ...
    @overload
    def __getitem__(self, index: slice) -> "MaskStack": ...
    def __getitem__(self, index: int | slice) -> "NDArray[np.bool_] | MaskStack":
        """Return the mask (ny, nx) of a tilt."""
        if isinstance(index, slice):
            return MaskStack(self._masks[index], self.scan_shape)
        one = self._masks[index]
        return np.zeros(self.scan_shape, dtype=bool) if one is None else one.mask()

    def __iter__(self) -> Iterator[NDArray[np.bool_]]:
        return (self[index] for index in range(len(self)))

    @property
    def positions(self) -> NDArray[np.int64]:
        """How many positions each tilt has, (n_tilts,)."""
        return np.array([0 if one is None else one.positions for one in self._masks], dtype=np.int64)


class TrackMasks:
    """Masks of all tracks at all tilts; those that were never set are empty."""

    def __init__(self, n_tracks: int, n_tilts: int, scan_shape: tuple[int, int]) -> None:
        self._masks: list[list[PackedMask | None]] = [[None] * n_tilts for _ in range(n_tracks)]
        self.scan_shape, self._tilts = scan_shape, n_tilts

    def put(self, track: int, tilt: int, mask: PackedMask | NDArray[np.bool_] | None) -> None:
        """Set a mask, (ny, nx); None empties it."""
        self._masks[track][tilt] = packed(mask) if isinstance(mask, np.ndarray) else mask

    def get(self, track: int, tilt: int) -> NDArray[np.bool_]:
        """Return a mask, (ny, nx)."""
        return self.of(track)[tilt]

    def of(self, track: int) -> MaskStack:
        """Return the masks of a track, as they are now."""
        return MaskStack(tuple(self._masks[track]), self.scan_shape)

    @property
    def positions(self) -> NDArray[np.int64]:
        """How many positions they have, (n_tracks, n_tilts)."""
        shape = (len(self._masks), self._tilts)
        return np.array([self.of(track).positions for track in range(shape[0])], dtype=np.int64).reshape(shape)
