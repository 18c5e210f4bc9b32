"""The centre of one bright disc, where its shape is known: from its edge, however unevenly it is lit."""

import numpy as np
from numpy.typing import NDArray

from tasks.events.beam_disc import BeamDisc
from tasks.events.disc import measure_disc
from tasks.events.disc_fit import fit_discs
from tasks.events.disc_search import box_sums
from tasks.model.experiment import PixelPosition

SURROUND = 1.6
"""Radii to which the surroundings of a disc reach, that its mean stands out of: nearer, its own edge is in them;
farther, its neighbours. Chosen, not measured."""
SAME_RADIUS = 0.15
"""By which the radius of a beam may differ from that of its series, before its fit is not believed: it has taken a
reflection, or a part of itself, for the beam."""


def disc_contrast(image: NDArray[np.float64], disc: BeamDisc) -> NDArray[np.float64]:
    """Return how much the mean over a disc around every pixel exceeds that of its surroundings, counts per pixel."""
    ones = np.ones(image.shape)
    inner, outer = box_sums(image, disc.radius_px), box_sums(image, SURROUND * disc.radius_px + 1.0)
    inside, whole = box_sums(ones, disc.radius_px), box_sums(ones, SURROUND * disc.radius_px + 1.0)
    return np.asarray(inner / inside - (outer - inner) / np.maximum(whole - inside, 1.0))


def disc_centre(
    image: NDArray[np.float64],
    start: PixelPosition,
    disc: BeamDisc,
    *,
    valid: NDArray[np.bool_] | None = None,
) -> PixelPosition:
    """Return the centre (slow, fast) of the disc near `start`, px.

    From a fit with a radius and surfaces of its own, which bears a halo, a stop and uneven light, if it finds the
    radius of the series; otherwise from one with the series' disc and a slope, which bears few counts.
    """
    free = measure_disc(image, start=start, reach_px=disc.radius_px, valid=valid)
    if free is not None and abs(free.radius_px - disc.radius_px) <= max(SAME_RADIUS * disc.radius_px, 0.5):
        return free.centre
    seen = np.ones(image.shape, dtype=bool) if valid is None else valid
    inside = np.hypot(*(np.indices(image.shape) - np.array(start)[:, None, None])) <= disc.radius_px
    around = ~inside & (np.hypot(*(np.indices(image.shape) - np.array(start)[:, None, None])) <= 2.0 * disc.reach_px)
    level = float(np.median(image[around & seen])) if (around & seen).any() else 0.0
    counts = max(float((image[inside & seen] - level).sum()), 1.0)
    background = np.full(image.shape, max(level, 1e-3))
    fit = fit_discs(image, seen, background, px=np.array([start]), start=np.array([counts]), disc=disc)
    return float(fit.px[0, 0]), float(fit.px[0, 1])
