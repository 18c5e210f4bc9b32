"""A file that hangs or crashes the library costs itself only."""

import multiprocessing
import os
import time
from pathlib import Path

import numpy as np
import pytest

from adapters.formats.scan_worker import ScanWorker
from adapters.formats.stempy_hdf5 import StempyReader
from tasks.ingest.ports import ScanData
from tasks.model import SourceError


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
    with ScanWorker(misbehave, timeout_s=5.0, preload="adapters.formats.scan_worker") as worker:
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


def test_a_daemonic_process_reads_in_place(monkeypatch: pytest.MonkeyPatch) -> None:
    reader = StempyReader()
    monkeypatch.setitem(multiprocessing.current_process()._config, "daemon", True)
    with reader.reading() as read:
        assert read == reader.read
