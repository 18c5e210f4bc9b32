"""Units of work of a finished run done again from their recorded inputs, and compared byte for byte.

Nothing is written into the run. A unit counts as repeated only if its inputs, settings and code have the hash that
was recorded with its result: otherwise there is nothing to compare.
"""

import json
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal, NamedTuple

from adapters.formats.frame_reader import FrameFileReader
from adapters.formats.mask_reader import MaskFileReader
from adapters.formats.scans.scan_reader import ScanFileReader
from flows.parts import joined_parts
from flows.pipeline import axes_given
from flows.run_files import first_damaged
from flows.run_folder import CLAIM, read_whole_results
from flows.settings import Settings
from tasks.apertures import ApertureSet, propose_apertures
from tasks.frames import DirectBeams, FrameSeries, find_beams, read_rotation, sum_frames
from tasks.ingest import TiltSeries, ingest_tilt_series, read_source
from tasks.integrate import CombinedSets, Reflections, combine_crystals, integrate_frames
from tasks.model import ApertureError, Composition, Document, SettingsError, SourceError
from tasks.refine import Refinement, refine_structure
from tasks.solve import Solutions, in_stated_setting, solve_structure
from tasks.stage import DOCUMENT_NAME, fingerprint, read_document, recorded_key, unit_key

Outcome = Literal["same", "differs", "not repeated"]
STAGES = ("ingest", "apertures", "beams", "frames", "integrate", "merge", "solve", "refine")
"""In the order that data pass."""
NAMES_SHOWN = 8
"""Of files in one line. Chosen: the event store alone has one for each tilt."""


class Call(NamedTuple):
    """A stage's function with one set of inputs."""

    stage: Callable[..., Document]
    arguments: dict[str, Any]
    kind: type[Document]


class Replayed(Document):
    """What came of a unit of work that was done again."""

    stage: str
    unit: str
    outcome: Outcome
    files: int = 0
    why: str = ""


class FinishedRun(NamedTuple):
    """A finished run: its folder, what its results.json says, its settings."""

    folder: Path
    results: dict[str, Any]
    settings: Settings

    @property
    def is_tilt_series(self) -> bool:
        """Whether its source are scans."""
        return bool(self.results["source"]["kind"] == "tilt series")

    @property
    def compositions(self) -> tuple[Composition | None, ...]:
        """The contents that a crystal was solved with, or may have been."""
        source = self.results["source"]
        texts = source.get("compositions") or [text for text in [source.get("composition")] if text]
        return tuple(Composition.parse(text) for text in self.settings.contents or texts) or (None,)


def replay(run: Path, stage: str | None = None, *, tell: Callable[[Replayed], None] = lambda _: None) -> list[Replayed]:
    """Do the units of work of one stage, or of all, again; return what came of each.

    Raises
    ------
    SettingsError
        If there is no such stage.
    SourceError
        If the run is not finished, or has no unit of that stage.
    """
    if stage is not None and stage not in STAGES:
        raise SettingsError(f"--stage {stage!r}: no such stage", f"one of {', '.join(STAGES)}")
    finished = finished_run(run)
    done = []
    read: dict[Path, bool] = {}
    for name in STAGES if stage is None else (stage,):
        for folder in _units(finished, name):
            replayed = _replayed(finished, name, folder, read)
            tell(replayed)
            done.append(replayed)
    if not done:
        raise SourceError(
            f"{run}: holds no finished unit of {stage or 'any stage'}", "the report says where it stopped"
        )
    return done


def finished_run(run: Path) -> FinishedRun:
    """Return a finished run with its settings.

    Raises
    ------
    SourceError
        If it is not finished, or its settings are not understood any more.
    """
    results = read_whole_results(run)
    try:
        settings = Settings.model_validate(results["provenance"].get("settings_changed"))
    except ValueError as error:
        raise SourceError(
            f"{run / 'results.json'}: its settings are not known to this version of apertura",
            "read it with the version that made it: `versions` in results.json",
        ) from error
    try:
        claimed = json.loads((run / CLAIM).read_text(encoding="utf-8"))["settings_key"]
    except (OSError, ValueError, KeyError) as error:
        raise SourceError(f"{run / CLAIM}: not that of a run", "name the folder of a finished run") from error
    if claimed != fingerprint({"settings": settings.of_results}):
        raise SourceError(
            f"{run}: its settings are not those that this version of apertura would make of results.json",
            "replay it with the version that made it: `versions` in results.json",
        )
    return FinishedRun(run.resolve(), results, settings)


