"""Where the work on crystals is done: the same bytes everywhere, what it costs, and what a thousand cores would gain.

``python -m tests.benchmarks.compute [PART ...] [--folder DIR]``; all parts by default.

equal      a small series run in threads, in processes and by Dask with two workers: are all files the same?
killed     the same in processes and by Dask, each worker killed once in every stage
scaling    blocks of some seconds by one worker of Dask and by two, three times in turn
blocks     the same blocks without work: what a block costs this process, and the efficiency that follows
prefect    a finished run taken from its folder, recorded on a Prefect server and not, in turn: what recording costs
flow       the small series as a flow of a Prefect server, in processes and by Dask, to its end: are all files the same?
"""

import argparse
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import median

import httpx
import psutil

from adapters.compute.dask_workers import DaskCompute
from adapters.compute.here import ThreadsCompute
from adapters.compute.place import ComputePlace
from adapters.compute.processes import ProcessesCompute
from adapters.formats.simulated_series import write_simulated_series
from flows.command_ends import one_thread_for_each_product
from flows.parallel import Abreast
from flows.progress import QuietSteps
from flows.runs import run_pipeline
from flows.settings import load_settings
from tasks.frames import FrameSeries
from tasks.integrate import BuiltinIntegrator
from tasks.model import Document
from tasks.simulate.demo_structure import uio66
from tasks.stage import read_document
from tests.synthetic.blocks import TimedBlock, integrate_timed
from tests.synthetic.coarse_series import coarse_case

ROOT = Path(__file__).resolve().parents[2]
STAGES = ("block-00000", "frames", "integrate", "solve", "refine")
SHARED = ("ingest",)
BLOCKS, ROUNDS, EMPTY = 8, 3, 100
CORES = 1000
Engine = ThreadsCompute | ProcessesCompute | DaskCompute


def prepared(folder: Path) -> tuple[Path, Path]:
    """Return the series and its run in threads, made if they are not there."""
    source, run = folder / "source", folder / "threads"
    if not source.is_dir():
        write_simulated_series(uio66(), coarse_case(), source)
    run_pipeline(source, run, load_settings(None, []), QuietSteps())
    return source, run


def bytes_of(run: Path) -> dict[str, str]:
    """Return the SHA-256 of all files of a run but logs; paths, times and totals are taken out of the texts."""
    found = {}
    for path in sorted(run.rglob("*")):
        name = path.relative_to(run).as_posix()
        if not path.is_file() or name.startswith(("run.", ".lock")) or path.suffix in {".out", ".err"}:
            continue
        content = path.read_bytes()
        if name == "results.json":
            told = json.loads(content)
            content = json.dumps({**told, "timings_s": {}}).encode()
        if name == "report.html" or path.name.startswith("cctbx_re"):
            continue  # times, and the folder in which cctbx worked
        found[name] = hashlib.sha256(content).hexdigest()
    return found


@contextmanager
def killer(run: Path) -> Iterator[list[str]]:
    """Kill the process that does a stage, once in every stage; yield which were."""
    killed: list[str] = []
    ended = threading.Event()

    def look() -> None:
        while not ended.wait(0.02):
            for partial in (*run.glob("crystals/*/.*.partial"), *run.glob(".apertures.scans/.*.partial")):
                _, stage, mark, _ = partial.name.split(".")
                process = int(mark.split("-")[1], 16)
                if stage in STAGES and stage not in killed and process != os.getpid():
                    killed.append(stage)
                    os.kill(process, signal.SIGKILL)

    thread = threading.Thread(target=look, daemon=True)
    thread.start()
    yield killed
    ended.set()
    thread.join()


def equal(folder: Path, *, kill: bool) -> None:
    """Run the series by each engine and compare every file with those of the run in threads."""
    source, threads = prepared(folder)
    expected = bytes_of(threads)
    for name in ("processes", "dask"):
        run = folder / f"{name}{'-killed' if kill else ''}"
        shutil.rmtree(run, ignore_errors=True)
        for part in (*SHARED, "run.json"):
            place = threads / part
            (shutil.copytree if place.is_dir() else _copy)(place, run / part)
        settings = load_settings(None, [f"compute.engine={name}", "compute.workers=2"])
        with killer(run) if kill else _nobody() as killed:
            run_pipeline(source, run, settings, QuietSteps())
        found = bytes_of(run)
        different = sorted(file for file in expected.keys() | found.keys() if expected.get(file) != found.get(file))
        text = f", one worker killed in each of: {', '.join(killed)}" if kill else ""
        print(f"{name}{text}: {len(found)} files, {len(different)} other than in threads {different[:5]}")


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(source, target)


