"""The flight check tells a right answer from a wrong one, and an engine that fails from one that is absent."""

import json
from pathlib import Path

import pytest

from flows import flight_check
from flows.flight_check import CHAINS, check
from tasks.model import ProgramFailedError
from tasks.simulate.demo_structure import uio66

CELL = list(uio66().cell.parameters)
DONE = {"unit_cell": CELL, "engine": "builtin"}


def answer(monkeypatch: pytest.MonkeyPatch, folder: Path, **crystal: object) -> None:
    solved = {"status": "solved", "solution": {"space_group": "F m -3 m"}, "refinement": {"r1": 0.03}, "reason": None}
    content = {"status": "solved", "crystals": [{"integration": DONE, **solved, **crystal}]}
    (folder / "results.json").write_text(json.dumps(content))
    monkeypatch.setattr(flight_check, "run_pipeline", lambda *_: folder)


@pytest.mark.parametrize(
    ("crystal", "passed"),
    [
        ({}, True),
        ({"integration": {**DONE, "unit_cell": [20.9, *CELL[1:]]}}, True),
        ({"integration": {**DONE, "unit_cell": [21.5, *CELL[1:]]}}, False),
        ({"integration": {**DONE, "engine": "dials"}}, False),
        ({"solution": {"space_group": "F -4 3 m"}}, False),
        ({"status": "not-solved", "reason": "R1 0.5"}, False),
    ],
)
def test_cell_space_group_and_engine_must_be_the_known_ones(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, crystal: dict[str, object], passed: bool
) -> None:
    answer(monkeypatch, tmp_path, **crystal)
    assert check(tmp_path, "builtin", "direct-methods", "smtbx").passed is passed


def test_a_program_that_fails_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def fail(*_: object) -> Path:
        raise ProgramFailedError("dials.index ended with 1", "its last words")

    monkeypatch.setattr(flight_check, "run_pipeline", fail)
    found = check(tmp_path, "dials", "charge-flipping", "smtbx")
    assert not found.passed
    assert "dials.index" in found.outcome
    assert found.engines == "dials + charge-flipping + smtbx"


def test_every_engine_is_in_a_chain() -> None:
    assert {chain[0] for chain in CHAINS} == {"builtin", "dials", "xds"}
    assert {chain[1] for chain in CHAINS} >= {"direct-methods", "charge-flipping", "shelxt"}
    assert {chain[2] for chain in CHAINS} == {"smtbx", "shelxl"}
