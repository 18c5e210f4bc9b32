"""stempy's files: written and read without losing an electron."""

import tempfile
from collections import Counter
from itertools import pairwise
from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from stempy.io import SparseArray, load_electron_counts

from adapters.formats.stempy_hdf5 import StempyReader
from adapters.formats.stempy_writer import write_scan
from tasks.ingest.ports import ScanData
from tasks.model import SourceError

FRAME = (5, 7)
Entries = list[list[int]]


def random_scan(seed: int, entries: int, pixels: int, mean: float = 3.0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    lengths = rng.poisson(mean, entries)
    return np.concatenate([[0], np.cumsum(lengths)]), rng.integers(0, pixels, lengths.sum())


@pytest.mark.parametrize("frames_per_position", [1, 3])
def test_stempy_reads_a_written_scan(tmp_path: Path, frames_per_position: int) -> None:
    shape, frame = (4, 6), (8, 5)
    offsets, events = random_scan(1, 24 * frames_per_position, 40)
    path = tmp_path / "scan.h5"
    write_scan(
        path,
        offsets,
        events,
        scan_shape_with_flyback=shape,
        frame_shape=frame,
        frames_per_position=frames_per_position,
    )

    array = load_electron_counts(path)

    assert array.scan_shape == shape
    assert tuple(array.frame_shape) == frame
    for entry, got in enumerate(array.data.ravel()):
        np.testing.assert_array_equal(got, events[offsets[entry] : offsets[entry + 1]])


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 3), min_size=1, max_size=6), st.booleans())
def test_what_is_written_is_read_also_when_all_entries_are_equally_long(lengths: list[int], equal: bool) -> None:
    lengths = [lengths[0]] * len(lengths) if equal else lengths
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    events = np.arange(offsets[-1]) % 35
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "s.h5"
        write_scan(path, offsets, events, scan_shape_with_flyback=(1, len(lengths)), frame_shape=FRAME)
        if not len(events):
            with pytest.raises(SourceError, match="empty"):
                read(path, (1, len(lengths)), 0)
            return
        got = read(path, (1, len(lengths)), 0)
    np.testing.assert_array_equal(got.offsets, offsets)
    np.testing.assert_array_equal(got.events, events)


def test_equal_scans_give_equal_bytes(tmp_path: Path) -> None:
    offsets, events = random_scan(2, 12, 30)
    for name in ("a.h5", "b.h5"):
        write_scan(tmp_path / name, offsets, events, scan_shape_with_flyback=(3, 4), frame_shape=(5, 6))

    assert (tmp_path / "a.h5").read_bytes() == (tmp_path / "b.h5").read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.h5", "b.h5"]


@pytest.mark.parametrize(
    ("offsets", "events"),
    [([0, 1], [0]), ([0, 1, 3], [0, 1]), ([1, 1, 2], [0, 1]), ([0, 1, 2], [0, 30])],
)
def test_contradictions_are_refused(tmp_path: Path, offsets: list[int], events: list[int]) -> None:
    with pytest.raises(ValueError, match=r"do not describe|outside a frame"):
        write_scan(
            tmp_path / "scan.h5",
            np.array(offsets),
            np.array(events),
            scan_shape_with_flyback=(1, 2),
            frame_shape=(5, 6),
        )


def write_version(
    path: Path,
    version: int,
    entries: Entries,
    positions: list[int],
    *,
    scan: tuple[int, int],
    where: str = "root",
    dtype: type = np.uint32,
) -> Path:
    """Write a file as the table of the specification says, by h5py alone."""
    with h5py.File(path, "w") as file:
        group = file.create_group("electron_events")
        frames = group.create_dataset("frames", (len(entries),), dtype=h5py.vlen_dtype(dtype))
        for index, entry in enumerate(entries):
            frames[index] = np.array(entry, dtype=dtype)
        frames.attrs["Nx"], frames.attrs["Ny"] = FRAME
        scan_positions = group.create_dataset("scan_positions", data=np.array(positions, dtype=np.int64))
        scan_positions.attrs["Ny"], scan_positions.attrs["Nx"] = scan
        if version > 1 or where == "always":
            (group if where == "group" else file).attrs["version"] = version
    return path


def read(path: Path, scan: tuple[int, int], flyback: int) -> ScanData:
    return StempyReader().read(
        path, scan_shape=(scan[0], scan[1] - flyback), flyback_columns=flyback, frame_shape=FRAME
    )


def naive(entries: Entries, positions: list[int], scan: tuple[int, int], flyback: int) -> list[Counter]:
    """Return how often each pixel was hit at each kept position, one event at a time."""
    columns = scan[1] - flyback
    found = [Counter() for _ in range(scan[0] * columns)]
    for entry, position in zip(entries, positions, strict=True):
        row, column = divmod(position, scan[1])
        for pixel in entry:
            if column < columns:
                found[row * columns + column][pixel] += 1
    return found


