"""Dragging a virtual detector: moved by its inside, resized by its rims, drawn anew elsewhere."""

import pytest

from flows.studio.detector_hold import DetectorHold
from tasks.drawing import VirtualDetector

DISC = VirtualDetector(shape="disc", centre_px=(10.0, 20.0), outer_px=6.0)
RING = VirtualDetector(shape="ring", centre_px=(10.0, 20.0), inner_px=4.0, outer_px=9.0)
BOX = VirtualDetector(shape="rectangle", centre_px=(10.0, 20.0), size_px=(8.0, 12.0))


@pytest.mark.parametrize("one", [DISC, RING, BOX])
def test_its_inside_moves_it(one: VirtualDetector) -> None:
    hold = DetectorHold(one, one.shape, (10.0, 20.0), 1.0)
    assert hold.moved((13.0, 16.0)) == one.model_copy(update={"centre_px": (13.0, 16.0)})
    assert hold.moved((10.0, 20.0)) == one


@pytest.mark.parametrize(
    ("one", "press", "to", "wanted"),
    [
        (DISC, (10.0, 26.4), (10.0, 23.0), {"outer_px": 3.0}),
        (RING, (10.0, 28.8), (10.0, 32.0), {"outer_px": 12.0}),
        (RING, (13.7, 20.0), (16.0, 20.0), {"inner_px": 6.0}),
        (RING, (13.7, 20.0), (30.0, 20.0), {"inner_px": 8.0}),
        (RING, (10.0, 28.8), (10.0, 20.0), {"outer_px": 5.0}),
        (BOX, (14.0, 23.0), (16.0, 24.0), {"size_px": (12.0, 8.0)}),
    ],
)
def test_its_rim_resizes_it(one: VirtualDetector, press: tuple, to: tuple, wanted: dict) -> None:
    assert DetectorHold(one, one.shape, press, 1.0).moved(to) == one.model_copy(update=wanted)


def test_elsewhere_or_in_another_shape_a_new_one_is_drawn() -> None:
    assert DetectorHold(DISC, "disc", (30.0, 30.0), 1.0).moved((30.0, 34.0)).outer_px == 4.0
    ring = DetectorHold(DISC, "ring", (10.0, 20.0), 1.0).moved((10.0, 30.0))
    assert (ring.shape, ring.inner_px, ring.outer_px) == ("ring", 5.0, 10.0)
    box = DetectorHold(None, "rectangle", (2.0, 3.0), 1.0).moved((6.0, 13.0))
    assert (box.centre_px, box.size_px) == ((4.0, 8.0), (4.0, 10.0))


def test_no_detector_is_smaller_than_a_pixel() -> None:
    assert DetectorHold(None, "disc", (2.0, 3.0), 1.0).moved((2.0, 3.0)).outer_px == 1.0
    assert DetectorHold(None, "ring", (2.0, 3.0), 1.0).moved((2.0, 3.0)).outer_px == 1.0
