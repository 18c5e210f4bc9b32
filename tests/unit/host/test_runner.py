"""Programs are started without a shell, watched, and killed as a whole group."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from adapters.host.runner import run_program
from adapters.programs.probe import DIALS, Program, probe, require
from tasks.model import ProgramNotFoundError, ProgramTimeoutError


def alive(pid: int) -> bool:
    """Tell whether a process runs; a zombie does not."""
    stat = Path(f"/proc/{pid}/stat")
    try:
        return stat.read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def wait_gone(pid: int, limit_s: float = 5.0) -> bool:
    end = time.monotonic() + limit_s
    while time.monotonic() < end and alive(pid):
        time.sleep(0.02)
    return not alive(pid)


def test_output_goes_to_files_in_the_c_locale(tmp_path: Path) -> None:
    code = "import os,sys; print(os.environ['LC_ALL'], os.getcwd(), sys.stdin.read()); sys.exit(3)"
    run = run_program([sys.executable, "-c", code], workdir=tmp_path, timeout_s=60, stdin_text="hello", log_name="x")
    assert run.returncode == 3
    assert (tmp_path / "x.out").read_text().split() == ["C", str(tmp_path), "hello"]
    assert "hello" in run.tail()


def test_arguments_are_not_seen_by_a_shell(tmp_path: Path) -> None:
    run = run_program(["echo", "$(touch hacked); `id`"], workdir=tmp_path, timeout_s=60)
    assert run.stdout.read_text().strip() == "$(touch hacked); `id`"
    assert not (tmp_path / "hacked").exists()


def test_a_missing_program_says_what_to_install(tmp_path: Path) -> None:
    with pytest.raises(ProgramNotFoundError, match="get it somewhere"):
        run_program(["no-such-program"], workdir=tmp_path, timeout_s=5, install="get it somewhere")


def test_the_time_limit_kills_children_too(tmp_path: Path) -> None:
    script = "sleep 300 & echo $!; trap '' TERM; echo begun >&2; wait; sleep 300"
    with pytest.raises(ProgramTimeoutError, match=r"after 0\.5 s") as caught:
        run_program(["sh", "-c", script], workdir=tmp_path, timeout_s=0.5)
    assert "begun" in caught.value.advice
    child = int((tmp_path / "sh.out").read_text().split()[0])
    assert wait_gone(child)


def test_terminating_the_caller_kills_the_program(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from adapters.host.runner import run_program\n"
        "run_program(['sh', '-c', 'echo $$ > pid; exec sleep 300'], workdir=Path(sys.argv[1]), timeout_s=300)"
    )
    caller = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)], env={**os.environ, "PYTHONPATH": str(Path.cwd())}
    )
    end = time.monotonic() + 30
    while time.monotonic() < end and not (tmp_path / "pid").is_file():
        time.sleep(0.05)
    time.sleep(0.1)
    program = int((tmp_path / "pid").read_text())
    caller.send_signal(signal.SIGTERM)
    assert caller.wait(20) != 0
    assert wait_gone(program)


def test_probing_a_missing_program_reports_and_does_not_raise(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    result = probe(DIALS)
    assert result.path is None
    assert "apt-get install dials" in result.note
    with pytest.raises(ProgramNotFoundError, match="DIALS is not installed"):
        require(DIALS)


def test_a_program_that_states_no_version_is_noted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake = tmp_path / "mute"
    fake.write_text("#!/bin/sh\nexit 1\n")
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    result = probe(Program(name="Mute", executable="mute", version_argv=("mute",), install="", without=""))
    assert result.path == fake
    assert result.version is None
    assert "states no version" in result.note
