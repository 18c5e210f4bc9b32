"""The direct beam is found whatever happens to it, or said not to be found."""

import numpy as np
import pytest

from tasks.events.direct_beam import BeamFit, find_beam
from tasks.frames.track import track_beam
from tasks.model import SourceError

SHAPE = (256, 240)
CENTRE = np.array([131.3, 117.6])


def lattice(rng: np.random.Generator, count: int = 30, spacing: float = 17.3) -> np.ndarray:
    """Return positions of Friedel pairs about the centre, without the centre itself."""
    basis = spacing * np.array([[0.96, 0.28], [-0.28, 0.96]])
    indices = np.array([(h, k) for h in range(-7, 8) for k in range(-7, 8) if h or k])
    half = indices[rng.permutation(len(indices))[:count]]
    both = np.unique(np.concatenate([half, -half]), axis=0)
    return CENTRE + both @ basis


def pattern(
    rng: np.random.Generator,
    *,
    beam: float = 4000.0,
    halo: float = 3.0,
    spot: float = 40.0,
    strong: tuple[float, float] | None = None,
    strong_counts: float = 0.0,
    beam_width: float = 1.6,
) -> np.ndarray:
    """Return Poisson counts of a beam, a halo, and Friedel pairs whose intensities differ by up to a factor of ten."""
    rows, columns = np.indices(SHAPE)

    def peak(at: np.ndarray, height: float, width: float) -> np.ndarray:
        return height * np.exp(-((rows - at[0]) ** 2 + (columns - at[1]) ** 2) / (2 * width**2))

    image = halo * np.exp(-np.hypot(rows - CENTRE[0], columns - CENTRE[1]) / 45) + 0.05 + peak(CENTRE, beam, beam_width)
    for at in lattice(rng):
        image += peak(at, spot * rng.lognormal(0, 0.8), 1.2)
    if strong is not None:
        image += peak(np.array(strong), strong_counts, 1.2)
    return rng.poisson(image).astype(float)


def error(fit: BeamFit | None) -> float:
    assert fit is not None
    return float(np.hypot(*(np.array(fit.centre) - CENTRE)))


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("start", [None, (128.0, 120.0)])
def test_a_bright_beam_is_found_to_a_fifth_of_a_pixel(seed: int, start: tuple | None) -> None:
    fit = find_beam(pattern(np.random.default_rng(seed)), start=start, reach_px=30)
    assert error(fit) < 0.2
    assert fit.by == "peak"


@pytest.mark.parametrize("seed", range(3))
def test_a_saturated_beam_is_found(seed: int) -> None:
    image = np.minimum(pattern(np.random.default_rng(seed), beam=1e5, beam_width=3.0), 500.0)
    assert error(find_beam(image, start=None, reach_px=30)) < 0.4


@pytest.mark.parametrize("width", [1.0, 6.0, 10.0])
def test_a_convergent_beam_is_found(width: float) -> None:
    image = pattern(np.random.default_rng(1), beam_width=width, beam=2000.0)
    assert error(find_beam(image, start=None, reach_px=30)) < 0.4


@pytest.mark.parametrize("seed", range(4))
def test_a_beam_behind_a_stop_is_found_by_friedel_symmetry(seed: int) -> None:
    image = pattern(np.random.default_rng(seed))
    rows, columns = np.indices(SHAPE)
    stop = np.hypot(rows - 133, columns - 116) < 9
    stop |= (np.abs(columns - 116) < 4) & (rows > 133)  # and its arm
    image[stop] = 0
    fit = find_beam(image, start=(128.0, 120.0), reach_px=30)
    assert error(fit) < 0.7
    assert fit.by == "symmetry"
    assert error(find_beam(image, start=(128.0, 120.0), reach_px=30, mask=~stop)) < 0.7


@pytest.mark.parametrize("seed", range(4))
def test_a_missing_beam_is_found_by_friedel_symmetry_although_a_spot_is_strong(seed: int) -> None:
    image = pattern(np.random.default_rng(seed), beam=0.0, strong=(139.0, 101.0), strong_counts=700.0)
    fit = find_beam(image, start=(128.0, 120.0), reach_px=30)
    if fit is not None and fit.by == "peak":
        pytest.fail(f"a Bragg spot was taken for the beam: {fit}")
    assert error(fit) < 0.7


