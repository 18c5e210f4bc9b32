"""Apertures of a series that is still being measured: proposed anew with every scan, each scan looked at once."""

import shutil
from pathlib import Path

from tasks.apertures.automatic import AutomaticApertures
from tasks.apertures.models import ApertureSet
from tasks.apertures.segmentation import Segmentation
from tasks.apertures.segmented import segment_series
from tasks.apertures.shelf import Shelf
from tasks.ingest import TiltSeries
from tasks.model import NoCrystalsError


class GrowingApertures:
    """Proposes what `AutomaticApertures` does, and keeps the regions of the scans that it has seen.

    They are found again where something changes that they depend on: the events, the valid pixels, the disc.
    """

    def __init__(self, engine: AutomaticApertures, keep: Path) -> None:
        """Keep the regions in files of the folder `keep`; what a run that broke off has left there is removed."""
        shutil.rmtree(keep, ignore_errors=True)
        self._engine = engine
        self._shelf = Shelf(keep)
        self._known: dict[str, Segmentation] = {}

    def propose(self, series: TiltSeries, workdir: Path) -> ApertureSet:
        """Return the apertures of all crystals of the scans so far; files go into `workdir`.

        Raises
        ------
        NoCrystalsError
            If there is no scan, or no crystal is seen in them yet.
        """
        if not series.scans:
            raise NoCrystalsError("the series has no usable scan yet")
        segmentations = segment_series(series, self._engine, self._known, shelf=self._shelf)
        return self._engine.proposed(series, segmentations, workdir)