@contextmanager
def _nobody() -> Iterator[list[str]]:
    yield []


def blocks_of(
    engine: Engine, frames: FrameSeries, work: Document, number: int
) -> tuple[list[TimedBlock], float, float]:
    """Return what blocks took, and wall and this process' own CPU s of all, without the start of the workers."""
    with (
        tempfile.TemporaryDirectory() as scratch,
        engine.opened(ComputePlace(Path(scratch))) as hands,
        Abreast(hands) as pool,
    ):

        def block(count: int) -> TimedBlock:
            return integrate_timed(frames, work, count, workdir=Path(scratch) / f"block-{count}")

        pool.each(block, range(1000, 1000 + 2 * hands.at_once))  # imports, caches
        wall, cpu = time.perf_counter(), time.process_time()
        done = pool.each(block, range(number))
        return done, time.perf_counter() - wall, time.process_time() - cpu


def scaling(folder: Path) -> None:
    """Do the same blocks by one worker and by two, in turn."""
    frames = read_document(prepared(folder)[1] / "crystals" / "crystal-01" / "frames", FrameSeries)
    walls: dict[int, list[float]] = {1: [], 2: []}
    costs: dict[int, list[float]] = {1: [], 2: []}
    busy: dict[int, list[float]] = {1: [], 2: []}
    for _ in range(ROUNDS):
        for workers in (1, 2):
            done, wall, _ = blocks_of(DaskCompute(workers=workers), frames, BuiltinIntegrator(), BLOCKS)
            walls[workers].append(wall)
            costs[workers].append(sum(one.cpu_s for one in done))
            span = max(one.ended_s for one in done) - min(one.begun_s for one in done)
            busy[workers].append(sum(one.ended_s - one.begun_s for one in done) / (workers * span))
            print(
                f"{workers} workers: {wall:.1f} s, {costs[workers][-1]:.1f} CPU s in blocks, "
                f"workers busy {busy[workers][-1]:.1%}, load {os.getloadavg()[0]:.1f}"
            )
    ratio = [one / (2 * two) for one, two in zip(walls[1], walls[2], strict=True)]
    cost = [one / two for one, two in zip(costs[1], costs[2], strict=True)]
    print(
        f"1 -> 2 workers: {median(ratio):.2f} of linear by wall time ({min(ratio):.2f} to {max(ratio):.2f}); by CPU "
        f"time of the blocks times busy workers {median(cost) * median(busy[2]):.2f}"
    )


def blocks(folder: Path) -> None:
    """Do blocks without work: what one costs here, where all of them pass."""
    frames = read_document(prepared(folder)[1] / "crystals" / "crystal-01" / "frames", FrameSeries)
    whole = frames.model_copy(update={"frames": (frames.frames * 4)[:121]})  # the document of a series of 121 tilts
    for engine in (ThreadsCompute(workers=2), ProcessesCompute(workers=2), DaskCompute(workers=2)):
        _, wall, cpu = blocks_of(engine, whole, Document(), EMPTY)
        own, each = cpu / EMPTY, wall / EMPTY
        text = f"{engine.engine}: {1e3 * own:.1f} ms of CPU here, {1e3 * each:.1f} ms wall a block"
        if engine.engine == "dask":
            told = [f"{seconds:g} s: {min(1.0, seconds / (CORES * own)):.0%}" for seconds in (5, 20, 60, 600)]
            text += f"; at {CORES} cores blocks of {', '.join(told)} of the cores kept busy"
        print(text)


