"""What every track's crystal contributes to every scan: read from the regions when asked for, near scans held."""

import threading
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from tasks.apertures.segmentation import RegionImage, Segmentation

Scene = Mapping[int, NDArray[np.float64]]
"""Track number -> image (ny, nx) in electrons per position, of one scan. Images are not to be changed."""

NEAR = 8
"""Scans on either side of the last one asked for, of which images are held: twice as far as predictions reach."""


class Scenes(Sequence[Scene]):
    """The scenes of all scans, as the two lists that it was made of are now."""

    def __init__(self, segmentations: Sequence[Segmentation], owners: Sequence[Sequence[int]]) -> None:
        self._segmentations, self._owners = segmentations, owners
        self._held: dict[int, dict[int, tuple[RegionImage, NDArray[np.float64]]]] = {}
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._segmentations)

    def __getitem__(self, scan: int) -> Scene:  # type: ignore[override]
        """Return the scene of a scan."""
        return _SceneOfScan(self, scan)

    def owners(self, scan: int) -> Sequence[int]:
        """Return the tracks that are in a scan."""
        return self._owners[scan]

    def region(self, scan: int, number: int) -> RegionImage:
        """Return the region of a track in a scan.

        Raises
        ------
        KeyError
            If the track is not there.
        """
        try:
            return self._segmentations[scan].regions[self._owners[scan].index(number)]
        except ValueError as error:
            raise KeyError(number) from error

    def image(self, scan: int, number: int) -> NDArray[np.float64]:
        """Return the image of a track in a scan, (ny, nx)."""
        region = self.region(scan, number)
        with self._lock:
            for other in [one for one in self._held if abs(one - scan) > NEAR]:
                del self._held[other]
            held = self._held.setdefault(scan, {}).get(number)
        if held is not None and held[0] is region:
            return held[1]
        made = region.image()
        with self._lock:
            self._held.setdefault(scan, {})[number] = (region, made)
        return made


class _SceneOfScan(Mapping[int, NDArray[np.float64]]):
    def __init__(self, scenes: Scenes, scan: int) -> None:
        self._scenes, self._scan = scenes, scan

    def __getitem__(self, number: int) -> NDArray[np.float64]:
        return self._scenes.image(self._scan, number)

    def __iter__(self) -> Iterator[int]:
        return iter(self._scenes.owners(self._scan))

    def __len__(self) -> int:
        return len(self._scenes.owners(self._scan))

    def __contains__(self, number: object) -> bool:
        return number in self._scenes.owners(self._scan)