def counters(data: ScanData) -> list[Counter]:
    bounds = data.offsets.astype(int)
    return [Counter(data.events[a:b].tolist()) for a, b in pairwise(bounds)]


@st.composite
def scans(draw: st.DrawFn) -> tuple[int, Entries, list[int], tuple[int, int], int]:
    version = draw(st.integers(1, 3))
    scan = (draw(st.integers(1, 4)), draw(st.integers(2, 5)))
    flyback = draw(st.integers(0, scan[1] - 1))
    count = scan[0] * scan[1]
    if version == 1:
        positions = list(range(count))
    elif version == 2:
        positions = draw(st.lists(st.integers(0, count - 1), min_size=0, max_size=3 * count))
    else:
        positions = np.repeat(np.arange(count), draw(st.integers(1, 3))).tolist()
    pixel = st.integers(0, FRAME[0] * FRAME[1] - 1)
    entries = [draw(st.lists(pixel, max_size=5)) for _ in positions]
    return version, entries, positions, scan, flyback


@settings(max_examples=150, deadline=None)
@given(scans(), st.sampled_from(["root", "group"]), st.sampled_from([np.uint32, np.uint64, np.int32, np.uint16]))
def test_every_electron_of_every_version_is_kept(case: tuple, where: str, dtype: type) -> None:
    version, entries, positions, scan, flyback = case
    expected = naive(entries, positions, scan, flyback)
    with tempfile.TemporaryDirectory() as folder:
        # version 3 ignores scan_positions: whatever stands there must not matter
        listed = [0] if version == 3 else positions
        path = write_version(Path(folder) / "s.h5", version, entries, listed, scan=scan, where=where, dtype=dtype)
        if not any(expected):
            with pytest.raises(SourceError, match="empty"):
                read(path, scan, flyback)
            return
        data = read(path, scan, flyback)

    assert counters(data) == expected
    assert data.offsets.dtype == np.uint64
    assert data.events.dtype == np.uint32
    assert int(data.offsets[0]) == 0
    assert int(data.offsets[-1]) == len(data.events) == sum(map(Counter.total, expected))
    assert data.flyback_events == sum(map(len, entries)) - len(data.events)


def test_a_scan_that_stempy_wrote_is_read(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    data = np.empty((6, 2), dtype=object)
    for index in np.ndindex(6, 2):
        data[index] = rng.integers(0, 35, rng.poisson(3)).astype(np.uint32)
    array = SparseArray(data, scan_shape=(2, 3), frame_shape=FRAME, metadata={"dwell": {"us": 11.5}})
    array.write_to_hdf5(str(tmp_path / "s.h5"))

    got = read(tmp_path / "s.h5", (2, 3), 0)

    for position in range(6):
        expected = np.concatenate(list(data[position]))
        np.testing.assert_array_equal(got.events[got.offsets[position] : got.offsets[position + 1]], expected)
    assert any("dwell" in key and "11.5" in value for key, value in got.metadata.items())


def test_what_the_file_says_about_itself_is_kept_as_short_texts(tmp_path: Path) -> None:
    path = write_version(tmp_path / "s.h5", 1, [[1], [2]], [0, 1], scan=(1, 2))
    with h5py.File(path, "a") as file:
        file.create_group("metadata").attrs["operator"] = "x" * 10_000
        file.create_group("user")["name"] = "Ada\n"
        images = file.create_group("stem").create_dataset("images", data=np.zeros((2, 3, 4)))
        images.attrs["names"] = ["bright", "dark"]
        for index in range(1000):
            file["metadata"].attrs[f"a{index}"] = index
        file["metadata/elsewhere"] = h5py.ExternalLink("/etc/hostname", "/")

    metadata = read(path, (1, 2), 0).metadata

    assert len(metadata) <= 200
    assert max(map(len, metadata.values())) <= 200
    assert all(key.startswith("/metadata@") for key in metadata)


def test_notes_of_user_and_images_are_kept(tmp_path: Path) -> None:
    path = write_version(tmp_path / "s.h5", 1, [[1], [2]], [0, 1], scan=(1, 2))
    with h5py.File(path, "a") as file:
        file.create_group("user")["name"] = "Ada\n"
        images = file.create_group("stem").create_dataset("images", data=np.zeros((2, 3, 4)))
        images.attrs["names"] = ["bright", "dark"]

    metadata = read(path, (1, 2), 0).metadata

    assert metadata == {
        "/user/name": "Ada ",
        "/stem/images@names": "bright dark",
        "/stem/images": "float64 (2, 3, 4)",
    }


GOOD = {"version": 3, "entries": [[1], [2, 2], [], [34]], "positions": [0, 1, 2, 3], "scan": (2, 2)}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"entries": [[1], [35], [], []]}, "event index 35 is out of range: a frame has 35 pixels"),
        ({"entries": [[1], [2], [-3], []], "dtype": np.int64}, "event index -3 is out of range"),
        ({"entries": [[1], [2], [2**32 + 1], []], "dtype": np.uint64}, "event index 4294967297 is out of range"),
        ({"entries": [[1, 35], [], [], []]}, "out of range"),
        ({"entries": [[], [], [], []]}, "empty"),
        ({"entries": [[]] * 3 + [[1]] + [[]]}, "5 entries, not a multiple of 4"),
        ({"entries": []}, "0 entries"),
        ({"version": 1, "entries": [[1], [2]]}, "2 entries, version 1 needs one for each of 4"),
        ({"version": 2, "positions": [0, 1]}, "scan_positions has the shape"),
        ({"version": 2, "positions": [0, 1, 2, 4]}, "scan position 4 lies outside"),
        ({"version": 2, "positions": [0, 1, 2, -1]}, "lies outside"),
        ({"version": 7}, "version 7 is not known"),
        ({"version": 0, "where": "always"}, "version 0 is not known"),
        ({"scan": (1, 4)}, "scan_positions: the file has (1, 4) rows and columns, the manifest's scan.shape"),
    ],
)
def test_a_damaged_scan_is_refused_with_its_reason(tmp_path: Path, change: dict, message: str) -> None:
    path = write_version(tmp_path / "s.h5", **{**GOOD, **change})
    with pytest.raises(SourceError) as caught:
        read(path, (2, 2), 0)
    assert message in caught.value.message


