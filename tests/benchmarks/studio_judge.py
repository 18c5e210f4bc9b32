"""What Judge costs beside integration from nothing: ``python -m tests.benchmarks.studio_judge [RUN] [--crystal ID]``.

The demo's series, 81 tilts of 48 x 48 positions, and its run (RUN, or made here, which takes its time). An aperture
with every third row of the run's own taken away is judged: drawn, the run's choice, the whole crystal, each with its
sum, integration and R against the solved structure. Beside it in the same process the drawn aperture's frames are
integrated from nothing with the built-in engine. Prints a Markdown table: CPU and wall seconds (of a machine with
others on it only the first says anything), spots, unique reflections, I/sigma, CC1/2 and R.
"""

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np

from flows.demo import demo_series, write_series
from flows.progress import QuietSteps
from flows.runs import run_pipeline
from flows.settings import Settings
from flows.studio.judge import JudgeRequest, judge
from flows.studio.opening import open_place
from tasks.apertures.output import write_drawn
from tasks.frames import sum_frames
from tasks.integrate import BuiltinIntegrator
from tasks.simulate import uio66


def demo_run(folder: Path) -> Path:
    source = folder / "source"
    write_series(uio66(), source, demo_series())
    settings = Settings(merge_crystals=False, compare_apertures=False)
    return run_pipeline(source, folder / "run", settings, QuietSteps())


def clocks() -> np.ndarray:
    return np.array([time.process_time(), time.perf_counter()])


def told(_text: str) -> None:
    """Hear nothing."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", nargs="?", type=Path)
    parser.add_argument("--crystal", default="crystal-01")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        place = open_place(arguments.run or demo_run(folder), work=folder / "work", tell=told)
        masks = place.drawing.crystal(arguments.crystal).masks.copy()
        judge(
            JudgeRequest(place.series, place.run, arguments.crystal, masks, place.settings.frames, folder / "warm"),
            told,
        )
        masks[:, ::3] = False
        begin = clocks()
        found = judge(
            JudgeRequest(place.series, place.run, arguments.crystal, masks, place.settings.frames, folder / "cold"),
            told,
        )
        judged = clocks() - begin
        (folder / "anew").mkdir()
        tilts = np.array([scan.tilt_deg for scan in place.series.scans])
        begin = clocks()
        aperture = write_drawn(arguments.crystal, masks, tilts, folder / "anew")
        frames = sum_frames(
            place.series,
            aperture,
            place.settings.frames,
            workdir=folder / "anew" / "frames",
            beams=place.contents.beams,
        )
        (folder / "anew" / "integrate").mkdir()
        anew = BuiltinIntegrator().integrate(frames, folder / "anew" / "integrate")
        whole = clocks() - begin
    print(f"judged, {len(found.columns)} columns: {judged[0]:.1f} s CPU, {judged[1]:.1f} s wall")
    print(f"the drawn one from nothing: {whole[0]:.1f} s CPU, {whole[1]:.1f} s wall")
    print("| | spots | unique | I/sigma | CC1/2 | R |\n|---|---|---|---|---|---|")
    for column in found.columns:
        if (one := column.figures) is None:
            print(f"| {column.name} | {column.failure} | | | | |")
            continue
        r1 = "" if one.r1 is None else f"{one.r1:.4f}"
        print(f"| {column.name} | {one.spots} | {one.unique} | {one.i_over_sigma:.1f} | {one.cc_half:.4f} | {r1} |")
    all_of = anew.overall
    print(
        f"| drawn, from nothing | {anew.spots} | {all_of.unique} | {all_of.i_over_sigma:.1f} | {all_of.cc_half:.4f} | |"
    )


if __name__ == "__main__":
    main()
