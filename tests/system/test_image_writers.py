"""CBF: what DIALS's dxtbx and fabio read is what the series says."""

import json
import shutil
import subprocess
from pathlib import Path

import fabio
import h5py
import numpy as np
import pytest

from adapters.formats.cbf import write_cbf
from tasks.frames.models import Frame, FrameSeries
from tasks.frames.sweeps import partition
from tasks.model import Beam, Detector, FileRef
from tasks.model.provenance import Provenance

DXTBX = """
import json, sys
from dxtbx.model.experiment_list import ExperimentListFactory
import dxtbx
out = []
for name in sys.argv[1:]:
    image = dxtbx.load(name)
    panel, beam = image.get_detector()[0], image.get_beam()
    scan = image.get_scan()
    data = image.get_raw_data()
    data = data[0] if isinstance(data, tuple) else data
    out.append(dict(
        wavelength=beam.get_wavelength(), distance=panel.get_distance(), centre=panel.get_beam_centre_px(beam.get_s0()),
        pixel=panel.get_pixel_size(), size=panel.get_image_size(), gain=panel.get_gain(), pedestal=panel.get_pedestal(),
        oscillation=scan.get_oscillation(), number=scan.get_array_range(), focus=data.focus(), data=list(data),
        fast=panel.get_fast_axis(), slow=panel.get_slow_axis(), trusted=panel.get_trusted_range()))
json.dump(out, sys.stdout)
"""

CBFLIB = """
import json, struct, sys
import pycbf
cbf = pycbf.cbf_handle_struct()
cbf.read_widefile(sys.argv[1].encode(), pycbf.MSG_DIGEST)
cbf.rewind_datablock()
cbf.find_category(b"array_data")
cbf.find_column(b"header_convention")
convention = cbf.get_value()
cbf.find_column(b"data")
data = cbf.get_integerarray_as_string()
values = struct.unpack("<%di" % (len(data) // 4), data)
json.dump(dict(convention=convention.decode(), values=values), sys.stdout)
"""


def series_of(
    folder: Path, *, angles: list[float], width: float = 0.0, largest: int = 3000, gain: float = 1.0
) -> FrameSeries:
    rng = np.random.default_rng(7)
    stack = rng.poisson(0.7, (len(angles), 37, 41)).astype(np.uint32)
    stack[:, 5, 9] = largest
    with h5py.File(folder / "stack.h5", "w") as file:
        file["frames"] = stack
        file["mask"] = np.ones(stack.shape[1:], dtype=bool)
    frames = tuple(
        Frame(number=i, angle_deg=a, width_deg=width, counts=float(stack[i].sum()), source="a=b;.h5",
              aperture_box=(1, 2, 3, 4))
        for i, a in enumerate(angles)
    )  # fmt: skip
    return FrameSeries(
        id="crystal-01",
        sample="test",
        composition=None,
        beam=Beam(energy_kev=300),
        detector=Detector(name="4D Camera", shape_px=(37, 41), pixel_size_mm=0.01, camera_length_mm=110.123456789),
        direct_beam_px=(17.3456789, 20.98765432),
        rotation_axis=(0.7933, 0.6088, 0.0),
        frames=frames,
        stack=FileRef.of(folder / "stack.h5"),
        gain=gain,
        provenance=Provenance(engine="test", version="0"),
    )


def frames_of(series: FrameSeries) -> np.ndarray:
    with h5py.File(series.stack.path) as file:
        return file["frames"][()]


