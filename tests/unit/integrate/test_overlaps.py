"""Intensities of several twin domains, shared out."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

from tasks.integrate.overlaps import DomainOverlaps, read_overlaps, separated, write_overlaps


class Made(NamedTuple):
    """A list of two domains and the F^2 that it was made from."""

    overlaps: DomainOverlaps
    f_sq: dict[tuple[int, int, int], float]


def twin(*, fraction: float, overlapped: float, seed: int) -> Made:
    """Return a list of two domains of a random structure; reflections overlap at random, not by a law of symmetry."""
    rng = np.random.default_rng(seed)
    half = [(h, k, l) for h in range(-5, 6) for k in range(-5, 6) for l in range(6) if (l, k, h) > (0, 0, 0)]
    f_sq = dict(zip(half, rng.exponential(1.0, len(half)), strict=True))
    partners = rng.permutation(len(half))
    rows: list[tuple[tuple[int, int, int], int, int]] = []
    sums: list[float] = []
    for number, hkl in enumerate(half):
        partner = half[partners[number]]
        if rng.random() < overlapped:
            rows += [(hkl, 1, len(sums)), (partner, 2, len(sums))]
            sums.append((1 - fraction) * f_sq[hkl] + fraction * f_sq[partner])
        else:
            rows += [(hkl, 1, len(sums)), (partner, 2, len(sums) + 1)]
            sums += [(1 - fraction) * f_sq[hkl], fraction * f_sq[partner]]
    exact = np.array(sums)
    sigma = 0.05 * exact + 0.01
    columns = [np.array(column, dtype=np.int32) for column in zip(*rows, strict=True)]
    return Made(DomainOverlaps(*columns, exact + rng.normal(0.0, sigma), sigma), f_sq)


@pytest.mark.parametrize(("overlapped", "least"), [(0.3, 0.98), (0.9, 0.95)])
def test_shares_are_near_the_intensities_of_the_reflections_and_the_fraction_is_found(
    overlapped: float, least: float
) -> None:
    made = twin(fraction=0.35, overlapped=overlapped, seed=7)
    parts = separated(made.overlaps)
    true = np.array([made.f_sq[tuple(hkl)] for hkl in parts.data.hkl.tolist()])
    assert parts.fractions[1] == pytest.approx(0.35, abs=0.03)
    assert np.corrcoef(true, parts.data.intensity)[0, 1] > least


def test_a_reflection_measured_alone_keeps_its_intensity_and_sigma_over_the_fraction() -> None:
    overlaps = twin(fraction=0.35, overlapped=0.5, seed=8).overlaps
    parts = separated(overlaps)
    alone = np.bincount(overlaps.observation)[overlaps.observation] == 1
    scale = np.array(parts.fractions)[overlaps.domain - 1]
    assert parts.data.intensity[alone] * scale[alone] == pytest.approx(overlaps.intensity[overlaps.observation[alone]])
    assert parts.data.sigma[alone] * scale[alone] == pytest.approx(overlaps.sigma[overlaps.observation[alone]])


def test_observations_that_are_chosen_keep_their_reflections(tmp_path: Path) -> None:
    overlaps = twin(fraction=0.4, overlapped=0.5, seed=9).overlaps
    kept = np.arange(len(overlaps.intensity)) % 3 == 0
    few = overlaps.chosen(kept)
    again = read_overlaps(write_overlaps(few, tmp_path / "overlaps.npz"))
    assert again.intensity.tolist() == overlaps.intensity[kept].tolist()
    assert again.hkl.tolist() == overlaps.hkl[kept[overlaps.observation]].tolist()
    assert np.bincount(again.observation).tolist() == np.bincount(overlaps.observation)[kept].tolist()
