"""Opening what `apertura draw` is given: a source folder or a run folder, with what was drawn there before."""

import hashlib
import os
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from adapters.formats.mask_reader import MaskFileReader
from adapters.formats.scans.scan_reader import ScanFileReader
from flows.run_folder import CLAIM
from flows.settings import Settings
from flows.site import load_site
from flows.storage import named_storage_errors
from flows.studio.rotation_opening import OpenedRotation, open_rotation
from flows.studio.run_contents import IndexedSpot, RunContents
from flows.studio.saving import file_key, read_drawing
from flows.studio.shared_scenes import SCENES
from tasks.drawing import Drawing, Scene
from tasks.ingest import (
    MANIFEST_NAMES,
    SourceDocument,
    TiltSeries,
    TiltSeriesManifest,
    ingest_tilt_series,
    load_manifest,
    read_source,
)
from tasks.model import InputError, SourceError
from tasks.stage import fingerprint

Tell = Callable[[str], None]
"""Told in words what goes on, from any thread."""

APERTURES_NAME = "apertures.h5"
WORK_NAME = "studio"
POLL_S = 0.5
"""Between looks at how many scans are stored. Chosen, not measured: a person sees it move, and a look costs nothing."""


@dataclass(frozen=True)
class Place:
    """What is drawn on, and where the studio keeps what it makes.

    ``drawing`` is what was saved last, else the proposals of the run, else empty; ``saved_key`` is the SHA-256 of the
    aperture file as it was then. ``work`` never lies in a data
    folder. ``source`` is None where it is gone. ``scene``, ``series`` and ``drawing`` are None for a rotation series,
    which has ``rotation``.
    """

    kind: Literal["tilt series", "rotation series"]
    path: Path
    title: str
    work: Path
    scene: Scene | None = None
    series: TiltSeries | None = None
    drawing: Drawing | None = None
    saved_key: str | None = None
    source: Path | None = None
    rotation: OpenedRotation | None = None
    contents: RunContents | None = None
    in_progress: bool = False
    notes: tuple[str, ...] = ()
    settings: Settings = field(default_factory=Settings)

    @property
    def run(self) -> Path | None:
        """The run folder; None for a source."""
        return None if self.contents is None else self.contents.folder

    @property
    def aperture_file(self) -> Path:
        """Where `Deeds.save` writes."""
        return self.work / APERTURES_NAME

    def spots(self, crystal: str, tilt: int) -> list[IndexedSpot]:
        """Return the indexed spots of a crystal of the run on the detector at one tilt."""
        return [] if self.contents is None else self.contents.spots(crystal, tilt)


def open_place(path: Path, *, work: Path | None = None, apertures: Path | None = None, tell: Tell = print) -> Place:
    """Open a source folder, or a run folder, finished or not.

    Parameters
    ----------
    work
        Where the studio keeps what it makes. By default ``studio`` in the run folder, or, for a source and a run folder
        that cannot be written, a folder of its name in the site's folder of runs or in ``apertura-studio`` here.
    apertures
        An aperture file to begin with, in place of what was saved last or proposed.
    tell
        Told how far reading of the scans has come.

    Raises
    ------
    SourceError
        If there is neither a source nor a run, the run has no scans yet, or the source cannot be read.
    InputError
        If an aperture file is of another scan shape or other tilts, or there is no place to write.
    """
    path = path.expanduser()
    if not path.is_dir():
        raise SourceError(f"{path}: no such folder", "name a source folder, or the folder of a run")
    with named_storage_errors(path):
        if (path / CLAIM).is_file():
            return _open_run(path.resolve(), work, apertures, tell)
        if any((path / name).is_file() for name in MANIFEST_NAMES):
            return _open_source(path.resolve(), work, apertures, tell)
    raise SourceError(
        f"{path}: holds neither {' nor '.join(MANIFEST_NAMES)} nor {CLAIM}",
        "name a source folder (`apertura manifest` drafts what it lacks), or the folder of a run",
    )


def _open_source(source: Path, work: Path | None, apertures: Path | None, tell: Tell) -> Place:
    if not isinstance(load_manifest(source), TiltSeriesManifest):
        return _rotation(source, source, None, work=work)
    document = read_source(source)
    folder = _writable([work] if work else _places_for(source, beside=source))
    series = ingested(document, folder, tell)
    key = file_key(folder / APERTURES_NAME)
    drawing, notes = _drawn(series, folder, apertures, None)
    return Place(
        "tilt series",
        source,
        f"{series.sample} ({source.name})",
        folder,
        SCENES.of(series),
        series=series,
        drawing=drawing,
        saved_key=key,
        source=source,
        notes=notes,
    )


