"""Images for a screen: what they must keep, against brute force and closed forms."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.drawing import (
    binned,
    contrasted,
    edges_of,
    resolution_at,
    resolution_radius_px,
    resolution_rings,
    stretched,
)
from tasks.model import Detector

DETECTOR = Detector(name="d", shape_px=(576, 576), pixel_size_mm=0.01, camera_length_mm=110.0)
WAVELENGTH = 0.0196875  # 300 keV


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 2**32 - 1), st.integers(1, 5), st.sampled_from([(1, 1), (7, 9), (16, 12)]))
def test_bins_keep_every_electron(seed: int, factor: int, shape: tuple[int, int]) -> None:
    pattern = np.random.default_rng(seed).poisson(3.0, shape).astype(np.uint32)
    out = binned(pattern, factor)
    assert out.sum() == pattern.sum()
    assert out.shape == tuple(-(-size // factor) for size in shape)
    assert out[0, 0] == pattern[:factor, :factor].sum()


@pytest.mark.parametrize("stretch", ["log", "sqrt", "linear"])
@pytest.mark.parametrize("highest", [1, 40, 5_000_000])
def test_a_stretch_keeps_the_order_of_counts(stretch: str, highest: int) -> None:
    rng = np.random.default_rng(1)
    pattern = rng.integers(0, highest + 1, (30, 40)).astype(np.uint32)
    pattern[0, :2] = 0, highest
    out = stretched(pattern, stretch)
    ranks = np.argsort(pattern, axis=None)
    assert np.all(np.diff(out.ravel()[ranks].astype(int)) >= 0)
    assert (out[0, 0], out[0, 1]) == (0, 255)


def test_a_logarithm_is_that_of_one_more() -> None:
    pattern = np.zeros((40, 40), dtype=np.uint32)
    pattern[0, :3] = 3, 15, 255
    assert stretched(pattern, "log")[0, :3].tolist() == [round(255 * k / 8) for k in (2, 4, 8)]


def test_one_bright_beam_leaves_the_spots_of_a_linear_stretch_visible() -> None:
    pattern = np.full((100, 100), 10, dtype=np.uint32)
    pattern[50, 50] = 1_000_000
    assert stretched(pattern, "linear")[0, 0] == 255


@pytest.mark.parametrize("stretch", ["log", "sqrt", "linear"])
def test_no_electrons_are_black(stretch: str) -> None:
    assert not stretched(np.zeros((5, 5), dtype=np.uint32), stretch).any()


def test_contrast_spans_black_to_white_whatever_single_positions_say() -> None:
    image = np.linspace(0.0, 1.0, 10_000, dtype=np.float32).reshape(100, 100)
    image[0, 0], image[1, 1] = 1e9, np.nan
    out = contrasted(image)
    assert (out.min(), out.max()) == (0, 255)
    assert abs(int(out[50, 0]) - 127) <= 2
    assert not contrasted(np.zeros((4, 4), dtype=np.float32)).any()
    assert not contrasted(np.full((4, 4), np.nan, dtype=np.float32)).any()


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 2**32 - 1))
def test_edges_are_the_sides_between_a_mask_and_the_rest(seed: int) -> None:
    mask = np.random.default_rng(seed).random((6, 8)) < 0.5
    found = {
        (*sorted([(a, b), (c, d)]),)
        for a, b, c, d in zip(*edges_of(mask), strict=True)
    }  # fmt: skip
    wanted = set()
    for r, c in np.argwhere(mask):
        for dr, dc in ((-1, 0), (1, 0), (0, -1), (0, 1)):
            inside = 0 <= r + dr < 6 and 0 <= c + dc < 8 and mask[r + dr, c + dc]
            if not inside:
                middle = np.array([r + dr / 2, c + dc / 2])
                half = np.array([abs(dc), abs(dr)]) / 2
                wanted.add((*sorted([tuple(middle - half), tuple(middle + half)]),))
    assert found == wanted


def test_a_ring_lies_where_bragg_puts_it() -> None:
    radius = resolution_radius_px(DETECTOR, WAVELENGTH, 1.0)
    theta = np.arcsin(WAVELENGTH / 2.0)
    assert radius == pytest.approx(110.0 * np.tan(2 * theta) / 0.01, rel=1e-12)
    assert resolution_at(DETECTOR, WAVELENGTH, radius) == pytest.approx(1.0, rel=1e-9)
    assert resolution_at(DETECTOR, WAVELENGTH, 0.0) == np.inf
    with pytest.raises(ValueError, match="does not diffract"):
        resolution_radius_px(DETECTOR, WAVELENGTH, 0.005)


def test_rings_end_where_the_detector_does() -> None:
    rings = resolution_rings(DETECTOR, WAVELENGTH, farthest_px=250.0)
    assert [d for d, _ in rings] == [8.0, 4.0, 2.0, 1.5, 1.2, 1.0]
    assert all(radius <= 250.0 for _, radius in rings)
