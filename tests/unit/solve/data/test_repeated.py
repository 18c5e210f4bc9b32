"""Measurements that do not agree with themselves."""

from pathlib import Path

import numpy as np
import pytest

from tasks.integrate import Unmerged
from tasks.solve.data.repeated import measurements_disagree
from tests.synthetic.adversarial_data import How, Spoilt, merged_with, nothing, observed
from tests.synthetic.adversarial_structures import published
from tests.synthetic.known_structures import SETS, read_hklf4


def unmerged(data: Spoilt) -> Unmerged:
    zeros = np.zeros(len(data.hkl))
    return Unmerged(data.hkl, data.intensity, data.sigma, zeros, zeros.astype(np.int32))


@pytest.mark.parametrize("share", [0.3, 0.5])
def test_two_crystals_merged_are_named(share: float) -> None:
    rng = np.random.default_rng(1)
    data = observed(published("forsterite"), How(d_min=0.9), rng)
    said = measurements_disagree(unmerged(merged_with(published("diopside"), share, How(d_min=0.9))(data, rng)))
    assert said is not None
    assert "more than one crystal" in said


@pytest.mark.parametrize("noise", [0.05, 0.2])
def test_one_crystal_is_not_however_noisy(noise: float) -> None:
    data = observed(published("forsterite"), How(d_min=0.9, noise=noise), np.random.default_rng(1))
    assert measurements_disagree(unmerged(data)) is None


def test_noise_alone_is_not_two_crystals() -> None:
    rng = np.random.default_rng(1)
    data = observed(published("forsterite"), How(d_min=0.9), rng)
    assert measurements_disagree(unmerged(nothing(data, rng))) is None


@pytest.mark.needs_shared
@pytest.mark.parametrize("name", ["tyrosine", "cinchonine-xds", "cinchonine-dials"])
def test_real_data_of_one_crystal_are_not_called_mixed(name: str, shared_data: Path) -> None:
    hkl, intensity, sigma = read_hklf4(shared_data / SETS[name].hkl)
    zeros = np.zeros(len(hkl))
    data = Unmerged(hkl, intensity, np.maximum(sigma, 1e-3), zeros, zeros.astype(np.int32))
    assert measurements_disagree(data) is None
