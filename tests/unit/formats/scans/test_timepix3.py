"""Lists of hits: every electron is found once, at its pixel and at its scan position."""

from pathlib import Path

import numpy as np
import pytest

from adapters.formats.scans.scan_reader import ScanFileReader
from tasks.ingest import Chip, Conversion, EventClock, ScanData, Stated
from tasks.model import SourceError
from tests.synthetic.scan_files import edge_packet, hit_packet, write_tpx3

ROWS, COLUMNS, FLYBACK, DWELL_US = 4, 6, 1, 10.0
ROW_NS = (COLUMNS + FLYBACK) * DWELL_US * 1e3 + 15_000.0
"""From row to row: longer than its positions take."""
CLOCK = EventClock(edge="tdc1-rise", marks="row", dwell_us=DWELL_US, cluster_ns=100.0)
Electron = tuple[int, int, int, int]


def electrons(seed: int, number: int) -> list[Electron]:
    """Return (scan row, scan column, row, column) of electrons, flyback included, far from each other in each frame."""
    rng = np.random.default_rng(seed)
    where = [rng.integers(0, high, number) for high in (ROWS, COLUMNS + FLYBACK, 60, 60)]
    return [(r, c, 3 + 4 * y, 3 + 4 * x) for r, c, y, x in np.array(where).T.tolist()]


def packets(found: list[Electron], *, begin_ns: float = 1000.0, seed: int = 1) -> list[tuple[int, int]]:
    """Return hits of electrons, one to five pixels with the largest ToT at the place, and the edges of the rows."""
    rng = np.random.default_rng(seed)
    timed = [(begin_ns + row * ROW_NS, (0, edge_packet(begin_ns + row * ROW_NS, count=row))) for row in range(ROWS)]
    for number, (row, column, y, x) in enumerate(found):
        spread = (number * 997 % 9000) + 500.0  # the same pixel twice at one position: two electrons
        time = begin_ns + row * ROW_NS + column * DWELL_US * 1e3 + spread
        timed.append((time, (0, hit_packet(time, y, x, 200))))
        for dy, dx in rng.permutation([(0, 1), (1, 1), (1, 0), (-1, 0)])[: rng.integers(0, 5)].tolist():
            timed.append((time + 30.0, (0, hit_packet(time + 30.0, y + dy, x + dx, int(rng.integers(1, 199))))))
    timed.sort(key=lambda item: item[0])
    order = np.argsort(np.arange(len(timed)) + rng.uniform(-3, 3, len(timed)))  # the chip does not keep the order
    return [timed[index][1] for index in order]


def read(path: Path, clock: EventClock | None = CLOCK, frame: tuple[int, int] = (256, 256), **more: object) -> ScanData:
    return ScanFileReader().read(
        path, scan_shape=(ROWS, COLUMNS), flyback_columns=FLYBACK, frame_shape=frame, stated=Stated(clock=clock, **more)
    )


def found_in(data: ScanData, width: int = 256) -> list[Electron]:
    position = np.repeat(np.arange(ROWS * COLUMNS), np.diff(data.offsets.astype(np.int64)))
    return sorted((*divmod(p, COLUMNS), *divmod(e, width)) for p, e in zip(position.tolist(), data.events.tolist()))


@pytest.mark.parametrize("begin_ns", [1000.0, 2**30 * 25.0 - 1.5 * ROW_NS, 2**35 * 3.125 - 2.2 * ROW_NS])
def test_every_electron_is_found_once_also_where_the_clocks_begin_again(tmp_path: Path, begin_ns: float) -> None:
    given = electrons(2, 400)
    data = read(write_tpx3(tmp_path / "a.tpx3", packets(given, begin_ns=begin_ns)))
    kept = sorted(one for one in given if one[1] < COLUMNS)
    assert found_in(data) == kept
    assert data.flyback_events == len(given) - len(kept)
    assert (data.events.dtype, data.offsets.dtype) == (np.uint32, np.uint64)


def test_hits_in_a_chip_s_corner_are_where_the_manual_says(tmp_path: Path) -> None:
    places = [(0, 0), (0, 255), (255, 0), (255, 255), (5, 10), (6, 11)]
    given = [(0, column, *place) for column, place in enumerate(places)]
    hits = [(0, hit_packet(1500.0 + column * DWELL_US * 1e3, y, x, 9)) for _, column, y, x in given]
    assert found_in(read(write_tpx3(tmp_path / "a.tpx3", [*packets([]), *hits]))) == given


def test_electrons_between_rows_are_in_no_position(tmp_path: Path) -> None:
    given = [(0, 0, 7, 7), (3, COLUMNS - 1, 9, 9)]
    between = 1000.0 + ROW_NS - 5000.0
    extra = [(0, hit_packet(time, 40, 40, 5)) for time in (500.0, between, 1000.0 + 4 * ROW_NS)]
    data = read(write_tpx3(tmp_path / "a.tpx3", [*packets(given), *extra]))
    assert found_in(data) == given
    assert data.flyback_events == 0
    assert data.metadata["/timepix3@electrons_outside_the_rows"] == "3"


