"""What a run folder holds for the studio, finished or not: each part if it is there."""

import fcntl
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import h5py
import numpy as np
from pydantic import ValidationError

from flows.run_folder import CLAIM, read_results
from flows.settings import Settings
from tasks.apertures import ApertureSet
from tasks.frames import DirectBeams, FrameSeries
from tasks.ingest import TiltSeries
from tasks.integrate import Reflections
from tasks.maps import CrystalMaps
from tasks.model import ApertureError, Document, InputError, SourceError
from tasks.refine import Refinement
from tasks.solve import Solutions
from tasks.stage import read_document

D = TypeVar("D", bound=Document)


class IndexedSpot(NamedTuple):
    """Where a crystal's lattice puts a reflection on the detector at one tilt, and its Miller indices."""

    slow: float
    fast: float
    h: int
    k: int
    l: int


class CrystalContents(NamedTuple):
    """What a run made of one crystal; None: not there, or not yet."""

    id: str
    frames: FrameSeries | None
    reflections: Reflections | None
    solutions: Solutions | None
    refinement: Refinement | None


class RunContents(NamedTuple):
    """What a run holds. Parts are read when they are asked for: a run in progress has more later."""

    folder: Path

    @property
    def claim(self) -> dict[str, Any]:
        """What run.json says.

        Raises
        ------
        SourceError
            If it cannot be read.
        """
        path = self.folder / CLAIM
        try:
            found = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise SourceError(f"{path}: not the claim of a run: {error}", "name the folder of a run") from error
        if not isinstance(found, dict):
            raise SourceError(f"{path}: not the claim of a run", "name the folder of a run")
        return found

    @property
    def in_progress(self) -> bool:
        """Whether a process holds the lock of the run now."""
        try:
            with (self.folder / ".lock").open("rb") as lock:
                fcntl.flock(lock.fileno(), fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        except OSError:  # no lock file, or a file system without locks
            return False
        return False

    @property
    def series(self) -> TiltSeries | None:
        """The scans, if the store is there with all of its files."""
        found = self._read(self.folder / "ingest", TiltSeries)
        if found is None or not all(scan.events.path.is_file() for scan in found.scans):
            return None
        return found

    @property
    def apertures(self) -> ApertureSet | None:
        """The apertures of all crystals."""
        return self._read(self.folder / "apertures", ApertureSet)

    @property
    def beams(self) -> DirectBeams | None:
        """The direct beam of every tilt."""
        return self._read(self.folder / "beams", DirectBeams)

    @property
    def settings(self) -> Settings | None:
        """The settings of the run; None where it did not keep them.

        Raises
        ------
        InputError
            If they name an aperture file that is gone, or are of another version.
        """
        changed = self.claim.get("settings", self.results.get("provenance", {}).get("settings_changed"))
        if changed is None:
            return None
        try:
            return Settings.model_validate(changed)
        except (ValidationError, OSError) as error:
            raise InputError(f"{self.folder}: its settings cannot be read: {error}", "state them anew") from error

    @property
    def crystal_ids(self) -> tuple[str, ...]:
        """The crystals that the run has begun."""
        return tuple(sorted(path.name for path in (self.folder / "crystals").glob("crystal-*") if path.is_dir()))

    @property
    def angle_maps(self) -> tuple[Path, ...]:
        """The files of the maps over probe positions that the run has of its crystals."""
        found = (self._read(self.folder / "crystals" / name / "maps", CrystalMaps) for name in self.crystal_ids)
        return tuple(one.file.path for one in found if one is not None and one.file.path.is_file())

    def crystal(self, name: str) -> CrystalContents:
        """Return what the run made of a crystal."""
        folder = self.folder / "crystals" / name
        refined = self._refined(name) or folder / "refine"
        solved = refined.parent / "solve"
        return CrystalContents(
            name,
            self._read(folder / "frames", FrameSeries),
            self._read(folder / "integrate", Reflections),
            self._read(solved if solved.is_dir() else folder / "solve", Solutions),
            self._read(refined, Refinement),
        )

    def _refined(self, name: str) -> Path | None:
        """Return the folder of the structure that a finished run settled on: of several phases that which won."""
        for crystal in self.results.get("crystals", []):
            if crystal.get("id") == name and "cif" in (crystal.get("refinement") or {}):
                return (self.folder / crystal["refinement"]["cif"]).parent
        return None

    @property
    def results(self) -> dict[str, Any]:
        """What results.json holds; empty where the run is not finished."""
        try:
            return read_results(self.folder)
        except SourceError:
            return {}

    def spots(self, crystal: str, tilt: int) -> list[IndexedSpot]:
        """Return the indexed spots of a crystal on the detector at one tilt; none where the run has none.

        Where the direct beam moved over the scan, they are those of the middle of the scan.
        """
        found = self.crystal(crystal)
        if found.frames is None or found.reflections is None or found.reflections.pictures is None:
            return []
        places = [place for place, frame in enumerate(found.frames.frames) if frame.number == tilt]
        beam = self._beam_at(found.frames, tilt)
        if not places or beam is None:
            return []
        moved = np.subtract(beam, found.frames.direct_beam_px)
        with h5py.File(found.reflections.pictures.path, "r") as file:
            here = np.asarray(file["frame"]) == places[0]
            px, hkl = np.asarray(file["px"])[here] + moved, np.asarray(file["hkl"])[here]
        return [IndexedSpot(*where, *index) for where, index in zip(px.tolist(), hkl.tolist(), strict=True)]

    def _beam_at(self, frames: FrameSeries, tilt: int) -> Sequence[float] | None:
        beams = self.beams
        if beams is not None and tilt < len(beams.px):
            return beams.px[tilt]
        return next((frame.beam_found_px for frame in frames.frames if frame.number == tilt), None)

    def _read(self, folder: Path, kind: type[D]) -> D | None:
        """Return the document of a step; None where it was not done, or by another version."""
        try:
            return read_document(folder, kind)
        except ApertureError:
            return None
