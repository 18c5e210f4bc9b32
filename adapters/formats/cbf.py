"""Writing miniCBF images (32 bits) for DIALS (dxtbx FormatCBFMini), XDS and fabio.

The header convention is GENERIC_MINI: dxtbx reads any detector under it. Start_angle and Angle_increment are
obligatory there. dxtbx knows no pedestal in this format, so it is subtracted; pixels may be negative then. A pixel that
was not measured in this frame lies below all others: see `unmeasured_value`.
"""

import base64
import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import fabio
import numpy as np
from fabio.compression import compByteOffset
from numpy.typing import NDArray

from tasks.frames import Frame, FrameSeries, Sweep, each_corrected_frame, partition
from tasks.model import SourceError

START_OF_DATA = b"\x0c\x1a\x04\xd5"
CUTOFF = 2**31 - 2
"""Largest pixel: one below the largest signed integer of 32 bits, in which byte-offset data are read. Chosen, not
measured: the one is left for readers that count the limit itself as overloaded."""


def write_cbf(series: FrameSeries, folder: Path, parts: Sequence[Sweep] | None = None) -> list[Path]:
    """Write every frame as miniCBF and read it back; return the files in the order of the frames.

    The files of sweep s (counted from 1, see `sweeps`) are ``<id>_<ss>_<kkkkk>.cbf`` with k from 1, so that each sweep
    has its own template. The rotation axis and the gain have no place in dxtbx's reading of this format: the
    importing program must be told.

    Parameters
    ----------
    parts
        The sweeps that the headers tell of, every frame in one; by default those of `tasks.frames.sweeps.sweeps`.

    Raises
    ------
    SourceError
        If a pixel does not fit into 32 bits.
    """
    place = {
        index: (number, sweep) for number, sweep in enumerate(parts or partition(series), 1) for index in sweep.indices
    }
    paths = []
    for index, (frame, stored) in enumerate(zip(series.frames, each_signed_frame(series), strict=True)):
        number, sweep = place[index]
        path = folder / f"{series.id}_{number:02d}_{sweep.indices.index(index) + 1:05d}.cbf"
        header = cbf_header(series, frame, sweep, start_deg=osc_start(sweep, index))
        path.write_bytes(_cbf_text(path.stem, header, stored))
        _read_back(path, stored)
        paths.append(path)
    return paths


def each_signed_frame(series: FrameSeries) -> Iterator[NDArray[np.int32]]:
    """Yield the frames (slow, fast) as programs for rotation data take them: less the pedestal, unmeasured marked.

    Raises
    ------
    SourceError
        If a pixel does not fit into 32 bits.
    """
    masks = series.masks
    differing = len(masks.different) > 1
    for index, pixels in enumerate(each_corrected_frame(series.stack)):
        values = pixels.astype(np.int64) - round(series.pedestal)
        if int(values.max()) > CUTOFF:
            number = series.frames[index].number
            raise SourceError(f"{series.id}, frame {number}: a pixel of {int(pixels.max())} exceeds 32 bits")
        if differing:
            values[~masks.valid_in(index)] = unmeasured_value(series)
        yield values.astype(np.int32)


def unmeasured_value(series: FrameSeries) -> int:
    """Return the value of a pixel that was not measured in one frame but was in others.

    Below the trusted range that DIALS is given, whether its lower end is trusted itself (dxtbx from 3.9 on) or not, and
    below XDS's MINIMUM_VALID_PIXEL_VALUE. What is measured in no frame is in the programs' own masks.
    """
    return -2 - max(0, round(series.pedestal))


def cbf_header(series: FrameSeries, frame: Frame, sweep: Sweep, *, start_deg: float) -> str:
    """Return the miniCBF comment block of one frame; the beam centre is in pixels from the detector's corner."""
    slow, fast = series.direct_beam_px
    size_m = f"{series.detector.pixel_size_mm * 1e-3:.12e} m"
    cutoff = CUTOFF if series.saturation is None else min(CUTOFF, int(series.saturation - round(series.pedestal)))
    lines = [
        "Detector: electron_camera, S/N 0",  # no model name that a reader could take for one it knows
        "1970-01-01T00:00:00.000",
        f"Pixel_size {size_m} x {size_m}",
        "Exposure_time 1.0 s",
        "Exposure_period 1.0 s",
        f"Count_cutoff {cutoff} counts",
        f"Wavelength {series.beam.wavelength_angstrom:.12g} A",
        f"Detector_distance {series.detector.camera_length_mm * 1e-3:.12g} m",
        f"Beam_xy ({fast + 0.5:.12g}, {slow + 0.5:.12g}) pixels",
        f"Start_angle {start_deg:.12g} deg.",
        f"Angle_increment {sweep.step_deg:.12g} deg.",
        f"Phi {start_deg:.12g} deg.",
        "Rotation_axis " + " ".join(f"{x:.12g}" for x in series.rotation_axis),
        f"Detector_gain {series.gain:.12g}",
        f"Source_file {header_value(frame.source) or '(nil)'}",
    ]
    if frame.aperture_box is not None:
        row, column, height, width = frame.aperture_box
        lines.append(f"Aperture_box row {row} column {column} rows {height} columns {width}")
    return "".join(f"# {line}\r\n" for line in lines)


def _cbf_text(name: str, header: str, stored: NDArray[np.int32]) -> bytes:
    packed = bytes(compByteOffset(stored))
    digest = base64.b64encode(hashlib.md5(packed, usedforsecurity=False).digest()).decode()
    rows, columns = stored.shape
    head = [
        "###CBF: VERSION 1.5",
        "",
        f"data_{name}",
        "",
        '_array_data.header_convention "GENERIC_MINI"',
        "_array_data.header_contents",
        f";\r\n{header};",
        "",
        "_array_data.data",
        ";",
        "--CIF-BINARY-FORMAT-SECTION--",
        "Content-Type: application/octet-stream;",
        '     conversions="x-CBF_BYTE_OFFSET"',
        "Content-Transfer-Encoding: BINARY",
        f"X-Binary-Size: {len(packed)}",
        "X-Binary-ID: 1",
        'X-Binary-Element-Type: "signed 32-bit integer"',
        "X-Binary-Element-Byte-Order: LITTLE_ENDIAN",
        f"Content-MD5: {digest}",
        f"X-Binary-Number-of-Elements: {stored.size}",
        f"X-Binary-Size-Fastest-Dimension: {columns}",
        f"X-Binary-Size-Second-Dimension: {rows}",
        "X-Binary-Size-Padding: 0",
        "",
        "",
    ]
    tail = b"\r\n--CIF-BINARY-FORMAT-SECTION----\r\n;\r\n"
    return "\r\n".join(head).encode("ascii") + START_OF_DATA + packed + tail


def osc_start(sweep: Sweep, index: int) -> float:
    """Return where the wedge of a frame starts, in degrees; `index` counts in the series."""
    return sweep.start_deg + sweep.indices.index(index) * sweep.step_deg


def header_value(text: str) -> str:
    """Return text that cannot break a header: printable ASCII without ``= ; { }``, at most 200 characters."""
    return "".join(c if c.isascii() and c.isprintable() and c not in "={};" else "_" for c in text)[:200]


def _read_back(path: Path, stored: NDArray[np.int32]) -> None:
    with fabio.open(path) as image:
        if not np.array_equal(image.data, stored):
            raise SourceError(f"{path}: reading it back gives other pixels", "check the disk")
