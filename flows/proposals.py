"""Whose a data set is, what holds for it by the site's rules, and whether its proposal has room for one run more."""

import fcntl
import grp
import json
import os
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from flows.run_folder import CLAIM, OWNER
from flows.site import Site
from flows.site_rules import NAME_MAX, Conditions, DataRule
from flows.staging import ORIGIN, STAGED
from tasks.ingest import load_manifest
from tasks.model import Document, SettingsError, SourceError, visible

if TYPE_CHECKING:
    from prefect.client.schemas.objects import StateType

COUNT_AGAIN_S = 5.0
"""A proposal that had no room is asked about anew after so long: at one of the next looks."""
MEASURE_AGAIN_S = 600.0
"""Sizes of run folders are measured anew after so long. Chosen, not measured: each asks for every file of a folder."""


class Belonging(Document):
    """Whose a data set is."""

    proposal: str | None = None
    instrument: str | None = None
    sample: str | None = None

    @property
    def tags(self) -> tuple[str, ...]:
        """Return the tags that its runs carry from their birth."""
        return tuple(f"{name}:{visible(value)}" for name, value in self.model_dump().items() if value)

    @property
    def counted(self) -> str:
        """Return the tag by which quotas count its runs: of the proposal, else of the instrument; perhaps nothing."""
        named = {"proposal": self.proposal, "instrument": self.instrument}
        return next((f"{name}:{visible(value)}" for name, value in named.items() if value), "")


def belonging(site: Site, source: Path) -> Belonging:
    """Return whose a data set is: by the path of its folder and by its manifest.

    Of scans that were copied beside a manifest (`flows.staging`) the folder is that which the instrument wrote. The
    instrument is the pattern's, else the manifest's ``detector.name``. What cannot be read says nothing: its run will.
    """
    named = _named(site, origin(site, source))
    try:
        manifest = load_manifest(source)
    except SourceError:
        return Belonging.model_validate(named)
    return Belonging.model_validate({"instrument": manifest.detector.name, "sample": manifest.sample} | named)


def _named(site: Site, place: Path) -> dict[str, str]:
    """Return what the pattern of the site finds in a path."""
    found = re.search(site.proposals.pattern, place.as_posix()) if site.proposals else None
    groups = found.groupdict() if found else {}
    return {name: groups[name][:NAME_MAX] for name in ("proposal", "instrument") if groups.get(name)}


