"""Carrying on by hand: folders of a finished run's crystals that run as they stand in another program."""

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from adapters.formats.mask_reader import MaskFileReader
from adapters.formats.scans.scan_reader import ScanFileReader
from adapters.programs.export import export_dials, export_pets, export_shelx, export_xds
from adapters.programs.export_data import export_cif_pets
from adapters.programs.export_deposit import Deposited, export_deposit
from adapters.programs.export_frames import export_nxmx, export_stacks
from adapters.programs.export_scans import export_raw_csr
from flows.parts import joined_parts
from flows.run_folder import read_results
from tasks.frames import FrameSeries
from tasks.ingest import MANIFEST_NAMES, IngestSettings, TiltSeries, ingest_tilt_series, read_source
from tasks.integrate import Reflections
from tasks.model import Composition, SettingsError, SourceError, Vector
from tasks.refine import Refinement
from tasks.stage import read_document


class FinishedCrystal(NamedTuple):
    """A crystal of a finished run: its folder there, and what results.json says of it."""

    folder: Path
    results: dict[str, Any]
    source: dict[str, Any]

    @property
    def frames(self) -> FrameSeries:
        """Its frames."""
        return read_document(self.folder / "frames", FrameSeries)

    @property
    def reflections(self) -> Reflections:
        """Its intensities: those that its structure was solved from."""
        joined = joined_parts(self.folder)
        return read_document(self.folder / "integrate", Reflections) if joined is None else joined.used

    @property
    def axis(self) -> Vector | None:
        """The rotation axis that indexed; None if that is not known."""
        if not self.has("integrate"):
            return None
        test = self.reflections.axis_test
        return None if test is None else test.axis

    @property
    def contents(self) -> Composition | None:
        """What it was solved with."""
        tried = next(iter(self.results.get("phases") or ()), None) or self.source
        text = tried.get("composition")
        return Composition.parse(text) if text else None

    @property
    def refinement(self) -> Path | None:
        """The folder of its refined structure, that of the phase that won; None if it was not refined."""
        refined = self.results.get("refinement") or {}
        return (self.run / refined["cif"]).parent if "cif" in refined else None

    @property
    def deposited(self) -> Deposited:
        """What of it is deposited."""
        folder = self.refinement or self.folder / "refine"
        return Deposited(
            structure=read_document(folder, Refinement),
            frames=self.frames if self.has("frames") else None,
            unmerged=self.reflections.hklf4.path if self.has("integrate") else None,
            report=self.run / "report.html",
            results=self.run / "results.json",
        )

    @property
    def run(self) -> Path:
        """The run folder."""
        return self.folder.parents[1]

    def has(self, stage: str) -> bool:
        """Tell whether a stage was finished."""
        folder = self.refinement if stage == "refine" else self.folder / stage
        return folder is not None and (folder / "document.json").is_file()


class ExportTarget(NamedTuple):
    """What can be written: the stages of a crystal that it is made from, and how."""

    stages: tuple[str, ...]
    write: Callable[[FinishedCrystal, Path], None]


TARGETS: dict[str, ExportTarget] = {
    "xds": ExportTarget(("frames",), lambda one, to: export_xds(one.frames, to)),
    "dials": ExportTarget(("frames",), lambda one, to: export_dials(one.frames, to, axis=one.axis)),
    "nxmx": ExportTarget(("frames",), lambda one, to: export_nxmx(one.frames, to, axis=one.axis)),
    "stacks": ExportTarget(("frames",), lambda one, to: export_stacks(one.frames, to, axis=one.axis)),
    "pets": ExportTarget(("frames",), lambda one, to: export_pets(one.frames, to)),
    "cif-pets": ExportTarget(("integrate", "frames"), lambda one, to: export_cif_pets(one.reflections, one.frames, to)),
    "deposit": ExportTarget(("refine",), lambda one, to: export_deposit(one.deposited, to)),
    "shelx": ExportTarget(("integrate",), lambda one, to: export_shelx(one.reflections, one.contents, to)),
}
"""By the name of the option --to; the command's help describes each in a line."""


