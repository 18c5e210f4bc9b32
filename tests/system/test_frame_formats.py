"""Real frames, re-written in every format that can be written, are the same frames; all of them: the benchmark."""

import io
import json
import tarfile
from pathlib import Path

import numpy as np
import pytest
import tifffile

from adapters.formats.frame_reader import FrameFileReader
from adapters.formats.vendors.frame_formats import FRAME_FORMATS, describe, format_of
from tasks.frames.models import FrameSeries
from tasks.frames.settings import FrameSettings
from tasks.frames.task import read_rotation
from tasks.ingest.source import read_source
from tasks.integrate.spots.images import load_images, search_spots
from tests.benchmarks.frame_formats import FORMATS
from tests.synthetic.cinchonine_manifest import MANIFEST

pytest.importorskip("rsciio")
pytestmark = [
    pytest.mark.needs_shared,
    pytest.mark.filterwarnings("ignore:.*NestedDirectoryStore:FutureWarning", "ignore:Unsorted:UserWarning"),
]


@pytest.fixture(scope="module")
def frames(shared_data: Path) -> np.ndarray:
    """Six frames as they come in the archive, which is not in order."""
    found: list[np.ndarray] = []
    with tarfile.open(shared_data / "cinchonine" / "diff_corr_405_tif.tar.xz") as archive:
        while len(found) < 6:
            member = archive.next()
            if member is not None and member.isfile():
                found.append(tifffile.imread(io.BytesIO(archive.extractfile(member).read())))
    return np.stack(found)


def series_in(name: str, frames: np.ndarray, folder: Path) -> FrameSeries:
    source = folder / "source"
    source.mkdir(parents=True)
    FORMATS[name].write(source, frames)
    (source / "rotation_series.json").write_text(json.dumps({**MANIFEST, "files": FORMATS[name].files}))
    return read_rotation(read_source(source), FrameFileReader(), FrameSettings(), folder / "frames")


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_gives_the_same_frames_and_is_told(name: str, frames: np.ndarray, tmp_path: Path) -> None:
    series = series_in(name, frames, tmp_path)
    assert np.array_equal(series.images, frames)
    assert series.mask.all()
    assert series.warnings == ()
    (tmp_path / "source" / "rotation_series.json").unlink()
    path = min((tmp_path / "source").glob(FORMATS[name].files.replace("*.h5", "*master.h5")))
    known = format_of(path)
    assert known is not None
    said = describe(known, path)
    assert said.kind == "frames"
    assert said.shape[1:] == frames.shape[1:]
    assert said.shape[0] in (1, len(frames))
    assert np.dtype(said.dtype).kind in "ui"
    assert known.name in {listed.name for listed in FRAME_FORMATS}


def test_the_spots_are_the_same_in_formats_of_each_kind(frames: np.ndarray, tmp_path: Path) -> None:
    found = {}
    for name in ("TIFF", "NXmx, bitshuffle LZ4", "MIB, raw 24 bits", "TVIPS"):
        series = series_in(name, frames, tmp_path / name.replace(" ", "-"))
        spots = search_spots(load_images(series), np.array(series.direct_beam_px), threshold=5.0).spots
        found[name] = np.column_stack([spots.frame, spots.px])
    assert len(found["TIFF"]) > 50
    for name, spots in found.items():
        assert np.array_equal(spots, found["TIFF"]), name
