"""Claims say separately what of a structure is certain, likely or not known, and why."""

from pathlib import Path

import numpy as np
import pytest

from tasks.model import Composition, FileRef, UnitCell
from tasks.model.claims import no_surer
from tasks.model.verdict import ModelFigures, judge
from tasks.refine.claims import ClaimEvidence, claims_of
from tasks.refine.draft import AtomFit, Draft, DraftAtom, ModelFit, UniqueIntensities
from tasks.refine.element_odds import ElementOdds
from tasks.refine.element_rivals import ElementRival
from tasks.refine.lattice_evidence import weakest_class
from tasks.solve.models import GroupEvidence, Solution

CELL = UnitCell.of((7.0, 8.0, 9.0, 90.0, 90.0, 90.0))
WANTED = Composition.parse("Mg Si O3")
CLEAR = GroupEvidence(compared=9, score=0.6, rival="P 1 2 1", rival_score=0.3, r1_left_out=0.1)
FIGURES = ModelFigures(
    kind="refined", radiation="electron", r1=0.1, r1_left_out=0.15, r1_by_chance=0.8, recovery_angstrom=0.02
)


def model(hall: str = "-P 2ybc") -> ModelFit:
    atom = DraftAtom(label="Mg1", element="Mg", position=(0.1, 0.2, 0.3))
    row = AtomFit(label="Mg1", u_min_eigenvalue=0.01, u_max_eigenvalue=0.01, u_equivalent=0.01, multiplicity=4)
    return ModelFit(
        draft=Draft(hall=hall, unit_cell=CELL, atoms=(atom,)), atoms=(row,), r1=0.1, r1_all=0.12, wr2=0.2, goof=1.0,
        reflections=900, reflections_observed=700, parameters=40, shift_over_esd_max=0.0, converged=True,
        density_max=0.1, density_min=-0.1,
    )  # fmt: skip


def evidence(**changes: object) -> ClaimEvidence:
    solution = Solution(
        space_group="P 1 21/c 1", hall="-P 2ybc", unit_cell=CELL, atoms=(), r1=0.1, groups=CLEAR, verdict="solved"
    )
    sure = ClaimEvidence(
        solution, FIGURES, WANTED, None, "P 1 2/m 1", 0.1, odds=(ElementOdds("Mg1", "Mg", 0.99, "Si"),),
        rivals=(ElementRival("Mg", "Na", 40.0, stronger=False),),
    )  # fmt: skip
    return sure._replace(**changes)


def claimed(figures: ModelFigures = FIGURES, hall: str = "-P 2ybc", **changes: object):
    return claims_of(model(hall), judge(figures), evidence(figures=figures, **changes))


def test_all_is_settled_where_every_alternative_was_refuted() -> None:
    found = claimed()
    assert {name: getattr(found, name).state for name in type(found).model_fields} == dict.fromkeys(
        ("lattice", "space_group", "positions", "elements", "absolute_structure"), "settled"
    )
    assert "0.150 for reflections the model was not fitted to" in found.positions.why


def test_without_a_composition_nothing_is_called_solved() -> None:
    figures = FIGURES._replace(unknown_elements=("the elements are not known",))
    assert judge(figures).verdict == "doubtful"
    found = claimed(figures, composition=None, odds=(), rivals=())
    assert (found.positions.state, found.elements.state) == ("likely", "open")
    assert "Mg are guesses" in found.elements.why
    assert found.space_group.state == "settled"


def test_unknown_elements_add_no_doubt_to_others() -> None:
    three = FIGURES._replace(r1=0.3, recovery_angstrom=0.5, close_contacts=("O1-O2 1.1 A",))
    assert judge(three).verdict == judge(three._replace(unknown_elements=("which?",))).verdict == "doubtful"


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"odds": (ElementOdds("Si1", "Si", 0.6, "Al"),)}, "Si1 (60%, else Al)"),
        ({"rivals": (ElementRival("Mg", "Al", 2.0, stronger=True),)}, "Al in place of Mg would do as well"),
        ({"odds": ()}, "not tested"),
        ({"rivals": ()}, "other elements were not tested"),
    ],
)
def test_elements_that_may_be_others_are_likely_and_the_rival_is_named(changes: dict, said: str) -> None:
    found = claimed(**changes).elements
    assert found.state == "likely"
    assert said in found.why


@pytest.mark.parametrize(
    ("changes", "state", "said"),
    [
        ({"groups": CLEAR.model_copy(update={"rival_score": 0.55})}, "likely", "P 1 2 1 by 0.55"),
        ({"groups": CLEAR.model_copy(update={"compared": 0})}, "likely", "was given"),
        ({"groups": None}, "likely", "no other was compared"),
        ({"reasons": ("against: the space group is not settled between P c and P 21/c",)}, "open", "not settled"),
    ],
)
def test_a_space_group_is_settled_by_comparison_only(changes: dict, state: str, said: str) -> None:
    solution = evidence().solution.model_copy(update=changes)
    found = claimed(solution=solution).space_group
    assert found.state == state
    assert said in found.why


def test_a_high_r1_leaves_room_for_a_twin() -> None:
    found = claimed(FIGURES._replace(r1=0.25)).space_group
    assert found.state == "likely"
    assert "R1 0.25 leaves room for a twin" in found.why


