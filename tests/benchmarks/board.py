"""What Grafana's board would show: a real Prometheus asks a facility, and answers each of the board's queries.

``python -m tests.benchmarks.board`` (Debian's prometheus on PATH). A facility runs two data sets, of which one has a
crystal, and refuses a third; Prometheus is given deployments/grafana/prometheus.yaml, with the address and the password
of that facility in place of those of nginx. Said of each panel: its query, and each series with its newest value, as
its legend names it. Fails where a query answers nothing.
"""

import json
import os
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import yaml

from tests.system.facility_bench import ROOT, Bench, bring_up, drop, drop_crystals, free_port, wait

GRAFANA = ROOT / "deployments" / "grafana"


@contextmanager
def prometheus(bench: Bench) -> Iterator[str]:
    """Start Prometheus on the shipped configuration; return the address of its API."""
    folder = Path(tempfile.mkdtemp(prefix="apertura-prometheus-"))
    user, password = bench.login
    (folder / "password").write_text(password)
    content = yaml.safe_load((GRAFANA / "prometheus.yaml").read_text())
    for job in content["scrape_configs"]:
        job |= {"scheme": "http", "scrape_interval": "5s", "scrape_timeout": "5s"}
        job["basic_auth"] = {"username": user, "password_file": str(folder / "password")}
        job["static_configs"] = [{"targets": [f"127.0.0.1:{bench.port}"]}]
    (folder / "prometheus.yml").write_text(yaml.safe_dump(content))
    checked = subprocess.run(
        ["promtool", "check", "config", GRAFANA / "prometheus.yaml"], check=False, capture_output=True
    )
    print("promtool check config, as shipped:", (checked.stdout + checked.stderr).decode().strip())
    address = f"127.0.0.1:{free_port()}"
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [
                "prometheus",
                f"--config.file={folder / 'prometheus.yml'}",
                f"--storage.tsdb.path={folder / 'data'}",
                f"--web.listen-address={address}",
            ],
            stdout=log,
            stderr=log,
        )
    try:
        wait(lambda: httpx.get(f"http://{address}/-/ready").is_success, "Prometheus", limit_s=60)
        yield f"http://{address}/api/v1"
    finally:
        process.terminate()
        process.wait(60)
        shutil.rmtree(folder)


def ask(api: str, path: str, **parameters: Any) -> Any:
    """Return the data of an answer of Prometheus."""
    return httpx.get(f"{api}{path}", params=parameters, timeout=60).raise_for_status().json()["data"]


def answers(api: str) -> None:
    """Print what each query of the board answers, now and over a quarter of an hour."""
    for target in ask(api, "/targets")["activeTargets"]:
        took = f"{target['lastScrapeDuration']:.2f} s"
        print(f"{target['labels']['job']}: {target['health']} {target['lastError']} in {took}")
    empty = []
    for panel in json.loads((GRAFANA / "apertura.json").read_text())["panels"]:
        for target in panel["targets"]:
            found = ask(api, "/query", query=target["expr"])["result"]
            now = time.time()
            drawn = ask(api, "/query_range", query=target["expr"], start=now - 900, end=now, step=15)["result"]
            series = [f"{legend(target['legendFormat'], one['metric'])} {float(one['value'][1]):g}" for one in found]
            print(f"{panel['title']}: {target['expr']}: {', '.join(series)} ({len(drawn)} series drawn)")
            empty += [] if found and drawn else [target["expr"]]
    assert not empty, f"no answer: {empty}"


def legend(text: str, labels: dict[str, str]) -> str:
    """Return a legend as Grafana fills it."""
    return re.sub(r"\{\{(\w+)\}\}", lambda found: labels[found[1]], text)


def main() -> None:
    data = Path(tempfile.mkdtemp(prefix="apertura-board-"))
    os.environ["PREFECT_SERVER_METRICS_ENABLED"] = "true"  # as env.example does
    bench = bring_up(data)
    try:
        bad = drop(data / "bad", seed=1)
        (bad / "tilt_series.json").write_text("{}")
        bad.rename(data / "incoming" / "bad")
        sources = [drop(data / "incoming" / "plain", seed=2)]
        sources.append(drop_crystals(data / "incoming" / ".one", crystals=1).rename(data / "incoming" / "one"))
        print([bench.outcome(one) for one in sources])
        with prometheus(bench) as api:
            wait(lambda: len(ask(api, "/query", query="apertura_runs")["result"]) > 1, "the first figures", limit_s=120)
            time.sleep(20)
            answers(api)
    finally:
        bench.close()
    shutil.rmtree(data)


if __name__ == "__main__":
    main()
