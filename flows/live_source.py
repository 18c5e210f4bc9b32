"""What lies in a folder whose series is still being measured, and what is to come: by its manifest or the site's rule.

A folder with a manifest lists its scans there, also those to come, each with its size. One without is that of an
instrument of the site file: its scans are found by the rule's pattern, and it is over when it has been quiet.
"""

import json
import shutil
import time
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from flows.site import FolderRule, Site
from flows.staging import changed, only_rule, rules_of, scans_of, staged, template
from tasks.ingest import TILT_SERIES_NAME, ScanFile, TiltSeriesManifest, growing_series
from tasks.model import SourceError

CUT = "cut-short"
"""Below what a run keeps of a series that grows: the copy of one that was never finished."""
SAME_TILT_DEG = 1e-6
"""Closer than that, two tilts are one: names give decimals."""

SETTLED_S = 2.0
"""Without a change, from which a file of no listed size is read. Chosen, not measured: writers flush more often; one
that is cut short all the same is damaged, and read again when it changes."""


class Lying(NamedTuple):
    """One listed scan, and why (None: it does not) it cannot be read yet."""

    listed: ScanFile
    problem: str | None


class Growth(NamedTuple):
    """A series as it lies there now."""

    manifest: TiltSeriesManifest
    scans: tuple[Lying, ...]
    complete: bool
    planned: int | None
    """Tilts of the plan; None: nobody has said how many."""
    to_come_deg: tuple[float, ...]
    """Tilts of the plan that are not there."""
    strangers: tuple[str, ...]
    """Files like its scans that are not listed: they are not read."""
    notes: tuple[str, ...] = ()


class ListedFolder(NamedTuple):
    """A folder with a manifest that says ``"complete": false``."""

    folder: Path

    def look(self) -> Growth:
        """Return what lies there. Raises SourceError if the manifest is wrong."""
        found = growing_series(self.folder)
        scans = tuple(map(Lying, found.manifest.scans, found.problems))
        to_come = tuple(one.listed.tilt_deg for one in scans if one.problem is not None)
        return Growth(
            found.manifest,
            scans,
            found.complete,
            planned=len(scans) if to_come or found.manifest.complete else None,
            to_come_deg=to_come,
            strangers=_strangers(self.folder, found.manifest),
        )

    def source(self) -> Path:
        """Return the source folder of the complete series."""
        return self.folder


class RuledFolder(NamedTuple):
    """A folder of an instrument that writes no manifest: the site's rule says what its scans are."""

    folder: Path
    rule: FolderRule
    keep: Path
    """Where the manifest made by the rule is put."""
    copies: Path
    """Where the copy of the complete series is put."""

    def look(self) -> Growth:
        """Return what lies there. Raises SourceError or SettingsError if rule or scans are wrong."""
        if not self.folder.is_dir():
            raise SourceError(f"{self.folder}: no such folder", "name the folder that the scans are written to")
        tilts = scans_of(self.folder, self.rule)
        if not tilts:
            raise SourceError(f"{self.folder}: no scan yet that `file_pattern` matches", "wait for the first")
        place = self.keep / "made"
        place.mkdir(parents=True, exist_ok=True)
        text = self._manifest(tilts)
        partial = place / f".{TILT_SERIES_NAME}.tmp"
        partial.write_text(text, encoding="utf-8")
        partial.replace(place / TILT_SERIES_NAME)
        found = growing_series(self.folder, manifest_folder=place)
        plan = self.rule.plan
        to_come = tuple(tilt for tilt in plan if not _near(tilt, tilts.values()))
        beside = sorted(name for name, tilt in tilts.items() if plan and not _near(tilt, plan))
        return Growth(
            found.manifest,
            tuple(Lying(scan, self._unsettled(scan.file)) for scan in found.manifest.scans),
            complete=time.time() - changed(self.folder) >= self.rule.quiet_s,
            planned=len(plan) + len(beside) if plan else None,
            to_come_deg=to_come,
            strangers=(),
            notes=(f"not in the plan of the site file, read all the same: {', '.join(beside)}",) if beside else (),
        )

    def _unsettled(self, name: str) -> str | None:
        age_s = time.time() - (self.folder / name).stat().st_mtime
        return "being written" if 0 <= age_s < SETTLED_S else None

    def _manifest(self, tilts: dict[str, float]) -> str:
        content = template(self.rule.manifest)
        content.setdefault("sample", self.folder.name)
        content["scans"] = [
            {"file": name, "tilt_deg": tilt, "bytes": size}
            for name, tilt in sorted(tilts.items(), key=lambda item: (item[1], item[0]))
            if (size := (self.folder / name).stat().st_size) > 0
        ]
        content["complete"] = False
        return json.dumps(content, indent=1, sort_keys=True)

    def source(self) -> Path:
        """Return the source folder of the complete series: a copy with the manifest of the instrument."""
        if (copy := staged(self.folder, self.rule, self.copies)) is None:
            raise SourceError(f"{self.folder}: its copy was pruned after its run", "it was run before")
        return copy


def growing_folder(folder: Path, site: Site, keep: Path, *, copies: Path | None) -> ListedFolder | RuledFolder:
    """Return how a folder is followed: by its own manifest, or else by the rule of the site that fits its files.

    Raises
    ------
    SourceError
        If it has neither.
    SettingsError
        If two rules fit.
    """
    place = folder.resolve()
    if not place.is_dir():
        raise SourceError(f"{folder}: no such folder", "name the folder that the scans are written to")
    rule = rule_of(place, site)
    if not (place / TILT_SERIES_NAME).is_file() and rule is not None:
        return RuledFolder(place, rule, keep, copies or keep)
    return ListedFolder(place)


def rule_of(folder: Path, site: Site) -> FolderRule | None:
    """Return the rule of the site by which files of a folder are scans; None if there is none.

    Raises
    ------
    SettingsError
        If there are two: the complete series would be refused, too.
    """
    rules = rules_of(folder, site)
    return only_rule(folder, rules) if rules else None


def _near(tilt: float, others: Iterable[float]) -> bool:
    return any(abs(tilt - other) < SAME_TILT_DEG for other in others)


def _strangers(folder: Path, manifest: TiltSeriesManifest) -> tuple[str, ...]:
    """Return files that look like listed scans (same ending) and are not listed."""
    known = {part.file for scan in manifest.scans for part in scan.every_file}
    if manifest.detector.mask is not None:
        known.add(manifest.detector.mask.partition(":")[0])
    endings = {Path(scan.file).suffix for scan in manifest.scans}
    there = (path.name for path in folder.iterdir() if path.is_file() and path.suffix in endings)
    return tuple(sorted(name for name in there if name not in known and not name.startswith(".")))


def cut_short(folder: Path, growth: Growth, files: frozenset[str], keep: Path) -> Path:
    """Return a source folder of the scans that are there: a copy, whose manifest lists them and says complete."""
    final = keep / CUT / folder.name
    if final.is_dir():
        return final
    partial = final.with_name(f".{folder.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    scans = tuple(one.listed for one in growth.scans if one.listed.file in files)
    manifest = growth.manifest.model_copy(update={"scans": scans, "complete": True})
    names = [part.file for scan in scans for part in scan.every_file]
    if manifest.detector.mask is not None:
        names.append(manifest.detector.mask.partition(":")[0])
    for name in names:
        (partial / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(folder / name, partial / name)
    text = manifest.model_dump_json(indent=1, exclude_defaults=False)
    (partial / TILT_SERIES_NAME).write_text(text, encoding="utf-8")
    partial.rename(final)
    return final
