"""The same crystal at every tilt: regions of all scans joined to tracks."""

import heapq
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tasks.apertures.register import ALIKE, Pair

ACCEPT = 0.45
"""Least mean similarity (0 to 1) at which two groups of regions are taken for the same crystal."""
NEAR = 2
"""Scans apart at which regions are compared: diffraction lasts no longer in coarse steps."""
SHAPE_ALONE = 0.2
"""Share of the score that regions of one shape have without any diffraction in common."""
ELSEWHERE = 0.25
"""By how much better two regions' shapes both fit to others, that they are not taken for the same crystal."""

Node = tuple[int, int]
"""(scan, region)."""


class Track(NamedTuple):
    """One crystal: scan index -> region."""

    regions: dict[int, int]


def join_regions(pairs: dict[tuple[int, int], Pair], counts: list[int]) -> list[Track]:
    """Group the regions of all scans, (scan, region) with `counts` regions per scan, to tracks.

    Agglomeration with average linkage over the pairs of near scans, best first; two regions of one scan are never
    joined. The order of the scans plays no part, so that a wrong link cannot drag a whole track along. Shape alone
    is not enough: a region must share its diffraction with its neighbours, or it starts a track of its own.
    """
    score = {
        ((earlier, k), (later, l)): float(pair.shape[k, l] * (SHAPE_ALONE + (1 - SHAPE_ALONE) * shared[k, l]))
        for (earlier, later), pair in pairs.items()
        if later - earlier <= NEAR
        for shared in [np.where(fits_elsewhere(pair.shape), 0.0, np.minimum(pair.likeness / ALIKE, 1.0))]
        for k in range(pair.shape.shape[0])
        for l in range(pair.shape.shape[1])
    }
    nodes = [(scan, region) for scan, count in enumerate(counts) for region in range(count)]
    groups = _agglomerate(score, nodes)
    return [Track(dict(sorted(group))) for group in groups]


def fits_elsewhere(shape: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Return (k, l): whether both regions of a pair have clearly better partners, by the overlaps (k, l) of near scans.

    A bright reflection that a part of a crystal has in one scan, and its parent a few degrees further on, makes the
    two diffract alike; but a region does not change its place with another one's between two scans.
    """
    if not shape.size:
        return np.zeros(shape.shape, dtype=bool)
    rows, columns = shape.max(axis=1, keepdims=True), shape.max(axis=0, keepdims=True)
    return np.asarray(np.minimum(rows, columns) > shape + ELSEWHERE)


def _agglomerate(score: dict[tuple[Node, Node], float], nodes: list[Node]) -> list[list[Node]]:
    groups: dict[int, list[Node]] = {index: [node] for index, node in enumerate(nodes)}
    number = {node: index for index, node in enumerate(nodes)}
    links: dict[int, dict[int, tuple[float, int]]] = {index: {} for index in groups}
    heap: list[tuple[float, int, int]] = []
    for (a, b), value in score.items():
        links[number[a]][number[b]] = links[number[b]][number[a]] = (value, 1)
        if value >= ACCEPT:
            heap.append((-value, number[a], number[b]))
    heapq.heapify(heap)
    following = len(nodes)
    while heap:
        _, one, two = heapq.heappop(heap)
        if one not in groups or two not in groups:
            continue
        members = groups[one] + groups[two]
        if len({scan for scan, _ in members}) < len(members):
            continue
        groups[following] = members
        links[following] = _join_links(links.pop(one), links.pop(two), {one, two})
        del groups[one], groups[two]
        for other, (total, count) in links[following].items():
            links[other].pop(one, None)
            links[other].pop(two, None)
            links[other][following] = (total, count)
            if total / count >= ACCEPT:
                heapq.heappush(heap, (-total / count, other, following))
        following += 1
    return [sorted(group) for _, group in sorted(groups.items())]


def _join_links(
    a: dict[int, tuple[float, int]], b: dict[int, tuple[float, int]], gone: set[int]
) -> dict[int, tuple[float, int]]:
    joined: dict[int, tuple[float, int]] = {}
    for links in (a, b):
        for other, (total, count) in links.items():
            if other not in gone:
                old = joined.get(other, (0.0, 0))
                joined[other] = (old[0] + total, old[1] + count)
    return joined
