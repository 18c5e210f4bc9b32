"""A series followed while it is measured: its page grows with every scan, and the complete series is run as any other.

What is seen on the way lies in ``live`` of the run folder and never enters the result: when the series is complete the
ordinary pipeline runs on it, in the same folder, from the beginning.
"""

import json
import logging
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray
from pydantic import Field

from adapters.formats.scans.scan_reader import ScanFileReader
from flows.live_look import LOOK, REGIONS, LiveLook, SoFar
from flows.live_scans import SCANS, LiveScans, OpenReader
from flows.live_source import CUT, Growth, ListedFolder, RuledFolder, cut_short, growing_folder
from flows.run_folder import CLAIM, claimed
from flows.run_log import logged
from flows.settings import Settings
from flows.site import Site
from flows.storage import named_storage_errors
from tasks.events.position_sums import electrons_inside
from tasks.ingest import TiltScan, TiltSeriesManifest, open_events, read_source
from tasks.model import Document, SourceError
from tasks.report import LivePoint, LiveState, best_of, live_headline, newest_picture, put_text, write_live_page
from tasks.stage import fingerprint

log = logging.getLogger("apertura.live")

KEEP = "live"
"""Folder of a run folder that is not of its result."""
STATE = "live.json"
LIVE_SOURCE = "live: "
"""Begins the source's key of a run whose series is not complete: no run of a complete one has it."""
ANGSTROM_PER_NM = 10.0
"""By the definition of the angstrom, 0.1 nm."""
BEAM_FRACTION = 0.08
"""Of the detector's edge, within which electrons are taken for those of the direct beam. Chosen, not measured: 46 of
576 px, beyond the halo of a thin film; a beam that lies elsewhere spoils a thumbnail."""
NOTES = 20
"""Of what happened on the way, the newest. Chosen, not measured: a screen."""


class LiveSettings(Document):
    """How a series is followed."""

    poll_s: float = Field(default=1.0, gt=0, le=3600, description="seconds between two looks at the folder")
    quiet_s: float = Field(default=3600.0, gt=0, description="without a new scan, after which it is not waited for")
    then: Literal["end", "solve"] = Field(
        default="end",
        description="what then: end, with what was seen so far (the same command goes on), or solve what lies there",
    )


