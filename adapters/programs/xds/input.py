"""XDS.INP for electron diffraction: pure text from a series of frames."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tasks.frames import FrameSeries
from tasks.model import NotIndexedError, UnitCell

GRID_TOLERANCE = 0.02
"""Largest distance of a frame from its place in equal steps, as a fraction of the step."""

REFINE = "BEAM AXIS ORIENTATION CELL"
REFINE_WITH_DISTANCE = "POSITION BEAM AXIS ORIENTATION CELL"


class ImageGrid(NamedTuple):
    """Frames as images of equal steps: XDS knows one oscillation width and numbers from 1."""

    numbers: tuple[int, ...]
    """Image number of each frame that is used."""
    indices: tuple[int, ...]
    """Its position in `FrameSeries.frames`."""
    start_deg: float
    """Where image 1 begins."""
    width_deg: float

    @property
    def last(self) -> int:
        """The highest image number."""
        return self.numbers[-1]

    def gaps(self) -> list[tuple[int, int]]:
        """Return the ranges of image numbers without a frame."""
        pairs = zip(self.numbers[:-1], self.numbers[1:], strict=True)
        return [(a + 1, b - 1) for a, b in pairs if b > a + 1]


def image_grid(series: FrameSeries) -> ImageGrid:
    """Place the frames on equal steps; frames off the grid are left out.

    The step is the width of the exposures, or for stills the median distance; a still stands for a wedge as wide as
    the step, centred on its tilt. The largest set of frames on one grid is used; of several at one tilt the first.

    Raises
    ------
    NotIndexedError
        If fewer than 3 frames lie on one grid.
    """
    middles = np.array([frame.angle_deg + frame.width_deg / 2 for frame in series.frames])
    widths = np.array([frame.width_deg for frame in series.frames])
    step = float(np.median(widths)) if np.median(widths) > 0 else _median_step(middles)
    if not step > 0:
        raise NotIndexedError(f"{series.id}: the frames have no step", "XDS needs a rotation")
    place = middles / step
    phase = np.angle(np.exp(2j * np.pi * (place[:, None] - place[None, :]))) / (2 * np.pi)
    on_grid = np.abs(phase) <= GRID_TOLERANCE
    first = np.append(True, np.diff(middles) > 0)
    chosen = np.flatnonzero(on_grid[np.argmax(on_grid.sum(axis=1))] & first)
    numbers = np.rint((middles[chosen] - middles[chosen[0]]) / step).astype(int) + 1
    drift = np.abs((middles[chosen] - middles[chosen[0]]) / step - (numbers - 1)).max(initial=0.0)
    if len(chosen) < 3 or drift > GRID_TOLERANCE * 2:
        raise NotIndexedError(
            f"{series.id}: no 3 frames are equally spaced, as XDS needs them",
            "use the built-in integrator for irregular tilts",
        )
    return ImageGrid(
        tuple(int(n) for n in numbers),
        tuple(int(i) for i in chosen),
        round(float(middles[chosen[0]]) - step / 2, 9),
        round(step, 9),
    )


def _median_step(middles: NDArray[np.float64]) -> float:
    steps = np.diff(np.unique(middles))
    return float(np.median(steps)) if len(steps) else 0.0


class XdsChoices(NamedTuple):
    """What varies between runs and retries."""

    jobs: str
    d_min: float
    d_max: float
    min_fraction: float
    cell: UnitCell | None = None
    space_group_number: int = 0
    refine_distance: bool = False
    extra: tuple[tuple[str, str], ...] = ()
    """Keyword and value of what a retry changes, or of a second pass."""


def xds_inp(
    series: FrameSeries,
    grid: ImageGrid,
    choices: XdsChoices,
    *,
    template: str,
    untrusted: Sequence[tuple[int, int, int, int]] = (),
) -> str:
    """Return XDS.INP.

    Axes: XDS's frame is ours turned by 180 degrees about x, so that a vector (x, y, z) becomes (x, -y, -z). ORGX and
    ORGY count pixel centres from 1. Zero is a count. The camera length is refined only if a cell is given, as the two
    are correlated at electron wavelengths.

    Parameters
    ----------
    untrusted
        Rectangles (x0, x1, y0, y1) of invalid pixels, half open, from 0.
    """
    slow, fast = series.direct_beam_px
    rows, columns = series.detector.shape_px
    x, y, z = series.rotation_axis
    size = series.detector.pixel_size_mm
    overload = 2**31 - 2 if series.saturation is None else int(series.saturation - series.pedestal)
    lines = [
        f"JOB= {choices.jobs}",
        f"NAME_TEMPLATE_OF_DATA_FRAMES= {template} CBF",
        f"DATA_RANGE= 1 {grid.last}",
        f"SPOT_RANGE= 1 {grid.last}",
        f"BACKGROUND_RANGE= {grid.numbers[0]} {_background_end(grid)}",
        *(f"EXCLUDE_DATA_RANGE= {a} {b}" for a, b in grid.gaps()),
        "DETECTOR= PILATUS",
        "SENSOR_THICKNESS= 0.0",
        f"MINIMUM_VALID_PIXEL_VALUE= {_minimum(series)}",
        f"OVERLOAD= {overload}",
        f"NX= {columns} NY= {rows} QX= {size:.12g} QY= {size:.12g}",
        f"ORGX= {fast + 1:.9g} ORGY= {slow + 1:.9g}",
        f"DETECTOR_DISTANCE= {series.detector.camera_length_mm:.12g}",
        "DIRECTION_OF_DETECTOR_X-AXIS= 1 0 0",
        "DIRECTION_OF_DETECTOR_Y-AXIS= 0 1 0",
        "INCIDENT_BEAM_DIRECTION= 0 0 1",
        f"X-RAY_WAVELENGTH= {series.beam.wavelength_angstrom:.12g}",
        "FRACTION_OF_POLARIZATION= 0.5",
        "POLARIZATION_PLANE_NORMAL= 0 1 0",
        "AIR= 0.0",
        f"ROTATION_AXIS= {_plain(x)} {_plain(-y)} {_plain(-z)}",
        f"OSCILLATION_RANGE= {grid.width_deg:.12g}",
        f"STARTING_ANGLE= {grid.start_deg:.12g}",
        "STARTING_FRAME= 1",
        f"INCLUDE_RESOLUTION_RANGE= {choices.d_max:.6g} {choices.d_min:.6g}",
        "TRUSTED_REGION= 0.0 1.42",
        *(f"UNTRUSTED_RECTANGLE= {x0} {x1 + 1} {y0} {y1 + 1}" for x0, x1, y0, y1 in untrusted),
        "FRIEDEL'S_LAW= TRUE",
        f"MINIMUM_FRACTION_OF_INDEXED_SPOTS= {choices.min_fraction:g}",
        "MAX_CELL_AXIS_ERROR= 0.05",
        "MAX_CELL_ANGLE_ERROR= 3.0",
        f"SPACE_GROUP_NUMBER= {choices.space_group_number if choices.cell else 0}",
        *_cell_lines(choices.cell),
        f"REFINE(IDXREF)= {REFINE_WITH_DISTANCE if choices.refine_distance and choices.cell else REFINE}",
        "REFINE(INTEGRATE)= ORIENTATION",
        f"REFINE(CORRECT)= {REFINE_WITH_DISTANCE if choices.refine_distance and choices.cell else REFINE}",
    ]
    changed = dict(choices.extra)
    kept = [line for line in lines if line.split("=")[0] not in changed]
    return "\n".join([*kept, *(f"{name}= {value}" for name, value in choices.extra), ""])


def _cell_lines(cell: UnitCell | None) -> list[str]:
    return [] if cell is None else ["UNIT_CELL_CONSTANTS= " + " ".join(f"{v:.9g}" for v in cell.parameters)]


def _background_end(grid: ImageGrid) -> int:
    """Return the last image of a background range of about 10 degrees, at least 5 images."""
    wanted = grid.numbers[0] + max(5, round(10.0 / grid.width_deg))
    return min(grid.last, wanted)


def _minimum(series: FrameSeries) -> int:
    """Return the smallest valid value: zero, or below it where a pedestal was subtracted."""
    return min(0, -round(series.pedestal))


def _plain(value: float) -> str:
    return f"{value + 0.0:.9g}" if value else "0"
