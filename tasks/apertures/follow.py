"""Scans fitted again with what their neighbours know: crystals that merged, hid or were too weak on their own."""

from collections.abc import Sequence
from functools import partial
from itertools import combinations
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tasks.apertures.at_once import at_once
from tasks.apertures.factorise import Factors
from tasks.apertures.fingerprint import Fingerprints, Region, reciprocal_vectors
from tasks.apertures.geometry import TiltGeometry
from tasks.apertures.identity import cut_where_the_lattice_changes, join_pieces
from tasks.apertures.pictures import Pictures
from tasks.apertures.refit import cosine_of, is_there, needs_fit, refit, smoothed, strangers
from tasks.apertures.scenes import Scene, Scenes
from tasks.apertures.segmentation import Segmentation, lay_images
from tasks.apertures.similarity import moved
from tasks.apertures.tracking import Track

AROUND = 6
"""Scans behind that tell a crystal's lattice."""
SURE = 90
"""Reflections in these scans, with which their lattice is known without the scans beyond."""
BLOCK = 3
"""Scans that share the lattices known from outside. `python -m tests.benchmarks.apertures weak --seeds 1` is precise to
0.982; with 1 to 0.979, with 6 to 0.977."""
REACH = 4
"""A crystal is predicted from scans at most so far away."""
ENOUGH = 1500.0
"""Electrons of a crystal's reflections on either side of a scan that predict its image there."""
SINGLE = 0.3
"""Confidence where a crystal is known from one scan, or from its neighbouring scans only."""
ROUNDS = 3
"""At most. Chosen, not measured: 1, 2 and 6 change nothing in that benchmark. A bound on time where joins go on."""
SAME_DIFFRACTION = 0.5
"""Of the Bhattacharyya coefficient, 1 for equal patterns. Chosen, not measured: 0.3 and 0.7 change nothing in that
benchmark; lower joins crystals that share strong spots, higher leaves pieces that grew into each other apart."""
SPURIOUS = 3
"""Tracks of fewer scans do not predict."""


class Followed(NamedTuple):
    """The segmentations with regions in the order of `owners`, the tracks that are in each scan.

    ``doubtful``: tracks of which a region holds much of another crystal's diffraction: no aperture there; ``scenes``:
    what each track's crystal contributes to each scan.
    """

    segmentations: list[Segmentation]
    owners: list[list[int]]
    doubtful: list[set[int]]
    scenes: Scenes

    @property
    def scan_shape(self) -> tuple[int, int]:
        """Rows and columns of a scan."""
        return self.segmentations[0].scan_shape

    @classmethod
    def of(cls, segmentations: list[Segmentation], owners: list[list[int]], doubtful: list[set[int]]) -> "Followed":
        """Return what these lists, which may change, say."""
        return cls(segmentations, owners, doubtful, Scenes(segmentations, owners))


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
    vectors = reciprocal_vectors(segmentations, tilt_deg, geometry)
    followed = _followed(segmentations, tracks)
    followed = _rounds(followed, offsets, vectors, iterations=iterations)
    anew = _named_anew(followed, offsets, vectors)
    if anew is None:
        return followed
    return _rounds(anew, offsets, vectors, iterations=iterations)


def _rounds(
    followed: Followed, offsets: NDArray[np.float64], vectors: list[NDArray[np.float64]], *, iterations: int
) -> Followed:
    """Sweep up and down the tilts until no tracks are joined any more."""
    upwards = list(range(len(followed.scenes)))
    for _ in range(ROUNDS):
        again = False
        for order in (upwards, upwards[::-1]):
            _sweep(followed, offsets, vectors, order, iterations=iterations)
            joined = _join_duplicates(followed)
            if joined is not None:
                followed, again = joined, True
        if not again:
            break
    return followed


def _followed(segmentations: list[Segmentation], tracks: list[Track]) -> Followed:
    fitted, owners = [], []
    for scan, segmentation in enumerate(segmentations):
        columns = {number: track.regions[scan] for number, track in enumerate(tracks) if scan in track.regions}
        fitted.append(segmentation.with_columns(list(columns.values())))
        owners.append(list(columns))
    return Followed.of(fitted, owners, [set() for _ in fitted])


