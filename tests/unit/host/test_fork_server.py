"""Work in forks of a prepared process: what it writes, how it ends, and that it never outlives who waits for it."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest

from adapters.host.fork_server import ForkServer
from adapters.host.runner import ProgramRun
from tasks.model import ProgramFailedError, ProgramTimeoutError


@pytest.fixture(scope="module")
def server() -> Iterator[ForkServer]:
    made = ForkServer("json.tool", env={"TOLD": "yes"})
    yield made
    made.close()


def run(server: ForkServer, folder: Path, code: str, *argv: str, timeout_s: float = 60.0) -> ProgramRun:
    return server.run(code, list(argv), workdir=folder, timeout_s=timeout_s, log_name="work")


def waited(condition: Callable[[], bool]) -> bool:
    end = time.monotonic() + 30
    while not condition() and time.monotonic() < end:
        time.sleep(0.02)
    return condition()


def test_work_has_its_folder_arguments_environment_and_streams(server: ForkServer, tmp_path: Path) -> None:
    code = (
        "import os, sys, pathlib; pathlib.Path('here').touch(); print(sys.argv[1:], os.environ['TOLD']);"
        "print('json.tool' in sys.modules, file=sys.stderr)"
    )
    done = run(server, tmp_path, code, "a b", "c")
    assert done.returncode == 0
    assert done.stdout.read_text() == "['a b', 'c'] yes\n"
    assert done.stderr.read_text() == "True\n"
    assert (tmp_path / "here").is_file()


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("raise SystemExit", 0),
        ("raise SystemExit(3)", 3),
        ("raise SystemExit('no')", 1),
        ("1 / 0", 1),
        ("import os; os.abort()", -signal.SIGABRT),
        ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", -signal.SIGSEGV),
    ],
)
def test_the_exit_code_says_how_it_ended_and_the_server_goes_on(
    server: ForkServer, tmp_path: Path, code: str, expected: int
) -> None:
    parent = "import os; print(os.getsid(os.getppid()))"
    before = run(server, tmp_path, parent).stdout.read_text()
    assert run(server, tmp_path, code).returncode == expected
    assert run(server, tmp_path, parent).stdout.read_text() == before


def test_an_error_is_in_the_error_stream(server: ForkServer, tmp_path: Path) -> None:
    assert "ZeroDivisionError" in run(server, tmp_path, "1 / 0").tail()


def test_work_of_several_threads_runs_at_once(server: ForkServer, tmp_path: Path) -> None:
    code = (
        "import sys, time, pathlib\n"
        "pathlib.Path(sys.argv[1]).touch()\n"
        "while not pathlib.Path(sys.argv[2]).exists(): time.sleep(0.01)"
    )
    pairs = [(str(tmp_path / "one"), str(tmp_path / "other")), (str(tmp_path / "other"), str(tmp_path / "one"))]
    folders = [tmp_path / str(number) for number in range(2)]
    for folder in folders:
        folder.mkdir()
    with ThreadPoolExecutor(2) as threads:
        done = list(threads.map(lambda folder, pair: run(server, folder, code, *pair), folders, pairs))
    assert [one.returncode for one in done] == [0, 0]


def test_the_time_limit_kills_its_children_too(server: ForkServer, tmp_path: Path) -> None:
    code = "import subprocess, time; print(subprocess.Popen(['sleep', '300']).pid, flush=True); time.sleep(300)"
    with pytest.raises(ProgramTimeoutError, match=r"after 1\.5 s"):
        run(server, tmp_path, code, timeout_s=1.5)
    child = int((tmp_path / "work.out").read_text())
    assert waited(lambda: gone(child))


def gone(pid: int) -> bool:
    return not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE


def test_a_server_that_was_killed_is_started_again(tmp_path: Path) -> None:
    server = ForkServer("json.tool", env={})
    first = int(run(server, tmp_path, "import os; print(os.getsid(os.getppid()))").stdout.read_text())
    os.kill(first, signal.SIGKILL)
    assert waited(lambda: gone(first))
    second = int(run(server, tmp_path, "import os; print(os.getsid(os.getppid()))").stdout.read_text())
    assert second != first
    server.close()
    assert not psutil.pid_exists(second)


def test_a_server_that_cannot_import_its_module_is_a_typed_error(tmp_path: Path) -> None:
    server = ForkServer("json.no_such_module", env={})
    with pytest.raises(ProgramFailedError, match=r"imports json\.no_such_module") as caught:
        run(server, tmp_path, "pass")
    assert "ModuleNotFoundError" in caught.value.advice
    server.close()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_neither_server_nor_work_outlives_the_owner(tmp_path: Path, number: signal.Signals) -> None:
    owner_code = (
        "import sys; from pathlib import Path; from adapters.host.fork_server import ForkServer\n"
        "code = 'import os, pathlib, time; print(os.getpid(), os.getsid(os.getppid()), flush=True); time.sleep(300)'\n"
        "ForkServer('json.tool', env={}).run(code, [], workdir=Path(sys.argv[1]), timeout_s=300, log_name='work')"
    )
    owner = subprocess.Popen(
        [sys.executable, "-c", owner_code, str(tmp_path)], env={**os.environ, "PYTHONPATH": str(Path.cwd())}
    )
    said = tmp_path / "work.out"
    assert waited(lambda: said.is_file() and said.read_text().endswith("\n"))
    pids = [int(text) for text in said.read_text().split()]
    owner.send_signal(number)
    assert owner.wait(20) == -number
    assert waited(lambda: all(gone(pid) for pid in pids))
