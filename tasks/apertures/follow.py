"""Scans fitted again with what their neighbours know: crystals that merged, hid or were too weak on their own."""

from itertools import combinations
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from tasks.apertures.factorise import Factors, factorise
from tasks.apertures.fingerprint import SUPPORTED, Fingerprints, Region
from tasks.apertures.geometry import TiltGeometry
from tasks.apertures.masks import typical_weight
from tasks.apertures.segment import Segmentation
from tasks.apertures.similarity import moved
from tasks.apertures.tracking import Track

AROUND = 6
"""Scans before and after that tell a crystal's lattice."""
BLOCK = 3
FOREIGN = 0.25
"""Share of a region's diffraction that fits another crystal's lattice only, above which the region is in doubt."""
STRANGE = 0.02
"""Of a spot's electrons that a crystal starts with if another's lattice explains the spot."""
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
    """Per scan, what each track's crystal contributes; and the segmentations with factors in the order of `owners`.

    ``doubtful``: tracks of which a region holds much of another crystal's diffraction: no aperture there.
    """

    scenes: list[Scene]
    segmentations: list[Segmentation]
    owners: list[list[int]]
    doubtful: list[set[int]]


def follow(
    segmentations: list[Segmentation],
    tracks: list[Track],
    offsets: NDArray[np.float64],
    *,
    tilt_deg: NDArray[np.float64],
    geometry: TiltGeometry,
    iterations: int,
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
    followed = Followed(_scenes(fitted, owners), fitted, owners, [set() for _ in fitted])
    for _ in range(ROUNDS):
        prints = Fingerprints(followed.segmentations, tilt_deg, geometry)
        _sweep(followed, offsets, lattice_supports(followed.owners, prints), iterations=iterations)
        joined = _join_duplicates(followed)
        if joined is None:
            break
        followed = joined
    return followed


def lattice_supports(owners: list[list[int]], prints: Fingerprints) -> list[dict[int, NDArray[np.float64]]]:
    """Return, per scan, track number -> (n_spots,) support of every spot by the track's lattice, where that is known.

    The lattice is that of the scans around, not of the scan itself (nor of those of its `BLOCK`, to save time).
    """
    made: list[dict[int, NDArray[np.float64]]] = []
    for first in range(0, len(owners), BLOCK):
        block = range(first, min(first + BLOCK, len(owners)))
        regions: dict[int, list[Region]] = {}
        for scan in [*range(max(0, first - AROUND), first), *range(block.stop, min(block.stop + AROUND, len(owners)))]:
            for column, number in enumerate(owners[scan]):
                regions.setdefault(number, []).append((scan, column))
        for scan in block:
            found = {number: prints.support(scan, group) for number, group in sorted(regions.items())}
            made.append({number: support for number, support in found.items() if support is not None})
    return made


def _sweep(
    followed: Followed,
    offsets: NDArray[np.float64],
    supports: list[dict[int, NDArray[np.float64]]],
    *,
    iterations: int,
) -> None:
    """Go up and down the tilts once; updates in place."""
    scenes, segmentations, owners, doubtful = followed
    seen: dict[int, list[float]] = {}
    for scene in scenes:
        for number, image in scene.items():
            seen.setdefault(number, []).append(typical_weight(image))
    least = min(SPURIOUS, len(scenes))
    levels = {number: float(np.median(values)) for number, values in seen.items() if len(values) >= least}
    for scan in [*range(len(scenes)), *reversed(range(len(scenes)))]:
        predicted = _predictions(scenes, scan, offsets, set(levels))
        support = {number: values for number, values in supports[scan].items() if number in levels}
        doubtful[scan] = _strangers(segmentations[scan], owners[scan], support)
        if not (doubtful[scan] or _needs_fit(scenes[scan], predicted, set(levels))):
            continue
        factors, names = _refit(segmentations[scan], scenes[scan], predicted, support, iterations=iterations)
        fitted = segmentations[scan]._replace(factors=factors)
        kept = [i for i, name in enumerate(names) if _is_there(_image(fitted, i), name, predicted, levels)]
        doubtful[scan] = _strangers(fitted, names, support)
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
    doubtful = [{one if number == other else number for number in names} for names in followed.doubtful]
    joined = Followed(_scenes(segmentations, owners), segmentations, owners, doubtful)
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


def _refit(
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
    weights = np.stack([ndimage.gaussian_filter(starts[name], 0.8).ravel() + 1e-3 for name in names], axis=1)
    arguments = (segmentation.counts, segmentation.amplitude, segmentation.spots.expected)
    prior = _members(names, support, len(segmentation.spots.px))
    patterns = factorise(*arguments, start=Factors(weights, prior), iterations=15, held="weights").patterns
    return factorise(*arguments, start=Factors(weights, patterns), iterations=iterations), names


def _members(names: list[int], support: dict[int, NDArray[np.float64]], n_spots: int) -> NDArray[np.float64]:
    """Return patterns (k, n_spots) to start from: a spot that one lattice supports is left to it."""
    values = np.array([support.get(name, np.zeros(n_spots)) for name in names])
    best = values.max(axis=0)
    taken = best > SUPPORTED
    share = np.where(taken & (values < 0.5 * best), STRANGE, 1.0)
    return np.asarray(share / max(1, n_spots))


def _strangers(segmentation: Segmentation, names: list[int], support: dict[int, NDArray[np.float64]]) -> set[int]:
    """Return the tracks of which much of the diffraction fits another track's lattice and not their own."""
    if len(support) < 2:
        return set()
    known = sorted(support)
    values = np.array([support[number] for number in known])
    best = values.argmax(axis=0)
    wrong = set()
    for pattern, name in zip(segmentation.factors.patterns, names, strict=True):
        own = support.get(name, np.zeros(len(pattern)))
        foreign = (values.max(axis=0) > SUPPORTED) & (own < 0.5 * values.max(axis=0))
        shares = np.bincount(best[foreign], weights=pattern[foreign], minlength=len(known))
        if shares.max() > FOREIGN:
            wrong.add(name)
    return wrong


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
