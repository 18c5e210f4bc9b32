"""A process takes no more memory than its control group leaves it."""

from pathlib import Path

import pytest

from adapters.host import memory


def group(folder: Path, *, limit: str, current: int, files: int) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "memory.max").write_text(f"{limit}\n")
    (folder / "memory.current").write_text(f"{current}\n")
    (folder / "memory.stat").write_text(f"anon 1\ninactive_file {files}\n")


def test_the_tightest_group_counts_without_what_the_system_would_drop(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "own").write_text("0::/slurm/job_7\n")
    monkeypatch.setattr(memory, "OWN_GROUP", tmp_path / "own")
    monkeypatch.setattr(memory, "CGROUPS", tmp_path / "fs")
    whole = memory.free_memory()
    assert whole > 2**20
    group(tmp_path / "fs" / "slurm" / "job_7", limit="max", current=0, files=0)
    group(tmp_path / "fs" / "slurm", limit="1000000", current=700000, files=200000)
    assert memory.free_memory() == 500000
    group(tmp_path / "fs" / "slurm" / "job_7", limit="100000", current=200000, files=0)
    assert memory.free_memory() == 0
