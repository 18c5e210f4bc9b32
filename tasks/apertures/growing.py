"""Apertures of a series that is still being measured: proposed anew with every scan, each scan looked at once."""

from pathlib import Path

from tasks.apertures.automatic import AutomaticApertures, segment_series
from tasks.apertures.models import ApertureSet
from tasks.apertures.segment import Segmentation
from tasks.ingest import TiltSeries
from tasks.model import NoCrystalsError


class GrowingApertures:
    """Proposes what `AutomaticApertures` does, and keeps the regions of the scans that it has seen.

    They are found again where something changes that they depend on: the events, the valid pixels, the disc.
    """

    def __init__(self, engine: AutomaticApertures) -> None:
        self._engine = engine
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
        return self._engine.proposed(series, segment_series(series, self._engine, self._known), workdir)
