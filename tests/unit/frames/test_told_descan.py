"""Offsets of the beam beside the scans are its descan, unless the data contradict them."""

import json
from pathlib import Path

import numpy as np
import pytest

from adapters.formats.scans.scan_reader import ScanFileReader
from adapters.formats.stempy_writer import write_scan
from tasks.frames import DirectBeams, FrameSettings, find_beams
from tasks.ingest import IngestSettings, ingest_tilt_series, read_source
from tests.synthetic.scan_files import write_offsets

SCAN, FRAME, CENTRE = (12, 10), (96, 88), (46.0, 41.5)
MOTION = np.array([[0.5, 0.1], [-0.2, -0.6]])
"""px of (slow, fast) per scan step in (row, column)."""
PLACES = np.stack(np.divmod(np.arange(SCAN[0] * SCAN[1]), SCAN[1]), axis=1) - (np.array(SCAN) - 1) / 2


def beams_of(
    folder: Path, moves: np.ndarray, told: np.ndarray | None, *, per_position: int = 150, name: str = "vacuum"
) -> DirectBeams:
    """Write a series whose beam moves so, (n, 2), with offsets beside it; return what the run finds of the beam."""
    source = folder / "source"
    source.mkdir()
    scans = []
    for number in range(5):
        rng = np.random.default_rng(number)
        where = np.repeat(CENTRE + moves, per_position, axis=0)
        width = np.where(rng.random(len(where)) < 0.6, 1.2, 10.0)[:, None]
        pixel = np.clip(np.rint(where + width * rng.normal(size=where.shape)), 0, np.array(FRAME) - 1).astype(np.int64)
        offsets = np.arange(0, len(where) + 1, per_position)
        path = source / f"s_{number}.h5"
        events = pixel[:, 0] * FRAME[1] + pixel[:, 1]
        write_scan(path, offsets, events, scan_shape_with_flyback=SCAN, frame_shape=FRAME)
        scans.append({"file": path.name, "tilt_deg": 2.0 * number, "bytes": path.stat().st_size})
    if told is not None:
        write_offsets(source / f"{name}_offsets.emd", (told + CENTRE).T[::-1].reshape(2, *SCAN))
    manifest = {
        "format": "4D-STEM tilt series", "version": 1, "sample": "test", "beam": {"energy_kev": 300.0},
        "detector": {"name": "d", "shape_px": list(FRAME), "pixel_size_mm": 0.01, "camera_length_mm": 110.0,
                     "direct_beam_px": list(CENTRE)},
        "scan": {"shape": list(SCAN), "step_nm": 10.0, "flyback_columns": 0, "rotation_deg": 0.0},
        "tilt_axis": [1.0, 0.0, 0.0], "scans": scans,
    }  # fmt: skip
    (source / "tilt_series.json").write_text(json.dumps(manifest))
    for work in ("ingest", "beams"):
        (folder / work).mkdir()
    series = ingest_tilt_series(read_source(source), ScanFileReader(), IngestSettings(), folder / "ingest")
    assert not series.lost
    return find_beams(series, FrameSettings(), folder / "beams")


def test_offsets_that_agree_with_the_data_are_the_descan(tmp_path: Path) -> None:
    beams = beams_of(tmp_path, PLACES @ MOTION.T, PLACES @ MOTION.T)
    np.testing.assert_allclose(beams.descan_px, MOTION, atol=1e-5)
    assert any("is that of the offsets beside all scans" in warning for warning in beams.warnings)
    np.testing.assert_allclose(beams.px, [CENTRE] * 5, atol=0.3)


def test_offsets_are_believed_where_the_data_cannot_tell(tmp_path: Path) -> None:
    beams = beams_of(tmp_path, PLACES @ MOTION.T, PLACES @ MOTION.T, per_position=2)
    np.testing.assert_allclose(beams.descan_px, MOTION, atol=1e-5)
    assert any("too little of the beam is seen to check it" in warning for warning in beams.warnings)


@pytest.mark.parametrize(
    ("moves", "told"),
    [
        (PLACES @ MOTION.T, -PLACES @ MOTION.T),
        (PLACES @ MOTION.T, (PLACES @ MOTION.T)[:, ::-1]),
        (np.zeros_like(PLACES), PLACES @ MOTION.T),
        (PLACES @ MOTION.T, 40.0 * PLACES @ MOTION.T),
    ],
    ids=["opposite sense", "axes exchanged", "already taken out", "of another camera length"],
)
def test_offsets_that_contradict_the_data_are_named_and_the_data_believed(
    tmp_path: Path, moves: np.ndarray, told: np.ndarray
) -> None:
    true = MOTION if moves.any() else np.zeros((2, 2))
    beams = beams_of(tmp_path, moves, told)
    np.testing.assert_allclose(beams.descan_px, true, atol=0.05)
    assert any("contradict the data, which are believed" in warning for warning in beams.warnings)


def test_nothing_is_said_where_no_offsets_lie(tmp_path: Path) -> None:
    beams = beams_of(tmp_path, PLACES @ MOTION.T, None)
    np.testing.assert_allclose(beams.descan_px, MOTION, atol=0.05)
    assert not any("offsets" in warning for warning in beams.warnings)
