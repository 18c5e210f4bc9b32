"""Scans that others segmented give the apertures that they give here, byte for byte."""

import hashlib
from pathlib import Path

import pytest

from tasks.apertures import AutomaticApertures, block_folder, block_scans, propose_apertures, segment_scans, segmented
from tasks.ingest import TiltSeries
from tests.synthetic.diffracting_cluster import Cluster, write_cluster

CLUSTER = Cluster(
    seed=4,
    crystals=2,
    scan=(24, 24),
    detector=(128, 128),
    pixel_size_mm=0.045,
    tilts=(0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0),
)
ENGINE = AutomaticApertures()


@pytest.fixture(scope="module")
def series(tmp_path_factory: pytest.TempPathFactory) -> TiltSeries:
    return write_cluster(CLUSTER, tmp_path_factory.mktemp("cluster"))[0]


def hashes(folder: Path) -> dict[str, str]:
    return {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.iterdir())
        if path.is_file() and path.name != "document.json"
    }


@pytest.fixture(scope="module")
def here(series: TiltSeries, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("here") / "apertures"
    propose_apertures(series, ENGINE, workdir=folder)
    return hashes(folder)


def segmented_anew(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Return a list that takes the scans which the stage itself segments."""
    anew: list[int] = []
    real = segmented.segment_some

    def noted(*args, **kwargs):
        anew.extend(args[2])
        return real(*args, **kwargs)

    monkeypatch.setattr(segmented, "segment_some", noted)
    return anew


def test_scans_segmented_in_blocks_give_the_same_apertures(
    series: TiltSeries, here: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage = tmp_path / "apertures"
    blocks = block_scans(series, 3)
    assert [scan for block in blocks for scan in block] == list(range(7))
    assert len(blocks) == 3
    for block in blocks:
        segment_scans(series, ENGINE, block, workdir=block_folder(stage, block[0]))
    anew = segmented_anew(monkeypatch)
    propose_apertures(series, ENGINE, workdir=stage)
    assert anew == []
    assert hashes(stage) == here
    assert [path.name for path in tmp_path.iterdir()] == ["apertures"]


def test_what_is_missing_or_of_other_settings_is_segmented_by_the_stage(
    series: TiltSeries, here: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage = tmp_path / "apertures"
    segment_scans(series, ENGINE, (0, 1), workdir=block_folder(stage, 0))
    segment_scans(series, ENGINE.model_copy(update={"spot_threshold": 9.0}), (2, 3), workdir=block_folder(stage, 2))
    segment_scans(series, ENGINE, (4, 5), workdir=block_folder(stage, 4))
    damaged = min(block_folder(stage, 4).glob("*.npy"))
    damaged.write_bytes(damaged.read_bytes()[:-1])
    segment_scans(series, ENGINE, (6,), workdir=block_folder(stage, 6))
    document = block_folder(stage, 6) / "document.json"
    document.write_text(document.read_text()[:-20])
    anew = segmented_anew(monkeypatch)
    propose_apertures(series, ENGINE, workdir=stage)
    assert anew in ([2, 3, 4, 6], [2, 3, 5, 6])  # whose file it was
    assert hashes(stage) == here
