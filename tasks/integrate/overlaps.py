"""Reflections of several twin domains measured as one: what SHELX's HKLF 5 lists, and what to solve a structure from.

The domains of a non-merohedral twin have one structure and different orientations. Some of their reflections fall on
one place of the detector: one intensity is then the sum over domains of fraction x F^2, each with indices of its own.
"""

from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tasks.integrate.reflection_file import Unmerged
from tasks.model import FileRef

TURNS = 100
"""Of the separation. On random lists of two domains with 30, 60 and 90 % of the reflections overlapped the correlation
with the true F^2 is 0.991, 0.988 and 0.977, and no more than 0.002 higher after 300 turns."""
UNSURE = 0.5
"""Relative error of the part of an overlapped intensity that is taken for the others'. Chosen, not measured:
intensities of one shell scatter by their own size, and a sum tells half of that."""
LEAST_FRACTION = 0.02
"""Of the largest domain, below which the reflections of a domain alone tell nothing: noise divided by a small number.
Chosen, not measured."""
FLOOR = 0.1
"""Relative sigma at least of an intensity in the separation, so that strong ones do not rule alone. Chosen, not
measured."""


class DomainOverlaps(NamedTuple):
    """Observations (g,) and the reflections that each is the sum of (n,): hkl (n, 3) in the axes of its own domain."""

    hkl: NDArray[np.int32]
    domain: NDArray[np.int32]
    """From 1."""
    observation: NDArray[np.int32]
    """Index of the observation that a reflection belongs to."""
    intensity: NDArray[np.float64]
    sigma: NDArray[np.float64]

    @property
    def domains(self) -> int:
        """How many there are."""
        return int(self.domain.max(initial=1))

    @property
    def overlapped(self) -> int:
        """How many observations are of more than one reflection."""
        return int(np.count_nonzero(np.bincount(self.observation, minlength=len(self.intensity)) > 1))

    def reindexed(self, hkl: NDArray[np.int32]) -> "DomainOverlaps":
        """Return the same with other indices, (n, 3)."""
        return self._replace(hkl=np.ascontiguousarray(hkl, dtype=np.int32))

    def chosen(self, kept: NDArray[np.bool_]) -> "DomainOverlaps":
        """Return the observations chosen, (g,) bool, with all of their reflections."""
        rows = kept[self.observation]
        place = np.cumsum(kept) - 1
        return DomainOverlaps(
            self.hkl[rows],
            self.domain[rows],
            place[self.observation[rows]].astype(np.int32),
            self.intensity[kept],
            self.sigma[kept],
        )


class Separated(NamedTuple):
    """Intensities of single reflections on the scale of the whole crystal, and the fractions of the domains."""

    data: Unmerged
    fractions: tuple[float, ...]


def separated(overlaps: DomainOverlaps) -> Separated:
    """Share each intensity out to its reflections, to solve a structure from; refinement takes the sums as measured.

    F^2 of each reflection (Friedel mates are one) and the fractions are fitted to all observations, both kept positive,
    by the multiplicative steps of weighted least squares (Lee & Seung, Adv. Neural Inf. Process. Syst. 13, 556, 2001).
    A reflection measured alone keeps its intensity over the fraction of its domain; of others the sigma includes how
    little a sum tells of its parts.
    """
    upper = (overlaps.hkl * [1_000_003, 1009, 1]).sum(axis=1) >= 0
    _, unique = np.unique(np.where(upper[:, None], overlaps.hkl, -overlaps.hkl), axis=0, return_inverse=True)
    unique = unique.ravel()
    fit = _fitted(overlaps, unique)
    part = fit.fractions[overlaps.domain - 1] * fit.f_sq[unique]
    total = np.bincount(overlaps.observation, part, len(overlaps.intensity))[overlaps.observation]
    share = np.divide(part, total, out=np.ones_like(part), where=total > 0)
    own = share * overlaps.intensity[overlaps.observation]
    spread = np.hypot(share * overlaps.sigma[overlaps.observation], UNSURE * np.minimum(part, total - part))
    scale = fit.fractions[overlaps.domain - 1]
    told = scale > fit.fractions.max() * LEAST_FRACTION
    n = int(np.count_nonzero(told))
    data = Unmerged(
        overlaps.hkl[told], own[told] / scale[told], spread[told] / scale[told], np.zeros(n), np.zeros(n, np.int32)
    )
    return Separated(data, tuple(float(x) for x in fit.fractions))


class _Fit(NamedTuple):
    f_sq: NDArray[np.float64]
    fractions: NDArray[np.float64]


def _fitted(overlaps: DomainOverlaps, unique: NDArray[np.int64]) -> _Fit:
    observed = np.maximum(overlaps.intensity, 0.0)
    weight = 1.0 / (
        overlaps.sigma**2 + (FLOOR * observed) ** 2 + 1e-12 * max(float(observed.max(initial=0.0)), 1.0) ** 2
    )
    members = np.bincount(overlaps.observation, minlength=len(observed))
    each = (observed / members)[overlaps.observation]
    f_sq = np.bincount(unique, each) / np.bincount(unique)
    f_sq = np.maximum(f_sq, 1e-6 * max(float(f_sq.mean()), 1e-12)) * overlaps.domains
    fractions = np.full(overlaps.domains, 1.0 / overlaps.domains)
    domain, of = overlaps.domain - 1, overlaps.observation

    def predicted() -> NDArray[np.float64]:
        part: NDArray[np.float64] = fractions[domain] * f_sq[unique]
        return np.bincount(of, part, len(observed)).astype(np.float64)

    for _ in range(TURNS):
        model = weight * predicted()
        up = np.bincount(unique, fractions[domain] * (weight * observed)[of])
        down = np.bincount(unique, fractions[domain] * model[of])
        f_sq = f_sq * np.divide(up, down, out=np.ones_like(up), where=down > 0)
        model = weight * predicted()
        up = np.bincount(domain, f_sq[unique] * (weight * observed)[of], overlaps.domains)
        down = np.bincount(domain, f_sq[unique] * model[of], overlaps.domains)
        fractions = fractions * np.divide(up, down, out=np.ones_like(up), where=down > 0)
        total = fractions.sum()
        fractions, f_sq = fractions / total, f_sq * total
    return _Fit(f_sq, fractions)


def write_overlaps(overlaps: DomainOverlaps, path: Path) -> FileRef:
    """Write an .npz file; equal tables give equal bytes."""
    with path.open("wb") as stream:
        np.savez(stream, **overlaps._asdict())
    return FileRef.of(path)


def read_overlaps(reference: FileRef) -> DomainOverlaps:
    """Read what `write_overlaps` wrote."""
    with np.load(reference.path, allow_pickle=False) as file:
        return DomainOverlaps(**{name: file[name] for name in DomainOverlaps._fields})