def _named_anew(
    followed: Followed, offsets: NDArray[np.float64], vectors: list[NDArray[np.float64]]
) -> Followed | None:
    """Cut the tracks where their lattices change and join the pieces, without doubtful regions; None if all stays."""
    found: dict[int, dict[int, int]] = {}
    for scan, (names, doubtful) in enumerate(zip(followed.owners, followed.doubtful, strict=True)):
        for column, name in enumerate(names):
            if name not in doubtful:
                found.setdefault(name, {})[scan] = column
    prints = Fingerprints(followed.segmentations, vectors)
    tracks = [Track(regions) for _, regions in sorted(found.items())]
    pieces = cut_where_the_lattice_changes(tracks, prints)
    if len(pieces) == len(tracks):
        return None
    pictures = Pictures(followed.segmentations, offsets)
    return _followed(followed.segmentations, join_pieces(pieces, prints, pictures))


def _supports(
    followed: Followed, order: list[int], first: int, vectors: list[NDArray[np.float64]]
) -> list[dict[int, NDArray[np.float64]]]:
    """Return, per scan of the block at `first`, track number -> (n_spots,) support of every spot by its lattice.

    The lattice is that of the scans behind, which are settled; those beyond help where these have few reflections.
    """
    block = order[first : first + BLOCK]
    behind, beyond = order[max(0, first - AROUND) : first], order[first + BLOCK : first + BLOCK + AROUND]
    scans = [*behind, *block, *beyond]
    prints = Fingerprints([followed.segmentations[scan] for scan in scans], [vectors[scan] for scan in scans])
    groups: dict[int, list[Region]] = {}
    for scan in [*behind, *beyond]:
        for column, number in enumerate(followed.owners[scan]):
            group = groups.setdefault(number, [])
            enough = scan in beyond and prints.number(group) >= SURE
            if number not in followed.doubtful[scan] and not enough:
                group.append((scans.index(scan), column))
    made = []
    for scan in block:
        found = {number: prints.support(scans.index(scan), group) for number, group in sorted(groups.items())}
        made.append({number: support for number, support in found.items() if support is not None})
    return made


def _sweep(
    followed: Followed,
    offsets: NDArray[np.float64],
    vectors: list[NDArray[np.float64]],
    order: list[int],
    *,
    iterations: int,
) -> None:
    """Go through the scans once, in the given order; what lies behind is known. Updates in place."""
    seen: dict[int, list[float]] = {}
    for segmentation, numbers in zip(followed.segmentations, followed.owners, strict=True):
        for number, region in zip(numbers, segmentation.regions, strict=True):
            seen.setdefault(number, []).append(region.level)
    least = min(SPURIOUS, len(order))
    levels = {number: float(np.median(values)) for number, values in seen.items() if len(values) >= least}
    for first in range(0, len(order), BLOCK):
        supports = _supports(followed, order, first, vectors)
        for scan, support in zip(order[first : first + BLOCK], supports, strict=True):
            known = {number: values for number, values in support.items() if number in levels}
            _revise(followed, scan, offsets, known, levels, iterations=iterations)


def _revise(
    followed: Followed,
    scan: int,
    offsets: NDArray[np.float64],
    support: dict[int, NDArray[np.float64]],
    levels: dict[int, float],
    *,
    iterations: int,
) -> None:
    segmentations, owners, doubtful, scenes = followed
    predicted = _predictions(scenes, scan, offsets, set(levels))
    if support:
        doubtful[scan] = strangers(segmentations[scan].patterns, owners[scan], support)
    if not (doubtful[scan] or needs_fit(scenes[scan], predicted, set(levels))):
        return
    factors, names = refit(segmentations[scan], scenes[scan], predicted, support, iterations=iterations)
    images = np.moveaxis(factors.weights.reshape(*segmentations[scan].scan_shape, -1), -1, 0)
    kept = [i for i, name in enumerate(names) if is_there(images[i], name, predicted, levels)]
    doubtful[scan] = strangers(factors.patterns, names, support)
    segmentations[scan] = segmentations[scan].with_factors(Factors(factors.weights[:, kept], factors.patterns[kept]))
    owners[scan] = [names[i] for i in kept]


