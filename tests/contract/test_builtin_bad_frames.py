"""Frames that must not pass for one good crystal: rings, a wrong axis, a squeezed picture."""

import time
from pathlib import Path

import h5py
import numpy as np
import pytest

from tasks.frames.models import FrameSeries
from tasks.integrate.builtin import BuiltinIntegrator
from tasks.model import Detector, FileRef, NotIndexedError
from tests.synthetic.frame_series import Conditions, SyntheticSeries, synthetic_frame_series
from tests.synthetic.structures import corundum

DETECTOR = Detector(
    name="small", shape_px=(300, 300), pixel_size_mm=0.02, camera_length_mm=110.0, direct_beam_px=(149.5, 149.5)
)
SHARP = Conditions(disc_px=1.0, d_min_angstrom=0.8)
ENGINE = BuiltinIntegrator(d_min_angstrom=0.85)
ANGLES = np.arange(-40, 40.1, 1.0)
BOUND_S = 120.0


def crystal(folder: Path, conditions: Conditions = SHARP, seed: int = 4) -> SyntheticSeries:
    folder.mkdir(parents=True, exist_ok=True)
    return synthetic_frame_series(corundum(), ANGLES, folder, conditions=conditions, detector=DETECTOR, seed=seed)


def frames_of(series: FrameSeries) -> np.ndarray:
    with h5py.File(series.stack.path) as file:
        return np.asarray(file["frames"])


def with_frames(series: FrameSeries, path: Path, frames: np.ndarray) -> FrameSeries:
    with h5py.File(path, "w") as file:
        file["frames"] = frames
        file["mask"] = np.ones(frames.shape[1:], bool)
    return series.model_copy(update={"stack": FileRef.of(path)})


def test_powder_rings_alone_are_not_indexed_in_bounded_time(tmp_path: Path) -> None:
    series = crystal(tmp_path).series
    slow, fast = np.mgrid[:300, :300] - 149.5
    radius, azimuth = np.hypot(slow, fast), np.arctan2(slow, fast)
    rng = np.random.default_rng(6)
    rings = 0.3 * np.exp(-radius / 60) + sum(
        (4.0 + 2.0 * np.cos(3 * azimuth)) * np.exp(-0.5 * ((radius - r) / 1.5) ** 2) for r in (34, 52, 61, 88)
    )
    grains = np.zeros((len(ANGLES), 300, 300))
    for frame in grains:  # grains of the powder: spots on the rings, others on every frame
        turn = rng.uniform(0, 2 * np.pi, 12)
        distance = rng.choice([34, 52, 61, 88], 12)
        at = np.rint(149.5 + distance * np.array([np.sin(turn), np.cos(turn)])).astype(int)
        frame[at[0], at[1]] = 60.0
        frame[at[0] + 1, at[1]] = 30.0
    frames = rng.poisson(rings + grains).astype(np.uint16)
    begin = time.process_time()
    with pytest.raises(NotIndexedError) as caught:
        ENGINE.integrate(with_frames(series, tmp_path / "rings.h5", frames), tmp_path)
    assert time.process_time() - begin < BOUND_S
    assert "spots" in caught.value.message


def test_an_axis_off_by_90_degrees_is_refused_with_evidence_in_bounded_time(tmp_path: Path) -> None:
    wrong = crystal(tmp_path).series.model_copy(update={"rotation_axis": (0.0, 1.0, 0.0)})
    begin = time.process_time()
    with pytest.raises(NotIndexedError) as caught:
        ENGINE.integrate(wrong, tmp_path)
    assert time.process_time() - begin < BOUND_S
    assert "axis" in caught.value.message + caught.value.advice


def test_an_ellipse_is_refined_where_the_crystal_system_allows_it(tmp_path: Path) -> None:
    squeezed = crystal(tmp_path, SHARP._replace(ellipticity=0.01))
    found = ENGINE.integrate(squeezed.series, tmp_path)
    truth = np.array(corundum().cell.parameters)
    assert np.abs(np.array(found.unit_cell.parameters[:3]) / truth[:3] - 1).max() < 0.01
    assert found.overall.cc_half is not None and found.overall.cc_half > 0.98  # noqa: PT018
