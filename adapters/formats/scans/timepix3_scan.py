"""Lists of hits of a Timepix3 detector become electrons at scan positions, as the manifest says (`EventClock`)."""

from pathlib import Path

import numpy as np
from numba import njit, types
from numpy.typing import NDArray

from adapters.formats.scans.dense_scan import Shape
from adapters.formats.scans.timepix3_packets import EDGES, SIDE, TICKS_PER_NS, Hits, Longs, read_hits
from tasks.ingest import Chip, EventClock, ScanData, Stated
from tasks.model import SourceError

CHIPS_MOST = 256
"""As many as the file's chip index tells apart."""


def read_timepix3(
    path: Path, *, scan_shape: Shape, flyback_columns: int, frame_shape: Shape, stated: Stated, events_max: int
) -> ScanData:
    """Return every electron of one scan, flyback dropped.

    Raises
    ------
    SourceError
        If the file is damaged, the manifest does not say how times become positions, or what it says does not fit.
    """
    clock = stated.clock
    if clock is None:
        raise SourceError(
            'the file is a list of hits: detector.event_clock is needed; write "event_clock": {"edge": "tdc1-rise", '
            '"marks": "row", "dwell_us": ..., "cluster_ns": ...} into the manifest',
            "tasks/ingest/README.md says what each means",
        )
    if stated.conversion is not None:
        raise SourceError("detector.conversion is stated, but the file is a list of hits", "leave it out")
    hits = read_hits(path)
    place = _places(hits.pixel, clock.chips or (Chip(index=0, origin_px=(0, 0)),), frame_shape)
    columns = scan_shape[1] + flyback_columns
    starts = _starts(hits, clock, rows=scan_shape[0], columns=columns)
    order = np.argsort(hits.time, kind="stable")
    electron_time, electron_pixel = _electrons(
        hits.time[order], place[order], hits.tot[order], frame_shape, clock.cluster_ns
    )
    if len(electron_time) > events_max:
        raise SourceError("there are more electrons in the scan than events_max", "raise events_max if it is true")
    position = _positions(electron_time, starts, clock, columns)
    inside = position >= 0
    row, column = np.divmod(position, columns)
    kept = inside & (column < scan_shape[1])
    if not kept.any():
        raise SourceError("the scan is empty: it holds no electron outside the flyback")
    target = row[kept] * scan_shape[1] + column[kept]
    by_place = np.lexsort((electron_pixel[kept], target))
    lengths = np.bincount(target, minlength=scan_shape[0] * scan_shape[1])
    said = {"hits": len(hits.time), "electrons": len(electron_time), "electrons_outside_the_rows": int((~inside).sum())}
    return ScanData(
        np.concatenate([[0], np.cumsum(lengths)]).astype(np.uint64),
        electron_pixel[kept][by_place],
        int((inside & ~kept).sum()),
        1.0,
        {f"/timepix3@{name}": str(value) for name, value in said.items()},
        camera_frames=1,
    )


def _places(pixel: NDArray[np.uint32], chips: tuple[Chip, ...], frame_shape: Shape) -> NDArray[np.uint32]:
    """Return the flat pixel of the detector of every hit."""
    corner = np.full((CHIPS_MOST, 2), -1, dtype=np.int64)
    turned = np.zeros(CHIPS_MOST, dtype=bool)
    for chip in chips:
        if any(place + SIDE > extent for place, extent in zip(chip.origin_px, frame_shape, strict=True)):
            raise SourceError(
                f"chip {chip.index} of {SIDE} x {SIDE} pixels at {chip.origin_px} does not lie on the manifest's "
                f"detector.shape_px {frame_shape}"
            )
        corner[chip.index], turned[chip.index] = chip.origin_px, chip.turned
    chip_of, address = np.divmod(pixel.astype(np.int64), SIDE * SIDE)
    unknown = np.unique(chip_of[corner[chip_of, 0] < 0])
    if len(unknown):
        raise SourceError(
            f"the file holds hits of chip {int(unknown[0])}, of which the manifest does not say where it lies: "
            'detector.event_clock.chips is needed, for each chip {"index": ..., "origin_px": [...], "turned": ...}'
        )
    address = np.where(turned[chip_of], SIDE * SIDE - 1 - address, address)
    row, column = np.divmod(address, SIDE)
    return ((row + corner[chip_of, 0]) * frame_shape[1] + column + corner[chip_of, 1]).astype(np.uint32)


