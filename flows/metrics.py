"""What Prometheus is told of a facility: arrivals, runs by outcome, time by stage, signs of life, disk.

Served by `server.py` at ``/apertura/metrics`` to who knows the server's password; Prefect's own figures are at
``/api/metrics``. `deployments/grafana/` holds a board of the first, and how Prometheus asks for both.
"""

import json
import shutil
import statistics
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from prefect.client.orchestration import get_client
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from flows.ledger import Ledger
from flows.site import Site, load_site
from flows.status import Sign, by_state, recent, signs_of_life

RUNS_TIMED = 50
"""Finished runs whose times make the medians: those of some days. Chosen, not measured."""


class FacilityFigures(Collector):
    """The figures of one moment."""

    def __init__(self, site: Site, states: Mapping[str, int], signs: Iterable[Sign]) -> None:
        self._site = site
        self._states = states
        self._heard = {one.service: one.seconds_ago for one in signs if one.seconds_ago is not None}

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Yield all figures; those of a ledger or a disk that is not there are left out."""
        yield _family("runs", "newest 200 runs of the pipeline by name of state", "state", self._states)
        yield _family("heard_seconds", "since a service was last heard of", "service", self._heard)
        if self._site.ledger is not None and self._site.ledger.is_file():
            yield from arrivals(Ledger(self._site.ledger))
        if self._site.runs is not None and self._site.runs.is_dir():
            disk = shutil.disk_usage(self._site.runs)
            yield _family("disk_bytes", "where the runs lie", "kind", {"free": disk.free, "total": disk.total})
            yield _family(
                "stage_seconds", "median over the newest finished runs", "stage", stage_seconds(self._site.runs)
            )


def figures_now() -> bytes:
    """Ask the server and the site's folders; return the figures in Prometheus' text format."""
    site = load_site()
    with get_client(sync_client=True) as client:
        return figures(site, by_state(recent(client)), signs_of_life(client, site))


def figures(site: Site, states: Mapping[str, int], signs: Iterable[Sign]) -> bytes:
    """Return the figures in Prometheus' text format."""
    registry = CollectorRegistry()
    registry.register(FacilityFigures(site, states, signs))
    return generate_latest(registry)


def arrivals(ledger: Ledger) -> Iterator[GaugeMetricFamily]:
    """Yield how many data sets are in which state, and how long the oldest has waited for its run."""
    waiting = ledger.waiting()
    states = {"incomplete": len(ledger.incomplete()), "refused": len(ledger.refused()), "waiting": len(waiting)}
    counted = Counter(one.state for one in ledger.everything())
    states |= {"held": sum(one.held is not None for one in waiting)}
    states |= {"announced": counted["announced"] + counted["again"]}
    yield _family("data_sets", "that were seen, by what became of them", "state", states)
    oldest = time.time() - waiting[0].seen if waiting else 0.0
    yield GaugeMetricFamily("apertura_oldest_wait_seconds", "of a data set for its run", value=oldest)


def stage_seconds(runs: Path) -> dict[str, float]:
    """Return the median time of each stage in seconds over the newest finished runs."""
    dated = []
    for path in runs.glob("*/results.json"):
        try:
            dated.append((path.stat().st_mtime, path))
        except OSError:  # pruned meanwhile
            continue
    times: dict[str, list[float]] = {}
    for _, path in sorted(dated)[-RUNS_TIMED:]:
        stages: dict[str, float] = {}
        for step, seconds in _timings(path).items():
            stage = step.split(" ", 1)[0]  # of all crystals
            stages[stage] = stages.get(stage, 0.0) + seconds
        for stage, seconds in stages.items():
            times.setdefault(stage, []).append(seconds)
    return {stage: statistics.median(found) for stage, found in sorted(times.items())}


def _timings(path: Path) -> dict[str, float]:
    try:
        content: Any = json.loads(path.read_text(encoding="utf-8"))
        return {str(stage): float(seconds) for stage, seconds in content["timings_s"].items()}
    except (OSError, ValueError, TypeError, KeyError, AttributeError):  # half written, or of another program
        return {}


def _family(name: str, help_text: str, label: str, values: Mapping[str, float]) -> GaugeMetricFamily:
    family = GaugeMetricFamily(f"apertura_{name}", help_text, labels=[label])
    for key, value in values.items():
        family.add_metric([key], float(value))
    return family
