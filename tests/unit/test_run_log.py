"""What a run logs is in its folder, and warnings still reach stderr."""

import logging
from pathlib import Path

import pytest

from flows.run_log import BYTES, FILES, NAME, logged

LOG = logging.getLogger("apertura.some-stage")


def test_what_is_logged_meanwhile_is_in_the_file_and_nothing_else(tmp_path: Path) -> None:
    level = logging.getLogger("apertura").level
    LOG.warning("before")
    with logged(tmp_path):
        LOG.info("ångström within")
    LOG.warning("after")
    (line,) = (tmp_path / NAME).read_text(encoding="utf-8").splitlines()
    assert line.endswith("Z INFO apertura.some-stage: ångström within")
    assert logging.getLogger("apertura").level == level


def test_a_warning_goes_to_stderr_where_nobody_else_takes_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(logging.getLogger("apertura"), "propagate", False)
    with logged(tmp_path):
        LOG.warning("look here")
        LOG.info("not here")
    assert capsys.readouterr().err == "look here\n"


def test_a_name_from_outside_forges_no_line_and_commands_no_terminal(tmp_path: Path) -> None:
    with logged(tmp_path):
        LOG.info("%s: read", "a\n2026-01-01T00:00:00Z INFO apertura: solved\x1b[2J\u202e")
    first, second = (tmp_path / NAME).read_text(encoding="utf-8").splitlines()
    assert first.endswith("apertura.some-stage: a")
    assert second == "    2026-01-01T00:00:00Z INFO apertura: solved\\u001b[2J\\u202e: read"


def test_the_file_is_rotated(tmp_path: Path) -> None:
    for _ in range(2 * FILES):
        with logged(tmp_path):
            LOG.info("x" * BYTES)
    assert sorted(path.name for path in tmp_path.iterdir()) == [NAME, *(f"{NAME}.{n}" for n in range(1, FILES + 1))]
