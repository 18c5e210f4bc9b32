"""cif_pets of an integrated crystal: its reflections are excited in its frames as the integrator says."""

from pathlib import Path

import gemmi
import h5py
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from adapters.programs.export_data import export_cif_pets
from tasks.frames import FrameSeries
from tasks.integrate import BuiltinIntegrator, Reflections
from tasks.model import SourceError
from tests.synthetic.frame_series import synthetic_frame_series
from tests.synthetic.structures import forsterite

AXIS = (0.8, 0.6, 0.0)


@pytest.fixture(scope="module")
def integrated(tmp_path_factory: pytest.TempPathFactory) -> tuple[FrameSeries, Reflections]:
    folder = tmp_path_factory.mktemp("integrated")
    made = synthetic_frame_series(forsterite(), np.arange(-30.0, 30.1, 1.0), folder, width_deg=0.5, seed=21, axis=AXIS)
    return made.series, BuiltinIntegrator().integrate(made.series, folder)


def test_reflections_are_excited_as_the_integrator_says(
    integrated: tuple[FrameSeries, Reflections], tmp_path: Path
) -> None:
    series, data = integrated
    export_cif_pets(data, series, tmp_path / "out")
    block = gemmi.cif.read(str(tmp_path / "out" / "crystal-01.cif_pets")).sole_block()
    columns = ("id", "alpha", "beta", "omega", "precession_angle")
    zones = {int(row[0]): [float(x) for x in row] for row in block.find("_diffrn_zone_axis_", columns)}
    columns = ("index_h", "index_k", "index_l", "intensity_meas", "intensity_sigma", "zone_axis_id")
    table = np.array([[float(text) for text in row] for row in block.find("_refln_", columns)])
    number = "_diffrn_orient_matrix_UB_{}{}".format
    ub = np.array([[float(block.find_value(number(i, j))) for j in (1, 2, 3)] for i in (1, 2, 3)])
    wave = 1 / float(block.find_value("_diffrn_radiation_wavelength"))

    angles = np.array([zones[int(one)] for one in table[:, 5]])
    turns = Rotation.from_euler("ZXY", angles[:, [3, 1, 2]], degrees=True)
    q = turns.apply(table[:, :3] @ ub.T)
    excitation = wave - np.linalg.norm(q - np.array([0, 0, wave]), axis=1)

    with h5py.File(data.pictures.path) as file:
        rocking = file["rocking"]
        order = np.lexsort((*rocking["hkl"][:].T[::-1], rocking["frame"][:]))
        np.testing.assert_array_equal(table[:, :3], rocking["hkl"][:][order])
        np.testing.assert_array_equal(table[:, 3], rocking["intensity"][:][order])
        np.testing.assert_allclose(excitation, rocking["excitation"][:][order], atol=3e-6)
    strong = table[:, 3] > 10 * table[:, 4]
    assert strong.sum() > 500
    assert np.median(np.abs(excitation[strong])) < 0.3 * np.median(np.abs(excitation[~strong]))
    assert (
        np.abs(angles[:, 1] - np.array([f.angle_deg + 0.25 for f in series.frames])[table[:, 5].astype(int) - 1]).max()
        < 0.3
    )
    assert angles[:, 3] == pytest.approx(np.degrees(np.arctan2(0.6, 0.8)), abs=0.3)
    assert (angles[:, 4] == 0.25).all()


def test_intensities_of_another_engine_are_refused_with_what_to_do(
    integrated: tuple[FrameSeries, Reflections], tmp_path: Path
) -> None:
    series, data = integrated
    with pytest.raises(SourceError, match="no intensities of single frames") as refused:
        export_cif_pets(data.model_copy(update={"pictures": None}), series, tmp_path / "out")
    assert "integrate.engine=builtin" in refused.value.advice
    assert not (tmp_path / "out").exists()
