"""What every integrator promises, on simulated stills whose truth is known."""

from pathlib import Path

import h5py
import numpy as np
import pytest

from tasks.frames.models import FrameSeries
from tasks.integrate.builtin import BuiltinIntegrator
from tasks.integrate.models import Reflections
from tasks.integrate.reflection_file import read_merged, read_unmerged
from tasks.integrate.task import integrate_frames
from tasks.model import Detector, FileRef, InputError, NotIndexedError, UnitCell
from tests.synthetic.frame_series import Conditions, SyntheticSeries, synthetic_frame_series
from tests.synthetic.structures import corundum, diopside

DETECTOR = Detector(
    name="small", shape_px=(300, 300), pixel_size_mm=0.02, camera_length_mm=110.0, direct_beam_px=(149.5, 149.5)
)
SHARP = Conditions(disc_px=1.0, beam_jitter_px=0.2, d_min_angstrom=0.8)
ENGINES = [BuiltinIntegrator(d_min_angstrom=0.85)]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> SyntheticSeries:
    folder = tmp_path_factory.mktemp("corundum")
    return synthetic_frame_series(
        corundum(), np.arange(-50, 50.1, 1.0), folder, conditions=SHARP, detector=DETECTOR, seed=4
    )


@pytest.fixture(scope="module", params=ENGINES, ids=lambda engine: engine.engine)
def integrated(
    request: pytest.FixtureRequest, made: SyntheticSeries, tmp_path_factory: pytest.TempPathFactory
) -> Reflections:
    return integrate_frames(made.series, request.param, tmp_path_factory.mktemp("run") / "integrate")


def with_stack(series: FrameSeries, folder: Path, frames: np.ndarray, mask: np.ndarray | None = None) -> FrameSeries:
    folder.mkdir(exist_ok=True)
    path = folder / "stack.h5"
    with h5py.File(path, "w") as file:
        file["frames"] = frames
        file["mask"] = np.ones(frames.shape[1:], bool) if mask is None else mask
    return series.model_copy(update={"stack": FileRef.of(path)})


def frames_of(series: FrameSeries) -> np.ndarray:
    with h5py.File(series.stack.path) as file:
        return np.asarray(file["frames"])


def test_the_cell_is_right_within_its_promise(integrated: Reflections) -> None:
    truth = np.array(corundum().cell.parameters)
    got = np.array(integrated.unit_cell.parameters)
    assert np.abs(got[:3] / truth[:3] - 1).max() < 0.002
    assert np.abs(got[3:] - truth[3:]).max() < 0.1


def test_the_laue_group_and_centring_are_right(integrated: Reflections) -> None:
    assert integrated.laue_group.startswith("R -3 m")


def test_intensities_follow_the_truth(integrated: Reflections, made: SyntheticSeries) -> None:
    merged = read_merged(integrated.merged)
    truth = {tuple(row): value for row, value in zip(made.hkl.tolist(), made.f_squared, strict=True)}
    best = 0.0
    for axes in (np.diag([1, 1, 1]), np.diag([-1, -1, 1])):  # the two settings of a rhombohedral lattice
        expected = np.array([truth.get(tuple(row), 0.0) for row in (merged.hkl @ axes).tolist()])
        best = max(best, float(np.corrcoef(merged.intensity, expected)[0, 1]))
    assert best > 0.99


def test_the_files_are_there_and_agree(integrated: Reflections) -> None:
    merged, unmerged = read_merged(integrated.merged), read_unmerged(integrated.unmerged)
    assert len(merged.hkl) == integrated.overall.unique
    assert len(unmerged.hkl) == integrated.overall.observations == merged.multiplicity.sum()
    assert (unmerged.sigma > 0).all() and (merged.sigma > 0).all()  # noqa: PT018
    assert integrated.hklf4.unchanged()
    assert integrated.axis_test is not None and not integrated.axis_test.reversed  # noqa: PT018


def test_a_reversed_axis_is_recognised(made: SyntheticSeries, tmp_path: Path) -> None:
    wrong = made.series.model_copy(update={"rotation_axis": (-1.0, 0.0, 0.0)})
    found = ENGINES[0].integrate(wrong, tmp_path)
    assert found.axis_test is not None
    assert found.axis_test.reversed
    assert found.axis_test.axis[0] == pytest.approx(1.0)
    assert "opposite" in found.axis_test.verdict


