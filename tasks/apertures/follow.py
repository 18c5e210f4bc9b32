"""Scans fitted again with what their neighbours know: crystals that merged, hid or were too weak on their own."""

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
    """Sweep up and down the tilts; fit a scan anew where a crystal is missing or disagrees with its neighbours.

    The predicted images, moved by the registration, are the start of the mixture model, so that a crystal keeps its
    number. What is fitted counts only if it looks like its prediction and is not negligibly weak: otherwise there
    is a gap.
    """
    scenes: list[Scene] = [{} for _ in segmentations]
    for number, track in enumerate(tracks):
        for scan, region in track.regions.items():
            scenes[scan][number] = _image(segmentations[scan], region)
    lasting = {number for number, track in enumerate(tracks) if len(track.regions) >= min(SPURIOUS, len(segmentations))}
    levels = {
        number: float(np.median([typical_weight(scenes[scan][number]) for scan in tracks[number].regions]))
        for number in lasting
    }
    fitted = list(segmentations)
    owners = [list(scene) for scene in scenes]
    for scan, scene in enumerate(scenes):  # columns of the factors in the order of the owners
        columns = [tracks[number].regions[scan] for number in scene]
        fitted[scan] = _with_columns(segmentations[scan], columns)
    order = [*range(len(scenes)), *reversed(range(len(scenes)))]
    for scan in order:
        predicted = _predictions(scenes, scan, offsets, lasting)
        if not _needs_fit(scenes[scan], predicted, lasting):
            continue
        factors, names = _refit(segmentations[scan], scenes[scan], predicted, iterations=iterations)
        kept = [
            i for i, name in enumerate(names) if _is_there(factors, i, name, predicted, levels, segmentations[scan])
        ]
        fitted[scan] = segmentations[scan]._replace(factors=Factors(factors.weights[:, kept], factors.patterns[kept]))
        owners[scan] = [names[i] for i in kept]
        scenes[scan] = {names[i]: _image(fitted[scan], column) for column, i in enumerate(kept)}
    return Followed(scenes, fitted, owners)


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


def _is_there(
    factors: Factors,
    column: int,
    name: int,
    predicted: Scene,
    levels: dict[int, float],
    segmentation: Segmentation,
) -> bool:
    image = factors.weights[:, column].reshape(segmentation.good.shape)
    level = typical_weight(ndimage.gaussian_filter(image, 0.8))
    if name not in predicted:
        return level > 0
    return level > LEAST_LEVEL * levels[name] and cosine(image, predicted[name]) > LEAST_COSINE


def _image(segmentation: Segmentation, region: int) -> NDArray[np.float64]:
    return segmentation.factors.weights[:, region].reshape(segmentation.good.shape)


def _with_columns(segmentation: Segmentation, columns: list[int]) -> Segmentation:
    factors = segmentation.factors
    return segmentation._replace(factors=Factors(factors.weights[:, columns], factors.patterns[columns]))
