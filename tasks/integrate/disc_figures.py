"""What a reader must know of discs: their size, and how much they overlap."""

import numpy as np

from tasks.integrate.models import DiscFigures
from tasks.integrate.profiles.pixels import Pixels
from tasks.model.arrays import Integers

LEAST_SAID = 0.005
"""Share of overlapping discs from which it is said: below it rounds to nothing."""


def disc_figures(pixels: Pixels, rows: Integers) -> DiscFigures | None:
    """Return the figures of the discs; None where spots are points.

    Parameters
    ----------
    rows
        Of the predictions, the measurements that were used.
    """
    disc, overlaps = pixels.disc, pixels.overlaps
    if disc is None or overlaps is None:
        return None
    near = pixels.patches.near
    return DiscFigures(
        radius_px=disc.radius_px,
        edge_px=disc.edge_px,
        stated_px=disc.stated_px,
        scans=disc.scans,
        overlapped_share=float(np.mean(overlaps.overlapped[rows])) if len(rows) else 0.0,
        set_aside=int(overlaps.aside[near].sum()),
        measurements=int(near.sum()),
    )


def disc_warnings(figures: DiscFigures | None) -> list[str]:
    """Return what overlapping discs give reason to say."""
    if figures is None:
        return []
    said = []
    if figures.overlapped_share >= LEAST_SAID:
        said.append(
            f"{figures.overlapped_share:.0%} of the measurements are discs that overlap others (radius "
            f"{figures.radius_px:.1f} px): fitted together"
        )
    if figures.set_aside:
        said.append(
            f"{figures.set_aside} of {figures.measurements} discs near the sphere lie on others so much that their "
            "shares are not told: set aside"
        )
    return said