def test_an_edge_may_mark_every_position(tmp_path: Path) -> None:
    rng = np.random.default_rng(5)
    total = ROWS * (COLUMNS + FLYBACK)
    starts = 1000.0 + np.cumsum(rng.uniform(12_000, 20_000, total))
    marks = [(0, edge_packet(start, kind=0xB)) for start in starts]
    hits = [(0, hit_packet(start + 4000.0, 10, 20 + index, 9)) for index, start in enumerate(starts)]
    late = [(0, hit_packet(starts[0] + 11_000.0, 10, 20, 9))]
    clock = CLOCK.model_copy(update={"edge": "tdc2-fall", "marks": "position"})
    data = read(write_tpx3(tmp_path / "a.tpx3", [*marks, *hits, *late]), clock)
    expected = [(*divmod(i, COLUMNS + FLYBACK), 10, 20 + i) for i in range(total) if i % (COLUMNS + FLYBACK) < COLUMNS]
    assert found_in(data) == expected


def test_chips_of_a_quad_lie_where_the_manifest_says(tmp_path: Path) -> None:
    mark = [(0, edge_packet(1000.0 + row * ROW_NS)) for row in range(ROWS)]
    hits = [(chip, hit_packet(3000.0, 2, 5, 9)) for chip in range(4)]
    clock = CLOCK.model_copy(
        update={
            "chips": (
                Chip(index=0, origin_px=(0, 0)),
                Chip(index=1, origin_px=(0, 256), turned=True),
                Chip(index=2, origin_px=(258, 0)),
                Chip(index=3, origin_px=(258, 256), turned=True),
            )
        }
    )
    data = read(write_tpx3(tmp_path / "a.tpx3", [*mark, *hits]), clock, (514, 512))
    found = [(row, column) for _, _, row, column in found_in(data, 512)]
    assert found == [(2, 5), (253, 256 + 250), (260, 5), (258 + 253, 256 + 250)]


def test_hits_that_are_apart_in_time_are_two_electrons(tmp_path: Path) -> None:
    marks = [(0, edge_packet(1000.0 + row * ROW_NS)) for row in range(ROWS)]
    for apart_ns, number in ((90.0, 1), (110.0, 2)):
        hits = [(0, hit_packet(2000.0, 9, 9, 5)), (0, hit_packet(2000.0 + apart_ns, 9, 10, 6))]
        assert len(read(write_tpx3(tmp_path / "a.tpx3", [*marks, *hits])).events) == number


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"clock": None}, "detector.event_clock is needed"),
        ({"frame": (255, 256)}, "does not lie on the manifest's detector.shape_px"),
        (
            {"edge": "tdc2-rise"},
            "the file holds 0 edges tdc2-rise, the manifest's scan.shape and flyback_columns 4",
        ),
        (
            {"marks": "position"},
            "the file holds 4 edges tdc1-rise, the manifest's scan.shape and flyback_columns 4 x",
        ),
        ({"dwell_us": 13.5}, "dwell_us 13.5: a row would take 94.5 us, but two begin within 85 us"),
        (
            {"chips": (Chip(index=2, origin_px=(0, 0)),)},
            "the file holds hits of chip 0, of which the manifest",
        ),
        (
            {"conversion": Conversion(units_per_electron=1.0, pedestal=0.0)},
            "detector.conversion is stated, but the",
        ),
    ],
)
def test_what_the_manifest_says_must_fit_the_file(tmp_path: Path, change: dict, message: str) -> None:
    path = write_tpx3(tmp_path / "a.tpx3", packets(electrons(2, 50)))
    clock = CLOCK.model_copy(update={key: change[key] for key in change.keys() & set(EventClock.model_fields)})
    more = {"conversion": change["conversion"]} if "conversion" in change else {}
    with pytest.raises(SourceError) as refused:
        read(path, change.get("clock", clock), change.get("frame", (256, 256)), **more)
    assert message in refused.value.message


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda data: data[:-8], "ends within a chunk"),
        (lambda data: data[:-3], "no whole packets"),
        (lambda data: data + b"TPX4" + bytes(4), "does not begin with TPX3"),
        (lambda data: data + b"TPX3\0\0\x08\0" + (0xA << 60).to_bytes(8, "little"), "hits without times"),
        (lambda data: data + b"TPX3\0\0\x08\0" + (0x9 << 60).to_bytes(8, "little"), "no known kind"),
    ],
)
def test_damage_is_named(tmp_path: Path, damage: object, message: str) -> None:
    path = write_tpx3(tmp_path / "a.tpx3", packets(electrons(2, 50)))
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(SourceError, match=message):
        read(path)
