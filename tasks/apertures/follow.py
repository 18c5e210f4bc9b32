"""Scans fitted again with what their neighbours know: crystals that merged, hid or were too weak on their own."""

from itertools import combinations
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from tasks.apertures.factorise import Factors, factorise, fit_patterns
from tasks.apertures.masks import typical_weight
from tasks.apertures.segment import Segmentation
from tasks.apertures.similarity import moved
from tasks.apertures.tracking import Track

REACH = 4
"""A crystal is predicted from scans at most so far away."""
AGREES = 0.85
"""Cosine of a region with its prediction above which a scan needs no new fit."""
SINGLE = 0.3
LEAST_COSINE = 0.5
LEAST_LEVEL = 0.08
ROUNDS = 3
SAME_DIFFRACTION = 0.5
SPURIOUS = 3
"""Tracks of fewer scans do not predict."""

Scene = dict[int, NDArray[np.float64]]
"""Track number -> image (ny, nx) in electrons per position, of one scan."""


class Followed(NamedTuple):
    """Per scan, what each track's crystal contributes; and the segmentations with factors in the order of `owners`."""

    scenes: list[Scene]
    segmentations: list[Segmentation]
    owners: list[list[int]]


def follow(
    segmentations: list[Segmentation], tracks: list[Track], offsets: NDArray[np.float64], *, iterations: int
) -> Followed:
    """Fit scans anew where a crystal is missing or disagrees with its neighbours; join tracks of one crystal.

    The predicted images, moved by the registration, are the start of the mixture model, so that a crystal keeps its
    number. What is fitted counts only if it looks like its prediction and is not negligibly weak: otherwise there
    is a gap. Pieces of one track grow into each other and are known by their equal diffraction: they are joined.
    """
    fitted = []
    for scan, segmentation in enumerate(segmentations):
        columns = {number: track.regions[scan] for number, track in enumerate(tracks) if scan in track.regions}
        fitted.append(_with_columns(segmentation, list(columns.values())))
    owners = [[number for number, track in enumerate(tracks) if scan in track.regions] for scan in range(len(fitted))]
    followed = Followed(_scenes(fitted, owners), fitted, owners)
    for _ in range(ROUNDS):
        _sweep(followed, offsets, iterations=iterations)
        joined = _join_duplicates(followed)
        if joined is None:
            break
        followed = joined
    return followed


def _sweep(followed: Followed, offsets: NDArray[np.float64], *, iterations: int) -> None:
    """Go up and down the tilts once; updates in place."""
    scenes, segmentations, owners = followed
    seen: dict[int, list[float]] = {}
    for scene in scenes:
        for number, image in scene.items():
            seen.setdefault(number, []).append(typical_weight(image))
    least = min(SPURIOUS, len(scenes))
    levels = {number: float(np.median(values)) for number, values in seen.items() if len(values) >= least}
    for scan in [*range(len(scenes)), *reversed(range(len(scenes)))]:
        predicted = _predictions(scenes, scan, offsets, set(levels))
        if not _needs_fit(scenes[scan], predicted, set(levels)):
            continue
        factors, names = _refit(segmentations[scan], scenes[scan], predicted, iterations=iterations)
        fitted = segmentations[scan]._replace(factors=factors)
        kept = [i for i, name in enumerate(names) if _is_there(_image(fitted, i), name, predicted, levels)]
        segmentations[scan] = _with_columns(fitted, kept)
        owners[scan] = [names[i] for i in kept]
        scenes[scan] = {names[i]: _image(fitted, i) for i in kept}


def _join_duplicates(followed: Followed) -> Followed | None:
    """Join tracks whose regions diffract alike in the scans they share; None if there are none.

    Different crystals share a spot only by chance; the Bhattacharyya coefficient of their patterns stays small.
    """
    shared: dict[tuple[int, int], list[float]] = {}
    for segmentation, present in zip(followed.segmentations, followed.owners, strict=True):
        root = np.sqrt(segmentation.factors.patterns)
        for (i, a), (j, b) in combinations(enumerate(present), 2):
            shared.setdefault((min(a, b), max(a, b)), []).append(float(root[i] @ root[j]))
    alike = {pair: float(np.mean(values)) for pair, values in shared.items() if np.mean(values) > SAME_DIFFRACTION}
    if not alike:
        return None
    one, other = max(alike, key=lambda pair: alike[pair])
    segmentations: list[Segmentation] = []
    owners: list[list[int]] = []
    for segmentation, numbers in zip(followed.segmentations, followed.owners, strict=True):
        if one in numbers and other in numbers:
            segmentations.append(_added(segmentation, numbers.index(one), numbers.index(other)))
            owners.append([number for number in numbers if number != other])
        else:
            segmentations.append(segmentation)
            owners.append([one if number == other else number for number in numbers])
    joined = Followed(_scenes(segmentations, owners), segmentations, owners)
    return _join_duplicates(joined) or joined


