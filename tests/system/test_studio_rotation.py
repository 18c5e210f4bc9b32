"""A rotation series in a browser by `apertura draw`: a mask drawn on the detector, and used by the pipeline."""

from pathlib import Path

import numpy as np
import pytest

from adapters.formats.frame_reader import FrameFileReader
from adapters.formats.mask_reader import MaskFileReader
from flows.studio.rotation_saving import with_mask
from tasks.drawing import rectangle_mask
from tasks.frames import FrameSettings, read_rotation
from tasks.ingest import read_source
from tests.synthetic.rotation_folder import SHAPE, rotation_folder
from tests.system.studio_driver import Window, studio

sync_api = pytest.importorskip("playwright.sync_api")
pytestmark = [pytest.mark.needs_browser, pytest.mark.filterwarnings("ignore::DeprecationWarning")]


def test_a_mask_drawn_in_the_browser_is_what_the_pipeline_does_not_use(tmp_path: Path) -> None:
    source, work = rotation_folder(tmp_path / "data"), tmp_path / "work"
    with studio(source, work=work) as served, sync_api.sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox"])
        window = Window(
            chromium.new_page(viewport={"width": 1280, "height": 1000}), served.address, SHAPE, plot="Detector"
        )
        window.press("r")
        window.drag((9.8, 9.7), (20.2, 30.3))
        window.says("231 px masked")
        window.press("ArrowRight", "Control+s")
        window.says("Saved:")
        window.says('"mask": "mask-01.npy"')
        assert window.wrong == []
        assert window.elsewhere == []
        chromium.close()
    mask = work / "mask-01" / "mask-01.npy"
    drawn = rectangle_mask(SHAPE, (9.8, 9.7), (20.2, 30.3))
    np.testing.assert_array_equal(np.load(mask).astype(bool), drawn)
    series = read_rotation(
        with_mask(read_source(source), mask), FrameFileReader(), FrameSettings(), tmp_path / "frames",
        masks=MaskFileReader(),
    )  # fmt: skip
    np.testing.assert_array_equal(series.mask, ~drawn)
