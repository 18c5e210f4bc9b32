"""Virtual frames: sums of neighbouring frames of a rotation, at the orientation of their middle."""

from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from tasks.frames.models import Frame, FrameSeries
from tasks.integrate import FrameIntensities, virtual_frames
from tasks.model import Beam, Detector, FileRef
from tasks.model.provenance import Provenance

AXIS = np.array([0.8, 0.6, 0.0])
BASIS = Rotation.from_rotvec([0.3, -1.0, 0.7]).as_matrix() @ np.diag([0.1, 0.12, 0.07])


def series_of(folder: Path, starts: np.ndarray, width: float) -> FrameSeries:
    (folder / "s.h5").write_bytes(b"never opened")
    return FrameSeries(
        id="x", sample="x", composition=None, beam=Beam(energy_kev=200),
        detector=Detector(name="d", shape_px=(64, 64), pixel_size_mm=0.1, camera_length_mm=300),
        direct_beam_px=(31.5, 31.5), rotation_axis=(0.8, 0.6, 0.0), stack=FileRef.of(folder / "s.h5"),
        frames=tuple(Frame(number=i, angle_deg=a, width_deg=width, counts=1) for i, a in enumerate(starts.tolist())),
        provenance=Provenance(engine="test", version="1"),
    )  # fmt: skip


def measured_on(
    starts: np.ndarray, width: float, seen: list[tuple[tuple[int, int, int], list[int]]]
) -> FrameIntensities:
    """Return reflections that were seen on frames; the intensity on frame k is 10 k + h, sigma is 2."""
    angle = starts + width / 2
    frame = np.concatenate([frames for _, frames in seen]).astype(np.int64)
    hkl = np.repeat([one for one, _ in seen], [len(frames) for _, frames in seen], axis=0).astype(np.int32)
    return FrameIntensities(
        setting=Rotation.from_rotvec(np.radians(angle)[:, None] * AXIS).as_matrix() @ BASIS, basis=BASIS,
        angle_deg=angle, width_deg=np.full(len(starts), width), axis=AXIS, hkl=hkl,
        intensity=10.0 * frame + hkl[:, 0], sigma=np.full(len(frame), 2.0), frame=frame, curve=(0.001, 0.1),
    )  # fmt: skip


def test_sums_are_those_of_the_frames_and_orientations_those_of_the_middle(tmp_path: Path) -> None:
    starts = -10 + 0.5 * np.arange(17)
    seen = [((1, 2, 3), [1, 2, 3]), ((2, 0, 0), [0, 2]), ((-1, 4, 1), [5, 6, 7, 8])]
    found = virtual_frames(measured_on(starts, 0.5, seen), series_of(tmp_path, starts, 0.5))
    assert found.merged == (5, 3)
    np.testing.assert_allclose(found.angle_deg, [-8.75, -7.25, -5.75, -4.25, -2.75])
    assert (found.width_deg == 2.5).all()
    turns = Rotation.from_rotvec(np.radians(found.angle_deg)[:, None] * AXIS).as_matrix()
    np.testing.assert_allclose(found.setting, turns @ BASIS, atol=1e-12)
    # the virtual frames hold frames 0 to 4, 3 to 7, 6 to 10 and so on; (2 0 0) was not measured on frame 1
    rows = sorted(zip(found.frame.tolist(), map(tuple, found.hkl.tolist()), found.intensity.tolist(), strict=True))
    assert rows == [(0, (1, 2, 3), 63.0), (1, (-1, 4, 1), 177.0), (1, (1, 2, 3), 31.0), (2, (-1, 4, 1), 207.0)]
    frames = np.where(found.intensity == 31.0, 1, 3)
    np.testing.assert_allclose(found.sigma, 2.0 * np.sqrt(frames))


def test_no_virtual_frame_reaches_over_a_gap(tmp_path: Path) -> None:
    starts = np.concatenate([np.arange(5) * 0.5, 20 + np.arange(5) * 0.5])
    seen = [((1, 1, 1), [3, 4]), ((2, 1, 1), [5, 6])]
    found = virtual_frames(measured_on(starts, 0.5, seen), series_of(tmp_path, starts, 0.5))
    np.testing.assert_allclose(found.angle_deg, [1.25, 21.25])
    assert found.intensity.tolist() == [72.0, 114.0]


@pytest.mark.parametrize(("width", "step"), [(0.0, 1.0), (0.5, 1.0), (2.0, 2.0)])
def test_stills_gaps_and_wide_frames_stay_as_they_are(tmp_path: Path, width: float, step: float) -> None:
    starts = step * np.arange(12)
    measured = measured_on(starts, width, [((1, 1, 1), [3, 4])])
    assert virtual_frames(measured, series_of(tmp_path, starts, width)) is measured