def test_a_wrong_frame_shape_is_refused(tmp_path: Path) -> None:
    path = write_version(tmp_path / "s.h5", **GOOD)
    with pytest.raises(SourceError, match=r"frames: the file has \(5, 7\) .* detector.shape_px \(7, 5\)"):
        StempyReader().read(path, scan_shape=(2, 2), flyback_columns=0, frame_shape=(7, 5))


def test_two_versions_in_one_file_are_refused(tmp_path: Path) -> None:
    path = write_version(tmp_path / "s.h5", **GOOD)
    with h5py.File(path, "a") as file:
        file["electron_events"].attrs["version"] = 2
    with pytest.raises(SourceError, match="two versions"):
        read(path, (2, 2), 0)


@pytest.mark.parametrize("missing", ["frames", "scan_positions", "frames@Nx", "scan_positions@Ny"])
def test_a_missing_part_is_named(tmp_path: Path, missing: str) -> None:
    path = write_version(tmp_path / "s.h5", **GOOD)
    name, _, attribute = missing.partition("@")
    with h5py.File(path, "a") as file:
        if attribute:
            del file["electron_events"][name].attrs[attribute]
        else:
            del file["electron_events"][name]
    with pytest.raises(SourceError, match=attribute or name):
        read(path, (2, 2), 0)


def test_links_to_other_files_are_not_followed(tmp_path: Path) -> None:
    write_version(tmp_path / "other.h5", **GOOD)
    with h5py.File(tmp_path / "s.h5", "w") as file:
        file["electron_events"] = h5py.ExternalLink(str(tmp_path / "other.h5"), "/electron_events")
    with pytest.raises(SourceError, match="/electron_events is missing"):
        read(tmp_path / "s.h5", (2, 2), 0)


def test_a_file_that_claims_a_huge_dataset_is_refused_at_once(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "s.h5", "w") as file:
        group = file.create_group("electron_events")
        frames = group.create_dataset("frames", (10**13,), dtype=h5py.vlen_dtype(np.uint32), chunks=(1024,))
        frames.attrs["Nx"], frames.attrs["Ny"] = FRAME
        positions = group.create_dataset("scan_positions", (10**13,), dtype=np.uint32, chunks=(1024,))
        positions.attrs["Nx"], positions.attrs["Ny"] = 8192, 8192
        file.attrs["version"] = 2
    with pytest.raises(SourceError, match="entries"):
        read(tmp_path / "s.h5", (8192, 8192), 0)


def test_the_number_of_electrons_is_bounded(tmp_path: Path) -> None:
    path = write_version(tmp_path / "s.h5", **GOOD)
    with pytest.raises(SourceError, match="more than 3 electrons"):
        StempyReader(events_max=3).read(path, scan_shape=(2, 2), flyback_columns=0, frame_shape=FRAME)


def test_a_file_cut_anywhere_is_refused_or_read_in_full(tmp_path: Path) -> None:
    whole = write_version(tmp_path / "s.h5", **GOOD).read_bytes()
    cut = tmp_path / "cut.h5"
    for size in range(0, len(whole), 97):
        cut.write_bytes(whole[:size])
        with pytest.raises(SourceError):
            read(cut, (2, 2), 0)


def test_a_text_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "s.h5").write_text("not HDF5")
    with pytest.raises(SourceError, match="not a readable stempy file"):
        read(tmp_path / "s.h5", (2, 2), 0)