@pytest.mark.parametrize("seed", range(4))
def test_a_spot_stronger_than_the_beam_is_not_the_beam(seed: int) -> None:
    image = pattern(np.random.default_rng(seed), beam=400.0, strong=(142.0, 104.0), strong_counts=900.0)
    assert error(find_beam(image, start=(128.0, 120.0), reach_px=30)) < 0.7


@pytest.mark.parametrize("at", [(126.5, 115.0), (135.0, 121.5)])
def test_a_spot_that_touches_the_beam_does_not_draw_it_away(at: tuple[float, float]) -> None:
    image = pattern(np.random.default_rng(3), strong=at, strong_counts=1200.0)
    assert error(find_beam(image, start=None, reach_px=30)) < 0.4


@pytest.mark.parametrize("level", [0.0, 0.02, 5.0])
def test_noise_has_no_beam(level: float) -> None:
    image = np.random.default_rng(4).poisson(level, SHAPE).astype(float)
    assert find_beam(image, start=(128.0, 120.0), reach_px=30) is None
    assert find_beam(image, start=None, reach_px=30) is None


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("level", [0.05, 0.3, 5.0])
def test_noise_of_any_seed_has_no_beam(seed: int, level: float) -> None:
    image = np.random.default_rng(seed).poisson(level, (128, 120)).astype(float)
    assert find_beam(image, start=None, reach_px=30) is None


@pytest.mark.parametrize("seed", range(3))
def test_hot_pixels_are_not_the_beam(seed: int) -> None:
    image = pattern(np.random.default_rng(seed), beam=0.0)
    image[[120, 140, 140], [120, 110, 111]] = [5e4, 900, 0]
    assert error(find_beam(image, start=(128.0, 120.0), reach_px=30)) < 0.7


def test_a_beam_of_one_pixel_is_found() -> None:
    image = np.random.default_rng(0).poisson(0.3, SHAPE).astype(float)
    image[128, 117] += 20000
    image[127:130, 116:119] += 200
    fit = find_beam(image, start=(128.0, 120.0), reach_px=30)
    assert fit is not None
    assert np.abs(np.array(fit.centre) - (128, 117)).max() < 0.3


def test_a_masked_hot_pixel_does_not_matter() -> None:
    image = pattern(np.random.default_rng(5))
    image[128, 140] = 1e5
    mask = np.ones(SHAPE, dtype=bool)
    mask[128, 140] = False
    assert error(find_beam(image, start=None, reach_px=30, mask=mask)) < 0.2


def fits_of(px: list[tuple[float, float] | None]) -> list[BeamFit | None]:
    return [None if p is None else BeamFit(p, 2.0, "peak") for p in px]


def test_a_missing_measurement_is_bridged_and_an_outlier_replaced() -> None:
    drift = [(100 + 0.1 * k, 50 - 0.05 * k) for k in range(20)]
    px = list(drift)
    px[4] = None
    px[9] = (140.0, 20.0)
    track = track_beam(fits_of(px), start=None, name="s")
    np.testing.assert_allclose(track.px, drift, atol=0.1)
    assert [k for k, ok in enumerate(track.measured) if not ok] == [4, 9]
    assert "was not found" in track.notes[4]
    assert "far from" in track.notes[9]
    assert track.notes[5] == ""


def test_jitter_is_kept_as_it_was_measured() -> None:
    px = np.random.default_rng(2).normal(0, 3, (40, 2)) + 100
    track = track_beam(fits_of([tuple(p) for p in px]), start=None, name="s")
    np.testing.assert_array_equal(track.px, px)
    assert track.measured.all()


def test_no_measurement_at_all_needs_the_manifest() -> None:
    with pytest.raises(SourceError, match="direct beam is not seen") as caught:
        track_beam([None] * 3, start=None, name="s")
    assert "direct_beam_px" in caught.value.advice
    track = track_beam([None] * 3, start=(1.0, 2.0), name="s")
    np.testing.assert_array_equal(track.px, [[1, 2]] * 3)
    assert not track.measured.any()
