"""Small data sets that arrive: a manifest and files of bytes, which nobody opens."""

import json
from pathlib import Path

MANIFEST = {
    "format": "4D-STEM tilt series",
    "version": 1,
    "sample": "s",
    "composition": None,
    "beam": {"energy_kev": 300.0},
    "detector": {
        "name": "4D Camera",
        "shape_px": [64, 64],
        "pixel_size_mm": 0.01,
        "camera_length_mm": 110.0,
        "direct_beam_px": None,
    },
    "scan": {"shape": [4, 4], "step_nm": 10.0, "flyback_columns": 1, "rotation_deg": 0.0},
    "tilt_axis": [1.0, 0.0, 0.0],
    "notes": {},
}


def drop(folder: Path, content: bytes = b"0123456789", *, listed: int | None = None) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    names = [f"{tilt}.h5" for tilt in range(6)]
    for name in names:
        (folder / name).write_bytes(content)
    scans = [
        {"file": name, "tilt_deg": float(tilt), "bytes": listed or len(content)} for tilt, name in enumerate(names)
    ]
    (folder / "tilt_series.json").write_text(json.dumps({**MANIFEST, "scans": scans}))
    return folder