def prefect(folder: Path) -> None:
    """Repeat a finished run, recorded on a server and not, in turn: wall and CPU s of its process and children.

    Every unit of work is a task of Prefect then as well, with its artifacts, but computes nothing.
    """
    source, finished = prepared(folder)
    took: dict[str, list[float]] = {"alone": [], "recorded": []}
    with served(folder / "prefect") as environment:
        for number in range(2):
            for name, how in (("alone", {}), ("recorded", environment)):
                out = folder / f"{name}-{number}"
                shutil.rmtree(out, ignore_errors=True)
                shutil.copytree(finished, out)
                wall, cpu = ran(source, out, {**os.environ, "PYTHONPATH": str(ROOT), **how})
                took[name].append(cpu)
                print(f"{name}: {wall:.1f} s, {cpu:.1f} CPU s, load {os.getloadavg()[0]:.1f}")
    more = median(took["recorded"]) - median(took["alone"])
    print(f"recorded on a server: {more:.1f} CPU s more, {more / 300:.1%} of a run of 5 minutes on one core")


def flow(folder: Path) -> None:
    """Run the series as a flow by each engine, and compare every file with those of the run in threads."""
    source, threads = prepared(folder)
    expected = bytes_of(threads)
    with served(folder / "prefect") as environment:
        for name in ("processes", "dask"):
            out = folder / f"flow-{name}"
            shutil.rmtree(out, ignore_errors=True)
            changes = (f"compute.engine={name}", "compute.workers=2")
            wall, _ = ran(source, out, {**os.environ, "PYTHONPATH": str(ROOT), **environment}, *changes)
            runs = httpx.post(f"{environment['PREFECT_API_URL']}/flow_runs/filter", json={}).json()
            found = bytes_of(out)
            different = sorted(file for file in expected.keys() | found.keys() if expected.get(file) != found.get(file))
            states = ", ".join(f"{run['name']}: {run['state_name']}" for run in runs)
            print(f"{name}: {wall:.0f} s, {len(found)} files, {len(different)} others {different[:5]}; {states}")


def ran(source: Path, out: Path, environment: dict[str, str], *changes: str) -> tuple[float, float]:
    """Return wall and CPU s of the command line."""
    changed = [part for change in changes for part in ("--set", change)]
    command = [sys.executable, "-m", "flows.cli", "run", str(source), "--out", str(out), *changed]
    begun, before = time.perf_counter(), sum(psutil.Process().cpu_times()[2:4])
    subprocess.run(command, env=environment, cwd=ROOT, check=True)
    return time.perf_counter() - begun, sum(psutil.Process().cpu_times()[2:4]) - before


@contextmanager
def served(home: Path) -> Iterator[dict[str, str]]:
    """Run a Prefect server; yield the environment of its clients."""
    shutil.rmtree(home, ignore_errors=True)
    port = 4319
    own = {"PREFECT_HOME": str(home), "PREFECT_SERVER_ANALYTICS_ENABLED": "false", "DO_NOT_TRACK": "1"}
    url = f"http://127.0.0.1:{port}/api"
    server = subprocess.Popen(
        [sys.executable, "-m", "prefect", "server", "start", "--port", str(port)],
        env={**os.environ, **own}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
    )  # fmt: skip
    try:
        until(lambda: httpx.get(f"{url}/health", timeout=2).is_success)
        yield {**own, "PREFECT_API_URL": url}
    finally:
        os.killpg(server.pid, signal.SIGTERM)
        server.wait()


def until(ready: Callable[[], bool]) -> None:
    """Wait for something, two minutes at most."""
    limit = time.monotonic() + 120
    while time.monotonic() < limit:
        try:
            if ready():
                return
        except httpx.HTTPError:
            pass
        time.sleep(0.5)
    raise TimeoutError


def main(arguments: Sequence[str]) -> None:
    """Measure what is asked for."""
    one_thread_for_each_product()
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parts = {
        "equal": lambda folder: equal(folder, kill=False),
        "killed": lambda folder: equal(folder, kill=True),
        "scaling": scaling,
        "blocks": blocks,
        "prefect": prefect,
        "flow": flow,
    }
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(parts)}; all by default")
    parser.add_argument("--folder", type=Path, help="where series and runs stay; by default they do not")
    asked = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="apertura-compute-") as scratch:
        for name in asked.parts or parts:
            print(f"-- {name}", flush=True)
            parts[name](asked.folder or Path(scratch))


if __name__ == "__main__":
    main(sys.argv[1:])
