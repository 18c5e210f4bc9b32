"""The first line says in a chemist's words what of a structure is certain."""

from pathlib import Path

import pytest

from tasks.model.claims import Claim, Claims
from tasks.report.claims_wording import claim_rows, claims_sentence
from tasks.report.reasons import reason_of
from tasks.report.results import results
from tasks.report.wording import headline
from tests.synthetic.outcomes import example_outcome

SURE = Claim(state="settled", why="nothing else fits")
CENTRIC = Claim(state="settled", why="the space group has a centre: there is one hand only")
CLAIMS = Claims(lattice=SURE, space_group=SURE, positions=SURE, elements=SURE, absolute_structure=CENTRIC)
UNNAMED = CLAIMS.model_copy(
    update={
        "elements": Claim(state="open", why="no composition was given"),
        "lattice": Claim(state="likely", why="merged before"),
    }
)
ALL = "the positions of the atoms, the elements, the space group and the lattice are certain"
ELEMENTS = "the elements are not known"
HAND = CLAIMS.model_copy(update={"absolute_structure": Claim(state="open", why="alike for both hands")})


@pytest.mark.parametrize(
    ("claims", "sentence"),
    [
        (CLAIMS, ALL),
        (
            UNNAMED,
            "the positions of the atoms and the space group are certain; the lattice is likely; " + ELEMENTS,
        ),
        (
            HAND,
            f"{ALL}; the absolute structure is not known",
        ),
    ],
)
def test_parts_of_one_state_are_said_together(claims: Claims, sentence: str) -> None:
    assert claims_sentence(claims) == sentence


def test_the_table_has_a_row_for_each_claim() -> None:
    assert [row[1] for row in claim_rows(UNNAMED)] == ["settled", "open", "settled", "likely", "settled"]
    assert all(why for _, _, why in claim_rows(UNNAMED))


def test_report_and_results_carry_the_claims(tmp_path: Path) -> None:
    outcome = example_outcome(tmp_path)
    first = outcome.crystals[0]
    assert first.refinement is not None
    made = first.refinement.model_copy(update={"claims": UNNAMED, "verdict": "doubtful", "reasons": ("which?",)})
    doubtful = outcome.model_copy(update={"crystals": (first.model_copy(update={"refinement": made}),), "merged": None})
    assert headline(doubtful).endswith(f"is doubtful: which?. In it {claims_sentence(UNNAMED)}.")
    entry = results(doubtful, tmp_path)["crystals"][0]
    assert entry["claims"]["elements"] == {"state": "open", "why": "no composition was given"}
    made = made.model_copy(update={"claims": CLAIMS, "verdict": "solved", "formula": "Ca5 F1 O11 P3"})
    solved = outcome.model_copy(update={"crystals": (first.model_copy(update={"refinement": made}),), "merged": None})
    assert f"is solved: Ca5 F O11 P3 in F m -3 m; {claims_sentence(CLAIMS)}; a = " in headline(solved)
    assert results(solved, tmp_path)["headline"] == headline(solved)


def test_what_data_look_like_is_a_cause_unless_a_model_predicts_them(tmp_path: Path) -> None:
    first = example_outcome(tmp_path).crystals[0]
    assert first.refinement is not None
    assert first.solutions is not None
    trouble = first.solutions.diagnosis[0]

    def reason(claims: Claims) -> str | None:
        made = first.refinement.model_copy(update={"claims": claims, "verdict": "doubtful", "reasons": ("R1 0.38",)})
        return reason_of(first.model_copy(update={"refinement": made}))

    astray = CLAIMS.model_copy(update={"positions": Claim(state="open", why="it predicts nothing")})
    assert reason(CLAIMS) == "R1 0.38"
    assert reason(astray) == f"{trouble}; R1 0.38"
