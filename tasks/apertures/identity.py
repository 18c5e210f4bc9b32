"""Which crystal a track is, by the lattice of its reflections: wrong tracks cut, pieces of one crystal joined."""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from tasks.apertures.fingerprint import LEAST_SPOTS, Fingerprints, Region, fingerprint
from tasks.apertures.pictures import Pictures
from tasks.apertures.tracking import Track

SAME_LATTICE = 0.3
"""Likeness of fingerprints above which two pieces are one crystal (simulated: other crystals reach it 1 in 500)."""
JUST = SAME_LATTICE + 0.01
DOUBTFUL = 0.1
"""Between this and `SAME_LATTICE` the nearest scans of two pieces decide."""
BROKEN = ((0.15, 0), (0.12, 2), (0.09, 4))
"""Likeness of the scans on both sides below which a track has changed its crystal, and mixed scans between them."""
SURE_SPOTS = 60
"""Reflections of a window that may accuse a track."""
SHARED = 0.25
"""Share of the shorter piece's scans in which both may have a region: strays of another crystal."""
RIVAL = 0.75
"""Likeness to a third piece, over that of a pair, from which on it is a rival."""
PICTURED = 0.5
"""The same for a third piece whose pictures fit better."""
IN_PLACE = 0.7
"""Overlap of the pictures from which on a doubtful likeness suffices (simulated: 1 in 13 of such pairs is none)."""
CLEARLY = 0.2
"""By how much pictures fit better that decide."""
WINDOW = 4
"""Scans on either side of a possible break."""
NEAR = 6
"""Scans of a piece that are nearest to the other's: as many as make a chunk (`fingerprint.CHUNK`), within which alone
differences are taken. 3 and 12 change nothing in `python -m tests.benchmarks.apertures weak --seeds 1`."""
LEAST_SCANS = 3
"""Of both pieces, to look at the nearest scans."""


def cut_where_the_lattice_changes(tracks: Sequence[Track], prints: Fingerprints) -> list[Track]:
    """Return the tracks, cut between two scans if the reflections before and after belong to other lattices.

    Where one crystal passes before another, a region may hold both for some scans: they are left out.
    """
    return [piece for track in tracks for piece in _pieces(sorted(track.regions.items()), prints)]


def _pieces(regions: Sequence[Region], prints: Fingerprints) -> list[Track]:
    parts = [regions[first : first + WINDOW] for first in range(max(len(regions) - WINDOW + 1, 0))]
    windows = [prints.of(part) if prints.number(part) >= SURE_SPOTS else None for part in parts]
    best: tuple[float, int, int] | None = None
    for limit, mixed in BROKEN:
        for cut in range(WINDOW, len(regions) - WINDOW - mixed + 1):
            before, after = windows[cut - WINDOW], windows[cut + mixed]
            if before is None or after is None:
                continue
            excess = float(before @ after) / limit
            if excess < 1.0 and (best is None or excess < best[0]):
                best = (excess, cut, mixed)
        if best is not None:
            break
    if best is None:
        return [Track(dict(regions))]
    _, cut, mixed = best
    return _pieces(regions[:cut], prints) + _pieces(regions[cut + mixed :], prints)


def join_pieces(tracks: Sequence[Track], prints: Fingerprints, pictures: Pictures) -> list[Track]:
    """Join tracks that clearly have one lattice and hardly share a scan, the most alike first; longest come first.

    Where parts of one crystal a few degrees apart are nearly as alike, the places of the pieces decide. In a scan
    that two pieces share, the region with more reflections stays; the other becomes a track of its own.
    """
    groups = {
        number: list(track.regions.items())
        for number, track in enumerate(tracks)
        if prints.number(track.regions.items()) >= LEAST_SPOTS
    }

    def in_place(a: int, b: int) -> float | None:
        return pictures.alike(groups[a], groups[b])

    sums = {number: prints.differences(regions) for number, regions in groups.items()}
    known = {number: fingerprint(total) for number, total in sums.items()}
    likeness = {(a, b): _likeness(a, b, groups, known, prints, in_place) for a in groups for b in groups if a < b}
    following = len(tracks)
    spare: list[Track] = []
    while (pair := clearest_pair(likeness, in_place)) is not None:
        a, b = pair
        groups[following], left = _united(groups.pop(a), groups.pop(b), prints)
        spare += [Track(dict([region])) for region in left]
        sums[following] = sums.pop(a) + sums.pop(b)
        known[following] = fingerprint(sums[following])
        likeness = {pair: value for pair, value in likeness.items() if not {a, b} & set(pair)}
        likeness |= {
            (c, following): _likeness(c, following, groups, known, prints, in_place) for c in groups if c != following
        }
        following += 1
    few = [track for track in tracks if prints.number(track.regions.items()) < LEAST_SPOTS]
    return sorted(
        [*(Track(dict(sorted(group))) for group in groups.values()), *few, *spare], key=lambda t: -len(t.regions)
    )


