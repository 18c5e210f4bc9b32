"""What the README shows of Python, run as it stands there, on a small simulated series."""

import re
from pathlib import Path
from typing import Any

import pytest

import tasks
from adapters.formats.simulated_series import write_simulated_series
from tasks.model.screen import LINES
from tasks.simulate import uio66
from tests.synthetic.coarse_series import coarse_case

README = Path(tasks.__file__).resolve().parents[1] / "README.md"


def blocks() -> list[str]:
    return re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), flags=re.DOTALL)


def test_the_examples_run_and_print_a_screenful(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write_simulated_series(uio66(), coarse_case(), tmp_path / "SOURCE")
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    for block in blocks():
        exec(compile(block, str(README), "exec"), names)
    printed = capsys.readouterr().out
    assert printed.startswith("Reflections(")
    assert len(printed.split("Solution(")[0].splitlines()) <= LINES
    assert names["solutions"].best.space_group == "F m -3 m"
    assert names["apertures"].masks["crystal-01"].shape == (33, 16, 16)
    assert len(names["frames"].images) == 33
    assert names["reflections"].hkl.shape == (len(names["reflections"].intensity), 3)
    assert len(names["again"].sigma) < len(names["reflections"].sigma)


def test_the_examples_call_each_stage_in_one_line() -> None:
    calls = [line for line in blocks()[0].splitlines() if "=" in line]
    assert len(calls) == 5