def test_the_pictures_hold_predictions_of_each_frame(integrated: Reflections) -> None:
    assert integrated.pictures is not None
    with h5py.File(integrated.pictures.path) as file:
        assert file["px"].shape == (len(file["frame"]), 2)
        assert file["hkl"].shape == (len(file["frame"]), 3)


def test_an_azimuth_off_by_8_degrees_is_found(made: SyntheticSeries, tmp_path: Path) -> None:
    angle = np.radians(8.0)
    wrong = made.series.model_copy(update={"rotation_axis": (float(np.cos(angle)), float(np.sin(angle)), 0.0)})
    found = BuiltinIntegrator(d_min_angstrom=0.85).integrate(wrong, tmp_path)
    assert found.unit_cell.c == pytest.approx(corundum().cell.c, rel=0.004)
    assert found.overall.cc_half is not None and found.overall.cc_half > 0.99  # noqa: PT018


def test_a_wrong_camera_length_is_said_and_corrected_when_the_cell_is_known(
    made: SyntheticSeries, tmp_path: Path
) -> None:
    detector = made.series.detector.model_copy(update={"camera_length_mm": 115.5})
    wrong = made.series.model_copy(update={"detector": detector})
    engine = BuiltinIntegrator(d_min_angstrom=0.85, known_cell=corundum().cell)
    found = engine.integrate(wrong, tmp_path)
    assert any("camera length" in text for text in found.warnings)
    assert found.unit_cell.a == pytest.approx(corundum().cell.a, rel=0.003)


def test_a_lattice_that_is_not_the_known_one_is_refused(made: SyntheticSeries, tmp_path: Path) -> None:
    engine = BuiltinIntegrator(known_cell=diopside().cell)
    with pytest.raises(NotIndexedError, match="known_cell"):
        engine.integrate(made.series, tmp_path)


def test_empty_frames_are_an_input_error(made: SyntheticSeries, tmp_path: Path) -> None:
    frames = np.zeros_like(frames_of(made.series))
    with pytest.raises(InputError, match="empty"):
        BuiltinIntegrator().integrate(with_stack(made.series, tmp_path / "a", frames), tmp_path)


def test_noise_alone_is_not_indexed(made: SyntheticSeries, tmp_path: Path) -> None:
    frames = np.random.default_rng(0).poisson(0.3, frames_of(made.series).shape).astype(np.uint16)
    with pytest.raises(NotIndexedError):
        BuiltinIntegrator().integrate(with_stack(made.series, tmp_path / "a", frames), tmp_path)


def test_an_empty_frame_and_hot_pixels_cost_nothing_else(made: SyntheticSeries, tmp_path: Path) -> None:
    frames = frames_of(made.series)
    frames[:, 40, 50] += 200
    frames[:, 170, 101] += 30
    frames[20] = 0
    found = BuiltinIntegrator(d_min_angstrom=0.85).integrate(with_stack(made.series, tmp_path / "a", frames), tmp_path)
    assert any("2 hot" in text for text in found.warnings)
    assert any("1 empty" in text for text in found.warnings)
    assert found.laue_group.startswith("R -3 m")


def test_a_stack_of_another_shape_is_an_input_error(made: SyntheticSeries, tmp_path: Path) -> None:
    frames = frames_of(made.series)[:, :200]
    with pytest.raises(InputError, match="shape"):
        BuiltinIntegrator().integrate(with_stack(made.series, tmp_path / "a", frames), tmp_path)


def test_equal_input_gives_equal_output(made: SyntheticSeries, integrated: Reflections, tmp_path: Path) -> None:
    again = integrate_frames(made.series, ENGINES[0], tmp_path / "again")
    assert again.merged.sha256 == integrated.merged.sha256
    assert again.hklf4.sha256 == integrated.hklf4.sha256


def test_the_known_cell_is_a_setting_with_bounds() -> None:
    assert BuiltinIntegrator(known_cell=UnitCell.of((5, 6, 7, 90, 95, 90))).known_cell is not None