class Follower:
    """Follows one folder into one run folder."""

    def __init__(
        self,
        source: ListedFolder | RuledFolder,
        out: Path,
        settings: Settings,
        live: LiveSettings,
        reader: OpenReader,
        *,
        show: Callable[[LiveState], object],
        say: Callable[[str], object],
    ) -> None:
        self._source = source
        self._out = out
        self._live = live
        self._show = show
        self._say = say
        keep = out / KEEP
        self._scans = LiveScans(source.folder, keep, reader)
        self._look = LiveLook(source.folder, keep, settings)
        self._seen = SoFar()
        self._newest: Markup | None = None
        self._state = earlier(keep / STATE) or LiveState(sample=source.folder.name, source="", updated="")
        self._growth: Growth | None = None
        self._wrong = ""
        self._moved = time.monotonic()

    def follow(self) -> LiveState:
        """Follow until the series is complete or no scan has come for `quiet_s`; return what was seen.

        Raises
        ------
        SourceError
            If the manifest is wrong at the start, or is still wrong after `quiet_s`.
        """
        ended = False
        try:
            self._poll()
            looked: object = None
            while not self._complete() and time.monotonic() - self._moved < self._live.quiet_s:
                marks = self._scans.marks
                if marks != looked and self._scans.scans:
                    looked = marks
                    self._look_once()
                else:
                    time.sleep(self._live.poll_s)
                    self._poll()
            ended = True
        finally:
            if not ended:
                self._tell(phase="interrupted", ending="It was stopped. The same command goes on where it was.")
        return self._concluded()

    def _concluded(self) -> LiveState:
        if self._complete():
            self._say("the series is complete")
            return self._tell(phase="complete", ending="The series is complete: it is run from the beginning.")
        if self._wrong:
            raise SourceError(self._wrong, "correct the manifest: the same command goes on")
        waited = f"No scan has come for {self._live.quiet_s:g} s, and the series is not said to be complete."
        self._say(waited)
        return self._tell(phase="stopped", ending=f"{waited} The same command goes on where it was.")

    def look_again(self) -> LiveState:
        """Look at all scans once more, when the series is over."""
        phase, ending = self._state.phase, self._state.ending
        if self._growth is not None:
            for scan in self._scans.take(self._growth):
                self._newest = newest_picture(dark_field(scan, self._growth.manifest))
        for seen in self._steps():
            self._seen = seen
        return self._tell(phase=phase, ending=ending)

    def forget(self) -> None:
        """Remove the events and the frames of a series that is complete."""
        if self._state.phase == "complete":
            forget_stores(self._out)

    def source(self) -> Path:
        """Return the source folder of the complete series."""
        return self._source.source()

    def cut(self) -> Path:
        """Return a source folder of the scans that were read."""
        if self._growth is None:
            raise SourceError(f"{self._source.folder}: nothing was read", "wait for the first scan")
        files = frozenset(scan.source for scan in self._scans.scans)
        return cut_short(self._source.folder, self._growth, files, self._out / KEEP)

    def _complete(self) -> bool:
        return self._growth is not None and self._growth.complete and not self._wrong

    def _look_once(self) -> None:
        for seen in self._steps():
            self._seen = seen
            self._tell()
            self._poll()
        self._moved = time.monotonic()  # what a look takes is no waiting
        self._say(live_headline(self._state))

    def _steps(self) -> Iterator[SoFar]:
        if self._growth is None or not self._scans.scans:
            return
        for seen in self._look.steps(self._growth.manifest, self._scans.scans, self._growth.to_come_deg):
            if seen.done:
                self._state = self._state.model_copy(update={"history": _grown(self._state.history, seen)})
            yield seen

    def _poll(self) -> None:
        """Look at the folder and read what is new; what the page shows of it is written."""
        before, rows, wrong = self._growth, self._state.scans, self._wrong
        self._look_at_folder()
        if (growth := self._growth) is None:
            return
        if before is not None and (what := _recalibrated(before, growth)):
            self._note(f"the manifest has changed ({what}): all scans are looked at anew")
        if not growth.complete:
            self._read(growth)
        if rows != self._scans.rows(growth):
            self._moved = time.monotonic()
        elif wrong == self._wrong:
            return
        self._tell()

    def _look_at_folder(self) -> None:
        """Look at the folder: a manifest that is wrong for the moment leaves that of the last look."""
        wrong = ""
        try:
            self._growth = self._source.look()
        except (SourceError, OSError) as error:  # OSError: a file that vanished between two calls
            if self._growth is None:
                raise
            wrong = error.message if isinstance(error, SourceError) else str(error)
        if wrong and wrong != self._wrong:
            self._note(f"the manifest cannot be used for the moment, that of before is: {wrong}")
        self._wrong = wrong

    def _read(self, growth: Growth) -> None:
        for scan in self._scans.take(growth):
            self._newest = newest_picture(dark_field(scan, growth.manifest))
            self._moved = time.monotonic()
            self._say(f"scan at {scan.tilt_deg:g} deg: {scan.counts} electrons, {scan.source}")
            self._tell()

    def _note(self, text: str) -> None:
        self._say(text)
        self._state = self._state.model_copy(update={"notes": (*self._state.notes, text)[-NOTES:]})

    def _tell(self, **update: str) -> LiveState:
        """Write the page, and show it."""
        growth, seen = self._growth, self._seen
        self._state = self._state.model_copy(update={"phase": "growing", "ending": "", "updated": _now(), **update})
        if growth is not None:
            self._state = self._state.model_copy(
                update={
                    "sample": growth.manifest.sample,
                    "source": str(self._source.folder),
                    "scans": self._scans.rows(growth),
                    "planned": growth.planned,
                    "dose_counted_e_per_A2": _counted_dose(growth, self._scans.scans),
                    "crystals": seen.crystals,
                    "scans_in_apertures": seen.scans,
                    "no_crystals": seen.no_crystals,
                }
            )
        shown = self._state
        if growth is not None:
            shown = shown.model_copy(update={"notes": (*self._state.notes, *growth.notes, *seen.notes)})
        put_text(self._out / KEEP / STATE, self._state.model_dump_json(indent=1))
        write_live_page(shown, self._out, seen.pictures, self._newest)
        self._show(shown)
        return shown


