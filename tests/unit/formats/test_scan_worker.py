"""A file that hangs or crashes the library costs itself only."""

import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import tasks
from adapters.formats.scan_worker import ScanWorker
from adapters.formats.stempy_writer import write_scan
from tasks.ingest.ports import ScanData
from tasks.model import ProgramFailedError, SourceError


def misbehave(path: Path, *, how: str) -> ScanData:
    if how == "hang":
        time.sleep(60)
    if how == "crash":
        os.abort()
    if how == "refuse":
        raise SourceError(f"{path.name} is bad", "advice")
    if how == "bug":
        raise ZeroDivisionError("a bug")
    return ScanData(np.zeros(2, np.uint64), np.zeros(1, np.uint32), 0, 1.0, {"pid": str(os.getpid())})


def test_hangs_crashes_and_errors_are_told_apart_and_reading_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "s.h5"
    path.write_bytes(b"")
    with ScanWorker(misbehave, timeout_s=5.0) as worker:
        first = worker.read(path, how="well").metadata["pid"]
        assert first != str(os.getpid())
        with pytest.raises(SourceError, match=r"s.h5 is bad"):
            worker.read(path, how="refuse")
        with pytest.raises(ZeroDivisionError):
            worker.read(path, how="bug")
        assert worker.read(path, how="well").metadata["pid"] == first
        with pytest.raises(SourceError, match="crashed"):
            worker.read(path, how="crash")
        second = worker.read(path, how="well").metadata["pid"]
        begin = time.monotonic()
        with pytest.raises(SourceError, match="longer than 5 s"):
            worker.read(path, how="hang")
        assert time.monotonic() - begin < 30
        assert worker.read(path, how="well").metadata["pid"] not in {first, second}


SCRIPT = """
from pathlib import Path
import sys

from adapters.formats.stempy_hdf5 import StempyReader

with StempyReader().storing() as store:
    kept = Path(sys.argv[1]).with_suffix(".events")
    print(store(Path(sys.argv[1]), scan_shape=(2, 2), flyback_columns=0, frame_shape=(4, 4), store=kept).counts)
"""


def test_a_calling_script_needs_no_guard(tmp_path: Path) -> None:
    scan, script = tmp_path / "s.h5", tmp_path / "script.py"
    events = np.arange(6, dtype=np.uint32)
    write_scan(scan, np.array([0, 2, 3, 4, 6], np.uint64), events, scan_shape_with_flyback=(2, 2), frame_shape=(4, 4))
    script.write_text(SCRIPT)
    root = str(Path(tasks.__file__).resolve().parents[1])
    argv = [sys.executable, str(script), str(scan)]
    done = subprocess.run(
        argv, check=False, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": root}, timeout=120
    )
    assert (done.returncode, done.stdout.strip()) == (0, "6"), done.stderr


def test_a_reader_that_cannot_start_is_no_damaged_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "numpy.py").write_text("raise ImportError('a broken installation')")
    monkeypatch.syspath_prepend(tmp_path)
    path = tmp_path / "s.h5"
    path.write_bytes(b"")
    with (
        ScanWorker(misbehave, timeout_s=5.0) as worker,
        pytest.raises(ProgramFailedError, match="could not be started") as refused,
    ):
        worker.read(path, how="well")
    assert "a broken installation" in refused.value.advice
