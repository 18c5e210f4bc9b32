"""What the apertures stage needs from an engine."""

from pathlib import Path
from typing import Protocol

from tasks.apertures.models import ApertureSet
from tasks.ingest import TiltSeries


class ApertureProposer(Protocol):
    """Finds the crystals of a series, or reads the apertures that a user drew."""

    def propose(self, series: TiltSeries, workdir: Path) -> ApertureSet:
        """Return the apertures; files go into `workdir`.

        Raises
        ------
        NoCrystalsError
            If no position diffracts.
        """
        ...
