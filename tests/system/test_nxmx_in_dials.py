"""NXmx: DIALS reads the geometry, the scan, the masks and every pixel that the series states."""

import json
import subprocess
from pathlib import Path

import h5py
import numpy as np
import pytest

from adapters.formats.inspect_file import inspect_file
from adapters.formats.nxmx_writer import write_nxmx
from adapters.programs.export_frames import export_nxmx
from tasks.frames.models import Frame, FrameSeries
from tasks.frames.stack import write_stack
from tasks.frames.sweeps import usable_sweeps
from tasks.integrate.geometry.mapping import crystal_q, geometry_of
from tasks.model import Beam, Detector, SettingsError
from tasks.model.provenance import Provenance

SHAPE = (121, 137)
PIXELS = [(0, 0), (60, 70), (17, 99), (120, 136), (100, 3)]

DXTBX = """
import json, sys
import dxtbx
from scitbx import matrix
out = []
for name in sys.argv[2:]:
    image = dxtbx.load(name)
    panel, beam, scan = image.get_detector()[0], image.get_beam(), image.get_scan()
    axis, s0 = matrix.col(image.get_goniometer().get_rotation_axis()), matrix.col(beam.get_s0())
    q = []
    for number in range(image.get_num_images()):
        back = -scan.get_angle_from_array_index(number + 0.5)
        for slow, fast in json.loads(sys.argv[1]):
            ray = matrix.col(panel.get_pixel_lab_coord((fast + 0.5, slow + 0.5))).normalize() / beam.get_wavelength()
            q.append((ray - s0).rotate_around_origin(axis, back, deg=True).elems)
    out.append(dict(
        format=type(image).__name__, q=q, axis=axis.elems, oscillation=scan.get_oscillation(),
        wavelength=beam.get_wavelength(), distance=panel.get_distance(), trusted=panel.get_trusted_range(),
        centre=panel.get_beam_centre_px(beam.get_s0()), size=panel.get_image_size(),
        data=[list(image.get_raw_data(i)[0]) for i in range(image.get_num_images())],
        mask=list(image.get_static_mask()[0])))
json.dump(out, sys.stdout)
"""


def series_of(folder: Path, angles: list[float], *, width: float, pedestal: int = 0) -> FrameSeries:
    """Return noise with a few spots; column 100 is dead, rows 20 to 29 in every third frame."""
    rng = np.random.default_rng(5)
    images = rng.poisson(3.0, (len(angles), *SHAPE)).astype(np.uint16)
    images[:, 40:43, 60:63] += 400
    always = np.ones(SHAPE, dtype=bool)
    always[:, 100] = False
    some = always.copy()
    some[20:30] = False
    of_frame = (np.arange(len(angles)) % 3 == 1).astype(np.int64)
    stack = write_stack(
        folder / "stack.h5", images + np.uint16(pedestal), count=len(angles), mask=always & some, dtype=np.uint16,
        masks=(np.array([always, some]), of_frame),
    )  # fmt: skip
    return FrameSeries(
        id="crystal-01",
        sample="test",
        composition=None,
        beam=Beam(energy_kev=200),
        detector=Detector(name="camera", shape_px=SHAPE, pixel_size_mm=0.055, camera_length_mm=436.123456),
        direct_beam_px=(58.3456789, 70.98765432),
        rotation_axis=(0.7933, -0.6088, 0.0),
        frames=tuple(
            Frame(number=i, angle_deg=a, width_deg=width, counts=float(images[i].sum())) for i, a in enumerate(angles)
        ),
        stack=stack,
        pedestal=float(pedestal),
        saturation=60000.0,
        provenance=Provenance(engine="test", version="0"),
    )


