"""The apertures stage's unit of work."""

import logging
from pathlib import Path

from tasks.apertures.models import ApertureSet
from tasks.apertures.ports import ApertureProposer
from tasks.ingest import TiltSeries
from tasks.model import plain
from tasks.stage import stage

log = logging.getLogger("apertura.apertures")


def _summary(apertures: ApertureSet) -> str:
    rows = []
    for crystal in apertures.crystals:
        counts = crystal.positions_per_tilt
        rows.append(f"| {crystal.id} | {sum(count > 0 for count in counts)} | {max(counts)} |")
    return "\n".join(
        ["| crystal | tilts | positions at most |", "|---|---|---|", *rows, "", *map(plain, apertures.notes)]
    )


@stage(name="apertures {series.sample}", summary=_summary)
def propose_apertures(series: TiltSeries, engine: ApertureProposer, workdir: Path) -> ApertureSet:
    """Return the virtual apertures of every crystal of a series."""
    apertures = engine.propose(series, workdir)
    for crystal in apertures.crystals:
        seen = sum(count > 0 for count in crystal.positions_per_tilt)
        log.info("%s: %d tilts, %d positions at most", crystal.id, seen, max(crystal.positions_per_tilt))
    return apertures
