"""The site file: what one facility decides once, for all its deployments."""

import os
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import parse_qsl, quote, urlencode, urlsplit

import yaml
from pydantic import AfterValidator, Field, SecretStr, ValidationError, model_validator

from adapters.compute.clusters import ClusterSection
from flows.site_rules import Catalogue, DataRule, Folder, ProposalPattern, with_group
from tasks.model import Document, InputError, SettingsError

SITE_VARIABLE = "APERTURA_SITE"
SITE_BYTES_MAX = 2**20
"""A site file is a page; what is larger is another file."""
POOL, UPKEEP_POOL, LIVE_POOL = "apertura", "apertura-upkeep", "apertura-live"
"""Work pools: of the pipeline, whose limit is the machine's memory; of maintenance, which waits for no run; of series
that are followed while they are measured, for hours each, which would hold the slots of the first."""


PLANNED_MAX = 20000
"""Tilts of a plan: as many scans as a manifest may list."""


def _with_tilt(pattern: str) -> str:
    return with_group(pattern, "tilt")


class FolderRule(Document):
    """How to make a manifest for scans of an instrument that writes none.

    `manifest` is a tilt_series.json without `scans`; the tilt of a file is the group ``tilt`` of `file_pattern`.
    """

    file_pattern: Annotated[str, AfterValidator(_with_tilt)] = Field(
        max_length=1000, description=r"regular expression of whole file names, with (?P<tilt>...) in degrees"
    )
    manifest: Folder = Field(description="template manifest")
    quiet_s: float = Field(default=120.0, gt=0, description="how long the folder must not have changed")
    plan_deg: tuple[float, float, float] | None = Field(
        default=None, description="first tilt, last tilt and step of a series, where it is watched as it grows"
    )

    @property
    def plan(self) -> tuple[float, ...]:
        """The tilts that are to come; none: not stated."""
        if self.plan_deg is None:
            return ()
        first, last, step = self.plan_deg
        return tuple(first + number * step for number in range(1 + round((last - first) / step)))

    @model_validator(mode="after")
    def _plan_leads_somewhere(self) -> "FolderRule":
        if self.plan_deg is not None:
            first, last, step = self.plan_deg
            if not (step and 0 <= (last - first) / step <= PLANNED_MAX):
                raise ValueError("plan_deg: first tilt, last tilt and a step that leads from one to the other")
        return self


class Retention(Document):
    """What `prune` may remove, and when."""

    solved_days: float = Field(default=90.0, gt=0, description="intermediate files of solved runs older than this")
    nightly: bool = Field(
        default=False, description="`prune` removes them every night; otherwise only when it is asked"
    )


ALARM_PREFIX = "apertura alarm: "
"""Of the names of our automations: those with it are ours to change and remove."""
AlarmName = Literal[
    "failed",
    "crashed",
    "late",
    "approval",
    "refused",
    "worker",
    "watcher",
    "scheduler",
    "disk",
    "flight-check",
    "catalogue",
]


class Receiver(Document):
    """Whom alarms are sent to: an address that apprise reads, here or (a secret) alone in a file."""

    url: SecretStr | None = Field(default=None, description="mailtos://USER:PASSWORD@HOST?to=..., slack://..., json://")
    url_file: Folder | None = Field(default=None, description="file that holds the address and nothing else")
    about: tuple[AlarmName, ...] = Field(default=(), description="of what; empty: of everything")

    @model_validator(mode="after")
    def _one_address(self) -> "Receiver":
        if (self.url is None) == (self.url_file is None):
            raise ValueError("give `url` or `url_file`")
        return self

    def address(self) -> SecretStr:
        """Return the address.

        Raises
        ------
        SettingsError
            If its file cannot be read.
        """
        if self.url is not None:
            return self.url
        path = self.url_file or Path()
        try:
            return SecretStr(path.read_text(encoding="utf-8").strip())
        except (OSError, UnicodeDecodeError) as error:
            raise SettingsError(f"alarms: {path}: cannot be read", "name a file that holds one address") from error


class Alarms(Document):
    """Who is told what, and from when on."""

    to: dict[Annotated[str, Field(pattern=r"^[a-z0-9-]{1,40}$")], Receiver] = Field(
        default={}, description="receivers by name"
    )
    late_h: float = Field(default=4.0, gt=0, description="a run waits for a slot longer")
    approval_h: float = Field(default=4.0, gt=0, description="so long before an approval takes its default")
    disk_low_gib: float = Field(default=20.0, ge=0, description="less is free where the runs lie")
    silent_min: float = Field(default=10.0, gt=0, description="the watcher was not heard of for so long")


