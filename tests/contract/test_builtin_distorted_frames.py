"""Elliptical frames and a wrong camera length: put right where the crystal tells, said where it does not."""

from collections.abc import Callable
from pathlib import Path

import gemmi
import numpy as np
import pytest

from tasks.integrate.builtin import BuiltinIntegrator
from tasks.integrate.models import Reflections
from tasks.integrate.reflection_file import read_merged
from tasks.model import Detector
from tasks.simulate.models import Structure
from tests.synthetic.frame_series import Conditions, SyntheticSeries, synthetic_frame_series
from tests.synthetic.structures import diopside, kyanite, urea

DETECTOR = Detector(
    name="small", shape_px=(300, 300), pixel_size_mm=0.02, camera_length_mm=110.0, direct_beam_px=(149.5, 149.5)
)
ANGLES = np.arange(-56, 56.1, 2.0)


def made(
    structure: Structure, folder: Path, *, ellipticity: float, seed: int, jitter_px: float = 0.2
) -> SyntheticSeries:
    folder.mkdir(parents=True, exist_ok=True)
    conditions = Conditions(disc_px=1.0, d_min_angstrom=0.8, beam_jitter_px=jitter_px, ellipticity=ellipticity)
    return synthetic_frame_series(structure, ANGLES, folder, conditions=conditions, detector=DETECTOR, seed=seed)


def niggli(cell: gemmi.UnitCell, centring: str) -> np.ndarray:
    vector = gemmi.GruberVector(cell, centring)
    vector.niggli_reduce()
    return np.array(vector.get_cell().parameters)


def reduced_of(found: Reflections) -> np.ndarray:
    return niggli(found.unit_cell.gemmi(), found.laue_group[0])


def has_text(found: Reflections, text: str) -> bool:
    return any(text in warning for warning in found.warnings)


@pytest.mark.parametrize("make", [diopside, urea])
def test_two_percent_of_ellipse_is_corrected_and_the_symmetry_kept(
    make: Callable[[], Structure], tmp_path: Path
) -> None:
    structure = make()
    series = made(structure, tmp_path / "frames", ellipticity=0.02, seed=5).series
    found = BuiltinIntegrator(d_min_angstrom=0.9).integrate(series, tmp_path)
    group = gemmi.find_spacegroup_by_ops(gemmi.symops_from_hall(structure.hall))
    truth = niggli(structure.cell.gemmi(), group.centring_type())
    assert reduced_of(found)[:3] == pytest.approx(truth[:3], rel=0.003)
    laue = gemmi.find_spacegroup_by_name(found.laue_group)
    assert laue is not None and laue.point_group_hm() in ("2/m", "4/mmm")  # noqa: PT018
    assert has_text(found, "elliptical by")


def test_what_a_triclinic_cell_hides_of_an_ellipse_is_said(tmp_path: Path) -> None:
    made_here = made(kyanite(), tmp_path / "frames", ellipticity=0.02, seed=6)
    found = BuiltinIntegrator(d_min_angstrom=0.9).integrate(made_here.series, tmp_path)
    assert has_text(found, "known_cell")
    assert reduced_of(found)[:3] == pytest.approx(niggli(kyanite().cell.gemmi(), "P")[:3], rel=0.02)


def test_a_known_cell_gives_camera_length_and_ellipse(tmp_path: Path) -> None:
    made_here = made(kyanite(), tmp_path / "frames", ellipticity=0.01, seed=6)
    longer = made_here.series.detector.model_copy(update={"camera_length_mm": 112.2})
    series = made_here.series.model_copy(update={"detector": longer})
    known = kyanite().cell
    found = BuiltinIntegrator(d_min_angstrom=0.9, known_cell=known).integrate(series, tmp_path)
    said = next(text for text in found.warnings if "camera length calibrated" in text)
    assert float(said.split("(")[1].split("%")[0]) == pytest.approx(2.0, abs=0.2)
    assert found.cell_scale is not None and found.cell_scale.relative_esd < 0.001  # noqa: PT018
    assert found.cell_scale.camera_length_mm == pytest.approx(110.0, rel=0.002)
    assert has_text(found, "elliptical by 0.5%")
    assert reduced_of(found) == pytest.approx(niggli(known.gemmi(), "P"), rel=1e-3)
    merged = read_merged(found.merged)
    assert found.overall.cc_half is None or found.overall.cc_half > 0.97
    assert len(merged.hkl) > 500


def test_a_beam_that_jumps_by_a_pixel_from_frame_to_frame_is_followed(tmp_path: Path) -> None:
    made_here = made(diopside(), tmp_path / "frames", ellipticity=0.0, seed=7, jitter_px=1.0)
    found = BuiltinIntegrator(d_min_angstrom=0.9).integrate(made_here.series, tmp_path)
    assert found.axis_test is not None and found.axis_test.rmsd_px[0] is not None  # noqa: PT018
    assert found.axis_test.rmsd_px[0] < 0.4
    assert not has_text(found, "elliptical")
