"""One scan fitted anew from what its neighbours know, and what then speaks against it."""

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from tasks.apertures.factorise import Factors, factorise
from tasks.apertures.fingerprint import SUPPORTED
from tasks.apertures.holes import fill_holes
from tasks.apertures.masks import outline_of, typical_weight
from tasks.apertures.scenes import Scene
from tasks.apertures.segment import FLOOR, MARGIN
from tasks.apertures.segmentation import Segmentation
from tasks.apertures.tiles import window_to_fit
from tasks.apertures.window import is_one_tile

FOREIGN = 0.25
"""Share of a region's diffraction that fits another crystal's lattice only, above which the region is in doubt."""
STRANGE = 0.02
"""Of a spot's electrons that a crystal starts with if another's lattice explains the spot."""
AGREES = 0.85
"""Cosine of a region with its prediction above which a scan needs no new fit."""
LEAST_COSINE = 0.5
"""Of a fitted image with its prediction. In `python -m tests.benchmarks.apertures weak --seeds 1` five crystals of five
are followed with a precision of 0.982; with 0.25 it is 0.867 and one is lost, with 0.7 0.961 and one lost."""
LEAST_LEVEL = 0.08
"""Of the track's typical weight. With 0.04 nothing changes in that benchmark; with 0.16 one crystal of five is lost."""

ASIDE = 1
"""Positions around a predicted outline into which a crystal may grow when a scan is fitted anew: registration is off by
one. `python -m tests.benchmarks.realism everything --first 1`: with 3 the misoriented part of a crystal takes over half
of the tilts of the crystal beside it (natrolite: recall 0.17 for 0.72), as with 2; weak crystals (seed 1 of
`python -m tests.benchmarks.apertures weak`) are followed with a precision of 0.992, 0.982 without any bound."""


def needs_fit(scene: Scene, predicted: Scene, lasting: set[int]) -> bool:
    """Return whether a scan lacks a predicted crystal, has a stray one, or disagrees with its prediction."""
    if any(number not in lasting for number in scene):
        return bool(predicted)
    return any(number not in scene or cosine(scene[number], image) < AGREES for number, image in predicted.items())


def refit(
    segmentation: Segmentation,
    scene: Scene,
    predicted: Scene,
    support: dict[int, NDArray[np.float64]],
    *,
    iterations: int,
) -> tuple[Factors, list[int]]:
    """Fit the mixture from the predictions; tracks without a prediction keep their image as the start.

    A spot that fits the lattice of one crystal better than those of all others starts as that crystal's.
    """
    starts = {**scene, **predicted}
    names = sorted(starts)
    weights = np.stack([_start(starts[name], confined=name in predicted) for name in names], axis=1)
    arguments = (segmentation.counts, segmentation.amplitude, segmentation.spots.expected)
    prior = _members(names, support, len(segmentation.spots.px))
    patterns = factorise(*arguments, start=Factors(weights, prior), iterations=15, held="weights").patterns
    factors = factorise(*arguments, start=Factors(weights, patterns), iterations=iterations)
    return fill_holes(factors, segmentation.good), names


def _start(image: NDArray[np.float64], *, confined: bool) -> NDArray[np.float64]:
    """Return the weights (n_positions,) that a fit starts from: in a field of many tiles, around the region only."""
    weights = ndimage.gaussian_filter(image, 0.8) + FLOOR
    if confined:
        outline = outline_of(image)
        if outline.any():
            weights = np.where(ndimage.binary_dilation(outline, iterations=ASIDE), weights, 0.0)
    if not is_one_tile(image.shape):
        inside = window_to_fit(image, MARGIN).slices
        weights, whole = np.zeros(image.shape), weights
        weights[inside] = whole[inside]
    return np.asarray(weights).ravel()


def _members(names: list[int], support: dict[int, NDArray[np.float64]], n_spots: int) -> NDArray[np.float64]:
    """Return patterns (k, n_spots) to start from: a spot that one lattice supports is left to it."""
    values = np.array([support.get(name, np.zeros(n_spots)) for name in names])
    best = values.max(axis=0)
    taken = best > SUPPORTED
    share = np.where(taken & (values < 0.5 * best), STRANGE, 1.0)
    return np.asarray(share / max(1, n_spots))


def strangers(patterns: NDArray[np.float64], names: list[int], support: dict[int, NDArray[np.float64]]) -> set[int]:
    """Return the tracks of which much of the diffraction fits another track's lattice and not their own.

    ``patterns`` (k, n_spots) in the order of `names`.
    """
    if not support:
        return set()
    known = sorted(support)
    values = np.array([support[number] for number in known])
    best = values.argmax(axis=0)
    wrong = set()
    for pattern, name in zip(patterns, names, strict=True):
        own = support.get(name, np.zeros(len(pattern)))
        foreign = (values.max(axis=0) > SUPPORTED) & (own < 0.5 * values.max(axis=0))
        shares = np.bincount(best[foreign], weights=pattern[foreign], minlength=len(known))
        if shares.max() > FOREIGN:
            wrong.add(name)
    return wrong


def is_there(image: NDArray[np.float64], name: int, predicted: Scene, levels: dict[int, float]) -> bool:
    """Return whether a fitted image looks like its prediction and is not negligibly weak."""
    level = typical_weight(ndimage.gaussian_filter(image, 0.8))
    if name not in predicted:
        return level > 0
    return level > LEAST_LEVEL * levels[name] and cosine(image, predicted[name]) > LEAST_COSINE


def cosine(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    """Return the cosine of two images after light smoothing."""
    return cosine_of(smoothed(a), smoothed(b))


def smoothed(image: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return an image as it is compared, (n,)."""
    return np.asarray(ndimage.gaussian_filter(image, 1.0)).ravel()


def cosine_of(one: NDArray[np.float64], two: NDArray[np.float64]) -> float:
    """Return the cosine of two images that are smoothed."""
    return float(one @ two / max(float(np.linalg.norm(one) * np.linalg.norm(two)), 1e-12))