def _units(run: FinishedRun, stage: str) -> Iterator[Path]:
    """Yield the folders of a stage's finished units."""
    patterns = {
        "ingest": ["ingest"],
        "apertures": ["apertures"],
        "beams": ["beams"],
        "merge": ["merged/combine"],
        "frames": ["crystals/*/frames"],
        "integrate": ["crystals/*/integrate"],
    }.get(stage, [f"{group}/{deep}{stage}" for group in ("crystals/*", "merged/*") for deep in ("", "phase-*/")])
    for pattern in patterns:
        for folder in sorted(run.folder.glob(pattern)):
            if (folder / DOCUMENT_NAME).is_file():
                yield folder


def _calls(run: FinishedRun, stage: str, folder: Path) -> Iterator[Call]:
    """Yield the calls of which one made a unit.

    Raises
    ------
    ApertureError
        If an input is gone.
    """
    settings = run.settings
    if stage == "ingest":
        document = read_source(Path(run.results["source"]["path"]))
        yield Call(
            ingest_tilt_series,
            {"source": document, "reader": ScanFileReader(), "settings": settings.ingest, "masks": MaskFileReader()},
            TiltSeries,
        )
    elif stage == "frames" and not run.is_tilt_series:
        document = read_source(Path(run.results["source"]["path"]))
        yield Call(
            read_rotation,
            {"source": document, "reader": FrameFileReader(), "settings": settings.frames, "masks": MaskFileReader()},
            FrameSeries,
        )
    elif stage in ("apertures", "beams", "frames"):
        yield from _calls_on_scans(run, stage, folder)
    elif stage == "integrate":
        frames = read_document(folder.parent / "frames", FrameSeries)
        yield Call(integrate_frames, {"frames": frames, "engine": settings.integrate}, Reflections)
    elif stage == "merge":
        sets = list(_merged_sets(run))
        together = settings.patchwork.clusters
        yield Call(combine_crystals, {"crystals": tuple(sets), "together": together}, CombinedSets)
    else:
        yield from _calls_on_intensities(run, stage, folder)


def _calls_on_scans(run: FinishedRun, stage: str, folder: Path) -> Iterator[Call]:
    series = read_document(run.folder / "ingest", TiltSeries)
    if stage == "apertures":
        yield Call(propose_apertures, {"series": series, "engine": run.settings.apertures}, ApertureSet)
    elif stage == "beams":
        yield Call(find_beams, {"series": series, "settings": run.settings.frames}, DirectBeams)
    else:
        beams = read_document(run.folder / "beams", DirectBeams)
        for aperture in read_document(run.folder / "apertures", ApertureSet).crystals:
            if aperture.id == folder.parent.name:
                arguments = {"series": series, "aperture": aperture, "settings": run.settings.frames, "beams": beams}
                yield Call(sum_frames, arguments, FrameSeries)


def _calls_on_intensities(run: FinishedRun, stage: str, folder: Path) -> Iterator[Call]:
    """Yield a call for each composition and, to refine, each candidate: the recorded hash tells which it was."""
    data = _intensities(run, folder)
    if data is None:
        return
    for contents in run.compositions:
        if stage == "solve":
            arguments: dict[str, Any] = {"data": data, "composition": contents, "engine": run.settings.solve}
            yield Call(solve_structure, arguments, Solutions)
            continue
        for place in sorted({*folder.parent.glob("solve"), *_crystal_folder(run, folder).glob("**/solve")}):
            if not (place / DOCUMENT_NAME).is_file():
                continue
            found = in_stated_setting(read_document(place, Solutions), keep_axes=axes_given(run.settings))
            for solution in found.candidates:
                arguments = {"data": data, "solution": solution, "composition": contents, "engine": run.settings.refine}
                yield Call(refine_structure, arguments, Refinement)


def _crystal_folder(run: FinishedRun, folder: Path) -> Path:
    """Return the folder of the crystal or merged set that a unit belongs to."""
    return run.folder.joinpath(*folder.relative_to(run.folder).parts[:2])


def _intensities(run: FinishedRun, folder: Path) -> Reflections | None:
    """Return the intensities of a crystal or a merged set."""
    crystal = _crystal_folder(run, folder)
    if (joined := joined_parts(crystal)) is not None:
        return joined.used
    if (crystal / "integrate" / DOCUMENT_NAME).is_file():
        return read_document(crystal / "integrate", Reflections)
    if not (run.folder / "merged" / "combine" / DOCUMENT_NAME).is_file():
        return None
    sets = read_document(run.folder / "merged" / "combine", CombinedSets).clusters
    return next((each.merged for each in sets if each.merged is not None and each.merged.id == crystal.name), None)