@contextmanager
def followed(
    folder: Path,
    out: Path,
    settings: Settings,
    live: LiveSettings,
    site: Site,
    *,
    show: Callable[[LiveState], object],
    say: Callable[[str], object],
) -> Iterator[Follower]:
    """Claim a run folder for a series that grows, and hold its lock.

    Raises
    ------
    SettingsError
        If the folder holds something else, or another process follows a series into it.
    """
    place = folder.resolve()
    source = growing_folder(place, site, out.resolve() / KEEP, copies=site.runs)
    if isinstance(source, ListedFolder):
        source.look()  # one that cannot be followed leaves no run folder behind
    key = LIVE_SOURCE + fingerprint({"folder": str(place)})
    with named_storage_errors(out), claimed(out, source_key=key, source_name=str(place), settings=settings) as claim:
        (claim / KEEP).mkdir(exist_ok=True)
        (claim / "results.json").unlink(missing_ok=True)
        with logged(claim), OpenReader.at_work(ScanFileReader()) as reader:
            yield Follower(source, claim, settings, live, reader, show=show, say=say)


def hand_over(out: Path, source: Path) -> None:
    """Make the run folder of a series that grew that of the complete one; only its page and its state stay."""
    claim = json.loads((out / CLAIM).read_text(encoding="utf-8"))
    claim |= {"source": str(source), "source_key": fingerprint({"source": read_source(source)})}
    forget_stores(out)
    put_text(out / CLAIM, json.dumps(claim, indent=1))


def forget_stores(out: Path) -> None:
    """Remove the events and the frames of what was seen: a complete series has its own."""
    for name in (SCANS, LOOK, REGIONS):
        shutil.rmtree(out / KEEP / name, ignore_errors=True)


def handed_over(folder: Path, out: Path, site: Site) -> Path | None:
    """Return the source of a run folder whose series was complete before; None if it still grows, or is new."""
    try:
        claim = json.loads((out / CLAIM).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    if str(claim.get("source_key")).startswith(LIVE_SOURCE) or not (out / KEEP / STATE).is_file():
        return None
    place = folder.resolve()
    cut = out.resolve() / KEEP / CUT / place.name
    return cut if cut.is_dir() else growing_folder(place, site, out.resolve() / KEEP, copies=site.runs).source()


def write_unfinished(state: LiveState, out: Path) -> None:
    """Write results.json of a series that was not finished: what it says is what was seen."""
    content = {
        "schema": 1,
        "status": "unfinished",
        "headline": live_headline(state),
        "source": {"kind": "tilt series", "path": state.source, "sample": state.sample},
        "crystals": [],
        "live": state.model_dump(mode="json"),
    }
    put_text(out / "results.json", json.dumps(content, indent=1, ensure_ascii=False) + "\n")


def earlier(path: Path) -> LiveState | None:
    """Return the state that an earlier process left: its curves and notes go on."""
    try:
        return LiveState.model_validate_json(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def _recalibrated(before: Growth, now: Growth) -> str:
    """Return which fields of a manifest are others, beside the list of scans."""
    fields = type(now.manifest).model_fields.keys() - {"scans", "complete", "notes"}
    return ", ".join(sorted(f for f in fields if getattr(before.manifest, f) != getattr(now.manifest, f)))


def _grown(history: tuple[LivePoint, ...], seen: SoFar) -> tuple[LivePoint, ...]:
    point = LivePoint(
        scans=seen.scans,
        crystals=len(seen.crystals),
        completeness=best_of([crystal.completeness for crystal in seen.crystals]),
        halves_cc=best_of([crystal.halves_cc for crystal in seen.crystals]),
    )
    return (*(one for one in history if one.scans < seen.scans), point)


def dark_field(scan: TiltScan, manifest: TiltSeriesManifest) -> NDArray[np.float64]:
    """Return the electrons at every position (rows, columns) that lie away from the direct beam's place."""
    detector = manifest.detector
    middle = detector.direct_beam_px or tuple((extent - 1) / 2 for extent in detector.shape_px)
    slow, fast = (np.arange(extent) - centre for extent, centre in zip(detector.shape_px, middle, strict=True))
    away = np.hypot(slow[:, None], fast[None, :]) > BEAM_FRACTION * min(detector.shape_px)
    return electrons_inside(open_events(scan), away).astype(np.float64).reshape(manifest.scan.shape)


def _counted_dose(growth: Growth, scans: tuple[TiltScan, ...]) -> float | None:
    if not scans:
        return None
    rows, columns = growth.manifest.scan.shape
    area = rows * columns * (ANGSTROM_PER_NM * growth.manifest.scan.step_nm) ** 2
    return sum(scan.counts for scan in scans) / area


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
