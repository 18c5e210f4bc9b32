"""A small rotation series in a folder, as an experiment would leave it: noise, a direct beam, a bright spot each."""

import json
from pathlib import Path

import numpy as np
import tifffile

SHAPE = (48, 52)
CENTRE = (23.3, 26.8)


def bright_px(number: int) -> tuple[int, int]:
    """Return where the one spot of a frame lies, (slow, fast), on a frame whose beam is at `CENTRE`."""
    return 6 + number % 7, 5 + 2 * (number % 9)


def frame(number: int, *, moved: tuple[int, int] = (0, 0)) -> np.ndarray:
    """Return one frame of counts, beam and spot moved by whole pixels."""
    rows, columns = np.indices(SHAPE)
    slow, fast = CENTRE[0] + moved[0], CENTRE[1] + moved[1]
    mean = 1.0 + 800.0 * np.exp(-((rows - slow) ** 2 + (columns - fast) ** 2) / (2 * 1.5**2))
    counts = np.random.default_rng(number).poisson(mean)
    place = bright_px(number)
    counts[place[0] + moved[0], place[1] + moved[1]] = 5000
    return counts.astype(np.uint16)


def rotation_folder(
    folder: Path, *, frames: int = 8, wander: int = 0, stack: bool = False, gain: float = 1.0, **detector: object
) -> Path:
    """Write a series whose direct beam wanders by up to `wander` px, in one file for each frame or in one stack."""
    folder.mkdir(parents=True)
    draw = np.random.default_rng(1)
    moves = [tuple(int(step) for step in draw.integers(-wander, wander + 1, 2)) for _ in range(frames)]
    images = [(frame(number, moved=move) * gain).astype(np.uint16) for number, move in enumerate(moves, 1)]
    if stack:
        tifffile.imwrite(folder / "stack.tif", np.stack(images))
    else:
        for number, image in enumerate(images, 1):
            tifffile.imwrite(folder / f"f_{number:04d}.tif", image)
    content = {
        "format": "rotation series", "version": 1, "sample": "made up", "composition": None,
        "beam": {"energy_kev": 200.0},
        "detector": {"name": "d", "shape_px": list(SHAPE), "pixel_size_mm": 0.055, "camera_length_mm": 436.1,
                     "direct_beam_px": list(CENTRE), "gain": gain, "pedestal": 0.0, "saturation": 65535.0, **detector},
        "rotation_axis": [0.6, 0.8, 0.0],
        "oscillation": {"start_deg": -10.0, "width_deg": 0.25},
        "files": "*.tif",
    }  # fmt: skip
    (folder / "rotation_series.json").write_text(json.dumps(content))
    return folder