class Site(Document):
    """Folders, instruments and retention of one facility."""

    name: str = "local"
    incoming: tuple[Folder, ...] = Field(default=(), description="folders watched for new data sets")
    runs: Folder | None = Field(default=None, description="where run folders are made")
    ledger: Folder | None = Field(default=None, description="SQLite file of the watcher")
    plots_url: str | None = Field(default=None, description="URL under which the folder of runs is served")
    studio_url: str | None = Field(default=None, description="URL of the studio that opens the folder of runs")
    instruments: dict[str, FolderRule] = Field(default={}, description="rules for data sets without a manifest")
    proposals: ProposalPattern | None = Field(default=None, description="how the proposal of a data set is found")
    rules: tuple[DataRule, ...] = Field(default=(), description="of each condition the first that fits and states it")
    clusters: dict[Annotated[str, Field(pattern=r"^[a-z0-9-]{1,40}$")], ClusterSection] = Field(
        default={}, description="where runs may have their work done: compute.cluster=NAME"
    )
    live: bool = Field(default=False, description="also follow series while they are being measured")
    retention: Retention = Retention()
    catalogue: Catalogue | None = Field(default=None, description="where finished runs are registered")
    alarms: Alarms = Alarms()

    @model_validator(mode="after")
    def _data_are_only_read(self) -> "Site":
        for incoming in self.incoming:
            for name, place in (("runs", self.runs), ("ledger", self.ledger)):
                if place is not None and (place.is_relative_to(incoming) or incoming.is_relative_to(place)):
                    raise ValueError(f"`{name}` {place} and `incoming` {incoming}: one lies in the other")
        return self

    @model_validator(mode="after")
    def _instruments_differ(self) -> "Site":
        patterns: dict[str, str] = {}
        for name, rule in self.instruments.items():
            if (other := patterns.setdefault(rule.file_pattern, name)) != name:
                raise ValueError(f"instruments {other} and {name}: one `file_pattern` for both")
        return self

    @model_validator(mode="after")
    def _kept_while_it_waits(self) -> "Site":
        if self.ledger is None and any(rule.runs_at_once or rule.quota_gib for rule in self.rules):
            raise ValueError("rules with `runs_at_once` or `quota_gib` need a `ledger`: what waits is kept there")
        return self

    def confined(self, path: Path) -> Path:
        """Return `path` with symbolic links resolved, if it lies in a folder of this site.

        A site that names no folders (a laptop) confines nothing.

        Raises
        ------
        InputError
            If the path leads out of the folders of the site.
        """
        resolved = path.resolve()
        roots = [root.resolve() for root in (*self.incoming, *([self.runs] if self.runs else []))]
        if roots and not any(resolved.is_relative_to(root) for root in roots):
            raise InputError(f"{path}: outside the folders of the site", f"allowed: {', '.join(map(str, roots))}")
        return resolved

    def confined_address(self, address: str | None) -> None:
        """Refuse a scheduler that the site file does not name: what it answers is run here.

        A site that names no folders (a laptop) confines nothing.

        Raises
        ------
        InputError
            If an address is given at a site with folders.
        """
        if address is not None and (self.incoming or self.runs):
            there = ", ".join(sorted(self.clusters)) or "none yet"
            raise InputError(f"compute.address={address}: not of this site", f"compute.cluster=NAME; it has {there}")

    def run_place(self, folder: Path) -> Path:
        """Return a run folder with symbolic links resolved, if it lies in the folder of runs: data are only read.

        Raises
        ------
        InputError
            If it lies elsewhere. A site that names no folder of runs (a laptop) confines nothing.
        """
        resolved = folder.resolve()
        if self.runs is not None and not resolved.is_relative_to(self.runs.resolve()):
            raise InputError(f"{folder}: outside the site's folder of runs", f"name a folder in {self.runs}")
        return resolved

    def studio_of(self, folder: Path) -> str | None:
        """Return the address at which the studio opens a run folder; None where the site has no studio for it."""
        if not self.studio_url or not self.runs or not folder.resolve().is_relative_to(self.runs.resolve()):
            return None
        parts = urlsplit(self.studio_url)
        query = [*parse_qsl(parts.query), ("run", folder.resolve().relative_to(self.runs.resolve()).as_posix())]
        return parts._replace(path=parts.path or "/", query=urlencode(query)).geturl()

    def url_of(self, path: Path) -> str:
        """Return the URL of a file of a run: served by the site, or a file URL."""
        if self.plots_url and self.runs and path.resolve().is_relative_to(self.runs.resolve()):
            place = path.resolve().relative_to(self.runs.resolve()).as_posix()
            return f"{self.plots_url.rstrip('/')}/{quote(place)}"
        return path.resolve().as_uri()


def load_site() -> Site:
    """Read the site file that the environment variable APERTURA_SITE names; without it, a site without folders.

    Raises
    ------
    SettingsError
        Naming the field that is wrong.
    """
    name = os.environ.get(SITE_VARIABLE)
    return read_site(Path(name)) if name else Site()


def read_site(path: Path) -> Site:
    """Read one site file (YAML)."""
    try:
        if path.stat().st_size > SITE_BYTES_MAX:
            raise SettingsError(f"{path}: larger than {SITE_BYTES_MAX} bytes", "this is not a site file")
        return Site.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")) or {})
    except OSError as error:
        raise SettingsError(f"site file {path}: {error.strerror}", f"correct {SITE_VARIABLE}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise SettingsError(f"site file {path}: not YAML", "see deployments/site.example.yaml") from error
    except ValidationError as error:
        lines = [f"{'.'.join(map(str, item['loc']))}: {item['msg']}" for item in error.errors()]
        raise SettingsError(f"site file {path}: " + "; ".join(lines), "see deployments/site.example.yaml") from error