def _starts(hits: Hits, clock: EventClock, *, rows: int, columns: int) -> NDArray[np.int64]:
    """Return the times, in ticks, at which rows or positions start."""
    starts = np.sort(hits.edge_time[hits.edge_kind == EDGES[clock.edge]])
    due = rows if clock.marks == "row" else rows * columns
    if len(starts) != due:
        what = f"{rows} rows" if clock.marks == "row" else f"{rows} x {columns} positions"
        raise SourceError(
            f"the file holds {len(starts)} edges {clock.edge}, the manifest's scan.shape and flyback_columns {what}, "
            f"each of which begins at one (detector.event_clock.marks is {clock.marks!r})"
        )
    dwell = clock.dwell_us * 1e3 * TICKS_PER_NS
    spent = dwell * (columns if clock.marks == "row" else 1)
    if len(starts) > 1 and float(np.diff(starts).min()) < spent - 0.5 * dwell:
        least_us = float(np.diff(starts).min()) / TICKS_PER_NS / 1e3
        raise SourceError(
            f"detector.event_clock.dwell_us {clock.dwell_us:g}: a {clock.marks} would take "
            f"{spent / TICKS_PER_NS / 1e3:g} us, but two begin within {least_us:g} us"
        )
    return starts


def _positions(
    time: NDArray[np.int64], starts: NDArray[np.int64], clock: EventClock, columns: int
) -> NDArray[np.int64]:
    """Return the flat position, flyback included, of electrons at these times; -1 where the probe was at none."""
    index = np.searchsorted(starts, time, side="right") - 1
    since = time - starts[np.maximum(index, 0)]
    step = np.floor(since / (clock.dwell_us * 1e3 * TICKS_PER_NS)).astype(np.int64)
    steps, stride = (columns, columns) if clock.marks == "row" else (1, 1)
    return np.where((index >= 0) & (step < steps), index * stride + step, -1)


def _electrons(
    time: NDArray[np.int64], pixel: NDArray[np.uint32], tot: NDArray[np.uint16], frame_shape: Shape, cluster_ns: float
) -> tuple[NDArray[np.int64], NDArray[np.uint32]]:
    """Return time and pixel of every electron, given the hits in the order of their times.

    An electron lights several pixels that touch; its time is the first of theirs, its pixel that of the largest ToT.
    """
    root = np.arange(len(time), dtype=np.int64)
    last = np.full(frame_shape[0] * frame_shape[1], -1, dtype=np.int64)
    _join(time, pixel, frame_shape[0], frame_shape[1], int(cluster_ns * TICKS_PER_NS), last, root)
    largest = np.lexsort((time, -tot.astype(np.int64), root))
    first = np.ones(len(root), dtype=bool)
    first[1:] = np.diff(root[largest]) != 0
    chosen = largest[first]
    return time[root[chosen]], pixel[chosen]


@njit(
    types.void(Longs, types.Array(types.uint32, 1, "C"), types.int64, types.int64, types.int64, Longs, Longs),
    cache=True,
    nogil=True,
)
def _join(time, pixel, rows, columns, window, last, root):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN202
    """Set `root` of every hit to the first hit of its electron: pixels that touch, within the window of each other."""
    for hit in range(len(time)):
        row, column = pixel[hit] // columns, pixel[hit] % columns
        for beside in range(9):
            y, x = row + beside // 3 - 1, column + beside % 3 - 1
            if not (0 <= y < rows and 0 <= x < columns):
                continue
            other = last[y * columns + x]
            if other < 0 or time[hit] - time[other] > window:
                continue
            one, two = hit, other
            while root[one] != one:
                one = root[one]
            while root[two] != two:
                root[two] = root[root[two]]
                two = root[two]
            root[max(one, two)] = min(one, two)
        last[pixel[hit]] = hit
    for hit in range(len(time)):
        root[hit] = root[root[hit]]
