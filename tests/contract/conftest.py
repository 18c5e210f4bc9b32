"""Stand-ins for licensed programs, and a small series of frames to give them."""

import os
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest

from tasks.frames.models import Frame, FrameSeries
from tasks.model import Beam, Detector, FileRef
from tasks.model.provenance import Provenance

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Return a function that puts a stand-in on PATH."""

    def install(script: str, names: tuple[str, ...], replay: Path, mode: str = "good") -> None:
        folder = tmp_path / "bin"
        folder.mkdir(exist_ok=True)
        source = (ROOT / "tests" / "fakes" / script).read_text()
        for name in names:
            program = folder / name
            program.write_text(source.replace("#!/usr/bin/env python3", f"#!{sys.executable}", 1))
            program.chmod(0o755)
        monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
        monkeypatch.setenv("FAKE_REPLAY", str(replay))
        monkeypatch.setenv("FAKE_MODE", mode)

    return install


@pytest.fixture
def cinchonine_run(shared_data: Path) -> Path:
    """Folder of the real runs of XDS and SHELXL on cinchonine."""
    return shared_data / "cinchonine" / "DemoData" / "Cinchonine"


@pytest.fixture
def frames(tmp_path: Path) -> FrameSeries:
    angles = [-49.199 + 0.2522 * i for i in range(399) if not 100 <= i < 103]
    stack = tmp_path / "stack.h5"
    with h5py.File(stack, "w") as file:
        file["frames"] = np.ones((len(angles), 8, 8), dtype=np.uint16)
        file["mask"] = np.ones((8, 8), dtype=bool)
    return FrameSeries(
        id="crystal-01",
        sample="cinchonine",
        composition="C19 H22 N2 O",
        beam=Beam(energy_kev=200.0),
        detector=Detector(name="Cheetah", shape_px=(512, 512), pixel_size_mm=0.055, camera_length_mm=436.1),
        direct_beam_px=(253.6, 256.4),
        rotation_axis=(0.7933, 0.6088, 0.0),
        frames=tuple(Frame(number=i, angle_deg=a, width_deg=0.2522, counts=64.0) for i, a in enumerate(angles)),
        stack=FileRef.of(stack),
        provenance=Provenance(engine="test", version="1"),
    )