def origin(site: Site, source: Path) -> Path:
    """Return the folder that an instrument wrote, of a source or of a copy of ours; symbolic links resolved."""
    place = source.resolve()
    if site.runs is None or not place.is_relative_to((site.runs / STAGED).resolve()):
        return place  # what others put into it says nothing: only in our own copies is the origin ours
    try:
        return Path((place / ORIGIN).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return place


def conditions(site: Site, who: Belonging) -> Conditions:
    """Return what holds for a data set: of each condition the first rule that fits and states it."""
    stated: dict[str, object] = {}
    for rule in site.rules:
        if rule.fits(who.proposal, who.instrument):
            stated = _filled(rule, who) | stated
    return Conditions.model_validate(stated)


def _filled(rule: DataRule, who: Belonging) -> dict[str, object]:
    """Return what a rule states; groups that are named after a proposal only where there is one."""
    found: dict[str, object] = {}
    for name in Conditions.model_fields:
        value = getattr(rule, name)
        if value is None or ("{proposal}" in str(value) and who.proposal is None):
            continue
        if name == "owner_group":
            value = value.replace("{proposal}", who.proposal or "")
        if name == "access_groups":
            value = tuple(one.replace("{proposal}", who.proposal or "") for one in value)
        found[name] = value
    return found


def owner_of(site: Site, folder: Path) -> Belonging:
    """Return whose a run folder is: as it was recorded, else by the path of its source."""
    try:
        return Belonging.model_validate_json((folder / OWNER).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        pass
    try:
        source = json.loads((folder / CLAIM).read_text(encoding="utf-8"))["source"]
    except (OSError, ValueError, KeyError, TypeError):
        return Belonging()
    return Belonging.model_validate(_named(site, Path(str(source))))


def group_id(name: str) -> int:
    """Return the number of a Unix group that this process may give files to.

    Raises
    ------
    SettingsError
        If there is no such group, or the process is not a member of it.
    """
    try:
        number = grp.getgrnam(name).gr_gid
    except KeyError as error:
        raise SettingsError(f"rules: group {name}: there is no such group here", "correct the site file") from error
    if os.geteuid() != 0 and number not in {os.getegid(), *os.getgroups()}:
        raise SettingsError(
            f"rules: group {name}: this process is not a member of it", "add its user to the group, and start again"
        )
    return number


def check_groups(site: Site) -> None:
    """Refuse a site whose groups this process cannot give files to.

    Raises
    ------
    SettingsError
        Naming the first of them.
    """
    for name in {rule.group for rule in site.rules if rule.group is not None}:
        group_id(name)


class Quotas:
    """Whether a proposal has room for one run more; remembers for seconds that it had none."""

    def __init__(self, site: Site, count: Callable[[str], int] | None = None) -> None:
        self._site = site
        self._count = count or runs_under_way
        self._limited = any(rule.runs_at_once or rule.quota_gib for rule in site.rules)
        self._known: dict[str, Belonging] = {}
        self._full: dict[str, tuple[float, int]] = {}
        self._sizes: dict[Path, tuple[float, str, int]] = {}

    @contextmanager
    def room(self, source: Path, key: str) -> Iterator[str | None]:
        """Yield why a data set waits; None if it need not, and then nobody else makes a run before its own is made.

        Data of one proposal are counted together, those without a proposal by instrument. Raises when the server is
        away.
        """
        if not self._limited or self._site.ledger is None:
            yield None
            return
        with self._site.ledger.with_name(f"{self._site.ledger.name}.room").open("a+b") as lock:
            fcntl.flock(lock.fileno(), fcntl.LOCK_EX)  # the janitor announces beside the watcher
            yield self.held_back(source, key)

    def held_back(self, source: Path, key: str) -> str | None:
        """Return why a data set waits; None if it need not. Raises when the server is away."""
        if key not in self._known:
            self._known[key] = belonging(self._site, source)
        who = self._known[key]
        reason = self._full_for(who.counted, conditions(self._site, who)) if who.counted else None
        if reason is None:
            del self._known[key]
        return reason

    def _full_for(self, tag: str, holds: Conditions) -> str | None:
        """Return why there is no room for one run more with a tag; None if there is."""
        said, limit = tag.replace(":", " ", 1), holds.runs_at_once
        if limit is not None and (under_way := self._under_way(tag, limit)) >= limit:
            return f"{said}: {under_way} of {limit} runs at once are under way"
        if holds.quota_gib is not None and (gib := self._bytes(tag) / 2**30) >= holds.quota_gib:
            return f"{said}: its run folders hold {gib:.3g} of {holds.quota_gib:g} GiB: remove or prune some"
        return None

    def _under_way(self, tag: str, limit: int) -> int:
        """Return how many runs are under way; that there are too many is believed for some seconds."""
        now = time.monotonic()
        if tag in self._full and now - self._full[tag][0] <= COUNT_AGAIN_S:
            return self._full[tag][1]
        runs = self._count(tag)
        self._full.pop(tag, None)
        if runs >= limit:
            self._full[tag] = (now, runs)
        return runs

    def _bytes(self, tag: str) -> int:
        """Return the size of all run folders of a proposal or an instrument."""
        now, runs = time.monotonic(), self._site.runs
        there = {claim.parent for claim in runs.glob(f"*/{CLAIM}")} if runs is not None else set()
        for gone in self._sizes.keys() - there:
            del self._sizes[gone]
        for folder in there:
            measured = self._sizes.get(folder)
            if measured is None or now - measured[0] > MEASURE_AGAIN_S:
                self._sizes[folder] = (now, owner_of(self._site, folder).counted, bytes_below(folder))
        return sum(size for _, owner, size in self._sizes.values() if owner == tag)


def bytes_below(folder: Path) -> int:
    """Return the bytes of the files below a folder; of one that vanishes meanwhile, none."""
    total = 0
    for here, _, names in os.walk(folder):
        for name in names:
            try:
                total += os.lstat(os.path.join(here, name)).st_size  # noqa: PTH118 a path object for each costs more than the call
            except OSError:
                continue
    return total


def runs_under_way(tag: str) -> int:
    """Return how many runs of the pipeline with a tag wait for a slot or hold one."""
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.filters import (
        FlowFilter,
        FlowFilterName,
        FlowRunFilter,
        FlowRunFilterState,
        FlowRunFilterStateType,
        FlowRunFilterTags,
    )

    wanted = FlowRunFilter(
        tags=FlowRunFilterTags(all_=[tag]), state=FlowRunFilterState(type=FlowRunFilterStateType(any_=_under_way()))
    )
    with get_client(sync_client=True) as client:
        return client.count_flow_runs(
            flow_filter=FlowFilter(name=FlowFilterName(any_=["solve-series"])), flow_run_filter=wanted
        )


def _under_way() -> "list[StateType]":
    """Return the types of state of a run that waits for a slot or holds one; a suspended run does neither."""
    from prefect.client.schemas.objects import StateType

    return [StateType.SCHEDULED, StateType.PENDING, StateType.RUNNING, StateType.CANCELLING]