def _open_run(run: Path, work: Path | None, apertures: Path | None, tell: Tell) -> Place:
    contents = RunContents(run)
    source = _source_of(contents)
    if (
        (run / "crystals" / "crystal-01").is_dir()
        and not (run / "ingest").exists()
        and not (run / "apertures").exists()
    ):
        if source is None:
            raise SourceError(f"{run}: its source {contents.claim.get('source')} is gone", "put the frames back")
        return _rotation(run, source, run, work=work)
    busy = contents.in_progress
    notes = [f"a run is going on in {run}: opened as far as it is there; open it again for the rest"] if busy else []
    folder = _writable([work] if work else [run / WORK_NAME, *_places_for(run, beside=run)])
    if work is None and folder != run / WORK_NAME:
        notes.append(f"{run} cannot be written: what is drawn is kept in {folder}")
    series = contents.series
    if series is None:
        series = _ingested_again(contents, source, folder, tell)
    if source is None:
        notes.append(f"the source {contents.claim.get('source')} is gone: the run's own store of electrons is shown")
    proposed = contents.apertures
    if proposed is None:
        notes.append("the run has proposed no apertures yet" if busy else "the run has no apertures")
    settings = contents.settings
    if settings is None:
        notes.append("the run did not keep its settings: Solve takes the defaults")
    key = file_key(folder / APERTURES_NAME)
    drawing, said = _drawn(series, folder, apertures, None if proposed is None else Drawing.of(proposed))
    return Place(
        "tilt series",
        run,
        f"{series.sample} ({run.name})",
        folder,
        SCENES.of(series, proposed, contents.angle_maps),
        series=series,
        drawing=drawing,
        saved_key=key,
        source=source,
        contents=contents,
        in_progress=busy,
        notes=(*notes, *said),
        settings=settings or Settings(),
    )


def _rotation(path: Path, source: Path, run: Path | None, *, work: Path | None) -> Place:
    opened = open_rotation(source, run=run)
    title = f"{opened.scene.manifest.sample} ({path.name})"
    folder = _writable([work] if work else [*([run / WORK_NAME] if run else []), *_places_for(path, beside=path)])
    contents = None if run is None else RunContents(run)
    return Place(
        "rotation series", path, title, folder, source=source, rotation=opened, contents=contents, notes=opened.notes
    )


def ingested(document: SourceDocument, work: Path, tell: Tell) -> TiltSeries:
    """Return the scans of a source, read into the work folder if they are not there yet."""
    manifest = document.manifest
    total = len(manifest.scans) if isinstance(manifest, TiltSeriesManifest) else 0
    with _told(work, total, tell):
        return ingest_tilt_series(
            document, ScanFileReader(), Settings().ingest, workdir=work / "ingest", masks=MaskFileReader()
        )


@contextmanager
def _told(work: Path, total: int, tell: Tell) -> Iterator[None]:
    """Tell how many scans are stored, while they are read."""
    done = threading.Event()

    def watch() -> None:
        last = 0
        while not done.wait(POLL_S):
            stored = sum(1 for _ in work.glob(".ingest.scans/scan-*.events"))
            if stored > last:
                tell(f"reading scans: {stored} of {total}")
            last = stored

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield
    finally:
        done.set()
        watcher.join()


def _ingested_again(contents: RunContents, source: Path | None, work: Path, tell: Tell) -> TiltSeries:
    run = contents.folder
    if source is None:
        why = "a run is going on there" if contents.in_progress else "and its source is gone"
        raise SourceError(f"{run}: holds no scans, {why}", "wait until they are read, or put the source back")
    document = read_source(source)
    if fingerprint({"source": document}) != contents.claim.get("source_key"):
        raise SourceError(f"{run}: holds no scans, and {source} is not what it was run on", "open the source itself")
    return ingested(document, work, tell)


def _source_of(contents: RunContents) -> Path | None:
    name = contents.claim.get("source")
    folder = Path(name) if isinstance(name, str) else None
    there = folder is not None and any((folder / manifest).is_file() for manifest in MANIFEST_NAMES)
    return folder.resolve() if there and folder is not None else None


def _drawn(
    series: TiltSeries, work: Path, apertures: Path | None, proposed: Drawing | None
) -> tuple[Drawing, tuple[str, ...]]:
    """Return what is drawn to begin with, and where it is from in words."""
    saved = work / APERTURES_NAME
    if apertures is not None:
        return read_drawing(apertures, series), (f"apertures of {apertures.name}",)
    if saved.is_file():
        return read_drawing(saved, series), (f"apertures as saved in {saved}",)
    return (Drawing(()), ()) if proposed is None else (proposed, ())


def _places_for(path: Path, *, beside: Path) -> list[Path]:
    """Return where the studio may keep what it makes of a folder, best first: never in the folder itself."""
    name = f"{path.name}-{hashlib.sha256(str(path).encode()).hexdigest()[:8]}"
    runs = load_site().runs
    roots = [] if runs is None else [runs / WORK_NAME]
    roots += [Path.cwd() / "apertura-studio", Path.home() / ".local" / "state" / "apertura" / WORK_NAME]
    return [root / name for root in roots if not root.resolve().is_relative_to(beside)]


def _writable(places: list[Path]) -> Path:
    """Return the first of the folders that can be written, made."""
    reasons = []
    for place in places:
        try:
            place.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=place):
                return place.resolve()
        except OSError as error:
            reasons.append(f"{place}: {os.strerror(error.errno) if error.errno else error}")
    raise InputError("no folder for the studio's work: " + "; ".join(reasons), "name one by --work")
