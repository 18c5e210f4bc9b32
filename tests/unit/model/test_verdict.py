"""The one rule: what a figure beyond its limits, a missing one and several doubts lead to."""

import re
from pathlib import Path

import pytest

import adapters
from tasks.model import UnitCell
from tasks.model.verdict import MOST_DOUBTS, RULES, UNTESTED, VERDICTS, ModelFigures, judge, standing, with_search
from tasks.refine.displacement import principal_displacements
from tasks.refine.draft import Draft, DraftAtom
from tasks.refine.parameters import made_anisotropic

ADAPTERS = sorted(Path(str(adapters.__file__)).parent.rglob("*.py"))
SEARCH = {"unique_reflections": 500.0, "explained_by_chance": 0.005, "rivals": 0.0, "power_ratio": 1.0}
GOOD = {
    "first": ModelFigures(
        kind="first", radiation="electron", r1_over_smooth=0.3, r1=0.2, r1_left_out=0.22, correlation=0.85, weak=0.2,
        reflections_per_parameter=8.0, atoms_per_cell=80.0, atoms_expected=70.0, bad_contacts=0.0, isolated=0.0,
        short_bonds=0.0, axis_ratio=1.0, **SEARCH,
    ),
    "refined": ModelFigures(
        kind="refined", radiation="electron", r1=0.15, r1_left_out=0.22, r1_over_chance=0.3, r1_by_chance=0.5,
        observed_per_parameter=8.0, shift_over_esd=0.0, recovery_angstrom=0.05, atoms=20, odd_displacements=0.0,
        odd_above_floor=0.0, bad_neighbours=0, completeness=1.0, agreement=1.0,
        uncorrected_loss=0.0, counting_disagreement=0.05, **SEARCH,
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", sorted(GOOD))
def test_a_model_that_nothing_speaks_against_is_solved(kind: str) -> None:
    ruling = judge(GOOD[kind])
    assert (ruling.verdict, ruling.objections) == ("solved", ())
    assert len(ruling.statements) == len(RULES[kind])


@pytest.mark.parametrize("kind", sorted(GOOD))
@pytest.mark.parametrize("radiation", ["electron", "xray"])
def test_each_figure_beyond_its_limits_is_a_doubt_and_beyond_all_right_structures_the_end(
    kind: str, radiation: str
) -> None:
    for rule in RULES[kind]:
        limit = rule.limits[radiation]
        beyond = -1e-6 if rule.least else 1e-6
        if rule.figure not in ModelFigures._fields or isinstance(getattr(GOOD[kind], rule.figure), tuple | int):
            continue
        good = GOOD[kind]._replace(radiation=radiation, r1=0.1, converged=False)
        doubtful = judge(good._replace(**{rule.figure: limit.doubtful + beyond}))
        assert doubtful.verdict == "doubtful", rule.figure
        assert len(doubtful.objections) == 1, rule.figure
        if limit.hopeless is not None:
            assert judge(good._replace(**{rule.figure: limit.hopeless + beyond})).verdict == "not-solved", rule.figure


@pytest.mark.parametrize("kind", sorted(GOOD))
def test_without_reflections_left_out_a_model_is_doubtful_at_most(kind: str) -> None:
    perfect = GOOD[kind]._replace(r1=0.001, r1_left_out=None, r1_over_smooth=None)
    ruling = judge(perfect)
    assert ruling.verdict == "doubtful"
    assert [statement.text for statement in ruling.objections] == [UNTESTED]
    assert judge(perfect._replace(r1=0.9)).verdict == "not-solved"


def test_an_engine_that_knows_little_of_its_model_is_no_better_off() -> None:
    assert judge(ModelFigures(kind="refined", radiation="electron", r1=0.05)).verdict == "doubtful"


def test_of_rules_on_one_topic_only_the_worst_speaks() -> None:
    figures = GOOD["refined"]._replace(r1=0.3, r1_over_chance=0.9)
    assert [statement.text for statement in judge(figures).objections] == [
        "R1 0.300 is what so many parameters reach by chance (0.50)"
    ]
    lacking = judge(GOOD["refined"]._replace(completeness=0.5, agreement=0.5)).objections
    assert [statement.text for statement in lacking] == ["the model has 50% of the atoms of the composition"]


def test_more_doubts_than_a_right_structure_raises_are_the_end() -> None:
    doubts = {"recovery_angstrom": 0.3, "agreement": 0.7, "close_contacts": ("C1-C2 1.00 A",), "cell_doubts": ("a",)}
    few = dict(list(doubts.items())[: int(MOST_DOUBTS["refined"])])
    assert judge(GOOD["refined"]._replace(**few)).verdict == "doubtful"
    assert judge(GOOD["refined"]._replace(**doubts)).verdict == "not-solved"


def test_an_empty_cell_is_forgiven_to_a_model_that_explains_the_data() -> None:
    empty = GOOD["first"]._replace(atoms_per_cell=40.0)
    assert judge(empty._replace(r1_left_out=0.25)).verdict == "doubtful"
    assert judge(empty).verdict == "solved"


def test_few_reflections_speak_against_a_structure_unless_all_arrangements_were_tried() -> None:
    good = GOOD["refined"]
    few = judge(with_search(good, {"unique_reflections": 19.0}))
    assert few.verdict == "doubtful"
    assert "only 19 unique reflections" in few.objections[0].text
    assert judge(with_search(good, {"unique_reflections": 19.0, "explained_by_chance": 0.005})).verdict == "solved"
    assert judge(with_search(good, {"unique_reflections": 800.0})).verdict == "solved"
    assert judge(with_search(good, {"explained_by_chance": 0.4})).verdict == "not-solved"


def test_the_best_verdict_stands_first() -> None:
    assert sorted(VERDICTS, key=standing) == ["solved", "doubtful", "not-solved"]


@pytest.mark.parametrize("path", ADAPTERS, ids=lambda path: path.name)
def test_no_adapter_states_a_verdict(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert not re.search(r'"doubtful"|"not-solved"|(?<!=)= ?"solved"|import .*\b(judge|Limit|Verdict)\b', text)


def test_principal_displacements_of_a_sphere_in_oblique_axes_are_equal() -> None:
    cell = UnitCell.of((5.0, 6.0, 7.0, 80.0, 95.0, 110.0))
    atom = DraftAtom(label="C1", element="C", position=(0.1, 0.2, 0.3), u_iso_angstrom2=0.04)
    sphere = made_anisotropic(Draft(hall="P 1", unit_cell=cell, atoms=(atom,)), frozenset({"C"})).atoms[0]
    assert principal_displacements(sphere.u_aniso_angstrom2, cell) == pytest.approx((0.04, 0.04, 0.04))
    straight = UnitCell.of((5.0, 6.0, 7.0, 90.0, 90.0, 90.0))
    assert principal_displacements((0.01, 0.05, 0.03, 0.0, 0.0, 0.0), straight) == pytest.approx((0.01, 0.05, 0.03))
