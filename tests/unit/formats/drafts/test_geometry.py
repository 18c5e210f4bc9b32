"""XDS.INP and DIALS experiments against the manifest's frame: the same pixel must be the same scattering vector."""

import json
import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from adapters.formats.drafts.dxtbx_expt import read_expt
from adapters.formats.drafts.statements import StatedFile
from adapters.formats.drafts.xds_inp import read_xds_inp
from adapters.programs.dials.commands import import_argv
from adapters.programs.export import export_dials
from adapters.programs.xds.input import XdsChoices, image_grid, xds_inp
from tasks.model import Beam, SourceError
from tests.synthetic.draft_sources import AUTOLEI
from tests.synthetic.frame_stack import series_of

PIXELS = np.array([[0.0, 0.0], [3.0, 60.5], [40.0, 2.0], [47.0, 63.0], [20.0, 33.0]])
"""(slow, fast)."""
TURNED_DEG = np.array([-20.0, 0.0, 7.0, 30.0, 61.0])
"""Angle at which each is looked at."""


def values(stated: StatedFile) -> dict[str, object]:
    return {statement.field: statement.value for statement in stated.statements}


def in_the_manifests_frame(found: dict[str, object]) -> NDArray[np.float64]:
    """Return the scattering vectors of PIXELS, turned back to angle 0, by the manifest's own conventions."""
    wavelength = Beam(energy_kev=found["beam.energy_kev"]).wavelength_angstrom
    slow, fast = (PIXELS - np.array(found["detector.direct_beam_px"])).T * found["detector.pixel_size_mm"]
    rays = np.column_stack([fast, -slow, np.full(len(fast), -found["detector.camera_length_mm"])])
    return turned_back(rays, np.array([0.0, 0.0, -1.0]), wavelength, np.array(found["rotation_axis"]))


def turned_back(
    rays: NDArray[np.float64], beam: NDArray[np.float64], wavelength: float, axis: NDArray[np.float64]
) -> NDArray[np.float64]:
    q = (rays / np.linalg.norm(rays, axis=1)[:, None] - beam / np.linalg.norm(beam)) / wavelength
    turns = Rotation.from_rotvec(-np.radians(TURNED_DEG)[:, None] * axis / np.linalg.norm(axis))
    return turns.apply(q)


def assert_the_same_crystal(ours: NDArray[np.float64], theirs: NDArray[np.float64]) -> None:
    """Whatever the laboratory frame, lengths and angles between scattering vectors agree, and so does their hand."""
    np.testing.assert_allclose(ours @ ours.T, theirs @ theirs.T, rtol=1e-6, atol=1e-9)
    hand = np.linalg.det(theirs[[0, 2, 3]])
    assert abs(hand) > 1e-5
    assert np.linalg.det(ours[[0, 2, 3]]) == pytest.approx(hand, rel=1e-5)


def xds_text(turn: Rotation, *, axis: tuple[float, float, float] = (0.7880, -0.6157, 0.01), y: float = 1.0) -> str:
    """Return an XDS.INP whose laboratory frame is turned."""

    def line(vector: tuple[float, float, float]) -> str:
        return " ".join(f"{part:.15g}" for part in turn.apply(vector))

    return f"""! written by hand after the manual of XDS
 JOB= XYCORR INIT
 NAME_TEMPLATE_OF_DATA_FRAMES= ../data/x_????.img SMV  ! a comment
 DATA_RANGE= 1 9
 NX=64  NY= 48  QX=0.055 QY=0.055   !Number of pixels
 ORGX= 31.75   ORGY=23.25
 DETECTOR_DISTANCE= {443 * y:g}
 OSCILLATION_RANGE= 0.25  STARTING_ANGLE= -10.5
 STARTING_FRAME= 1
 X-RAY_WAVELENGTH= 0.0250793405
 ROTATION_AXIS= {line(axis)}
 DIRECTION_OF_DETECTOR_X-AXIS= {line((1, 0, 0))}
 DIRECTION_OF_DETECTOR_Y-AXIS= {line((0, y, 0))}
 INCIDENT_BEAM_DIRECTION= {line((0, 0, 1))}
 !OVERLOAD= 7
 OVERLOAD= 65535
 UNTRUSTED_RECTANGLE= 10 13 0 49
"""


