"""Writing SMV images for DIALS (dxtbx FormatSMVADSC) and XDS.

dxtbx takes the beam centre in mm from the detector's corner, BEAM_CENTER_X along the slow axis; splits header lines at
every ``=``; takes the gain from GAIN if there is one and from a table of serial numbers if not; and, in new versions,
takes pixels of value 0 for invalid. So a pedestal of at least 1 is added to every pixel and declared.
"""

import math
from pathlib import Path

import fabio
import numpy as np
from numpy.typing import NDArray

from tasks.frames.models import Frame, FrameSeries
from tasks.frames.stack import each_frame
from tasks.frames.sweeps import Sweep, sweeps
from tasks.model import SourceError

HEADER_STEP_BYTES = 512
LARGEST = 65534
"""65535 is dxtbx's mark of an overloaded pixel."""


def write_smv(series: FrameSeries, folder: Path) -> list[Path]:
    """Write every frame as 16-bit SMV and read it back; return the files in the order of the frames.

    The files of sweep s (counted from 1, see `sweeps`) are ``<id>_<ss>_<kkkkk>.img`` with k from 1, so that each
    sweep has its own template. The rotation axis has no place in dxtbx's reading of this format: it is written as
    ROTATION_AXIS for the reader, and the importing program must be told.

    Raises
    ------
    SourceError
        If a pixel does not fit into 16 bits: `adapters.formats.cbf` writes 32.
    """
    place = {index: (number, sweep) for number, sweep in enumerate(sweeps(series), 1) for index in sweep.indices}
    pedestal = added_pedestal(series)
    paths = []
    for index, (frame, pixels) in enumerate(zip(series.frames, each_frame(series), strict=True)):
        number, sweep = place[index]
        path = folder / f"{series.id}_{number:02d}_{index - sweep.indices[0] + 1:05d}.img"
        if int(pixels.max()) + pedestal > LARGEST:
            raise SourceError(
                f"{series.id}, frame {frame.number}: a pixel of {int(pixels.max())} does not fit into 16 bits",
                "write CBF instead",
            )
        stored = (pixels.astype(np.uint32) + np.uint32(pedestal)).astype("<u2")
        header = smv_header(series, frame, sweep, start_deg=osc_start(sweep, index), pedestal=pedestal)
        path.write_bytes(header + stored.tobytes())
        _read_back(path, stored)
        paths.append(path)
    return paths


def added_pedestal(series: FrameSeries) -> int:
    """Return what is added to every pixel, so that the declared pedestal is at least 1."""
    return max(0, math.ceil(1.0 - series.pedestal))


def osc_start(sweep: Sweep, index: int) -> float:
    """Return where the wedge of a frame starts, in degrees; `index` counts in the series."""
    return sweep.start_deg + (index - sweep.indices[0]) * sweep.step_deg


def smv_header(series: FrameSeries, frame: Frame, sweep: Sweep, *, start_deg: float, pedestal: int) -> bytes:
    """Return the header of one frame, padded to a multiple of 512 bytes.

    4DCAMERA_REAL and BOXSIZE are the corner and size of the box in the scan that encloses the aperture (X column,
    Y row), as DuSC_explorer writes them.
    """
    slow, fast = series.direct_beam_px
    size = series.detector.pixel_size_mm
    rows, columns = series.detector.shape_px
    lines = [
        "DIM=2",
        "BYTE_ORDER=little_endian",
        "TYPE=unsigned_short",
        f"SIZE1={columns}",
        f"SIZE2={rows}",
        f"PIXEL_SIZE={size:.12g}",
        "BIN=1x1",
        "DETECTOR_SN=1",
        "DATE=Thu Jan 01 00:00:00 1970",
        "TIME=1.0",
        f"DISTANCE={series.detector.camera_length_mm:.12g}",
        "TWOTHETA=0",
        f"PHI={start_deg:.12g}",
        f"OSC_START={start_deg:.12g}",
        f"OSC_RANGE={sweep.step_deg:.12g}",
        f"WAVELENGTH={series.beam.wavelength_angstrom:.12g}",
        f"BEAM_CENTER_X={(slow + 0.5) * size:.12g}",
        f"BEAM_CENTER_Y={(fast + 0.5) * size:.12g}",
        f"IMAGE_PEDESTAL={series.pedestal + pedestal:.12g}",
        f"GAIN={series.gain:.12g}",
        "ROTATION_AXIS=" + " ".join(f"{x:.12g}" for x in series.rotation_axis),
    ]
    if frame.aperture_box is not None:
        row, column, height, width = frame.aperture_box
        lines += [f"4DCAMERA_REAL_X={column}", f"4DCAMERA_REAL_Y={row}"]
        lines += [f"4DCAMERA_BOXSIZE_X={width}", f"4DCAMERA_BOXSIZE_Y={height}"]
    lines.append(f"4DCAMERA_FILENAME={header_value(frame.source)}")
    body = "".join(f"{line};\n" for line in lines) + "}\n"
    total = HEADER_STEP_BYTES * math.ceil((len(body) + 22) / HEADER_STEP_BYTES)
    return f"{{\nHEADER_BYTES={total:5d};\n{body}".ljust(total).encode("ascii")


def header_value(text: str) -> str:
    """Return text that cannot break a header: printable ASCII without ``= ; { }``, at most 200 characters."""
    return "".join(c if c.isascii() and c.isprintable() and c not in "={};" else "_" for c in text)[:200]


def _read_back(path: Path, stored: NDArray[np.uint16]) -> None:
    with fabio.open(path) as image:
        if not np.array_equal(image.data, stored):
            raise SourceError(f"{path}: reading it back gives other pixels", "check the disk")