def _merged_sets(run: FinishedRun) -> Iterator[Reflections]:
    """Yield the intensities that were merged, in the order of the crystals.

    Those measured in the lattice of others, or by parts, stand in for those of a crystal alone.
    """
    for one in run.results["crystals"]:
        crystal = run.folder / "crystals" / one["id"]
        if (crystal / "neighbours" / DOCUMENT_NAME).is_file():
            yield read_document(crystal / "neighbours", Reflections)
        elif (found := _intensities(run, crystal / "integrate")) is not None:
            yield found


def _replayed(run: FinishedRun, stage: str, folder: Path, read: dict[Path, bool]) -> Replayed:
    """Do one unit again; `read` keeps which files were found to be what they were."""
    unit = str(folder.relative_to(run.folder))
    recorded = recorded_key(folder)
    why = "its recorded inputs, settings or code are not those of now: changed since, or another version made it"
    call = None
    try:
        calls = _calls(run, stage, folder)
        call = next((one for one in calls if unit_key(one.stage, **one.arguments) == recorded), None)
    except ApertureError as error:
        why = error.message
    if call is None:
        return Replayed(stage=stage, unit=unit, outcome="not repeated", why=why)
    if (damaged := first_damaged(run.folder, call.arguments, seen=read)) is not None:
        gone = "damaged: not what the run wrote" if damaged.exists() else "gone"
        return Replayed(stage=stage, unit=unit, outcome="not repeated", why=f"its input {damaged} is {gone}")
    with tempfile.TemporaryDirectory(prefix="apertura-replay-") as scratch:
        again = Path(scratch) / folder.name
        try:
            call.stage(**call.arguments, workdir=again)
        except ApertureError as error:
            return Replayed(stage=stage, unit=unit, outcome="differs", why=f"it fails now: {error.message}")
        differing = [*_different(folder, again), *_documents_differ(folder, again, call.kind)]
        number = sum(1 for _ in _files(again))
        shutil.rmtree(again)
    if differing:
        return Replayed(
            stage=stage, unit=unit, outcome="differs", files=number, why=_how_they_differ(folder, differing)
        )
    return Replayed(stage=stage, unit=unit, outcome="same", files=number)


def _files(folder: Path) -> Iterator[Path]:
    return (path for path in sorted(folder.rglob("*")) if path.is_file())


def _different(first: Path, second: Path) -> list[str]:
    """Return the files that are not the same in two folders.

    Where the folder lay while it was filled, which records of programs name, is not compared; nor are documents here,
    whose paths are relative.
    """
    names = {path.relative_to(place) for place in (first, second) for path in _files(place)} - {Path(DOCUMENT_NAME)}
    place = re.compile(rb"/[^\"'\s]*/\." + re.escape(first.name.encode()) + rb"(\.[0-9a-f-]+)?\.partial")
    return [str(name) for name in sorted(names) if _bytes(first / name, place) != _bytes(second / name, place)]


def _how_they_differ(folder: Path, names: list[str]) -> str:
    """Return the names of files as text, those that the run lost since it wrote them apart from the others."""
    gone = [name for name in names if not (folder / name).exists()]
    changed = [name for name in names if name not in gone]
    parts = [_few(changed), f"no longer in the run: {_few(gone)}" if gone else ""]
    return "; ".join(part for part in parts if part)


def _few(names: list[str]) -> str:
    shown = ", ".join(names[:NAMES_SHOWN])
    return f"{shown} and {len(names) - NAMES_SHOWN} more" if len(names) > NAMES_SHOWN else shown


def _bytes(path: Path, place: re.Pattern[bytes]) -> bytes | None:
    return place.sub(b"", path.read_bytes()) if path.is_file() else None


def _documents_differ(first: Path, second: Path, kind: type[Document]) -> list[str]:
    documents = [read_document(folder, kind) for folder in (first, second)]
    keys = {fingerprint({"document": document}) for document in documents}
    return [DOCUMENT_NAME] if len(keys) > 1 else []


def sentence(one: Replayed) -> str:
    """Return what came of a unit as one line of text."""
    if one.outcome == "same":
        return f"{one.unit}: the same byte for byte ({one.files} files)"
    return f"{one.unit}: {one.outcome}: {one.why}"