def read_by_dxtbx(python: str, paths: list[Path]) -> list[dict]:
    run = subprocess.run([python, "-c", DXTBX, *map(str, paths)], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    return json.loads(run.stdout)


@pytest.mark.needs_dials
@pytest.mark.parametrize("largest", [3000, 1_000_000])
@pytest.mark.parametrize("width", [0.0, 0.5])
def test_dxtbx_reads_the_geometry_and_every_pixel(
    tmp_path: Path, dxtbx_python: str, largest: int, width: float
) -> None:
    angles = [-1.0, -0.5, 0.0, 0.5, 3.0, 3.5]
    series = series_of(tmp_path, angles=angles, width=width, largest=largest)
    stack = frames_of(series)

    got = read_by_dxtbx(dxtbx_python, write_cbf(series, tmp_path))

    for frame, angle, image in zip(stack, angles, got, strict=True):
        start = angle if width else angle - 0.25
        assert image["oscillation"] == pytest.approx([start, 0.5], rel=1e-6, abs=1e-9)
        assert image["wavelength"] == pytest.approx(series.beam.wavelength_angstrom, rel=1e-6)
        assert image["distance"] == pytest.approx(110.123456789, rel=1e-6)
        assert image["centre"] == pytest.approx([20.98765432 + 0.5, 17.3456789 + 0.5], rel=1e-6)
        assert image["pixel"] == pytest.approx([0.01, 0.01], rel=1e-9)
        assert image["size"] == [41, 37]
        assert image["fast"] == pytest.approx([1, 0, 0])
        assert image["slow"] == pytest.approx([0, -1, 0])
        assert image["gain"] == pytest.approx(1.0)
        np.testing.assert_array_equal(np.reshape(image["data"], image["focus"]) - image["pedestal"], frame)
        low, high = image["trusted"]
        assert low < 0 < largest < high
    assert [image["number"] for image in got] == [[0, 1], [1, 2], [2, 3], [3, 4], [0, 1], [1, 2]]


@pytest.mark.needs_dials
def test_dials_imports_one_sweep_per_equal_step_with_the_axis_it_is_told(tmp_path: Path, dxtbx_python: str) -> None:
    program = shutil.which("dials.import")
    if program is None:
        pytest.skip("DIALS is not installed")
    series = series_of(tmp_path, angles=[-1.0, -0.5, 0.0, 0.5, 3.0, 3.5])
    paths = write_cbf(series, tmp_path)
    axis = ",".join(f"{x:.12g}" for x in series.rotation_axis)
    subprocess.run(
        [program, *map(str, paths), f"geometry.goniometer.axis={axis}", "output.experiments=i.expt"],
        cwd=tmp_path, check=True, capture_output=True,
    )  # fmt: skip

    models = json.loads((tmp_path / "i.expt").read_text())

    found = sorted((tuple(s["oscillation"]), s["image_range"][1]) for s in models["scan"])
    want = sorted(((s.start_deg, s.step_deg), len(s.indices)) for s in partition(series))
    assert [n for _, n in found] == [n for _, n in want]
    for (got, _), (expected, _) in zip(found, want, strict=True):
        assert got == pytest.approx(expected, rel=1e-6, abs=1e-9)
    norm = np.hypot(0.7933, 0.6088)
    for goniometer in models["goniometer"]:
        rotated = goniometer.get("rotation_axis", goniometer.get("axes", [None])[0])
        assert rotated == pytest.approx([0.7933 / norm, 0.6088 / norm, 0.0], rel=1e-6, abs=1e-9)


@pytest.mark.needs_dials
def test_cbflib_reads_every_pixel_and_agrees_with_the_digest(tmp_path: Path, dxtbx_python: str) -> None:
    series = series_of(tmp_path, angles=[0.0, 1.0], largest=1_000_000)
    for path, frame in zip(write_cbf(series, tmp_path), frames_of(series), strict=True):
        run = subprocess.run([dxtbx_python, "-c", CBFLIB, str(path)], capture_output=True, text=True, check=False)
        assert run.returncode == 0, run.stderr
        got = json.loads(run.stdout)
        assert got["convention"] == "GENERIC_MINI"
        np.testing.assert_array_equal(np.reshape(got["values"], frame.shape), frame)


def test_fabio_reads_every_pixel_and_equal_series_give_equal_bytes(tmp_path: Path) -> None:
    series = series_of(tmp_path, angles=[0.0, 1.0, 2.0])
    (tmp_path / "again").mkdir()
    first = write_cbf(series, tmp_path)
    second = write_cbf(series, tmp_path / "again")

    for frame, path, twin in zip(frames_of(series), first, second, strict=True):
        np.testing.assert_array_equal(fabio.open(path).data, frame)
        assert path.read_bytes() == twin.read_bytes()