@pytest.mark.parametrize("turn", [Rotation.identity(), Rotation.from_euler("xyz", [20, -70, 130], degrees=True)])
def test_an_xds_inp_in_any_laboratory_frame(tmp_path: Path, turn: Rotation) -> None:
    """Truth: positions of pixels by the formula of XDS's manual, in XDS's own frame."""
    (tmp_path / "XDS.INP").write_text(xds_text(turn))
    stated = read_xds_inp(tmp_path / "XDS.INP")
    found = values(stated)
    assert stated.remarks == ()
    iy, ix = PIXELS.T + 1
    in_xds = np.column_stack([0.055 * (ix - 31.75), 0.055 * (iy - 23.25), np.full(len(ix), 443.0)])
    beam, axis = turn.apply([0.0, 0.0, 1.0]), turn.apply([0.7880, -0.6157, 0.01])
    theirs = turned_back(turn.apply(in_xds), beam, 0.0250793405, axis)
    assert_the_same_crystal(in_the_manifests_frame(found), theirs)
    assert found["detector.shape_px"] == (48, 64)
    assert found["detector.saturation"] == 65535.0
    assert found["detector.bad_rectangles_px"] == (0.0, 10.0, 47.0, 11.0)
    assert stated.frame_names == ("x_????.img",)


def test_our_own_xds_inp_gives_back_the_series(tmp_path: Path) -> None:
    series = series_of(tmp_path, frames=5, start_deg=-3.0, width_deg=0.4, axis=(0.6, 0.8, 0.0))
    text = xds_inp(
        series, image_grid(series), XdsChoices("ALL", 0.8, 20.0, 0.25), template="a_???.cbf", untrusted=[(3, 5, 7, 8)]
    )
    (tmp_path / "XDS.INP").write_text(text)
    found = values(read_xds_inp(tmp_path / "XDS.INP"))
    assert found["rotation_axis"] == pytest.approx(series.rotation_axis)
    assert found["beam.energy_kev"] == pytest.approx(200.0, rel=1e-8)
    assert found["detector.direct_beam_px"] == pytest.approx(series.direct_beam_px)
    assert found["detector.camera_length_mm"] == 443.0
    assert (found["oscillation.start_deg"], found["oscillation.width_deg"]) == (-3.0, 0.4)
    assert found["detector.bad_rectangles_px"] == (7.0, 3.0, 7.0, 4.0)


def test_mirrored_images_leave_the_axis_open(tmp_path: Path) -> None:
    (tmp_path / "XDS.INP").write_text(xds_text(Rotation.identity(), y=-1.0))
    stated = read_xds_inp(tmp_path / "XDS.INP")
    assert "rotation_axis" not in values(stated)
    assert any("mirrored" in remark for remark in stated.remarks)


def test_a_tilted_detector_is_told_with_its_angle(tmp_path: Path) -> None:
    text = xds_text(Rotation.identity()).replace("BEAM_DIRECTION= 0 0 1", "BEAM_DIRECTION= 0.02 0 1")
    (tmp_path / "XDS.INP").write_text(text)
    assert any("tilted by 1.15 degrees" in remark for remark in read_xds_inp(tmp_path / "XDS.INP").remarks)


def test_autoleis_input_parameters_are_read_as_xds(tmp_path: Path) -> None:
    (tmp_path / "Input_parameters.txt").write_text(AUTOLEI)
    found = values(read_xds_inp(tmp_path / "Input_parameters.txt"))
    assert found["detector.shape_px"] == (516, 512)
    assert found["rotation_axis"] == (0.6, 0.8, 0.0)
    assert found["detector.camera_length_mm"] == 532.1
    assert found["detector.direct_beam_px"] == (259.0, 249.5)
    assert found["beam.energy_kev"] == pytest.approx(300.0, abs=0.3)


