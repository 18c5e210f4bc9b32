"""What a person sees on stderr while a run goes on."""

import logging

import pytest

from flows.progress import TerminalSteps


def test_a_long_search_is_heard_while_its_step_runs_and_not_after(capsys: pytest.CaptureFixture[str]) -> None:
    search = logging.getLogger("apertura.search")
    with TerminalSteps() as steps, steps.step("solve", "crystal-01"):
        search.info("%s: %d of at most %d trials, no model yet", "crystal-01", 8, 500)
    search.info("said too late")
    heard = capsys.readouterr()
    assert "crystal-01: 8 of at most 500 trials, no model yet" in heard.err
    assert "too late" not in heard.err
    assert heard.out == ""
