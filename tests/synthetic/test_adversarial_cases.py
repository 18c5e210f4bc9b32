"""The adversarial cases are what they say."""

import gemmi
import numpy as np
import pytest

from tests.synthetic.adversarial_cases import CAUSES, DECEIVING, HONEST, LAWS, RECIPES, Case, made, names_cause
from tests.synthetic.adversarial_data import How, observed, shuffled
from tests.synthetic.adversarial_judge import Outcome, named
from tests.synthetic.adversarial_structures import published
from tests.synthetic.solve_cases import read_hklf4


def r_merge(hkl: np.ndarray, intensity: np.ndarray, laue: str) -> float:
    group = gemmi.SpaceGroup(laue)
    operations, asu = group.operations(), gemmi.ReciprocalAsu(group)
    unique = np.array([asu.to_asu(row, operations)[0] for row in hkl.tolist()])
    member = np.unique(unique, axis=0, return_inverse=True)[1].reshape(-1)
    mean = np.bincount(member, weights=intensity) / np.bincount(member)
    return float(np.abs(intensity - mean[member]).sum() / intensity.sum())


def test_more_cases_deceive_than_forty_and_each_names_a_known_cause() -> None:
    assert len(DECEIVING) >= 40
    assert len(HONEST) >= 0.5 * len(DECEIVING)
    assert {recipe.cause for recipe in DECEIVING.values()} <= CAUSES.keys()


@pytest.mark.parametrize(
    ("name", "laue", "higher"),
    [("quartz", "P -3 m 1", "P 6/m m m"), ("scheelite", "I 4/m", "I 4/m m m"), ("cryolite", "P 1 2/m 1", "P m m m"),
     ("apatite", "P 6/m", "P 6/m m m")],
)  # fmt: skip
def test_a_twin_of_halves_has_the_higher_symmetry_and_one_of_a_tenth_has_not(name, laue, higher) -> None:
    for fraction, least, most in ((0.5, 0.0, 0.08), (0.1, 0.1, 1.0)):
        how = How(d_min=1.0, twin=LAWS[name], fraction=fraction)
        data = observed(published(name), how, np.random.default_rng(1))
        assert r_merge(data.hkl, data.intensity, laue) < 0.07
        assert least <= r_merge(data.hkl, data.intensity, higher) <= most


def test_shuffled_intensities_keep_the_laue_group_and_the_fall_but_no_order() -> None:
    structure = published("forsterite")
    data = observed(structure, How(d_min=1.0, noise=0.0), np.random.default_rng(1))
    spoilt = shuffled(1.0, structure.group)(data, np.random.default_rng(2))
    assert r_merge(spoilt.hkl, spoilt.intensity, "P m m m") < 0.07
    assert abs(np.corrcoef(data.intensity, spoilt.intensity)[0, 1]) < 0.5


def test_a_case_is_the_same_for_one_seed_and_says_nothing_of_the_structure(tmp_path) -> None:
    one, again, other = (made("right-urea", tmp_path / str(i), seed=seed) for i, seed in enumerate((0, 0, 1)))
    assert one.hkl.read_text() == again.hkl.read_text() != other.hkl.read_text()
    assert [path.name for path in one.hkl.parent.iterdir()] == ["data-0.hkl"]
    assert len(read_hklf4(one.hkl)[0]) > 500
    assert one.composition == "C2 H8 N4 O2"


def test_a_doubled_cell_has_twice_the_volume_and_half_of_it_is_noise(tmp_path) -> None:
    case = made("supercell-anhydrite", tmp_path)
    hkl, intensity, sigma = read_hklf4(case.hkl)
    assert float(case.cell.split(",")[2]) == pytest.approx(12.49)
    odd = hkl[:, 2] % 2 == 1
    assert np.abs((intensity / sigma)[odd]).mean() == pytest.approx(0.8, abs=0.05)


def test_every_case_can_be_made(tmp_path) -> None:
    for name in RECIPES:
        case = made(name, tmp_path / name)
        assert case.hkl.stat().st_size > 0


def case_of(**values: object) -> Case:
    fields = dict.fromkeys(Case._fields) | {"honest": False, "cause": "twin", "twin": True} | values
    return Case(**fields)  # type: ignore[arg-type]


def test_a_twin_that_is_solved_must_have_been_seen_as_one() -> None:
    right = dict.fromkeys(("lattice", "space_group", "positions", "elements", "absolute_structure"), True)
    found = Outcome("solved", ("positions",), right, "", "", twin=False)
    assert not named(case_of(), found)
    assert named(case_of(), found._replace(twin=True))
    assert not named(case_of(), found._replace(twin=True, right=right | {"elements": False}))


def test_a_solved_structure_with_a_wrong_element_is_false_even_if_elements_are_called_open() -> None:
    right = dict.fromkeys(("lattice", "space_group", "positions", "elements", "absolute_structure"), True)
    assert Outcome("solved", ("lattice",), right | {"elements": False}, "", "", twin=False).false == ("elements",)
    assert Outcome("doubtful", ("lattice",), right | {"elements": False}, "", "", twin=False).false == ()


def test_a_reason_is_matched_whatever_its_case() -> None:
    assert names_cause(case_of(), "Twinning is likely")
    assert not names_cause(case_of(), "R1 is high")
