"""Data sets of instruments that write no manifest: found by the site's rules, copied beside a manifest made for them.

The folder that the instrument wrote is only read. The copy lies in ``.staged`` of the folder of runs, is made under
another name and renamed when it is whole; equal content has an equal name, so that it is copied once.
"""

import hashlib
import json
import logging
import math
import os
import re
import shutil
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

from flows.site import FolderRule, Site
from tasks.ingest import MANIFEST_NAMES, TILT_SERIES_NAME, load_manifest
from tasks.model import SettingsError

log = logging.getLogger("apertura.arrivals")

STAGED = ".staged"
ORIGIN = ".origin"
"""In a copy: the folder that it was made of."""
PRUNED = ".pruned"
"""Beside where a copy was: it is not made again."""
SAMPLE_LENGTH_MAX = 200
"""Characters, as the manifest's `sample` has them (tasks/ingest/README.md); a folder's name may be longer."""
TEMPLATE_BYTES_MAX = 2**20
"""A manifest without scans is a page of text."""


def quiet_folders(incoming: Path, site: Site, *, depth: int) -> Iterator[tuple[Path, dict[str, FolderRule]]]:
    """Yield the folders without a manifest that hold scans of an instrument and have not changed for its quiet time.

    With the rules of all instruments that take files of the folder for theirs.
    """
    for name, names, files in os.walk(incoming, followlinks=False):
        here = Path(name)
        names[:] = sorted(item for item in names if not item.startswith("."))
        if len(here.relative_to(incoming).parts) >= depth:
            names[:] = []
        if set(files) & set(MANIFEST_NAMES):
            names[:] = []
            continue
        if rules := rules_of(here, site):
            names[:] = []
            if time.time() - changed(here) >= max(rule.quiet_s for rule in rules.values()):
                yield here, rules


def rules_of(folder: Path, site: Site) -> dict[str, FolderRule]:
    """Return the rules, by instrument, that take files of a folder for scans."""
    return {name: rule for name, rule in site.instruments.items() if scans_of(folder, rule)}


def only_rule(folder: Path, rules: Mapping[str, FolderRule]) -> FolderRule:
    """Return the one rule there is.

    Raises
    ------
    SettingsError
        If there are more: which instrument wrote the folder is not to be guessed.
    """
    if len(rules) > 1:
        raise SettingsError(
            f"{folder}: its files are those of two instruments of the site file: {' and '.join(sorted(rules))}",
            "make their `file_pattern`s differ, or put a manifest into the folder",
        )
    return next(iter(rules.values()))


def scans_of(folder: Path, rule: FolderRule) -> dict[str, float]:
    """Return the tilt in degrees of every file of a folder that the pattern of a rule matches."""
    pattern = re.compile(rule.file_pattern)
    found = {path.name: pattern.fullmatch(path.name) for path in sorted(folder.iterdir()) if path.is_file()}
    return {name: tilt for name, match in found.items() if match and (tilt := _degrees(match["tilt"])) is not None}


def changed(folder: Path) -> float:
    """Return when a folder or a file in it was changed last; a date in the future counts as the file's ctime."""
    stats = [path.stat() for path in (folder, *folder.iterdir())]
    now = time.time()
    return max(stat.st_mtime if stat.st_mtime <= now else stat.st_ctime for stat in stats)


def staged(folder: Path, rule: FolderRule, runs: Path) -> Path | None:
    """Return the source folder made of a folder of scans: the manifest of its instrument, and copies of the scans.

    None if that was pruned after its run.

    Raises
    ------
    SettingsError
        If the template is not a manifest without scans.
    SourceError
        If the manifest made of it is wrong: naming the field.
    OSError
        If a file cannot be read, or the copy not written.
    """
    scans = scans_of(folder, rule)
    content = template(rule.manifest)
    content.setdefault("sample", folder.name[:SAMPLE_LENGTH_MAX])
    content["scans"] = [
        {"file": name, "tilt_deg": tilt, "bytes": (folder / name).stat().st_size}
        for name, tilt in sorted(scans.items(), key=lambda item: (item[1], item[0]))
    ]
    text = json.dumps(content, indent=1, sort_keys=True)
    final = runs / STAGED / _key(text, folder, scans) / folder.name
    if final.is_dir():
        return final
    if (final.parent / PRUNED).is_file():
        return None
    partial = final.with_name(f".partial-{os.getpid()}")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    (partial / TILT_SERIES_NAME).write_text(text, encoding="utf-8")
    load_manifest(partial)
    for name in scans:
        shutil.copyfile(folder / name, partial / name)
    (partial / ORIGIN).write_text(str(folder.resolve()), encoding="utf-8")
    try:
        partial.rename(final)
    except OSError:  # another watcher was faster
        shutil.rmtree(partial)
        if not final.is_dir():
            raise
    log.info("%s: %d scans copied to %s", folder, len(scans), final)
    return final


def expendable(copy: Path) -> bool:
    """Tell whether every scan of a copy is still there, with its size, in the folder that it was made of."""
    try:
        origin = Path((copy / ORIGIN).read_text(encoding="utf-8"))
        sizes = {path.name: path.stat().st_size for path in copy.iterdir() if not path.name.startswith(".")}
        sizes.pop(TILT_SERIES_NAME)
        return all((origin / name).stat().st_size == size for name, size in sizes.items())
    except (OSError, ValueError, KeyError):
        return False


def remove_copy(copy: Path) -> None:
    """Remove a copy and remember that it was there."""
    (copy.parent / PRUNED).touch()
    shutil.rmtree(copy)


def template(path: Path) -> dict[str, object]:
    """Read the manifest of an instrument, which names no scans."""
    try:
        if path.stat().st_size > TEMPLATE_BYTES_MAX:
            raise SettingsError(f"{path}: larger than {TEMPLATE_BYTES_MAX} bytes", "this is not a manifest")
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise SettingsError(f"{path}: not a template of a manifest: {error}", "correct `instruments`") from error
    if not isinstance(content, dict) or "scans" in content:
        raise SettingsError(f"{path}: must be a tilt_series.json without `scans`", "correct `instruments`")
    return content


def _degrees(text: str | None) -> float | None:
    try:
        value = float(text or "")
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def _key(text: str, folder: Path, scans: dict[str, float]) -> str:
    digest = hashlib.sha256(text.encode())
    for name in sorted(scans):
        with (folder / name).open("rb") as stream:
            digest.update(hashlib.sha256(stream.read(2**20)).digest())
    return digest.hexdigest()[:16]