@pytest.mark.needs_dials
@pytest.mark.parametrize(("width", "pedestal"), [(0.5, 0), (0.0, 8)])
def test_dxtbx_finds_the_same_scattering_vectors_scan_and_pixels(
    tmp_path: Path, dxtbx_python: str, width: float, pedestal: int
) -> None:
    angles = [-1.0, -0.5, 0.0, 0.5, 3.0, 3.5, 4.0]
    series = series_of(tmp_path, angles, width=width, pedestal=pedestal)
    mask = np.asarray(series.masks.share_valid() > 0.5)
    parts = usable_sweeps(series, fewest=3)
    paths = write_nxmx(series, parts, tmp_path, mask=mask)
    argv = [dxtbx_python, "-c", DXTBX, json.dumps(PIXELS), *map(str, paths)]
    run = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    found = json.loads(run.stdout.splitlines()[-1])

    geometry = geometry_of(series)
    axis = np.array(series.rotation_axis) / np.linalg.norm(series.rotation_axis)
    for part, image in zip(parts, found, strict=True):
        frame = np.repeat(part.indices, len(PIXELS))
        expected = crystal_q(np.tile(np.array(PIXELS, dtype=float), (len(part.indices), 1)), frame, geometry)
        np.testing.assert_allclose(image["q"], expected, atol=1e-8)
        assert image["format"] == "FormatNXmx"
        assert image["axis"] == pytest.approx(axis.tolist(), abs=1e-9)
        first = series.frames[part.indices[0]].angle_deg
        assert image["oscillation"] == pytest.approx([first if width else first - 0.25, 0.5])
        assert image["wavelength"] == pytest.approx(series.beam.wavelength_angstrom, rel=1e-12)
        assert image["distance"] == pytest.approx(436.123456, rel=1e-9)
        assert image["centre"] == pytest.approx([70.98765432 + 0.5, 58.3456789 + 0.5], rel=1e-6)
        assert image["size"] == list(SHAPE[::-1])
        np.testing.assert_array_equal(np.reshape(image["mask"], SHAPE), mask)
        low, high = image["trusted"]
        assert high == 60000 - pedestal
        for index, pixels in zip(part.indices, np.reshape(image["data"], (-1, *SHAPE)), strict=True):
            valid = series.masks.valid_in(index)
            counts = series.images[index].astype(np.int64) - pedestal
            np.testing.assert_array_equal(pixels[valid], counts[valid])
            assert (pixels[valid] > low).all()
            assert (pixels[~valid] < low).all()


@pytest.mark.needs_dials
def test_dials_imports_every_sweep_and_finds_the_spots(tmp_path: Path, dxtbx_python: str) -> None:
    series = series_of(tmp_path, [*np.arange(0, 3, 0.5).tolist(), *np.arange(7, 10, 0.5).tolist()], width=0.5)
    out = tmp_path / "out"
    export_nxmx(series, out, axis=(-0.7933, 0.6088, 0.0))
    (command,) = [line.split("`")[1] for line in (out / "README").read_text().splitlines() if "dials.import" in line]
    for argv in (command.split(), ["dials.find_spots", "imported.expt", "nproc=1"]):
        run = subprocess.run(argv, cwd=out, capture_output=True, text=True, check=False)
        assert run.returncode == 0, run.stdout + run.stderr
    models = json.loads((out / "imported.expt").read_text())
    assert [scan["image_range"] for scan in models["scan"]] == [[1, 6], [1, 6]]
    assert models["goniometer"][0]["rotation_axis"] == pytest.approx([-0.79331, 0.60881, 0.0], abs=1e-4)
    assert "Saved 2 reflections" in run.stdout
    assert "joint_indexing=True" in (out / "README").read_text()


def test_the_probe_is_the_electron_and_the_true_angles_are_kept(tmp_path: Path) -> None:
    series = series_of(tmp_path, [0.0, 1.01, 2.0, 3.0], width=0.0)
    (path,) = write_nxmx(series, usable_sweeps(series, fewest=3), tmp_path, mask=series.mask)
    first = path.read_bytes()
    assert write_nxmx(series, usable_sweeps(series, fewest=3), tmp_path, mask=series.mask)[0].read_bytes() == first
    with h5py.File(path) as file:
        assert file["entry/source/probe"].asstr()[()] == "electron"
        assert file["entry/instrument/source/probe"].asstr()[()] == "electron"
        assert file["entry/frames/angle"][:].tolist() == [0.0, 1.01, 2.0, 3.0]
        assert file["entry/definition"].asstr()[()] == "NXmx"


def test_our_own_reader_finds_the_geometry_that_was_written(tmp_path: Path) -> None:
    series = series_of(tmp_path, [0.0, 1.0, 2.0], width=1.0)
    (path,) = write_nxmx(series, usable_sweeps(series, fewest=3), tmp_path, mask=series.mask)
    said = inspect_file(path)
    assert said.shape == (3, *SHAPE)
    assert said.metadata["direct_beam_px"] == pytest.approx(series.direct_beam_px, rel=1e-7)
    assert said.metadata["rotation_axis"] == pytest.approx(
        series.rotation_axis, abs=2e-5
    )  # four decimals, of length 1 in the file
    assert said.metadata["energy_kev"] == pytest.approx(series.beam.energy_kev, rel=1e-7)
    assert said.metadata["camera_length_mm"] == pytest.approx(series.detector.camera_length_mm, rel=1e-7)


def test_tilts_without_equal_steps_are_refused(tmp_path: Path) -> None:
    series = series_of(tmp_path, [0.0, 1.0, 2.7, 6.1], width=0.0)
    with pytest.raises(SettingsError, match="equally spaced"):
        export_nxmx(series, tmp_path / "out")
    assert not (tmp_path / "out").exists()
