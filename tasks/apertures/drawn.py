"""Apertures that a user drew, or corrected, in a file."""

import shutil
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BeforeValidator, Field

from tasks.apertures.aperture_file import read_apertures
from tasks.apertures.automatic import maps_of_series
from tasks.apertures.faults import frame_faults, notes_of
from tasks.apertures.models import ApertureSet, CrystalAperture
from tasks.apertures.output import write_aperture_file, write_drawn, write_maps
from tasks.apertures.settings import ProposalSettings
from tasks.apertures.shelf import shelf_in
from tasks.events.repeated import repeated_positions
from tasks.ingest import TiltSeries, open_events
from tasks.model import Document, FileRef, InputError, SettingsError
from tasks.model.provenance import Provenance
from tasks.stage import DOCUMENT_NAME, read_document


def _file_reference(value: Any) -> Any:
    if not isinstance(value, str | Path):
        return value
    path = Path(value).expanduser()
    if not path.is_file():
        raise SettingsError(f"apertures.file: {path}: no such file", "give the path of an aperture file")
    return FileRef.of(path)


class ApertureFile(Document):
    """Read the apertures of all crystals from an aperture file; the maps are made from the data."""

    engine: Literal["file"] = "file"
    file: Annotated[FileRef, BeforeValidator(_file_reference)] = Field(
        description="aperture file of the user (HDF5 or JSON)"
    )
    earlier: Annotated[FileRef, BeforeValidator(_file_reference)] | None = Field(
        default=None,
        description="document of the apertures of an earlier run: crystals whose masks are its own keep what it tells",
    )
    seed: int = Field(default=0, ge=0, description="splits the events in two halves")

    def propose(self, series: TiltSeries, workdir: Path) -> ApertureSet:
        """Return the apertures of the file; raises InputError if the file does not fit the series."""
        tilts = [scan.tilt_deg for scan in series.scans]
        drawn = read_apertures(
            self.file.path, scan_shape=series.scan.shape, tilt_deg=tilts,
            known_tilts=[scan.tilt_deg for scan in series.lost],
        )  # fmt: skip
        faults = frame_faults(series)
        for index, scan in enumerate(series.scans):
            repeated = repeated_positions(open_events(scan)).reshape(series.scan.shape)
            for masks in drawn.values():
                masks[index] &= ~repeated
        known = {} if self.earlier is None else _crystals_of(self.earlier)
        crystals = tuple(
            _kept(known.get(name), masks, workdir) or write_drawn(name, masks, np.array(tilts), workdir)
            for name, masks in drawn.items()
        )
        file, summary = write_aperture_file(crystals, list(drawn.values()), np.array(tilts), workdir)
        with shelf_in(workdir) as shelf:
            maps = maps_of_series(series, ProposalSettings(seed=self.seed), shelf)
            map_file = write_maps(maps[0].names, lambda tilt, name: maps[tilt][name], np.array(tilts), workdir)
        return ApertureSet(
            tilt_deg=tuple(tilts),
            scan_shape=series.scan.shape,
            crystals=crystals,
            aperture_file=file,
            aperture_summary=summary,
            maps=map_file,
            faults=faults,
            notes=(f"{len(drawn)} crystals from {self.file.path.name}", *notes_of(faults)),
            provenance=Provenance(engine="aperture file", version="1", inputs={"apertures.file": self.file.sha256}),
        )


def _crystals_of(document: FileRef) -> dict[str, CrystalAperture]:
    """Return the apertures of an earlier run by their ids."""
    if document.path.name != DOCUMENT_NAME or not document.unchanged():
        raise InputError(f"apertures.earlier: {document.path}: gone or changed", "leave it out, or name it anew")
    return {one.id: one for one in read_document(document.path.parent, ApertureSet).crystals}


def _kept(earlier: CrystalAperture | None, masks: NDArray[np.bool_], workdir: Path) -> CrystalAperture | None:
    """Return an aperture of an earlier run, its file beside the others; None if its masks (n_tilts, ny, nx) differ."""
    if earlier is None or not earlier.masks.path.is_file() or not np.array_equal(earlier.positions, masks):
        return None
    copied = Path(shutil.copyfile(earlier.masks.path, workdir / f"{earlier.id}.h5"))
    return earlier.model_copy(update={"masks": FileRef.of(copied)})
