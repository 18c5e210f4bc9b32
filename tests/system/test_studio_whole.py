"""The whole way through the studio: a series is opened by `apertura draw`, drawn on in a browser, saved and solved."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import h5py
import numpy as np
import pytest

from adapters.formats.simulated_series import write_simulated_series
from tasks.apertures import ApertureSet
from tasks.frames import FrameSeries
from tasks.ingest import TiltSeries, open_events
from tasks.simulate import ClusterPlan, Instrument, SimulationSettings, TiltPlan
from tasks.simulate.demo_structure import uio66
from tasks.stage import read_document
from tests.system.studio_driver import Window, polygon, studio

sync_api = pytest.importorskip("playwright.sync_api")
pytestmark = [pytest.mark.needs_browser, pytest.mark.filterwarnings("ignore::DeprecationWarning")]

SCAN = (16, 16)
TILTS = TiltPlan(start_deg=-6, stop_deg=6, step_deg=3)
MIDDLE = 2


class Bench(NamedTuple):
    window: Window
    work: Path

    @property
    def saved(self) -> dict[str, np.ndarray]:
        """The masks of the aperture file, (tilts, rows, columns) by crystal."""
        with h5py.File(self.work / "apertures.h5", "r") as file:
            return {name: np.asarray(file[name]["masks"]).astype(bool) for name in file if name.startswith("crystal")}

    def summed(self, masks: np.ndarray) -> list[int]:
        """Count the electrons in masks, one by one."""
        series = read_document(self.work / "ingest", TiltSeries)
        found = []
        for scan, mask in zip(series.scans, masks, strict=True):
            events = open_events(scan)
            sizes = np.diff(events.offsets.astype(np.int64)).reshape(SCAN)
            found.append(int(sizes[mask].sum()))
        return found


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    folder = tmp_path_factory.mktemp("studio")
    settings = SimulationSettings(
        seed=7, tilts=TILTS, cluster=ClusterPlan(crystals=1, bad_fraction=0.0, size_nm=100.0),
        instrument=Instrument(scan_shape=SCAN),
    )  # fmt: skip
    write_simulated_series(uio66(), settings, folder / "source")
    with studio(folder / "source", work=folder / "work") as served, sync_api.sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox"])
        page = chromium.new_page(viewport={"width": 1280, "height": 1000})
        yield Bench(Window(page, served.address, SCAN), folder / "work")
        chromium.close()


def test_what_is_drawn_by_hand_is_summed_exactly_saved_and_used_bit_for_bit(bench: Bench) -> None:
    window = bench.window
    everything = window.electrons
    # freehand over the crystal: the sum follows while the pointer is still down
    window.press("f")
    ring = polygon(centre=(7.5, 7.5), radius=4.0)
    window.drag(*ring, hold=True)
    window.settle()
    while_drawing = window.electrons
    window.page.mouse.up()
    window.settle()
    freehand = window.electrons
    assert 0 < while_drawing <= freehand < everything
    window.press("Control+s")
    window.says(re.compile("Saved as apertures"))
    assert bench.summed(bench.saved["crystal-01"])[MIDDLE] == freehand
    # a polygon in its place, and a corner of it dragged away
    window.press("p")
    for corner in ((4.0, 4.0), (4.0, 11.0), (11.0, 11.0)):
        window.click(corner)
        window.page.wait_for_timeout(600)  # two clicks in less time are a double click
    window.press("Enter")
    triangle = window.electrons
    window.drag((11.0, 11.0), (12.0, 6.0), (14.0, 4.0))
    window.settle()
    dragged = window.electrons
    assert dragged != triangle
    # the brush adds, undo takes it back
    window.press("b")
    window.drag((13.0, 12.0), (13.0, 14.0))
    window.settle()
    assert window.electrons > dragged
    window.press("Control+z")
    assert window.electrons == dragged
    # grow from the middle of the crystal, and carry the mask to all tilts
    window.press("g", "2")
    window.click((7.0, 7.0))
    window.settle()
    assert window.electrons >= dragged
    window.press("c")
    window.says(re.compile("Carried to"))
    window.press("Control+s")
    window.says(re.compile("Saved as apertures"))
    window.says(re.compile("Nothing is changed since the last save"))
    masks = bench.saved["crystal-01"]
    assert bench.summed(masks)[MIDDLE] == window.electrons
    # solve: the run uses the mask as it was drawn, and the rest of it, which takes minutes, is stopped
    window.press("Control+Enter")
    run = bench.work / "solved" / "run-01"
    for _ in range(600):
        if (run / "crystals" / "crystal-01" / "frames" / "document.json").is_file():
            break
        window.page.wait_for_timeout(500)
    window.press("Shift+Escape")
    window.says(re.compile("was stopped"))
    apertures = read_document(run / "apertures", ApertureSet)
    (crystal,) = apertures.crystals
    with h5py.File(crystal.masks.path, "r") as file:
        np.testing.assert_array_equal(np.asarray(file["masks"]).astype(bool), masks)
    frames = read_document(run / "crystals" / "crystal-01" / "frames", FrameSeries)
    assert [int(frame.counts) for frame in frames.frames] == [count for count in bench.summed(masks) if count]
    assert window.wrong == []
    assert window.elsewhere == []
