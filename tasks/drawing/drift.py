"""How the field of view moved from tilt to tilt, read from images of the scans."""

from collections.abc import Callable
from typing import NamedTuple

import h5py
import numpy as np
from numpy.typing import NDArray
from scipy import fft, ndimage
from skimage.filters import threshold_otsu

from tasks.apertures import consistent_offsets
from tasks.drawing.scene import Scene
from tasks.drawing.virtual_detector import VirtualDetector

COMPARED = 4
"""Scans before it with which a scan is compared: bridges blank ones. Chosen, not measured."""
SMOOTH = 0.7
"""Standard deviation in positions by which images are smoothed, as those that the apertures stage compares."""
BEAM_INVERSE_ANGSTROM = 0.05
"""Radius about the direct beam that is left out of the dark field where there is no run: spacings over 20 angstrom,
which few crystals have, and most of the film's halo. Chosen, not measured."""


NORMAL = 1.4826
"""Standard deviation of a normal distribution over its median absolute deviation."""


class Drift(NamedTuple):
    """Where the content of every scan lies.

    ``offsets`` (n_tilts, 2): rows and columns, in positions, against the first scan, as the field moves as a whole;
    ``sureness`` (n_tilts,), 0 to 1: correlation with the scans next to it at these places; ``images`` (n_tilts, ny,
    nx): what was compared; ``source``: which images.
    """

    offsets: NDArray[np.float64]
    sureness: NDArray[np.float64]
    images: NDArray[np.float32]
    source: str


def find_drift(scene: Scene, *, tell: Callable[[float], None] | None = None) -> Drift:
    """Return the drift over all tilts: from the run's Bragg maps, or else from dark fields made of the events.

    Each scan is compared with those before it by the maximum of their cross-correlation, to a part of a position, and
    the shifts are made consistent as in the apertures stage: gross errors are outvoted.

    Parameters
    ----------
    tell
        Is told the part that is done, 0 to 1, after every scan that was read.
    """
    if scene.apertures is not None:
        with h5py.File(scene.apertures.maps.path, "r") as file:
            maps, source = np.asarray(file["bragg"], dtype=np.float64), "Bragg maps of the run"
    else:
        maps, source = _dark_fields(scene, tell), "dark fields of the events"
    return drift_of_images(maps, source)


def drift_of_images(maps: NDArray[np.float64], source: str) -> Drift:
    """Return the drift of images (n_tilts, ny, nx) in which what matters is bright."""
    images = np.array([outlines(one) for one in maps])
    number, shape = len(images), images.shape[1:]
    padded = tuple(fft.next_fast_len(2 * size - 1, real=True) for size in shape)
    centred = images - images.mean(axis=(1, 2), keepdims=True)
    norms = np.sqrt((centred**2).sum(axis=(1, 2)))
    spectra = [fft.rfft2(image, padded) for image in centred]
    shifts: dict[tuple[int, int], tuple[NDArray[np.float64], float]] = {}
    for later in range(number):
        for earlier in range(max(0, later - COMPARED), later):
            correlation = fft.irfft2(spectra[later] * spectra[earlier].conj(), padded)
            shift, height = _highest(np.asarray(correlation))
            alike = height / max(float(norms[earlier] * norms[later]), 1e-12)
            if alike > 0:
                shifts[earlier, later] = (shift, alike)
    offsets = consistent_offsets(shifts, number)
    sureness = np.array([_sureness(shifts, scan, offsets) for scan in range(number)])
    return Drift(offsets, sureness, images.astype(np.float32), source)


def outlines(image: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return an image (ny, nx) as 0 to 1: where anything stands out of the background, however bright.

    Which crystal is bright changes with the tilt, and the bright ones would be laid over each other. The smoothed
    image is parted in two (Otsu, IEEE Trans. Syst. Man Cybern. 9, 62-66, 1979, on its square root); what exceeds the
    darker part's median by its spread counts as its square root up to where the parts meet, and as that beyond.
    """
    smooth = np.maximum(ndimage.gaussian_filter(image, SMOOTH), 0.0)
    if np.ptp(smooth) == 0:
        return np.zeros(image.shape)
    meet = float(threshold_otsu(np.sqrt(smooth))) ** 2
    dark = smooth[smooth <= meet]
    middle = float(np.median(dark))
    floor = middle + NORMAL * float(np.median(np.abs(dark - middle)))
    return np.sqrt(np.clip((smooth - floor) / max(meet - floor, 1e-9), 0.0, 1.0))


def _highest(correlation: NDArray[np.float64]) -> tuple[NDArray[np.float64], float]:
    """Return where a cyclic correlation is highest, by a parabola through its neighbours, signed, and how high."""
    place = np.array(np.unravel_index(np.argmax(correlation), correlation.shape))
    size = np.array(correlation.shape)
    found = place.astype(np.float64)
    top = float(correlation[tuple(place)])
    for axis in (0, 1):
        step = np.eye(2, dtype=np.int64)[axis]
        before, after = (float(correlation[tuple((place + way * step) % size)]) for way in (-1, 1))
        bend = before - 2.0 * top + after
        found[axis] += 0.5 * (before - after) / bend if bend < 0 else 0.0
    return np.where(place > size // 2, found - size, found), top


def _sureness(
    shifts: dict[tuple[int, int], tuple[NDArray[np.float64], float]], scan: int, offsets: NDArray[np.float64]
) -> float:
    """Return the mean correlation of a scan with its neighbours, of those whose shift the offsets agree with."""
    near = [(pair, found) for pair, found in shifts.items() if scan in pair and pair[1] - pair[0] == 1]
    agreed = [
        alike if np.linalg.norm(offsets[later] - offsets[earlier] - shift) < 1.0 + SMOOTH else 0.0
        for (earlier, later), (shift, alike) in near
    ]
    return float(np.clip(np.mean(agreed), 0.0, 1.0)) if agreed else float(len(offsets) == 1)


def _dark_fields(scene: Scene, tell: Callable[[float], None] | None) -> NDArray[np.float64]:
    series = scene.series
    per_px = series.detector.pixel_size_mm / (series.detector.camera_length_mm * series.beam.wavelength_angstrom)
    inner, outer = BEAM_INVERSE_ANGSTROM / per_px, float(sum(scene.detector_shape))
    images = []
    for tilt in range(len(series.scans)):
        ring = VirtualDetector(
            shape="ring", centre_px=scene.centre(tilt), inner_px=min(inner, 0.5 * outer), outer_px=outer
        )
        images.append(scene.detector_image(tilt, ring))
        if tell is not None:
            tell((tilt + 1) / len(series.scans))
    return np.array(images, dtype=np.float64)