def clearest_pair(
    likeness: dict[tuple[int, int], float], in_place: Callable[[int, int], float | None]
) -> tuple[int, int] | None:
    """Return the pair that is most alike of those that nothing speaks against; None if there is none.

    Against a pair speaks a rival: a third group that cannot be of the same crystal as the one, for they share scans,
    and is nearly as much like the other. Parts of one crystal a few degrees apart are such: the lattices do not
    decide, and the one of which the pictures fit better, by `in_place` (0 to 1, None if unknown), is taken.
    """
    for pair in sorted(likeness, key=lambda pair: -likeness[pair]):
        value = likeness[pair]
        if value <= SAME_LATTICE:
            return None
        others = {number for numbers in likeness for number in numbers} - set(pair)
        rivals = [
            (two, other, likeness[min(two, other), max(two, other)] / value)
            for one, two in (pair, pair[::-1])
            for other in sorted(others)
            if likeness[min(one, other), max(one, other)] < 0.0
        ]
        if not any(_beats(two, other, ratio, in_place, in_place(*pair)) for two, other, ratio in rivals):
            return pair
    return None


def _beats(
    two: int, other: int, ratio: float, in_place: Callable[[int, int], float | None], pictured: float | None
) -> bool:
    """Return whether a rival, `ratio` times as much like the one of a pair as its partner, forbids to join them."""
    if ratio <= PICTURED:
        return False
    rival = in_place(two, other)
    if pictured is None or rival is None or abs(rival - pictured) < CLEARLY:
        return ratio > RIVAL
    return rival > pictured


def _likeness(
    a: int,
    b: int,
    groups: dict[int, list[Region]],
    known: dict[int, NDArray[np.float32]],
    prints: Fingerprints,
    in_place: Callable[[int, int], float | None],
) -> float:
    """Return the likeness of two groups of regions; -1 if they share more scans than by mistake.

    Few reflections make a poor fingerprint: a doubtful likeness of regions in one place just suffices.
    """
    one, two = groups[a], groups[b]
    shared = len({scan for scan, _ in one} & {scan for scan, _ in two})
    if shared > SHARED * min(len(one), len(two)):
        return -1.0
    whole = float(known[a] @ known[b])
    if not DOUBTFUL < whole <= SAME_LATTICE:
        return whole
    if min(len(one), len(two)) >= LEAST_SCANS:
        near = [prints.of(_nearest(x, y)) for x, y in ((one, two), (two, one))]
        if near[0] is not None and near[1] is not None:
            whole = max(whole, float(near[0] @ near[1]))
    return max(whole, JUST) if (in_place(a, b) or 0.0) > IN_PLACE else whole


def _united(one: list[Region], two: list[Region], prints: Fingerprints) -> tuple[list[Region], list[Region]]:
    """Return the regions of two groups, one for each scan, and those left over."""
    kept: dict[int, Region] = {}
    left = []
    for region in sorted([*one, *two], key=lambda region: -prints.number([region])):
        if region[0] in kept:
            left.append(region)
        else:
            kept[region[0]] = region
    return sorted(kept.values()), left


def _nearest(regions: list[Region], others: list[Region]) -> list[Region]:
    scans = np.array([scan for scan, _ in others])
    return sorted(regions, key=lambda region: int(np.abs(scans - region[0]).min()))[:NEAR]
