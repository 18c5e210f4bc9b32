"""A few of the cases made to deceive, and right ones beside them: `python -m tests.benchmarks.adversarial` runs all."""

from pathlib import Path

import pytest

from tests.synthetic.adversarial_cases import made
from tests.synthetic.adversarial_run import run

LIMIT_S = 6.0
"""Of a search: right structures take 1 to 3 s, and wrong data need not run longer to be refused."""


@pytest.mark.parametrize("name", ["right-quartz", "right-calcite", "right-kyanite", "right-forsterite"])
def test_a_right_structure_is_not_refused(name: str, tmp_path: Path) -> None:
    case = made(name, tmp_path / "made")
    found = run(case, tmp_path / "run", LIMIT_S)
    assert (found.status, found.false) == ("solved", ())


@pytest.mark.parametrize("name", ["shuffled-quartz", "coarse-kyanite", "other-quartz", "few-kyanite"])
def test_nothing_is_claimed_of_data_made_to_deceive(name: str, tmp_path: Path) -> None:
    case = made(name, tmp_path / "made")
    found = run(case, tmp_path / "run", LIMIT_S)
    assert found.status != "solved"
    assert found.false == ()
    assert found.reason