def test_the_real_xds_inp_of_cinchonine(shared_data: Path) -> None:
    """Its axis in DIALS's frame is in the data's own notes, refined: 0.7933 0.6088 0."""
    stated = read_xds_inp(shared_data / "cinchonine" / "DemoData" / "Cinchonine" / "xds" / "XDS.INP")
    found = values(stated)
    assert found["rotation_axis"] == pytest.approx((0.7933, 0.6088, 0.0), abs=0.01)
    assert found["detector.camera_length_mm"] == 443.0
    assert found["detector.direct_beam_px"] == (255.0, 255.0)
    start = next(statement for statement in stated.statements if statement.field == "oscillation.start_deg")
    assert (start.value, start.of_frame) == (-50.46, 0)


DIALS_TRUTH = """
import json, sys
from dxtbx.model.experiment_list import ExperimentListFactory
from scitbx import matrix
job = json.loads(sys.argv[1])
found = []
for experiment in ExperimentListFactory.from_json_file(sys.argv[2], check_format=False)[:1]:
    panel, beam = experiment.detector[0], experiment.beam
    axis = matrix.col(experiment.goniometer.get_rotation_axis())
    s0 = matrix.col(beam.get_s0())
    for (slow, fast), angle in zip(job["pixels"], job["angles"]):
        ray = matrix.col(panel.get_pixel_lab_coord((fast + 0.5, slow + 0.5))).normalize() * s0.length()
        found.append((ray - s0).rotate_around_origin(axis, -angle, deg=True).elems)
    scan = experiment.scan
    print(json.dumps([found, scan.get_oscillation(), scan.get_image_range(), panel.get_image_size()]))
"""


def python_of_dials() -> str:
    """Return the interpreter that dials.import names in its first line, else DIALS's own command."""
    first = Path(shutil.which("dials.import")).read_bytes().splitlines()[0].decode("ascii", "replace")
    return first.removeprefix("#!").strip() if "python" in first else "dials.python"


def dxtbxs_vectors(path: Path) -> tuple[NDArray[np.float64], list[float]]:
    """Return the scattering vectors of PIXELS by dxtbx, and the oscillation."""
    job = json.dumps({"pixels": PIXELS.tolist(), "angles": TURNED_DEG.tolist()})
    argv = [python_of_dials(), "-c", DIALS_TRUTH, job, str(path)]
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    run = subprocess.run(argv, capture_output=True, text=True, timeout=120, check=True, env=environment)
    vectors, oscillation, *_ = json.loads(run.stdout.splitlines()[-1])
    return np.array(vectors), oscillation


@pytest.mark.needs_dials
@pytest.mark.skipif(shutil.which("dials.import") is None, reason="DIALS is not installed")
def test_what_dials_imported_is_what_the_manifest_said(tmp_path: Path) -> None:
    """Our CBF images, the real dials.import, its .expt read back; dxtbx itself gives the scattering vectors."""
    series = series_of(tmp_path, frames=5, start_deg=-3.0, width_deg=0.4, axis=(0.6, 0.8, 0.0))
    export_dials(series, tmp_path / "out")
    argv = import_argv(series, [f"frames/{series.id}_01_#####.cbf"])
    subprocess.run(argv, cwd=tmp_path / "out", capture_output=True, timeout=300, check=True)
    (stated,) = read_expt(tmp_path / "out" / "imported.expt")
    found = values(stated)
    theirs, oscillation = dxtbxs_vectors(tmp_path / "out" / "imported.expt")
    assert_the_same_crystal(in_the_manifests_frame(found), theirs)
    assert found["rotation_axis"] == pytest.approx(series.rotation_axis, abs=1e-8)
    assert found["detector.direct_beam_px"] == pytest.approx(series.direct_beam_px, abs=1e-6)
    assert found["detector.camera_length_mm"] == pytest.approx(443.0)
    assert (found["oscillation.start_deg"], found["oscillation.width_deg"]) == pytest.approx(tuple(oscillation))
    assert stated.frame_names == (f"{series.id}_01_#####.cbf",)
    assert "detector.gain" not in found, "dxtbx's 1 may be nobody's"
    turned = laboratory_turned(
        tmp_path / "out" / "imported.expt", Rotation.from_euler("xyz", [5, -20, 40], degrees=True)
    )
    (again,) = read_expt(turned)
    assert values(again)["rotation_axis"] == pytest.approx(series.rotation_axis, abs=1e-6)
    assert values(again)["detector.direct_beam_px"] == pytest.approx(series.direct_beam_px, abs=1e-5)
    assert_the_same_crystal(in_the_manifests_frame(values(again)), dxtbxs_vectors(turned)[0])