SCANS = "raw-csr"
"""The target that takes the scans of a whole run, or of a source, instead of crystals."""


def export_run(run: Path, target: str, out: Path, *, crystal: str | None = None) -> list[Path]:
    """Write one folder for each crystal of a finished run below `out`; return the folders.

    The scans of a run (or of a source folder) go into `out` itself.

    Raises
    ------
    SettingsError
        If the target is unknown or `out` holds something.
    SourceError
        If the run is not finished, has no such crystal, or none that came as far as the target needs.
    """
    if target not in {*TARGETS, SCANS}:
        raise SettingsError(f"--to {target!r}: unknown", f"one of {', '.join([*TARGETS, SCANS])}")
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise SettingsError(f"--out {out}: exists and is not an empty folder", "choose a new folder")
    if target == SCANS:
        with _readable(run):
            _export_scans(run, out)
        return [out]
    crystals = _crystals(run, crystal)
    stages, write = TARGETS[target]
    usable = [one for one in crystals if all(map(one.has, stages))]
    if not usable:
        names = ", ".join(one.folder.name for one in crystals)
        missing = " and ".join(STAGES[stage] for stage in stages if not any(one.has(stage) for one in crystals))
        raise SourceError(f"{run}: {names}: no {missing}, which --to {target} needs", _advice(crystals))
    for one in usable:
        with _readable(run):
            write(one, out / one.folder.name)
    return [out / one.folder.name for one in usable]


@contextmanager
def _readable(run: Path) -> Iterator[None]:
    """Turn what the disk complains of into a typed error."""
    try:
        yield
    except (OSError, KeyError) as error:
        raise SourceError(
            f"{run}: {error}", "a file of the run is gone or damaged (run it again), or there is no room at --out"
        ) from error


STAGES = {"frames": "frames", "integrate": "intensities", "refine": "refined structure"}
"""What the stages make, in words."""


def _crystals(run: Path, name: str | None) -> list[FinishedCrystal]:
    """Return the crystals and merged sets of a finished run, or the one of this name."""
    results = read_results(run)
    told = {
        one["id"]: one
        for one in [*results["crystals"], results.get("merged"), *results.get("merged_others", ())]
        if one
    }
    folders = [*sorted((run / "crystals").glob("*")), *sorted((run / "merged").glob("cluster*"))]
    found = [
        FinishedCrystal(path, told.get(path.name, {}), results["source"])
        for path in folders
        if name in {None, path.name}
    ]
    if not found:
        held = ", ".join(path.name for path in folders) or "none"
        raise SourceError(f"{run}: no crystal {name or ''}".rstrip(), f"the run holds: {held}")
    return found


def _advice(crystals: list[FinishedCrystal]) -> str:
    failures = [one.results.get("failure") for one in crystals]
    reasons = [f"{failure['stage']}: {failure['message']}" for failure in failures if failure]
    return reasons[0] if reasons else "see report.html for how far the run came"


def _export_scans(run: Path, out: Path) -> None:
    """Write the scans of a run's event store, or of a source, which are read into a store of their own first."""
    if (run / "ingest" / "document.json").is_file():
        export_raw_csr(read_document(run / "ingest", TiltSeries), out)
        return
    if not any((run / name).is_file() for name in MANIFEST_NAMES):
        raise SourceError(
            f"{run}: holds no scans: neither a run's event store nor a manifest",
            "name the folder of a run of a tilt series whose scans are still there, or of its source",
        )
    if out.resolve().is_relative_to(run.resolve()):
        raise SettingsError(f"--out {out}: lies in the source", "name a folder outside: a source is left as it is")
    source = read_source(run)
    if not source.is_tilt_series:
        raise SourceError(f"{run}: a rotation series has frames and no scans", "run it, then --to nxmx or stacks")
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=f".{out.name}.") as store:
        settings = IngestSettings(tilts_min=1)
        series = ingest_tilt_series(
            source, ScanFileReader(), settings, workdir=Path(store) / "ingest", masks=MaskFileReader()
        )
        export_raw_csr(series, out)
