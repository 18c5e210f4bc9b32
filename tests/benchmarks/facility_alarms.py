"""Every alarm of a running facility, by what it is about, until its mail is there: a part of `facility.py`."""

import json
import os
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from flows.catalogue_record import RECORD
from flows.conditions import TRIES
from tests.fakes.fake_scicat import TOKEN, serving
from tests.synthetic.alarm_sinks import Told
from tests.system.facility_bench import Bench, bring_up, drop, drop_crystals, wait

LIMITS = {"disk_low_gib": 1e9, "late_h": 0.005, "silent_min": 1.5}
LIMIT_S = 2400.0
OURS = {"owner": "A Facility", "contact_email": "data@example.org", "owner_group": "everybody"}


def let_all_fire(about: str = "") -> None:
    """Let each alarm fire whose subject has some words, and say after how long its mail was there."""
    told = Told()
    data = Path(tempfile.mkdtemp(prefix="apertura-alarms-"))
    (data / "token").write_text(TOKEN)
    with serving() as scicat:
        scicat.wrong["datasets"] = 400
        catalogue = {**OURS, "url": scicat.url, "token_file": str(data / "token")}
        bench = bring_up(data, alarms={**LIMITS, "to": told.receivers}, catalogue=catalogue)
        provoke_all(bench, told, about)
    told.close()
    shutil.rmtree(data, ignore_errors=True)


def provoke_all(bench: Bench, told: Told, about: str) -> None:
    try:
        for words, provoke in CAUSES.items():
            if about not in words:
                continue
            begun = time.monotonic()
            provoke(bench)
            arrived(told, words, begun)
    finally:
        bench.close()


def arrived(told: Told, words: str, begun: float) -> None:
    try:
        wait(lambda: told.of(words)["mail"] >= 1, f"mail about {words!r}", limit_s=LIMIT_S, step_s=1.0)
    except TimeoutError as error:
        print(f"{words}: NOT told: {error}", flush=True)
        return
    count, load = told.of(words), os.getloadavg()[0]
    print(f"{words}: told after {time.monotonic() - begun:.0f} s ({count}), load {load:.1f}", flush=True)


def nothing(_: Bench) -> None:
    """The disk is below its limit from the start."""


def bad_manifest(bench: Bench) -> None:
    folder = drop(bench.data / "bad", seed=1)
    (folder / "tilt_series.json").write_text("{}")
    folder.rename(bench.data / "incoming" / "bad")


def no_source(bench: Bench) -> None:
    bench.submit(bench.data / "incoming" / "nowhere")


def closed_pool(bench: Bench) -> None:
    bench.pause(paused=True)
    bench.run(drop(bench.data / "incoming" / "late", seed=2))


def killed_run(bench: Bench) -> None:
    bench.pause(paused=False)
    bench.ended(bench.run(bench.data / "incoming" / "late")["id"])
    run = bench.submit(drop_crystals(bench.data / "incoming" / ".crystals", crystals=1))
    bench.kill_flow(run)


def unanswered(bench: Bench) -> None:
    asked = {"ask": "apertures", "limit_h": 0.15}
    wait(lambda: all(run["state_type"] in {"COMPLETED", "FAILED"} for run in bench.runs()), "a free slot")
    bench.submit(bench.data / "incoming" / ".crystals", out=bench.data / "runs" / "asks", approval=asked)


def killed_check(bench: Bench) -> None:
    found = bench.get("/deployments/name/flight-check/flight-check").json()
    run = bench.post(f"/deployments/{found['id']}/create_flow_run", parameters={})["id"]
    wait(lambda: bench.flow_process(run) is not None, "the process of the check")
    bench.kill_flow(run)


def refusing_catalogue(bench: Bench) -> None:
    """Let a run be refused as often as it takes, without the rests between."""
    bench.outcome(drop(bench.data / "incoming" / "refused", seed=3))
    scicat = bench.get("/deployments/name/catalogue/scicat").json()["id"]
    for _ in range(TRIES):
        for record in (bench.data / "runs").glob(f"*/{RECORD}"):
            record.write_text(json.dumps({**json.loads(record.read_text()), "again_at": 0.0}))
        bench.ended(bench.post(f"/deployments/{scicat}/create_flow_run", parameters={})["id"])


def stopped(name: str) -> Callable[[Bench], None]:
    return lambda bench: bench.supervisor.stop(name)


CAUSES: dict[str, Callable[[Bench], None]] = {
    "disk is filling": nothing,
    "data set refused": bad_manifest,
    "run failed": no_source,
    "run waits": closed_pool,
    "run crashed": killed_run,
    "approval is due": unanswered,
    "flight check failed": killed_check,
    "runs are not registered": refusing_catalogue,
    "watcher is silent": stopped("watcher"),
    "no worker": stopped("worker"),
    "no maintenance": stopped("upkeep"),
}