def _added(segmentation: Segmentation, one: int, other: int) -> Segmentation:
    """Return the segmentation with one region added to another."""
    weights, patterns = segmentation.factors.weights.copy(), segmentation.factors.patterns.copy()
    share = weights[:, [one, other]].sum(axis=0)
    patterns[one] = (share @ patterns[[one, other]]) / max(float(share.sum()), 1e-12)
    weights[:, one] += weights[:, other]
    kept = [column for column in range(weights.shape[1]) if column != other]
    return segmentation._replace(factors=Factors(weights[:, kept], patterns[kept]))


def prediction(
    scenes: list[Scene], number: int, scan: int, offsets: NDArray[np.float64], *, reach: int = REACH
) -> NDArray[np.float64] | None:
    """Return a track's image as its nearest scans on either side have it, moved by the registration; None if none."""
    images = []
    for direction in (-1, 1):
        for distance in range(1, reach + 1):
            other = scan + direction * distance
            if 0 <= other < len(scenes) and number in scenes[other]:
                shift = np.rint(offsets[scan] - offsets[other]).astype(np.int64)
                images.append(moved(scenes[other][number][None], shift)[0])
                break
    return np.mean(images, axis=0) if images else None


def confidences(followed: Followed, offsets: NDArray[np.float64], n_tracks: int) -> NDArray[np.float64]:
    """Return (n_tracks, n_scans) in [0, 1]: how far a crystal is where and what its neighbouring scans say.

    Cosine with the prediction, less half of the cosine with the nearest rival's prediction, scaled so that complete
    agreement without a rival is 1; 0 where there is a gap, 0.3 at most for a crystal seen in a single scan.
    """
    out = np.zeros((n_tracks, len(followed.scenes)))
    for scan, scene in enumerate(followed.scenes):
        predicted = {number: prediction(followed.scenes, number, scan, offsets) for number in scene}
        for number, image in scene.items():
            cosines = {other: cosine(image, p) for other, p in predicted.items() if p is not None}
            own = cosines.pop(number, None)
            if own is None:
                out[number, scan] = SINGLE
            else:
                rival = max([0.0, *cosines.values()])
                out[number, scan] = np.clip((own - 0.5 * rival) / (1.0 - 0.5 * rival), 0.0, 1.0)
    return out


def cosine(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    """Return the cosine of two images after light smoothing."""
    one, two = ndimage.gaussian_filter(a, 1.0).ravel(), ndimage.gaussian_filter(b, 1.0).ravel()
    return float(one @ two / max(float(np.linalg.norm(one) * np.linalg.norm(two)), 1e-12))


def _predictions(scenes: list[Scene], scan: int, offsets: NDArray[np.float64], lasting: set[int]) -> Scene:
    found = {number: prediction(scenes, number, scan, offsets) for number in sorted(lasting)}
    return {number: image for number, image in found.items() if image is not None and image.sum() > 0}


def _needs_fit(scene: Scene, predicted: Scene, lasting: set[int]) -> bool:
    if any(number not in lasting for number in scene):
        return bool(predicted)
    return any(number not in scene or cosine(scene[number], image) < AGREES for number, image in predicted.items())


def _refit(segmentation: Segmentation, scene: Scene, predicted: Scene, *, iterations: int) -> tuple[Factors, list[int]]:
    """Fit the mixture from the predictions; tracks without a prediction keep their image as the start."""
    starts = {**scene, **predicted}
    names = sorted(starts)
    weights = np.stack([ndimage.gaussian_filter(starts[name], 0.8).ravel() + 1e-3 for name in names], axis=1)
    arguments = (segmentation.counts, segmentation.amplitude, segmentation.spots.expected)
    flat = np.full((len(names), len(segmentation.spots.px)), 1.0 / max(1, len(segmentation.spots.px)))
    patterns = fit_patterns(*arguments, start=Factors(weights, flat), iterations=15)
    return factorise(*arguments, start=Factors(weights, patterns), iterations=iterations), names


def _is_there(image: NDArray[np.float64], name: int, predicted: Scene, levels: dict[int, float]) -> bool:
    level = typical_weight(ndimage.gaussian_filter(image, 0.8))
    if name not in predicted:
        return level > 0
    return level > LEAST_LEVEL * levels[name] and cosine(image, predicted[name]) > LEAST_COSINE


def _scenes(segmentations: list[Segmentation], owners: list[list[int]]) -> list[Scene]:
    return [
        {number: _image(segmentation, column) for column, number in enumerate(numbers)}
        for segmentation, numbers in zip(segmentations, owners, strict=True)
    ]


def _image(segmentation: Segmentation, region: int) -> NDArray[np.float64]:
    return segmentation.factors.weights[:, region].reshape(segmentation.good.shape)


def _with_columns(segmentation: Segmentation, columns: list[int]) -> Segmentation:
    factors = segmentation.factors
    return segmentation._replace(factors=Factors(factors.weights[:, columns], factors.patterns[columns]))