def _join_duplicates(followed: Followed) -> Followed | None:
    """Join tracks whose regions diffract alike in the scans they share; None if there are none.

    Different crystals share a spot only by chance; the Bhattacharyya coefficient of their patterns stays small.
    """
    shared: dict[tuple[int, int], list[float]] = {}
    for segmentation, present in zip(followed.segmentations, followed.owners, strict=True):
        root = np.sqrt(segmentation.patterns)
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
    joined = Followed.of(segmentations, owners, doubtful)
    return _join_duplicates(joined) or joined


def _added(segmentation: Segmentation, one: int, other: int) -> Segmentation:
    """Return the segmentation with one region added to another."""
    patterns, regions = segmentation.patterns.copy(), list(segmentation.regions)
    share = segmentation.electrons[[one, other]]
    patterns[one] = (share @ patterns[[one, other]]) / max(float(share.sum()), 1e-12)
    image = regions[one].image() + regions[other].image()
    (regions[one],) = lay_images(segmentation.held.shelf, [image], [float(share.sum())])
    kept = [column for column in range(len(regions)) if column != other]
    return segmentation._replace(patterns=patterns[kept], regions=tuple(regions[column] for column in kept))


def prediction(
    scenes: Sequence[Scene], number: int, scan: int, offsets: NDArray[np.float64], *, reach: int = REACH
) -> NDArray[np.float64] | None:
    """Return a track's image as its nearest scans on either side have it, moved by the registration; None if none.

    The nearest one of a side, and those behind it until they hold `ENOUGH` electrons: a few do not make a picture.
    """
    images, weights = [], []
    for direction in (-1, 1):
        electrons = 0.0
        for distance in range(1, reach + 1):
            other = scan + direction * distance
            if electrons < ENOUGH and 0 <= other < len(scenes) and number in scenes[other]:
                shift = np.rint(offsets[scan] - offsets[other]).astype(np.int64)
                images.append(moved(scenes[other][number][None], shift)[0])
                weights.append(1.0 / distance)
                electrons += float(scenes[other][number].sum())
    return np.average(images, axis=0, weights=weights) if images else None


def confidences(followed: Followed, offsets: NDArray[np.float64], n_tracks: int) -> NDArray[np.float64]:
    """Return (n_tracks, n_scans) in [0, 1]: how far a crystal is where and what its neighbouring scans say.

    Cosine with the prediction, less half of the cosine with the nearest rival's prediction, scaled so that complete
    agreement without a rival is 1; 0 where there is a gap, 0.3 at most for a crystal seen in a single scan.
    """
    out = np.zeros((n_tracks, len(followed.scenes)))
    for scan, found in enumerate(at_once(partial(_confidence, followed, offsets), range(len(followed.scenes)))):
        for number, value in found.items():
            out[number, scan] = value
    return out


def _confidence(followed: Followed, offsets: NDArray[np.float64], scan: int) -> dict[int, float]:
    """Return how far each track of one scan is where its neighbouring scans say."""
    scene, found = followed.scenes[scan], {}
    predictions = {number: prediction(followed.scenes, number, scan, offsets) for number in scene}
    predicted = {number: smoothed(image) for number, image in predictions.items() if image is not None}
    for number, image in scene.items():
        own_image = smoothed(image)
        cosines = {other: cosine_of(own_image, one) for other, one in predicted.items()}
        own = cosines.pop(number, None)
        rival = max([0.0, *cosines.values()])
        found[number] = SINGLE if own is None else float(np.clip((own - 0.5 * rival) / (1.0 - 0.5 * rival), 0.0, 1.0))
    return found


def _predictions(
    scenes: Sequence[Scene], scan: int, offsets: NDArray[np.float64], lasting: set[int]
) -> dict[int, NDArray[np.float64]]:
    found = {number: prediction(scenes, number, scan, offsets) for number in sorted(lasting)}
    return {number: image for number, image in found.items() if image is not None and image.sum() > 0}
