"""The apertures stage's unit of work."""

import logging
from pathlib import Path
from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from tasks.apertures.automatic import AutomaticApertures
from tasks.apertures.drawn import ApertureFile
from tasks.apertures.models import ApertureSet
from tasks.ingest.models import TiltSeries
from tasks.model import FileRef, SettingsError
from tasks.stage import stage

log = logging.getLogger("apertura.apertures")


def _file_reference(value: Any) -> Any:
    if not isinstance(value, str | Path):
        return value
    path = Path(value).expanduser()
    if not path.is_file():
        raise SettingsError(f"apertures.file: {path}: no such file", "give the path of an aperture file")
    return FileRef.of(path)


class ApertureSettings(AutomaticApertures):
    """How apertures are made: read from a file if one is named, proposed from the data otherwise."""

    file: Annotated[FileRef | None, BeforeValidator(_file_reference)] = Field(
        default=None, description="aperture file of the user (HDF5 or JSON); None = automatic"
    )


def _summary(apertures: ApertureSet) -> str:
    rows = []
    for crystal in apertures.crystals:
        counts = crystal.positions_per_tilt
        rows.append(f"| {crystal.id} | {sum(count > 0 for count in counts)} | {max(counts)} |")
    return "\n".join(["| crystal | tilts | positions at most |", "|---|---|---|", *rows, "", *apertures.notes])


@stage(name="apertures {series.sample}", summary=_summary)
def propose_apertures(series: TiltSeries, settings: ApertureSettings, workdir: Path) -> ApertureSet:
    """Return the virtual apertures of every crystal of a series."""
    engine = settings if settings.file is None else ApertureFile(file=settings.file, seed=settings.seed)
    apertures = engine.propose(series, workdir)
    for crystal in apertures.crystals:
        seen = sum(count > 0 for count in crystal.positions_per_tilt)
        log.info("%s: %d tilts, %d positions at most", crystal.id, seen, max(crystal.positions_per_tilt))
    return apertures
