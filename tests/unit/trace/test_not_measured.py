"""Why a reflection was not measured."""

from pathlib import Path

import h5py
import numpy as np
import pytest
from numpy.typing import NDArray

from tasks.integrate.measurements import SET_ASIDE
from tasks.model import FileRef, InputError
from tasks.trace import trace_reflection
from tests.synthetic.outcomes import example_outcome
from tests.synthetic.traced import Row, traces_file

ROWS = (
    Row((2, 0, 0), 0, counts=9),
    Row((2, 2, 0), 1, counts=0, state=SET_ASIDE, core=False),
    Row((1, 1, 1), 2, counts=5, state=SET_ASIDE),
    Row((8, 8, 0), 3, counts=9),
)
WAVELENGTH = 0.02


@pytest.fixture(scope="module")
def crystals(tmp_path_factory: pytest.TempPathFactory):
    """A crystal whose 6 0 0 lies on the Ewald sphere at the second of five tilts, 0 0 6 near it at none.

    Its intensities with the direct beam at the edge of the detector to which 6 0 0 is scattered, with the beam in the
    middle, and its frames.
    """
    folder = tmp_path_factory.mktemp("traced")
    outcome = example_outcome(folder, tilts=5).crystals[0]
    a = outcome.reflections.unit_cell.a
    below = np.arcsin(WAVELENGTH * 6 / a / 2)  # 6 0 0 meets the sphere so far above the plane of the detector
    flat = np.array([[np.cos(below), 0, 0], [0, 0.3, 0.95], [np.sin(below), 0.95, -0.3]]) / a
    along_beam = np.array([[0.0, 1.0, 0.0], [0.0, 0.0, 0.0], [1.0, 0.0, 1.0]]) / a
    settings = np.array([along_beam] * 5)
    settings[1] = flat
    slow, fast = outcome.frames.detector.shape_px
    corner, middle = np.tile((slow / 2, fast - 1.0), (5, 1)), np.tile((slow / 2, fast / 2), (5, 1))
    pictures = [_pictures(folder / name, settings, beam) for name, beam in (("corner.h5", corner), ("mid.h5", middle))]
    update = {
        "traces": traces_file(folder / "traces.h5", ROWS),
        "pictures": pictures[0],
        "laue_group": "F m m m",
    }
    at_the_edge = outcome.reflections.model_copy(update=update)
    return at_the_edge, at_the_edge.model_copy(update={"pictures": pictures[1]}), outcome.frames


def _pictures(path: Path, settings: NDArray[np.float64], beam_px: NDArray[np.float64]) -> FileRef:
    with h5py.File(path, "w") as file:
        file["geometry/setting"], file["geometry/beam_px"] = settings, beam_px
        file["geometry"].attrs["wavelength_angstrom"] = WAVELENGTH
    return FileRef.of(path)


@pytest.mark.parametrize(
    ("hkl", "why"),
    [
        ((2, -2, 0), "masked at the one place where it was expected"),
        ((-1, 1, 1), "overlapped, cut by a mask or too full at the one place"),
        ((6, 0, 0), r"outside the detector where it meets the Ewald sphere \(at -30 deg\)"),
        ((0, 0, 6), "no tilt brings it near enough to the Ewald sphere"),
        ((2, 1, 0), "the centring of F m m m forbids it"),
        ((10, 10, 0), "to which spots were looked for"),
        ((0, 0, 0), "it is the direct beam"),
    ],
)
def test_the_reason_is_said(crystals, hkl: tuple[int, int, int], why: str) -> None:
    at_the_edge, _, frames = crystals
    with pytest.raises(InputError, match=why):
        trace_reflection(hkl, at_the_edge, frames, None)


def test_what_meets_the_sphere_on_the_detector_does_not_lie_outside_of_it(crystals) -> None:
    _, in_the_middle, frames = crystals
    with pytest.raises(InputError, match="no tilt brings it near enough"):
        trace_reflection((6, 0, 0), in_the_middle, frames, None)
