"""How soon a scan is on the page of a series that grows: 64 x 64 positions of 250 electrons, three crystals of UiO-66.

A scan is put into the folder every so often while ``apertura run --live`` follows it. Told are the seconds from its
rename to the page that shows it as read, to the page whose crystals rest on it, and what the looks cost.

    python -m tests.benchmarks.live [--scans 51] [--present 1] [--every 10] [--keep DIR]
"""

import argparse
import json
import os
import re
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

from adapters.formats.simulated_series import write_simulated_series
from tasks.simulate import ClusterPlan, Instrument, SimulationSettings, TiltPlan, uio66
from tests.synthetic.growing_series import GrowingFolder


def series() -> SimulationSettings:
    return SimulationSettings(
        seed=1,
        tilts=TiltPlan(start_deg=-50, stop_deg=50, step_deg=2),
        cluster=ClusterPlan(crystals=3),
        instrument=Instrument(scan_shape=(64, 64)),
    )


class Page:
    """Looks at report.html as it grows: when each scan was there, and when crystals rested on so many."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.read_at: dict[str, float] = {}
        self.figures_at: list[tuple[int, float]] = []
        self.over = threading.Event()

    def watch(self) -> None:
        last = 0
        while not self.over.wait(0.1):
            try:
                stamp = self.path.stat().st_mtime_ns
                text = self.path.read_text(encoding="utf-8") if stamp != last else ""
            except OSError:
                continue
            if not text:
                continue
            last, now = stamp, stamp / 1e9
            for name in re.findall(r"<tr><td>([^<]+)</td>(?:<td>[^<]*</td>){2}<td class=\"read\">", text):
                self.read_at.setdefault(name, now)
            rows = [int(one) for one in re.findall(r"<td>(\d+)</td></tr>", text)]
            if rows and (not self.figures_at or min(rows) > self.figures_at[-1][0]):
                self.figures_at.append((min(rows), now))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scans", type=int, default=51)
    parser.add_argument("--present", type=int, default=1, help="scans that lie there at the start")
    parser.add_argument("--every", type=float, default=10.0)
    parser.add_argument("--keep", type=Path)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        root = asked.keep or Path(temporary)
        whole = root / "whole"
        if not (whole / "tilt_series.json").is_file():
            write_simulated_series(uio66(), series(), whole)
        measure(root, whole, scans=asked.scans, present=asked.present, every_s=asked.every)


def measure(root: Path, whole: Path, *, scans: int, present: int, every_s: float) -> None:
    growing = GrowingFolder(whole, root / f"grow-{os.getpid()}")
    growing.add(growing.names[:present])
    page = Page(root / f"run-{os.getpid()}" / "report.html")
    command = [sys.executable, "-m", "flows.cli", "run", "--live", str(growing.folder), "--out", str(page.path.parent)]
    arrived = dict.fromkeys(growing.names[:present], time.time())
    following = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    watching = threading.Thread(target=page.watch)
    watching.start()
    loads = []
    while not page.read_at.keys() >= set(growing.names[:present]):
        time.sleep(0.5)
    for name in growing.names[present:scans]:
        time.sleep(every_s)
        growing.add([name])
        arrived[name] = time.time()
        loads.append(os.getloadavg()[0])
    limit = time.monotonic() + 900
    while time.monotonic() < limit and not (page.figures_at and page.figures_at[-1][0] >= scans):
        time.sleep(0.5)
    cpu_s = sum(os.times()[2:4])
    following.send_signal(signal.SIGINT)
    following.wait()
    page.over.set()
    watching.join()
    shown = [page.read_at[name] - arrived[name] for name in arrived if name in page.read_at][present:]
    names = list(arrived)
    resting = [
        next((at for count, at in page.figures_at if count >= number), None) for number in range(1, len(names) + 1)
    ]
    figures = [at - arrived[name] for name, at in zip(names, resting, strict=True) if at is not None][present:]
    row = {
        "scans": scans,
        "present": present,
        "every_s": every_s,
        "load": [round(min(loads), 1), round(statistics.median(loads), 1), round(max(loads), 1)],
        "scan_to_page_s": summary(shown),
        "scan_to_figures_s": summary(figures),
        "cpu_s": round(sum(os.times()[2:4]) - cpu_s, 0),
    }
    print(json.dumps(row))


def summary(values: list[float]) -> dict[str, float]:
    return {
        "n": len(values),
        "median": round(statistics.median(values), 1),
        "max": round(max(values), 1),
    }


if __name__ == "__main__":
    main()
