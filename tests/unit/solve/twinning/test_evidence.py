"""H test, Britton plot and L test: against drawn intensities of crystals with and without a centre."""

import gemmi
import numpy as np
import pytest

from tasks.crystal.symmetry import laue_group_of
from tasks.crystal.twin_laws import twin_indices, twin_laws
from tasks.integrate.merging.equivalents import merge_equivalents
from tasks.integrate.reflection_file import Merged, Unmerged
from tasks.model import UnitCell
from tasks.solve.data.diagnosis import l_test
from tasks.solve.twinning.descents import Descent, halves_of
from tasks.solve.twinning.evidence import L_TWIN, L_UNTWINNED, h_test, twin_suspicions
from tests.synthetic.twins import APATITE, CASES, TwinCase, observe_twin

CELL = UnitCell.of((14.1, 14.1, 11.3, 90, 90, 90))
LAUE = gemmi.SpaceGroup("P 4/m")
LAW = twin_laws(CELL, LAUE)[0]


def drawn(fraction: float, *, centric: bool, seed: int = 0, noise: float = 0.02) -> Merged:
    """Return intensities drawn from Wilson's distributions, one value for each orbit of 4/m, twinned by k,h,-l."""
    rng = np.random.default_rng(seed)
    hkl = gemmi.make_miller_array(CELL.gemmi(), LAUE, 0.9).astype(np.int32)
    hkl = hkl[(hkl[:, 2] != 0) & (hkl[:, :2] != 0).all(axis=1)]
    intensity = rng.chisquare(1, len(hkl)) if centric else rng.exponential(size=len(hkl))
    row = {tuple(index): number for number, index in enumerate(hkl.tolist())}
    other = np.array(twin_indices(hkl, LAW.law), dtype=np.int32, order="C")
    LAUE.switch_to_asu(other)
    partner = np.array([row[tuple(index)] for index in other.tolist()])
    true = (1 - fraction) * intensity + fraction * intensity[partner]
    sigma = noise * (true + 0.1)
    return Merged(hkl, true + sigma * rng.normal(size=len(hkl)), sigma, np.full(len(hkl), 4, np.int32))


@pytest.mark.parametrize("centric", [False, True])
@pytest.mark.parametrize("fraction", [0.0, 0.1, 0.2, 0.35, 0.45])
def test_the_fraction_is_that_of_the_right_reference(fraction: float, centric: bool) -> None:
    test = h_test(drawn(fraction, centric=centric), LAUE, LAW.law)
    assert test.pairs > 500
    found = test.fraction_centric if centric else test.fraction_acentric
    assert found == pytest.approx(fraction, abs=max(4 * test.esd, 0.005))
    assert fraction - 0.01 <= test.britton <= fraction + 0.07
    assert test.tells == (fraction in {0.1, 0.2, 0.35} and not (centric and fraction == 0.1))


def test_the_esd_is_that_of_repeated_draws() -> None:
    tests = [h_test(drawn(0.2, centric=False, seed=seed), LAUE, LAW.law) for seed in range(30)]
    spread = np.std([test.fraction_acentric for test in tests])
    assert 0.5 * tests[0].esd < spread < 1.5 * tests[0].esd


@pytest.mark.parametrize("centric", [False, True])
def test_l_of_one_crystal_and_of_two(centric: bool) -> None:
    one, two = (drawn(fraction, centric=centric) for fraction in (0.0, 0.5))
    assert l_test(one.hkl, one.intensity) == pytest.approx(L_UNTWINNED[centric], abs=0.02)
    assert l_test(two.hkl, two.intensity) == pytest.approx(L_TWIN[centric], abs=0.02)


def test_suspicions_name_law_and_fraction() -> None:
    merged = drawn(0.35, centric=True)
    said = twin_suspicions((Descent(LAUE, LAW, merged, False, None),), 0.6)
    assert len(said) == 1
    assert said[0].startswith(f"twinning by the law {LAW.triplet} is likely")
    assert "35% (with one)" in said[0] or "34% (with one)" in said[0] or "36% (with one)" in said[0]


def test_a_twin_of_equal_parts_is_not_excluded_by_what_a_single_crystal_without_a_centre_gives() -> None:
    merged = drawn(0.5, centric=True)
    said = twin_suspicions((Descent(LAUE, LAW, merged, True, None),), l_test(merged.hkl, merged.intensity))
    assert [text[:27] for text in said] == ["twinning is not excluded: <"]
    single = drawn(0.0, centric=True)
    assert twin_suspicions((Descent(LAUE, LAW, single, False, None),), l_test(single.hkl, single.intensity)) == ()


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_intensities_of_known_structures_are_told_from_their_twins(case: TwinCase) -> None:
    laue = laue_group_of(case.space_group)
    law = np.array(case.law, dtype=float)

    def merged(fraction: float) -> Merged:
        seen = observe_twin(case, fraction, d_min=0.7)
        zero = np.zeros(len(seen.hkl))
        return merge_equivalents(Unmerged(seen.hkl, seen.intensity, seen.sigma, zero, zero.astype(np.int32)), laue)

    assert h_test(merged(0.35), laue, law).tells
    assert not h_test(merged(0.0), laue, law).tells


def test_too_few_pairs_say_nothing() -> None:
    laue = laue_group_of(APATITE.space_group)
    few = Merged(np.array([[1, 2, 3], [2, 1, 3]], np.int32), np.ones(2), np.full(2, 0.1), np.ones(2, np.int32))
    assert h_test(few, laue, np.array(APATITE.law, dtype=float)) is None


@pytest.mark.parametrize(
    ("larger", "halves"),
    [
        ("P 6/m m m", {"P -3 1 m", "P -3 m 1", "P 6/m"}),
        ("I 4/m m m", {"I m m m", "I 4/m"}),
        ("P m m m", {"P 2/m 1 1", "P 1 2/m 1", "P 1 1 2/m"}),
        ("F m -3 m", {"F m -3"}),
        ("P -3", set()),
        ("P 1 2/m 1", {"P -1"}),
        ("R -3 m", {"R -3"}),
        ("P -1", set()),
    ],
)
def test_halves_of_laue_groups_in_their_axes(larger: str, halves: set[str]) -> None:
    assert {group.hm for group in halves_of(gemmi.SpaceGroup(larger))} == halves
