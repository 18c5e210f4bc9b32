"""Apertures judged against the truth."""

from typing import NamedTuple

import h5py
import numpy as np


class Scores(NamedTuple):
    findable: int
    """Crystals with at least 30 clean positions in the mean over their tilts."""
    found: int
    """Of these, tracked over 90 % of the tilts at which they have clean positions."""
    swaps: int
    """Tilts at which an aperture lies more on another crystal than on the one of most tilts."""
    precision: float
    recall: float
    tracked: tuple[float, ...]
    extra: int
    """Apertures whose crystal has a better one, or that lie on none."""


def masks_of_set(apertures):
    out = []
    for crystal in apertures.crystals:
        with h5py.File(crystal.masks.path) as file:
            out.append(np.asarray(file["masks"]).astype(bool))
    return np.array(out)


def score_apertures(apertures, truth, *, least=30, traces=0.0) -> Scores:
    """Positions count as clean where one crystal alone has more thickness than `traces`."""
    masks = masks_of_set(apertures)
    clean = truth.clean(traces)
    hits = np.einsum("cthw,tkhw->ctk", masks.astype(int), (truth.thickness > 0).astype(int))
    pure = np.einsum("cthw,tkhw->ctk", masks.astype(int), clean.astype(int))
    owner = hits.sum(axis=1).argmax(axis=1)
    seen = masks.any(axis=(2, 3))
    on_owner = np.take_along_axis(hits, owner[:, None, None], axis=2)[..., 0]
    swaps = int((seen & (hits.max(axis=2) > on_owner)).sum())
    available = clean.sum(axis=(2, 3))
    findable = [
        k for k in range(clean.shape[1])
        if (available[:, k] > 0).any() and available[:, k][available[:, k] > 0].mean() >= least
    ]  # fmt: skip
    tracked, good_sum, mask_sum, avail_sum = [], 0, 0, 0
    best_of = {}
    for k in findable:
        mine = [c for c in range(len(masks)) if owner[c] == k]
        if not mine:
            tracked.append(0.0)
            avail_sum += available[:, k].sum()
            continue
        best = max(mine, key=lambda c: pure[c, :, k].sum())
        best_of[k] = best
        there = available[:, k] >= 5
        tracked.append(float((seen[best] & there).sum() / max(there.sum(), 1)))
        good_sum += pure[best, :, k].sum()
        mask_sum += masks[best].sum()
        avail_sum += available[:, k].sum()
    return Scores(
        findable=len(findable),
        found=sum(value >= 0.9 for value in tracked),
        swaps=swaps,
        precision=good_sum / max(mask_sum, 1),
        recall=good_sum / max(avail_sum, 1),
        tracked=tuple(round(value, 2) for value in tracked),
        extra=len(masks) - len(best_of),
    )
