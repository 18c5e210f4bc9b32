"""Pictures of the data as PNG data URIs: real space with apertures, and frames."""

import base64
import io
from typing import NamedTuple

import h5py
import matplotlib.image
import numpy as np
from numpy.typing import NDArray

from tasks.apertures import ApertureSet
from tasks.frames import FrameSeries
from tasks.integrate import Reflections

PALETTE = ("#4477aa", "#ee6677", "#228833", "#ccbb44", "#66ccee", "#aa3377", "#ff9f40", "#9be36d")
MAP_SIZE_PX = 320
"""Edge that maps are enlarged to at most, by whole numbers (48 positions: 288 px). Chosen, not measured."""
MAPS_SHOWN = 61
"""Tilts to page through. Chosen, not measured: each adds a PNG to the page; a series of 61 tilts is shown whole, others
evenly thinned."""
FRAMES_SHOWN = 6
"""Over the range of tilts. Chosen, not measured: each adds a PNG to the page."""
FRAME_SIZE_PX = 420
"""Edge from which frames are binned by whole numbers: shown images have 420 to 840 px. Chosen, not measured: spots of a
pixel stay visible, as bins show their maximum."""
SPOTS_SHOWN = 500
"""Circles on one frame. Chosen, not measured: more hide the frame below them."""


class TiltPicture(NamedTuple):
    """Real space at one tilt, apertures overlaid."""

    tilt_deg: float
    uri: str


class FramePicture(NamedTuple):
    """A frame, cut to a square about the direct beam: spots as (x, y) in units of its edge."""

    number: int
    angle_deg: float
    counts: float
    uri: str
    spots: tuple[tuple[float, float], ...]


def colour_of(number: int) -> str:
    """Return the colour of crystal `number`, from 0."""
    return PALETTE[number % len(PALETTE)]


def tilt_pictures(apertures: ApertureSet) -> tuple[TiltPicture, ...]:
    """Return the map of diffraction at up to `MAPS_SHOWN` tilts, each aperture tinted and outlined."""
    with h5py.File(apertures.maps.path, "r") as file:
        maps = np.asarray(file["bragg"], dtype=np.float64)
    masks = []
    for crystal in apertures.crystals:
        with h5py.File(crystal.masks.path, "r") as file:
            masks.append(np.asarray(file["masks"], dtype=bool))
    chosen = _evenly(len(maps), MAPS_SHOWN)
    low, high = np.percentile(maps[chosen], [1.0, 99.7]) if len(chosen) else (0.0, 1.0)
    grey = np.clip((maps - low) / max(high - low, 1e-12), 0, 1)
    return tuple(
        TiltPicture(apertures.tilt_deg[index], png_uri(_overlaid(grey[index], [mask[index] for mask in masks])))
        for index in chosen
    )


def frame_pictures(frames: FrameSeries, reflections: Reflections | None) -> tuple[FramePicture, ...]:
    """Return up to `FRAMES_SHOWN` frames over the range of tilts, with the spots that the lattice predicts."""
    filled = [index for index, frame in enumerate(frames.frames) if frame.counts > 0]
    chosen = [filled[index] for index in _evenly(len(filled), FRAMES_SHOWN)]
    pictures = []
    with h5py.File(frames.stack.path, "r") as file:
        for index in chosen:
            frame = frames.frames[index]
            square, corner, edge = _square(np.asarray(file["frames"][index], dtype=np.float64), frames, reflections)
            spots = _spots(reflections, index, corner, edge)
            pictures.append(FramePicture(frame.number, frame.angle_deg, frame.counts, png_uri(square), spots))
    return tuple(pictures)


def png_uri(image: NDArray[np.uint8]) -> str:
    """Return an image (rows, columns, 3) as a PNG data URI."""
    buffer = io.BytesIO()
    matplotlib.image.imsave(buffer, image, format="png")
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")


def _evenly(count: int, limit: int) -> list[int]:
    return sorted(set(np.linspace(0, count - 1, min(count, limit)).round().astype(int).tolist())) if count else []


def _overlaid(grey: NDArray[np.float64], masks: list[NDArray[np.bool_]]) -> NDArray[np.uint8]:
    zoom = max(1, MAP_SIZE_PX // max(grey.shape))
    image = np.repeat(np.repeat(np.sqrt(grey), zoom, axis=0), zoom, axis=1)[:, :, None] * np.full(3, 235.0)
    for number, mask in enumerate(masks):
        wide = np.repeat(np.repeat(mask, zoom, axis=0), zoom, axis=1)
        colour = np.array([int(colour_of(number)[start : start + 2], 16) for start in (1, 3, 5)], dtype=np.float64)
        image[wide] = 0.72 * image[wide] + 0.28 * colour
        image[wide & ~_eroded(wide)] = colour
    return image.astype(np.uint8)


def _eroded(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    padded = np.pad(mask, 1)
    return padded[:-2, 1:-1] & padded[2:, 1:-1] & padded[1:-1, :-2] & padded[1:-1, 2:]


def _square(
    frame: NDArray[np.float64], series: FrameSeries, reflections: Reflections | None
) -> tuple[NDArray[np.uint8], tuple[float, float], float]:
    """Return the square about the direct beam that holds the data, its corner and edge in px."""
    reach = max(frame.shape) / 2
    if reflections is not None:
        angle = 2 * np.arcsin(min(1.0, reflections.wavelength_angstrom / (2 * reflections.d_min_angstrom)))
        length = series.detector.camera_length_mm / series.detector.pixel_size_mm
        reach = min(reach, 1.08 * float(length * np.tan(angle)))
    top, left = (int(np.clip(centre - reach, 0, None)) for centre in series.direct_beam_px)
    part = np.maximum(
        frame[top : int(series.direct_beam_px[0] + reach), left : int(series.direct_beam_px[1] + reach)], 0
    )
    edge = max(part.shape)
    part = np.pad(part, ((0, edge - part.shape[0]), (0, edge - part.shape[1])))
    step = max(1, edge // FRAME_SIZE_PX)
    whole = edge // step * step
    binned = part[:whole, :whole].reshape(whole // step, step, whole // step, step).max(axis=(1, 3))
    shade = np.log1p(binned - min(series.pedestal, float(binned.min())))
    top_shade = float(np.percentile(shade, 99.8))
    grey = 255 - 255 * np.clip(shade / max(top_shade, 1e-12), 0, 1)
    return np.repeat(grey[:, :, None], 3, axis=2).astype(np.uint8), (float(top), float(left)), float(whole)


def _spots(
    reflections: Reflections | None, index: int, corner: tuple[float, float], edge: float
) -> tuple[tuple[float, float], ...]:
    if reflections is None or reflections.pictures is None:
        return ()
    with h5py.File(reflections.pictures.path, "r") as file:
        places = np.asarray(file["px"], dtype=np.float64)[np.asarray(file["frame"]) == index]
    inside = (places - np.array(corner) + 0.5) / edge
    inside = inside[((inside > 0) & (inside < 1)).all(axis=1)][:SPOTS_SHOWN]
    return tuple((float(column), float(row)) for row, column in inside)
