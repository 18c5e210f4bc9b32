"""Models of two overlapping crystals: intensities, fractions and left-out reflections of structures that are known."""

import numpy as np
import pytest

from tasks.crystal.symmetry import laue_group_of, symmetry_from_symbol
from tasks.integrate.merging.equivalents import merge_equivalents
from tasks.integrate.reflection_file import Unmerged
from tasks.model import Composition
from tasks.solve.building.atoms import Model
from tasks.solve.building.least_squares import r_factor
from tasks.solve.building.model_building import fitted_as_given
from tasks.solve.data.prepared import normalised_to_find_atoms
from tasks.solve.search.candidates import open_workshop, task_for
from tasks.solve.twinning.twin_building import build_twin, free_r_of_twin, judge_twin
from tasks.solve.twinning.twin_model import TwinTask, detwinned, mixture
from tasks.solve.twinning.twin_trials import search_twin
from tests.synthetic.twins import APATITE, CASES, QUARTZ, SCHEELITE, TwinCase, intensities_of, observe_twin


def twin_task(case: TwinCase, fraction: float) -> TwinTask:
    seen = observe_twin(case, fraction)
    laue, composition = laue_group_of(case.space_group), Composition.parse(case.formula)
    zero = np.zeros(len(seen.hkl))
    merged = merge_equivalents(Unmerged(seen.hkl, seen.intensity, seen.sigma, zero, zero.astype(np.int32)), laue)
    prepared = normalised_to_find_atoms(
        merged, cell=case.cell, laue_group=laue.xhm(), radiation="electron", composition=composition
    )
    group = symmetry_from_symbol(case.space_group)
    workshop = open_workshop(
        prepared.unique, [group], cell=case.cell, radiation="electron", composition=composition,
        d_min_angstrom=prepared.d_min_angstrom,
    )  # fmt: skip
    return TwinTask(task_for(workshop, group), np.array(case.law, dtype=float))


def truth(case: TwinCase) -> Model:
    elements, places, u_iso = zip(*case.sites, strict=True)
    count = len(elements)
    return Model(tuple(elements), np.array(places), np.array(u_iso), np.ones(count), np.ones(count))


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
@pytest.mark.parametrize("fraction", [0.1, 0.35, 0.5])
def test_the_true_model_gives_the_fraction_and_explains_both_crystals(case: TwinCase, fraction: float) -> None:
    twin = twin_task(case, fraction)
    found = mixture(twin, truth(case))
    assert found.fraction == pytest.approx(fraction, abs=0.015)
    assert r_factor(twin.observed, found.calculated) < 0.025
    shared = detwinned(twin, found).observed.amplitude
    alone = np.sqrt(intensities_of(case, twin.observed.hkl))
    assert np.corrcoef(shared, alone)[0, 1] > 0.995
    assert np.corrcoef(twin.observed.amplitude, alone)[0, 1] < np.corrcoef(shared, alone)[0, 1]


def test_of_a_single_crystal_nothing_is_the_second(tmp_path: object) -> None:
    assert mixture(twin_task(APATITE, 0.0), truth(APATITE)).fraction < 0.01


@pytest.mark.parametrize("case", [QUARTZ, SCHEELITE], ids=lambda case: case.name)
def test_left_out_reflections_are_predicted_by_the_right_law_only(case: TwinCase) -> None:
    twin = twin_task(case, 0.5)
    right = free_r_of_twin(twin, truth(case))
    assert right < 0.06
    alone = fitted_as_given(twin.task, truth(case)).fit.r1
    assert alone > 2 * right


def test_a_wrong_model_does_not_predict_what_it_shared_out() -> None:
    twin = twin_task(APATITE, 0.5)
    rng = np.random.default_rng(0)
    true = truth(APATITE)
    wrong = true._replace(position=rng.random(true.position.shape))
    assert free_r_of_twin(twin, wrong) > 0.4


def test_pseudo_atoms_become_the_structure_with_its_elements() -> None:
    twin = twin_task(QUARTZ, 0.5)
    trials = [search_twin(twin, 0.5, turns=60, rng=np.random.default_rng(seed)) for seed in range(4)]
    best = max(trials, key=lambda trial: trial.correlation)
    found = build_twin(twin, best.model)
    judgement = judge_twin(twin, found)
    assert sorted(found.built.fit.model.element) == ["O", "Si"]
    assert found.built.fit.r1 < 0.03
    assert found.fraction == pytest.approx(0.5, abs=0.02)
    assert judgement.verdict == "solved"
    assert judgement.figures["r_free"] < 0.12


def test_calcium_taken_for_tungsten_is_found() -> None:
    twin = twin_task(SCHEELITE, 0.5)
    true = truth(SCHEELITE)
    power = np.array([5.0, 5.3, 1.0])
    start = true._replace(element=("O", "O", "O"), occupancy=power)
    assert build_twin(twin, start).built.fit.model.element == ("Ca", "W", "O")
