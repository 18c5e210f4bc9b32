"""Signed ranks against scipy, and the choice of a cut from its trials."""

import numpy as np
import pytest
from scipy.stats import wilcoxon

from tasks.integrate.damage.cut_off import CutTrial, best_cut, signed_rank


def test_signed_ranks_are_wilcoxons() -> None:
    values = np.random.default_rng(1).normal(0.3, 1.0, 60)
    found = wilcoxon(values, correction=False, method="approx", alternative="greater")
    assert signed_rank(values) == pytest.approx(found.zstatistic, rel=1e-9)
    assert signed_rank(-values) == pytest.approx(-signed_rank(values), rel=1e-12)
    assert signed_rank(np.zeros(5)) == 0.0


def trial(kept: int, deviation: float, gain: float) -> CutTrial:
    return CutTrial(float(kept), kept, deviation, gain)


def test_a_cut_is_made_only_where_the_rest_makes_it_worse_beyond_doubt() -> None:
    whole = trial(60, 9.0, 0.0)
    assert best_cut(()) is None
    assert best_cut((trial(24, 1.1, 4.0), trial(36, 1.0, 5.0), trial(48, 4.0, 3.5), whole)) == trial(36, 1.0, 5.0)
    assert best_cut((trial(36, 1.0, 2.0), whole)) is None
    assert best_cut((trial(36, 8.5, 5.0), whole)) is None
    assert best_cut((trial(24, 1.3, -2.0), trial(36, 1.1, -1.0), trial(60, 1.0, 0.0))) is None
