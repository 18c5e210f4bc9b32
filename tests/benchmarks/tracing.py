"""Reflections followed back to their electrons.

``python -m tests.benchmarks.tracing RUN [--reflections N] [--commands N]``: of the crystals of a finished run of a tilt
series, such as `apertura demo` makes, N reflections are traced, spread evenly over their lists. Of every observation
five numbers must be one: the trace's, its sums over pixels and over probe positions, the sum of the spot's pixels in
the frames, what the integration recorded. Then some are asked for by the command itself, imports and all.
"""

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import psutil

from flows.run_folder import read_whole_results
from flows.tracing import TracedCrystal, crystal_of, trace
from tasks.frames import stored_frame
from tasks.integrate import own_pixels, read_traces
from tasks.trace import Trace, kept_traces


def chosen(run: Path, reflections: int) -> list[tuple[str, str]]:
    """Return crystals and reflections, evenly spread."""
    names = [one["id"] for one in read_whole_results(run)["crystals"] if one["integration"] is not None]
    every = [
        (name, ",".join(map(str, hkl))) for name in names for hkl in crystal_of(run, name).reflections.hkl.tolist()
    ]
    rows = np.unique(np.linspace(0, len(every) - 1, reflections).round().astype(int))
    return [every[row] for row in rows]


class Sums:
    """The same numbers from the files of a crystal."""

    def __init__(self, crystal: TracedCrystal) -> None:
        every = read_traces(kept_traces(crystal.reflections))
        keys = zip(map(tuple, every.hkl.tolist()), every.frame.tolist())
        self.row = {key: place for place, key in enumerate(keys)}
        self.every, self.crystal = every, crystal
        self.images = [stored_frame(crystal.frames.stack, k) for k in range(len(crystal.frames.frames))]

    def wrong(self, traced: Trace) -> int:
        """Return how many observations do not add up."""
        wrong = int(traced.counts_total != sum(one.counts for one in traced.observations))
        for one in traced.observations:
            place = self.row[one.hkl, one.frame]
            slow, fast = own_pixels(self.every.centre[place], self.every.core[place])
            sums = {
                one.counts,
                int(self.every.counts[place]),
                int(self.images[one.frame][slow, fast].sum()),
                sum(pixel.counts for pixel in one.pixels),
                sum(position.counts for position in one.positions or ()),
            }
            wrong += len(sums) > 1
        return wrong


def main() -> None:
    """Trace, add up, and time."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path)
    parser.add_argument("--reflections", type=int, default=1000)
    parser.add_argument("--commands", type=int, default=10)
    asked = parser.parse_args()
    todo = chosen(asked.run, asked.reflections)
    observations = electrons = wrong = 0
    seconds, sums, name = [], None, ""
    for crystal, hkl in todo:
        if sums is None or crystal != name:
            sums, name = Sums(crystal_of(asked.run, crystal)), crystal
        begun = time.process_time()
        traced = trace(asked.run, crystal, hkl)
        seconds.append(time.process_time() - begun)
        wrong += sums.wrong(traced)
        observations += len(traced.observations)
        electrons += traced.counts_total
    print(f"{len(todo)} reflections, {observations} observations, {electrons} electrons: {wrong} do not add up")
    print(f"CPU s each: median {np.median(seconds):.2f}, most {max(seconds):.2f}")
    print("as commands (s wall, s CPU, load):")
    for crystal, hkl in todo[:: max(1, len(todo) // max(1, asked.commands))][: asked.commands]:
        wall, cpu = commanded(asked.run, crystal, hkl)
        print(f"  {crystal} {hkl}: {wall:.2f} {cpu:.2f} {psutil.getloadavg()[0]:.1f}")


def commanded(run: Path, crystal: str, hkl: str) -> tuple[float, float]:
    """Return seconds of wall time and CPU time of the command."""
    before, begun = psutil.Process().cpu_times(), time.perf_counter()
    command = [sys.executable, "-m", "flows.cli", "trace", str(run.resolve()), "--crystal", crystal]
    done = subprocess.run([*command, f"--hkl={hkl}", "--json"], capture_output=True, text=True, check=True)
    wall, after = time.perf_counter() - begun, psutil.Process().cpu_times()
    json.loads(done.stdout)
    return wall, sum(getattr(after, kind) - getattr(before, kind) for kind in ("children_user", "children_system"))


if __name__ == "__main__":
    main()
