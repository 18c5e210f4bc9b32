"""What an update of the studio costs while a hand draws, through headless Chromium, beside a bare Bokeh update.

``python -m tests.benchmarks.studio_window [--edge 256] [--electrons 26e6] [--detector 576] [--seconds 12]``: a scan of
random electrons; with the freehand tool and with the brush the pointer goes round and round at some 100 moves a second.
Costs are from the beginning of an update's computing until it is painted, ages from when it was first asked for: the
wait for the update before included. Bare: an image of the detector's size in a figure of its own, nothing computed.
"""

import argparse
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from bokeh.document import Document
from bokeh.plotting import figure

from flows.studio.desk import Desk
from flows.studio.pulse import Pulse
from flows.studio.window import build
from tasks.drawing import Scene
from tests.synthetic.random_series import random_series
from tests.synthetic.studio_browser import Hand, chromium, serving


def bare_pulse(doc: Document, edge: int) -> Pulse:
    """Put a figure on a page with an image that is replaced by another as soon as it is painted."""
    pulse = Pulse(doc)
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (8, edge, edge), dtype=np.uint8)
    plot = figure(width=560, height=560, x_range=(0, edge), y_range=(0, edge))
    drawn = plot.image(image=[images[0]], x=0, y=0, dw=edge, dh=edge)
    count = [0]

    def send() -> None:
        count[0] += 1
        drawn.data_source.data = {**drawn.data_source.data, "image": [images[count[0] % 8]]}
        pulse.ask("image")

    pulse.add("image", send)
    for root in (plot, pulse.beat, pulse.echo):
        doc.add_root(root)
    pulse.ask("image")
    return pulse


def measure_bare(browser: Any, edge: int, seconds: float) -> list[float]:
    """Return the costs of bare updates, s."""
    pulses: list[Pulse] = []
    with serving(lambda doc: pulses.append(bare_pulse(doc, edge))) as url:
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        page.goto(url)
        page.wait_for_timeout(1000 * seconds)
        page.close()
    return pulses[0].costs_s[5:]


def measure_drawing(browser: Any, scene: Scene, tool: str, seconds: float) -> tuple[list[float], list[float], int]:
    """Return costs and ages of updates while drawing, s, and how many moves of the pointer there were."""
    sessions: list[tuple[Desk, Pulse]] = []

    def make(doc: Document) -> None:
        desk = Desk(scene)
        sessions.append((desk, build(doc, desk)))

    with serving(make) as url:
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        page.goto(url)
        page.wait_for_timeout(5000)
        desk, pulse = sessions[0]
        page.get_by_role("button", name=tool, exact=False).first.click()
        page.wait_for_timeout(1000)
        hand = Hand(page, scene.scan_shape, scene.detector_shape)
        moves = round_and_round(hand, pulse, min(scene.scan_shape), seconds)
        costs, ages = pulse.costs_s[:], pulse.ages_s[:]
        page.mouse.up()
        page.wait_for_timeout(2000)
        assert desk.electrons == int(scene.pattern(desk.tilt, desk.live_mask).sum())
        page.close()
    return costs, ages, moves


def round_and_round(hand: Hand, pulse: Pulse, edge: int, seconds: float) -> int:
    """Draw a spiral from the middle outwards for some seconds; return the number of moves."""
    middle, begin, moves = edge / 2, time.monotonic(), 0
    hand.press((middle, middle + 0.02 * edge))
    hand.page.wait_for_timeout(20)
    pulse.costs_s, pulse.ages_s = [], []
    while (share := (time.monotonic() - begin) / seconds) < 1.0:
        angle, radius = 8.0 * np.pi * share, (0.05 + 0.38 * share) * edge
        hand.draw([(middle + radius * np.sin(angle), middle + radius * np.cos(angle))], wait_ms=5)
        moves += 1
    return moves


def table_row(what: str, times_s: list[float], bare_s: float) -> str:
    """Return median, 95th percentile and their ratio to the bare median as a row."""
    middle, high = np.quantile(times_s, (0.5, 0.95))
    times = f"{1e3 * middle:.0f} | {1e3 * high:.0f} | {middle / bare_s:.2f} | {high / bare_s:.2f}"
    return f"| {what} | {len(times_s)} | {times} |"


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--edge", type=int, default=256)
    parser.add_argument("--electrons", type=float, default=26e6)
    parser.add_argument("--detector", type=int, default=576)
    parser.add_argument("--seconds", type=float, default=12.0)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, chromium() as browser:
        series = random_series(
            Path(folder), tilts=1, scan_shape=(asked.edge, asked.edge), detector_shape=(asked.detector,) * 2,
            mean=asked.electrons / asked.edge**2, hashed=False,
        )  # fmt: skip
        scene = Scene(series)
        scene.pattern(0, np.ones(scene.scan_shape, dtype=bool))
        bare = measure_bare(browser, asked.detector, asked.seconds)
        reference = float(np.median(bare))
        print(
            f"{asked.edge} x {asked.edge} positions, {series.scans[0].counts:,} electrons, {asked.detector} px square"
        )
        print("| update | number | median ms | 95 % ms | median / bare | 95 % / bare |\n|---|---|---|---|---|---|")
        print(table_row("bare Bokeh", bare, reference))
        for tool in ("Freehand", "Brush"):
            costs, ages, moves = measure_drawing(browser, scene, tool, asked.seconds)
            print(table_row(f"{tool}, {moves} moves: cost", costs, reference))
            print(table_row(f"{tool}: age", ages, reference), flush=True)


if __name__ == "__main__":
    main()
