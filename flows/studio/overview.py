"""What the panel of tilts shows of each scan, made in a thread beside the page: a thumbnail, and electrons drawn."""

import threading
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from flows.studio.theme import region_colour
from tasks.drawing import Drawing, Scene
from tasks.drawing import thumbnail as small_picture

THUMBNAIL_SIZE = 48
"""Rows and columns of a thumbnail at most. Chosen, not measured: as large as it is shown."""


class TiltView(NamedTuple):
    """One tilt in the overview: ``picture`` (rows, columns, 4) uint8; ``electrons`` by crystal."""

    tilt: int
    picture: NDArray[np.uint8]
    electrons: dict[str, int]


def rgb(colour: str) -> tuple[int, int, int]:
    """Return red, green and blue, 0 to 255, of ``#rrggbb``."""
    return int(colour[1:3], 16), int(colour[3:5], 16), int(colour[5:7], 16)


def tilt_view(scene: Scene, drawing: Drawing, tilt: int) -> TiltView:
    """Return what the overview shows of one tilt; opens the scan."""
    counts = scene.counts(tilt)
    shown = [one for one in drawing.crystals if one.state != "rejected"]
    masks = {one.id: one.mask(tilt) for one in shown}
    regions = [(mask, rgb(region_colour(name))) for name, mask in masks.items()]
    picture = small_picture(counts, regions, size=THUMBNAIL_SIZE)
    return TiltView(tilt, picture, {name: int(counts[mask].sum(dtype=np.uint64)) for name, mask in masks.items()})


class Overview:
    """Makes the views of all tilts, those asked for first, one after the other in one thread.

    `tell` is called in that thread with each view. The scene is one of the overview's own that keeps one tilt open: it
    takes none of those away that are being drawn on.
    """

    def __init__(self, scene: Scene, tell: Callable[[TiltView], object]) -> None:
        self._scene = scene
        self._tell = tell
        self._wanted: list[int] = []
        self._drawing = Drawing(())
        self._changed = threading.Condition()
        self._ended = False
        self._thread: threading.Thread | None = None

    def want(self, tilts: Sequence[int], drawing: Drawing) -> None:
        """Make the views of these tilts, in this order, before the others that are still to be made."""
        with self._changed:
            self._drawing = drawing
            self._wanted = [*tilts, *(tilt for tilt in self._wanted if tilt not in set(tilts))]
            if self._thread is None and not self._ended:
                self._thread = threading.Thread(target=self._work, name="studio overview", daemon=True)
                self._thread.start()
            self._changed.notify()

    def end(self) -> None:
        """Let the thread end after the view that it is making."""
        with self._changed:
            self._ended = True
            self._changed.notify()

    def _work(self) -> None:
        while (task := self._next()) is not None:
            tilt, drawing = task
            self._tell(tilt_view(self._scene, drawing, tilt))

    def _next(self) -> tuple[int, Drawing] | None:
        with self._changed:
            self._changed.wait_for(lambda: self._wanted or self._ended)
            return None if self._ended else (self._wanted.pop(0), self._drawing)
