"""The disc of a direct beam: its radius, edge and centre, and what contradicts the manifest."""

import numpy as np
import pytest

from tasks.events.beam_disc import BeamDisc
from tasks.events.direct_beam import find_beam
from tasks.events.disc import DiscFit, disc_of_scans, measure_disc, stated_radius_px
from tasks.model import Beam, Detector

CENTRE = np.array([91.3, 87.6])
SHAPE = (180, 170)
EDGE = float(np.hypot(0.5, 12**-0.5))
"""Of electrons blurred by half a pixel and counted in pixels."""


def electrons(rng: np.random.Generator, number: int, radius: float, *, slope: float = 0.0) -> np.ndarray:
    """Return places (n, 2) in a disc about zero, denser towards one side by the slope."""
    distance, azimuth = radius * np.sqrt(rng.random(2 * number)), rng.uniform(0, 2 * np.pi, 2 * number)
    place = np.stack([distance * np.sin(azimuth), distance * np.cos(azimuth)], axis=1)
    return place[rng.random(len(place)) < 0.5 * (1 + slope * place[:, 1] / radius)]


def counted(rng: np.random.Generator, place: np.ndarray) -> np.ndarray:
    pixel = np.rint(place + rng.normal(0, 0.5, place.shape)).astype(int)
    pixel = pixel[((pixel >= 0) & (pixel < SHAPE)).all(axis=1)]
    image = np.zeros(SHAPE, dtype=np.uint32)
    np.add.at(image, tuple(pixel.T), 1)
    return image


def beam(radius: float, *, slope: float = 0.0, seed: int = 0, number: int = 60_000) -> np.ndarray:
    """Return a beam with a halo of a tenth and a reflection of a fiftieth that overlaps it."""
    rng = np.random.default_rng(seed)
    halo = electrons(rng, number // 10, radius)
    far, azimuth = rng.gamma(2.0, 5.4, len(halo)), rng.uniform(0, 2 * np.pi, len(halo))
    halo = halo + np.stack([far * np.sin(azimuth), far * np.cos(azimuth)], axis=1)
    reflection = electrons(rng, number // 50, radius) + radius * np.array([1.3, 0.5])
    return counted(rng, np.concatenate([electrons(rng, number, radius, slope=slope), halo, reflection]) + CENTRE)


def measured(image: np.ndarray) -> DiscFit:
    fit = measure_disc(image, start=(90.0, 85.0), reach_px=40)
    assert fit is not None
    return fit


@pytest.mark.parametrize("radius", [3.0, 5.5, 11.0, 16.5, 30.0])
@pytest.mark.parametrize("slope", [0.0, 0.6])
def test_radius_edge_and_centre_are_found_however_the_disc_is_lit(radius: float, slope: float) -> None:
    fit = measured(beam(radius, slope=slope))
    assert fit.radius_px == pytest.approx(radius, abs=0.12)
    assert fit.edge_px == pytest.approx(EDGE, abs=0.12)
    assert np.abs(fit.centre - CENTRE).max() < 0.1


@pytest.mark.parametrize("radius", [11.0, 16.5])
def test_a_stop_over_a_third_of_the_disc_is_left_out(radius: float) -> None:
    image = beam(radius)
    image[round(CENTRE[0] + 0.3 * radius) :] = 0
    fit = measured(image)
    assert fit.radius_px == pytest.approx(radius, abs=0.3)
    assert np.abs(fit.centre - CENTRE).max() < 0.3


@pytest.mark.parametrize("radius", [5.5, 11.0, 16.5])
def test_find_beam_centres_a_disc_to_a_tenth_of_a_pixel_with_reflections_that_touch_it(radius: float) -> None:
    rng = np.random.default_rng(3)
    image = beam(radius, slope=0.5)
    for side, share in ((np.array([2.0, 0.4]), 0.05), (np.array([-1.7, 1.1]), 0.03)):
        image += counted(rng, electrons(rng, int(share * 60_000), radius) + CENTRE + side * radius)
    fit = find_beam(image, start=None, reach_px=40, disc=BeamDisc(radius_px=radius, edge_px=EDGE))
    assert fit is not None
    assert fit.by == "peak"
    assert np.abs(fit.centre - CENTRE).max() < 0.1


@pytest.mark.parametrize("radius", [0.5, 1.1, 1.65])
def test_points_are_no_discs(radius: float) -> None:
    assert disc_of_scans([beam(radius)], start=(90, 85), reach_px=40, stated_px=None) == (None, ())


@pytest.mark.parametrize("sigma", [1.5, 4.0, 8.0])
def test_a_normal_beam_is_no_disc(sigma: float) -> None:
    rng = np.random.default_rng(0)
    image = counted(rng, rng.normal(0, sigma, (60_000, 2)) + CENTRE)
    assert disc_of_scans([image], start=(90, 85), reach_px=40, stated_px=None)[0] is None


def test_a_convergence_that_contradicts_the_disc_is_named_and_the_data_are_believed() -> None:
    scans = [beam(11.0, seed=seed, number=20_000) for seed in range(3)]
    disc, said = disc_of_scans(scans, start=(90, 85), reach_px=40, stated_px=5.5)
    assert disc is not None
    assert disc.radius_px == pytest.approx(11.0, abs=0.15)
    assert disc.scans == 3
    assert len(said) == 1
    assert "beam.convergence_mrad" in said[0]
    assert "5.5 px" in said[0]
    assert "11.0 px" in said[0]
    assert disc_of_scans(scans, start=(90, 85), reach_px=40, stated_px=10.5)[1] == ()


def test_a_disc_is_contradicted_by_points() -> None:
    disc, said = disc_of_scans([beam(1.1)], start=(90, 85), reach_px=40, stated_px=11.0)
    assert disc is None
    assert "11.0 px" in said[0]


def test_without_a_beam_the_stated_disc_is_taken() -> None:
    empty = np.zeros(SHAPE, dtype=np.uint32)
    disc, said = disc_of_scans([empty], start=(90, 85), reach_px=40, stated_px=11.0)
    assert disc is not None
    assert (disc.radius_px, disc.scans, said) == (11.0, 0, ())
    assert disc_of_scans([empty], start=(90, 85), reach_px=40, stated_px=None) == (None, ())


def test_the_stated_radius_is_the_semi_angle_times_the_camera_length() -> None:
    detector = Detector(name="4D Camera", shape_px=(576, 576), pixel_size_mm=0.01, camera_length_mm=110.0)
    stated = stated_radius_px(Beam(energy_kev=300.0, convergence_mrad=1.0), detector)
    assert stated == pytest.approx(11.0, rel=1e-5)
    assert stated_radius_px(Beam(energy_kev=300.0), detector) is None