@pytest.mark.parametrize(("violated", "state"), [(1, "settled"), (5, "likely")])
def test_forbidden_reflections_that_are_seen_leave_a_doubt(violated: int, state: str, tmp_path: Path) -> None:
    hkl, intensity = doubled(1.0)
    np.savez(tmp_path / "unique.npz", hkl=hkl, intensity=intensity, sigma=np.ones(len(hkl)))
    intensities = UniqueIntensities(
        table=FileRef.of(tmp_path / "unique.npz"), radiation="xray", wavelength_angstrom=0.71, friedel_merged=True,
        unique=len(hkl), measured=len(hkl), r_int=0.1, completeness=1.0, d_min_angstrom=0.8, absences=10,
        absences_violated=violated,
    )  # fmt: skip
    found = claimed(intensities=intensities).space_group
    assert found.state == state
    assert f"{violated} reflections of 10" in found.why


def test_doubts_after_refinement_open_the_space_group() -> None:
    assert claimed(symmetry_doubts=("the model has a centre",)).space_group.state == "open"


@pytest.mark.parametrize(
    ("r", "doubt", "state"),
    [(0.1, None, "settled"), (None, None, "likely"), (0.6, None, "likely"), (0.1, "1.03 times too long", "likely")],
)
def test_the_lattice_needs_equivalents_that_agree(r: float | None, doubt: str | None, state: str) -> None:
    assert claimed(r_equivalents=r, scale_doubt=doubt).lattice.state == state


def test_bonds_that_speak_against_the_cell_open_the_lattice() -> None:
    found = claimed(FIGURES._replace(cell_doubts=("a is 1.2 times too long",)))
    assert (found.lattice.state, found.positions.state) == ("open", "likely")


@pytest.mark.parametrize(
    ("radiation", "hall", "hooft", "state"),
    [
        ("xray", "-P 2ybc", None, "settled"),
        ("electron", "P 2ac 2ab", None, "open"),
        ("xray", "P 2ac 2ab", None, "open"),
        ("xray", "P 2ac 2ab", (0.02, 0.05), "settled"),
        ("xray", "P 2ac 2ab", (0.3, 0.3), "open"),
        ("xray", "P 2ac 2ab", (0.98, 0.05), "open"),
    ],
)
def test_the_hand_is_claimed_by_anomalous_differences_only(
    radiation: str, hall: str, hooft: tuple[float, float] | None, state: str
) -> None:
    figures = FIGURES._replace(radiation=radiation)
    fit = model(hall).model_copy(update={"hooft": hooft})
    assert claims_of(fit, judge(figures), evidence(figures=figures)).absolute_structure.state == state


def test_a_refused_model_claims_nothing() -> None:
    found = claimed(FIGURES._replace(r1=0.5))
    states = [getattr(found, name).state for name in ("space_group", "positions", "elements")]
    assert states == ["open", "open", "open"]


def test_a_state_is_capped() -> None:
    assert no_surer("settled", "likely") == no_surer("likely", "settled") == "likely"
    assert no_surer("open", "settled") == "open"


def doubled(weak: float) -> tuple[np.ndarray, np.ndarray]:
    """Return reflections and intensities whose odd h have this share of the others' intensity."""
    rng = np.random.default_rng(3)
    hkl = np.array([(h, k, l) for h in range(12) for k in range(8) for l in range(8)][1:], dtype=np.int32)
    return hkl, rng.exponential(100.0, len(hkl)) * np.where(hkl[:, 0] % 2, weak, 1.0)


@pytest.mark.parametrize(("weak", "state"), [(1.0, "settled"), (0.05, "likely"), (0.0, "open")])
def test_a_cell_that_is_a_multiple_of_the_true_one_is_not_settled(weak: float, state: str, tmp_path: Path) -> None:
    hkl, intensity = doubled(weak)
    table = tmp_path / "unique.npz"
    noise = np.random.default_rng(4).normal(size=len(hkl))
    np.savez(table, hkl=hkl, intensity=intensity + noise, sigma=np.full(len(hkl), 2.0))
    intensities = UniqueIntensities(
        table=FileRef.of(table), radiation="electron", wavelength_angstrom=0.02, friedel_merged=True, unique=len(hkl),
        measured=len(hkl), r_int=0.1, completeness=1.0, d_min_angstrom=0.8, absences=0, absences_violated=0,
    )  # fmt: skip
    found = claimed(hall="P 2 2", intensities=intensities).lattice
    assert found.state == state
    assert ("h odd" in found.why) == (state != "settled")


def test_a_class_with_too_few_reflections_says_nothing() -> None:
    hkl = np.array([(1, 0, 0), (2, 0, 0), (3, 1, 0)], dtype=np.int32)
    assert weakest_class(hkl, np.ones(3), np.ones(3), hall="P 1", cell=CELL) is None


def test_the_hand_is_no_surer_than_the_group_that_says_whether_there_are_two() -> None:
    found = claimed(symmetry_doubts=("without the centre, in P 4 m m, the model predicts better",))
    assert (found.space_group.state, found.absolute_structure.state) == ("open", "open")
    assert "P 4 m m" in found.space_group.why
    assert "if the space group is right, which is open" in found.absolute_structure.why


def test_with_a_composition_that_the_data_contradict_the_number_of_atoms_is_not_known() -> None:
    found = claimed(FIGURES._replace(unknown_elements=("no C was found: is the composition right?",)))
    assert (found.positions.state, found.elements.state) == ("likely", "open")
    assert "how many atoms there are" in found.positions.why


def test_places_in_a_cell_that_is_open_are_likely_at_most() -> None:
    found = claimed(FIGURES._replace(cell_doubts=("bond lengths ask for another cell",)))
    assert (found.lattice.state, found.positions.state) == ("open", "likely")
    assert "the cell in which they stand is open" in found.positions.why
