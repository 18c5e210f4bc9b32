"""How much extinction a crystal can show, and what the verdict says of electrons that were not counted."""

import math
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from scipy import integrate, special

from tasks.integrate import CountingLoss
from tasks.model import UnitCell
from tasks.model.verdict import ModelFigures, judge
from tasks.refine.extinction import COMPTON_ANGSTROM, THICKNESS_ANGSTROM, most_extinction
from tasks.refine.verdict import about_counting, hides_extinction

CELL = UnitCell.of((18.0, 18.0, 6.5, 90.0, 90.0, 90.0))


def intensities(radiation: str = "electron") -> Any:
    return SimpleNamespace(radiation=radiation, wavelength_angstrom=0.0197, d_min_angstrom=0.9)


@pytest.mark.parametrize("amplitude", [40.0, 80.0])
def test_the_bound_is_what_the_two_beam_theory_leaves_of_a_strong_reflection(amplitude: float) -> None:
    gamma = math.hypot(1.0, COMPTON_ANGSTROM / 0.0197)
    a = THICKNESS_ANGSTROM * 0.0197 * gamma * amplitude / CELL.volume_angstrom3
    # the thickness of a real crystal spreads by more than the period of the integral
    around = np.linspace(0.6 * a, 1.4 * a, 60)
    blackman = np.mean([integrate.quad(lambda x: special.j0(2 * x), 0, b, limit=200)[0] for b in around]) / a
    sine = math.sin(2 * math.asin(0.0197 / (2 * 0.9)))
    x = most_extinction(CELL, intensities())
    shelxl = (1 + 0.001 * x * amplitude**2 * 0.0197**3 / sine) ** -0.5
    assert a > 2
    assert shelxl == pytest.approx(blackman, rel=0.1)


def test_x_rays_have_no_such_bound() -> None:
    assert most_extinction(CELL, intensities("xray")) == math.inf


def counted(**changes: Any) -> CountingLoss:
    given = {"stated": None, "found": "local maxima of 3 x 3 px", "frames_per_position": 1.0, "worst_loss": 0.6}
    return CountingLoss(**given, **changes)


def figures(**changes: Any) -> ModelFigures:
    return ModelFigures(kind="refined", radiation="electron", r1=0.1, r1_left_out=0.15, **changes)


@pytest.mark.parametrize(
    ("changes", "verdict"),
    [
        ({"uncorrected_loss": 0.1, "counting_disagreement": 0.05}, "solved"),
        ({"uncorrected_loss": 0.5}, "doubtful"),
        ({"counting_disagreement": 0.4}, "doubtful"),
    ],
)
def test_loss_that_is_not_corrected_makes_a_structure_doubtful(changes: dict[str, float], verdict: str) -> None:
    ruling = judge(figures(**changes))
    assert ruling.verdict == verdict
    assert bool([said for said in ruling.objections if "electrons" in said.text]) == (verdict == "doubtful")


def test_the_reasons_carry_what_was_corrected_and_what_is_missing() -> None:
    said = about_counting(counted(corrected=9, set_aside=4, missing=((1, 0, 0),)))
    assert "60% of their electrons" in said[0]
    assert "9 measurements corrected, 4 set aside, 1 reflections missing" in said[0]
    assert about_counting(counted()) == ()
    assert about_counting(None) == ()


def test_extinction_is_not_refined_where_much_was_not_counted() -> None:
    assert hides_extinction(counted())
    assert not hides_extinction(None)
    assert not hides_extinction(counted().model_copy(update={"worst_loss": 0.05}))
    assert np.isfinite(most_extinction(CELL, intensities()))
