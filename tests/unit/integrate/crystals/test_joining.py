"""Which crystals are joined: faint ones of the same form, none of another, and only those that a user names."""

import pytest

from tasks.integrate.crystals.combine import combine_crystals, sorted_forms
from tasks.integrate.crystals.crystal_match import reduced_crystal
from tasks.integrate.crystals.joining import joining, weighed
from tests.synthetic.crystal_forms import TRICLINIC, Form, crystal

NORMALS = ((1, 0, 0), (0, 1, 0), (0, 0, 1), (1, 1, 0))


def good_ones(form, folder, n=3):
    return tuple(
        crystal(f"crystal-{number:02d}", form, folder, seed=number, normal=normal)
        for number, normal in enumerate(NORMALS[:n], 1)
    )


def faint(name, form, folder, *, seed, level=1.0):
    """A crystal whose sigmas are larger than its mean intensity: `noise` is relative, the rest of 100."""
    return crystal(name, form, folder, seed=seed, normal=(0, 1, 1), noise=0.1, background=level)


@pytest.mark.parametrize("seed", [11, 12, 13])
def test_a_crystal_that_is_mostly_noise_joins_its_own_form_and_no_other(tmp_path, seed):
    form, other = Form(TRICLINIC, "P -1", 1), Form(TRICLINIC, "P -1", 2)
    mine = faint("crystal-08", form, tmp_path, seed=seed)
    foreign = faint("crystal-09", other, tmp_path, seed=seed)
    combined = combine_crystals((*good_ones(form, tmp_path), mine, foreign), tmp_path / "combined")
    first = combined.clusters[0]
    assert {one.id for one in first.members} == {"crystal-01", "crystal-02", "crystal-03", "crystal-08"}
    member = next(one for one in first.members if one.id == "crystal-08")
    assert member.joining.without_noise > member.joining.correlation
    assert member.joining.held_out > 0
    assert [one.id for one in first.left_out] == ["crystal-09"]
    assert "do not agree" in first.left_out[0].reason


def test_the_effect_of_each_crystal_is_told_and_a_foreign_one_lowers_the_agreement(tmp_path):
    form = Form(TRICLINIC, "P -1", 1)
    sets = good_ones(form, tmp_path)
    others = [weighed(reduced_crystal(one)) for one in sets]
    same = crystal("crystal-07", form, tmp_path, seed=7, normal=(1, 1, 0))
    foreign = crystal("crystal-09", Form(TRICLINIC, "P -1", 2), tmp_path, seed=9, normal=(1, 1, 0))
    mine = joining(reduced_crystal(same), others, reduced_crystal(sets[0]).cell)
    theirs = joining(reduced_crystal(foreign), others, reduced_crystal(sets[0]).cell)
    assert mine.against is None
    assert mine.evidence.delta_cc_half > -0.01
    assert theirs.against is not None
    assert theirs.evidence.delta_cc_half < -0.1


def test_without_noise_a_correlation_is_nearly_one_for_crystals_that_differ_by_noise_alone(tmp_path):
    form = Form(TRICLINIC, "P -1", 1)
    sets = good_ones(form, tmp_path, 4)
    mine = faint("crystal-08", form, tmp_path, seed=21, level=0.6)
    found = joining(
        reduced_crystal(mine), [weighed(reduced_crystal(one)) for one in sets], reduced_crystal(sets[0]).cell
    )
    assert found.evidence.correlation < 0.8
    assert found.evidence.without_noise == pytest.approx(1.0, abs=0.2)


def test_only_crystals_that_are_named_together_are_joined(tmp_path):
    form = Form(TRICLINIC, "P -1", 1)
    sets = good_ones(form, tmp_path, 4)
    pairs = (("crystal-01", "crystal-03"), ("crystal-02", "crystal-04"))
    forms = sorted_forms(sets, pairs)
    assert sorted(sorted(name for name, _ in one) for one in forms) == [list(pair) for pair in pairs]
    alone = combine_crystals(sets, tmp_path / "combined", together=pairs[:1])
    assert [len(one.members) for one in alone.clusters] == [2, 1, 1]
    assert {one.id for one in alone.clusters[0].members} == set(pairs[0])
    assert alone.clusters[0].left_out == ()
