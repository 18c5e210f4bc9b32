"""How much of a crystal would have sufficed, as a reader sees it."""

from pathlib import Path

from tasks.report.models import NestedRegion, NestedStudy
from tasks.report.nested_rows import nested_rows, nested_sentence
from tasks.report.task import write_report
from tests.synthetic.outcomes import example_outcome

ENOUGH = NestedRegion(
    positions=8, electrons=121_268.0, unit_cells=13_345.0, unique=443, cc_half=0.994, d_min_angstrom=0.85, r1=0.07,
    status="solved", sufficed=True,
)  # fmt: skip
TOO_SMALL = NestedRegion(
    positions=4, electrons=60_000.0, unit_cells=6_700.0, status="not-indexed", sufficed=False, reason="no spots"
)


def study(*regions: NestedRegion) -> NestedStudy:
    return NestedStudy(positions=171, electrons=2.6e6, regions=regions, fraction=0.0466)


def plain(text: str) -> str:
    return text.replace("\u00a0", " ")


def test_the_smallest_part_that_sufficed_is_said() -> None:
    said = plain(nested_sentence(study(ENOUGH, TOO_SMALL)))
    assert said.startswith("4.7 % of its electrons would have sufficed: its best 8 of 171 positions at every tilt")
    assert "Nothing smaller was tried" not in said
    assert "Nothing smaller was tried" in nested_sentence(study(ENOUGH))


def test_a_part_below_one_that_did_not_suffice_does_not_count() -> None:
    smaller = ENOUGH.model_copy(update={"positions": 2})
    assert "its best 8 of" in nested_sentence(study(ENOUGH, TOO_SMALL, smaller))


def test_where_none_sufficed_the_sizes_are_said() -> None:
    assert nested_sentence(study(TOO_SMALL)).startswith("No part of it sufficed; tried were the best 4 positions")
    assert "the whole crystal is not solved" in nested_sentence(
        NestedStudy(positions=5, electrons=1.0, note="the whole crystal is not solved")
    )


def test_what_was_not_measured_has_dashes_and_a_reason() -> None:
    last = nested_rows(study(ENOUGH, TOO_SMALL))[-1]
    assert last[3:] == ("–", "–", "–", "–", "not indexed: no spots")


def test_the_report_has_the_line_and_the_table(tmp_path: Path) -> None:
    outcome = example_outcome(tmp_path, tilts=5)
    first = outcome.crystals[0].model_copy(update={"nested": study(ENOUGH, TOO_SMALL)})
    write_report(outcome.model_copy(update={"crystals": (first, *outcome.crystals[1:])}), tmp_path)
    page = plain((tmp_path / "report.html").read_text(encoding="utf-8"))
    assert page.count("How much of it would have sufficed") == 1
    assert "not indexed: no spots" in page