def laboratory_turned(path: Path, turn: Rotation) -> Path:
    """Return a copy in a laboratory that is turned, half of the goniometer's turn in its setting rotation."""
    content = json.loads(path.read_text())
    for panel in content["detector"][0]["panels"]:
        for name in ("fast_axis", "slow_axis", "origin"):
            panel[name] = turn.apply(panel[name]).tolist()
    content["detector"][0].pop("hierarchy", None)
    beam, goniometer = content["beam"][0], content["goniometer"][0]
    beam["direction"] = turn.apply(beam["direction"]).tolist()
    goniometer["setting_rotation"] = turn.as_matrix().ravel().tolist()
    changed = path.with_name("turned.expt")
    changed.write_text(json.dumps(content))
    return changed


@pytest.mark.needs_dials
@pytest.mark.skipif(shutil.which("dials.import") is None, reason="DIALS is not installed")
def test_a_camera_of_four_panels_keeps_distance_and_axis(shared_data: Path, tmp_path: Path) -> None:
    """A real SMV file of Stockholm's Timepix, which dxtbx models as four chips in a hierarchy."""
    for number in (1, 2, 3):
        shutil.copy(shared_data / "frames" / "TIMEPIX_SU_512-stdgoni_0001.img", tmp_path / f"a_{number:04d}.img")
    argv = ["dials.import", "template=a_####.img"]
    subprocess.run(argv, cwd=tmp_path, capture_output=True, timeout=300, check=True)
    (stated,) = read_expt(tmp_path / "imported.expt")
    found = values(stated)
    assert found["detector.camera_length_mm"] == 531.85
    assert found["rotation_axis"] == pytest.approx((-0.7548637, -0.6558816, 0.0), abs=1e-6)
    assert (found["oscillation.start_deg"], found["oscillation.width_deg"]) == (65.4, 0.23)
    assert "detector.direct_beam_px" not in found
    assert any("4 panels" in remark for remark in stated.remarks)


def test_scans_of_later_dxtbx_hold_their_angles_as_properties(tmp_path: Path) -> None:
    content = {
        "__id__": "ExperimentList",
        "experiment": [{"beam": 0, "scan": 0}],
        "beam": [{"wavelength": 0.0197}],
        "scan": [{"image_range": [3, 5], "properties": {"oscillation": [1.0, 1.5, 2.0], "exposure_time": [1, 1, 1]}}],
    }
    (tmp_path / "a.expt").write_text(json.dumps(content))
    (stated,) = read_expt(tmp_path / "a.expt")
    start = next(statement for statement in stated.statements if statement.field == "oscillation.start_deg")
    assert (start.value, start.of_frame) == (1.0, 3)
    assert values(stated)["oscillation.width_deg"] == 0.5
    assert any("geometry is left open" in remark for remark in stated.remarks)


@pytest.mark.parametrize("text", ["", "[]", '{"experiment": 3}', "[" * 100000])
def test_what_is_no_experiment_list_is_an_error(tmp_path: Path, text: str) -> None:
    (tmp_path / "a.expt").write_text(text)
    with pytest.raises(SourceError, match="expt"):
        read_expt(tmp_path / "a.expt")
