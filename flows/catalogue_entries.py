"""What a catalogue is told of a finished run: the data set that was measured, and the result."""

import base64
import importlib.metadata
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from pydantic import JsonValue

from adapters.catalogue.entry import CatalogueEntry, CatalogueFile, CatalogueThumbnail
from flows.pictures import SHEET, thumbnail
from flows.proposals import Belonging, conditions, origin
from flows.site import Site
from flows.site_rules import Catalogue
from tasks.ingest import listed_files
from tasks.model import SettingsError, SourceError
from tasks.stage import fingerprint

MEASURED = ("tilt series", "rotation series")
"""Kinds of source that are data sets: merged runs and reflection files are not."""
RESULT_FILES = ("report.html", "results.json", "crystals/*/refine/*.cif", "crystals/*/integrate/*.hkl")
CRYSTALS_SHOWN = 50
"""In the entry of a result, in the order of the report: the run folder has all. Chosen, not measured."""


def data_entry(site: Site, folder: Path, results: dict[str, Any], who: Belonging) -> CatalogueEntry:
    """Return the data set that a run was made of; its files, while they are there."""
    source, place = results["source"], Path(results["source"]["path"])
    tilts = source.get("tilt_deg") or []
    files = _source_files(place)
    instrument = who.instrument or source.get("metadata", {}).get("instrument")
    metadata: dict[str, JsonValue] = {
        "kind": source["kind"],
        "beam energy": _quantity(source.get("energy_kev"), "keV"),
        "scans": len(tilts) or None,
        "first tilt": _quantity(min(tilts, default=None), "deg"),
        "last tilt": _quantity(max(tilts, default=None), "deg"),
        "electrons": source.get("counts_total"),
        "composition": source.get("composition"),
        "sample": source.get("sample"),
        "instrument": instrument,
        "sha256": source.get("sha256"),
    }
    return CatalogueEntry(
        key=f"data:{source.get('sha256')}",
        kind="raw",
        name=str(source.get("sample") or place.name),
        description=f"{source['kind']} of {source.get('files', 0)} files",
        folder=str(origin(site, place)),
        created=max((one.changed for one in files), default=_changed(folder / "results.json")),
        location=str(instrument or site.name),
        files=files,
        metadata=_stated(metadata),
        **_owners(site, who),
    )


def result_entry(
    site: Site, folder: Path, results: dict[str, Any], who: Belonging, *, inputs: tuple[str, ...]
) -> CatalogueEntry:
    """Return the result of a run, made of the registered data sets `inputs`."""
    crystals = results["crystals"]
    versions = results["provenance"].get("versions", {})
    metadata: dict[str, JsonValue] = {
        "outcome": results["status"],
        "crystals": len(crystals),
        "crystals solved": sum(crystal.get("status") == "solved" for crystal in crystals),
        "report": public_url(site.url_of(folder / "report.html")),
        "studio": public_url(site.studio_of(folder)),
        **{str(one["id"]): _crystal(one) for one in crystals[:CRYSTALS_SHOWN]},
    }
    made = {
        "source": results["source"].get("sha256"),
        "settings": results["provenance"].get("settings_changed"),
        "folder": folder.name,  # an answer of a person makes another result of the same data and settings
    }
    return CatalogueEntry(
        key=f"result:{fingerprint({'run': made})}",
        kind="derived",
        name=f"{results['source'].get('sample') or folder.name}: {results['status']}",
        description=str(results.get("headline") or results["status"]),
        folder=str(folder.resolve()),
        created=_changed(folder / "results.json"),
        location=site.name,
        keywords=("apertura", f"outcome:{results['status']}"),
        inputs=inputs,
        software=(f"apertura {versions.get('apertura', importlib.metadata.version('apertura'))}",),
        files=tuple(_file(path, folder) for pattern in RESULT_FILES for path in sorted(folder.glob(pattern))),
        thumbnails=_thumbnails(folder),
        metadata=_stated(metadata),
        **_owners(site, who),
    )


def public_url(url: str | None) -> str | None:
    """Return an address that others may know: none of this machine's own, which hold a secret and lead nowhere else."""
    parts = urlsplit(url or "")
    local = parts.hostname in {None, "localhost", "127.0.0.1", "::1"}
    return None if local or "token=" in parts.query else url


def _owners(site: Site, who: Belonging) -> dict[str, Any]:
    """Return who answers for an entry and who may see it: by the rules of the site, else its catalogue's own groups."""
    told = _told(site)
    holds = conditions(site, who)
    return {
        "owner": told.owner,
        "contact_email": told.contact_email,
        "owner_group": holds.owner_group or told.owner_group,
        "access_groups": told.access_groups if holds.access_groups is None else holds.access_groups,
        "proposal": who.proposal,
    }


def _told(site: Site) -> Catalogue:
    if site.catalogue is None:
        raise SettingsError("the site file has no `catalogue`", "name its url and token_file")
    return site.catalogue


def _crystal(crystal: dict[str, Any]) -> dict[str, JsonValue]:
    """Return what is said of one crystal; figures are those of the report."""
    integration, refinement = crystal.get("integration") or {}, crystal.get("refinement") or {}
    return _stated(
        {
            "status": crystal.get("status"),
            "cell": " ".join(f"{value:.6g}" for value in integration.get("unit_cell") or []) or None,
            "space group": (crystal.get("solution") or integration).get("space_group"),
            "resolution": _quantity(integration.get("d_min_angstrom"), "angstrom"),
            "completeness": integration.get("completeness"),
            "CC1/2": integration.get("cc_half"),
            "R1": refinement.get("r1"),
            "formula": refinement.get("formula"),
            "reason": crystal.get("reason"),
        }
    )


def _stated(values: dict[str, JsonValue]) -> dict[str, JsonValue]:
    return {name: value for name, value in values.items() if value is not None}


def _quantity(value: float | None, unit: str) -> JsonValue:
    return None if value is None else {"value": value, "unit": unit}


def _source_files(place: Path) -> tuple[CatalogueFile, ...]:
    try:
        return tuple(_file(path, place.resolve()) for path in listed_files(place))
    except (SourceError, OSError):  # moved or removed since: the entry says where they lay
        return ()


def _file(path: Path, folder: Path) -> CatalogueFile:
    real = path.resolve()
    name = real.relative_to(folder.resolve()).as_posix()
    return CatalogueFile(path=name, size=real.stat().st_size, changed=_changed(real))


def _changed(path: Path) -> datetime:
    return datetime.fromtimestamp(path.stat().st_mtime, UTC)


def _thumbnails(folder: Path) -> tuple[CatalogueThumbnail, ...]:
    sheet = folder / SHEET
    if not sheet.is_file():
        return ()
    png = base64.b64decode(thumbnail(sheet).partition(",")[2])
    return (CatalogueThumbnail(caption="where the crystals lie, at some tilts", png=png),)
