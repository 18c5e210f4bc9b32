"""Parts of a crystal's aperture: cut into equal ones, its best positions, or drawn and judged whether they are that."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from tasks.model import InputError

Masks = NDArray[np.bool_]
MOST_REGIONS = 99
"""As many as ids of two digits name."""


def split_aperture(masks: Masks, parts: int) -> dict[str, Masks]:
    """Return disjoint regions, ``crystal-01`` on, that together are the aperture at every tilt.

    Positions are ranked along the axis in which the crystal is longest, all tilts taken together about their middles,
    and dealt out in equal numbers: the same part of the crystal at every tilt, as its foreshortening keeps the order.

    Raises
    ------
    InputError
        If there are more parts than positions at most tilts.
    """
    counts = masks.sum(axis=(1, 2))
    seen = counts[counts > 0]
    most = int(np.median(seen)) if len(seen) else 0
    if not 1 <= parts <= min(most, MOST_REGIONS):
        why = f"a crystal of {most} positions at most tilts" if most < MOST_REGIONS else f"{MOST_REGIONS} are the most"
        raise InputError(f"{parts} regions: {why}", "ask for fewer")
    direction = _longest(masks)
    regions = {f"crystal-{number + 1:02d}": np.zeros_like(masks) for number in range(parts)}
    for tilt, mask in enumerate(masks):
        places = np.argwhere(mask)
        order = np.lexsort((*places.T, np.round(places @ direction, 6)))
        for region, chosen in zip(regions.values(), np.array_split(order, parts), strict=True):
            region[tilt][tuple(places[chosen].T)] = True
    return regions


def best_positions(masks: Masks, signal: NDArray[np.float64], number: int) -> Masks:
    """Return the best positions of every tilt, ranked by what their neighbours hold.

    A position's own electrons have no say, so that what is summed is not what it was chosen for.

    Parameters
    ----------
    masks
        (n_tilts, ny, nx) of the crystal.
    signal
        Of the same shape: Bragg electrons of the crystal by position.
    """
    chosen = np.zeros_like(masks)
    around = np.ones((3, 3))
    around[1, 1] = 0.0
    for tilt, mask in enumerate(masks):
        if not mask.any():
            continue
        score = ndimage.convolve(np.where(mask, signal[tilt], 0.0), around, mode="constant")
        places = np.argwhere(mask)
        order = np.lexsort((*places.T, -score[mask]))[:number]
        chosen[tilt][tuple(places[order].T)] = True
    return chosen


def require_parts(regions: Mapping[str, Masks], crystal: Masks, name: str, *, file: str) -> None:
    """Raise unless regions lie within a crystal, apart from each other, at most of its tilts.

    Parameters
    ----------
    crystal
        (n_tilts, ny, nx): all positions within the crystal's outline.
    name
        Of the crystal, for the message.
    file
        That the regions were read from, for the message.

    Raises
    ------
    InputError
        Naming the region and what is wrong with it.
    """
    seen = crystal.any(axis=(1, 2))
    before: dict[str, Masks] = {}
    for region, masks in regions.items():
        said = f"{file}: region {region}"
        outside = int(np.count_nonzero(masks & ~crystal))
        if outside:
            raise InputError(
                f"{said}: {outside} of its {int(masks.sum())} positions lie outside {name}",
                f"draw it within {name}, in a file for this run",
            )
        if np.count_nonzero(masks.any(axis=(1, 2))) < seen.sum() / 2:
            raise InputError(
                f"{said}: empty at {int(np.count_nonzero(seen & ~masks.any(axis=(1, 2))))} of the {int(seen.sum())} "
                f"tilts at which {name} is seen",
                "draw it at more tilts: the studio copies it to all",
            )
        for other, taken in before.items():
            if (shared := int(np.count_nonzero(masks & taken))) > 0:
                raise InputError(
                    f"{said}: {shared} of its positions belong to region {other}, too",
                    "draw regions that do not overlap",
                )
        before[region] = masks


def _longest(masks: Masks) -> NDArray[np.float64]:
    """Return the direction (2,) along which positions, about the middle of their tilt, scatter most."""
    centred = [places - places.mean(axis=0) for places in map(np.argwhere, masks) if len(places)]
    every = np.concatenate(centred)
    axis: NDArray[np.float64] = np.linalg.eigh(every.T @ every)[1][:, -1]
    return axis * np.sign(axis[np.argmax(np.abs(axis))])
