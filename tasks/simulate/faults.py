"""Faults of the sensor and of the scan: drawn from the seed, applied to electrons and entries, kept for the truth."""

from typing import NamedTuple

import numpy as np
from scipy.special import ndtr

from tasks.model.arrays import Floats, Integers, Mask
from tasks.simulate.camera_plan import BeamStop, DeadRegion, ScanFaults, SensorFaults

Shape = tuple[int, int]


class Sensor(NamedTuple):
    """What is broken in the sensor over the whole series."""

    regions: tuple[DeadRegion, ...]
    dead_pixels: Mask
    """(rows, columns), single pixels, dead in all scans."""
    hot_pixels: Integers
    """(k,), flat."""

    def always_dead(self) -> Mask:
        """Return the pixels (rows, columns) that are dead in every frame of every scan."""
        dead = self.dead_pixels.copy()
        for region in self.regions:
            if region.scans == region.frames == 1:
                dead[_window(region)] = True
        return dead


def draw_sensor(faults: SensorFaults, shape: Shape, rng: np.random.Generator) -> Sensor:
    """Return the sensor of a series: the chosen regions, and the drawn rows, columns, blocks, sectors and pixels."""
    rows, columns = shape
    places = [(row, 0, row, columns - 1) for row in rng.integers(0, rows, faults.dead_rows).tolist()]
    places += [(0, column, rows - 1, column) for column in rng.integers(0, columns, faults.dead_columns).tolist()]
    for row, column in rng.integers(0, shape, (faults.dead_blocks, 2)).tolist():
        last = (min(row + faults.block_px, rows) - 1, min(column + faults.block_px, columns) - 1)
        places.append((row, column, *last))
    regions = [region for region in faults.regions if _touches(region, shape)]
    regions += [DeadRegion(rectangle_px=place) for place in places]
    regions += _sectors(faults, shape, rng)
    dead = np.zeros(rows * columns, dtype=bool)
    dead[rng.integers(0, dead.size, faults.dead_pixels)] = True
    hot = np.unique(rng.integers(0, dead.size, faults.hot_pixels))
    return Sensor(tuple(regions), dead.reshape(shape), hot)


def _sectors(faults: SensorFaults, shape: Shape, rng: np.random.Generator) -> list[DeadRegion]:
    height, width = faults.sector_px
    places = [
        (row, column, min(row + height, shape[0]) - 1, min(column + width, shape[1]) - 1)
        for row in range(0, shape[0], height)
        for column in range(0, shape[1], width)
    ]
    chosen = rng.permutation(len(places))[: faults.dead_sectors].tolist()
    found = [DeadRegion(rectangle_px=places[number]) for number in chosen]
    if faults.sector_scans > 0:
        found += [DeadRegion(rectangle_px=place, scans=faults.sector_scans) for place in places]
    if faults.sector_frames > 0:
        found += [DeadRegion(rectangle_px=place, frames=faults.sector_frames) for place in places]
    return found


def _touches(region: DeadRegion, shape: Shape) -> bool:
    return region.rectangle_px[0] < shape[0] and region.rectangle_px[1] < shape[1]


def _window(region: DeadRegion) -> tuple[slice, slice]:
    first_row, first_column, last_row, last_column = region.rectangle_px
    return slice(first_row, last_row + 1), slice(first_column, last_column + 1)


class Gap(NamedTuple):
    """A region that is missing from some camera frames of one scan."""

    region: DeadRegion
    missing: Mask
    """(n_entries,)"""

    def holds(self, entry: Integers, row: Integers, column: Integers) -> Mask:
        """Tell which electrons or counts, (n,), fall into the gap."""
        first_row, first_column, last_row, last_column = self.region.rectangle_px
        fallen = self.missing[entry]
        near = np.flatnonzero(fallen)
        rows, columns = row[near], column[near]
        fallen[near] = (rows >= first_row) & (rows <= last_row) & (columns >= first_column) & (columns <= last_column)
        return fallen


class DeadInScan(NamedTuple):
    """What the sensor does not see in one scan: pixels dead throughout, and gaps in single camera frames."""

    dead: Mask
    """(rows, columns)"""
    gaps: tuple[Gap, ...]


def dead_in_scan(sensor: Sensor, entries: int, rng: np.random.Generator) -> DeadInScan:
    """Draw which regions are missing from this scan and from which of its camera frames."""
    dead = sensor.dead_pixels.copy()
    gaps = []
    for region in sensor.regions:
        if rng.random() >= region.scans:
            continue
        if region.frames == 1:
            dead[_window(region)] = True
        elif region.frames > 0:
            gaps.append(Gap(region, rng.random(entries) < region.frames))
    return DeadInScan(dead, tuple(gaps))


def transmitted(stop: BeamStop, beam_px: tuple[float, float], place_px: Floats) -> Floats:
    """Return the part of the electrons that passes the beam stop at places (n, 2), (slow, fast); beam: the nominal."""
    offset = place_px - np.array(stop.centre_px or beam_px)
    if stop.shape == "bar":
        angle = np.radians(stop.angle_deg)
        arm = np.array([-np.sin(angle), np.cos(angle)])
        offset = offset - np.maximum(offset @ arm, 0.0)[:, None] * arm
    beyond = (np.hypot(offset[:, 0], offset[:, 1]) - stop.radius_px) / stop.edge_px
    return np.asarray(stop.transmission + (1 - stop.transmission) * ndtr(beyond), dtype=np.float64)


class ScanOrder(NamedTuple):
    """Which acquired camera frame each entry of a scan's file holds."""

    source: Integers
    """(n_entries,), index of the acquired frame; -1 = none, an empty entry."""
    lost: Mask
    """(n_entries,), entries emptied because their frame was lost."""
    row_shift: Integers
    """(rows,), positions by which a row's contents moved along it; what leaves at one end comes in at the other."""


def draw_order(faults: ScanFaults, scan_shape: Shape, frames: int, rng: np.random.Generator) -> ScanOrder:
    """Return the order of one scan; `scan_shape` has the flyback, `frames` is that per position.

    First frames are dropped and repeated: a dropped position moves all later ones up by one and leaves the last entry
    empty, a repeated one moves them down. Then rows are shifted, then single frames are lost.
    """
    rows, columns = scan_shape
    positions = rows * columns
    dropped = rng.integers(0, positions, rng.poisson(faults.dropped_frames))
    repeated = rng.integers(0, positions, rng.poisson(faults.repeated_frames))
    times = np.ones(positions, dtype=np.int64)
    times[dropped] = 0
    times[repeated] = 2
    order = np.full(positions, -1, dtype=np.int64)
    held = np.repeat(np.arange(positions), times)[:positions]
    order[: len(held)] = held
    limit = faults.row_shift_max
    amounts = rng.integers(1, limit + 1, rows) * rng.choice([-1, 1], rows)
    shift = np.where(rng.random(rows) < faults.shifted_rows, amounts, 0)
    columns_from = (np.arange(columns) - shift[:, None]) % columns
    order = np.take_along_axis(order.reshape(scan_shape), columns_from, axis=1).ravel()
    source = (order[:, None] * frames + np.arange(frames)).ravel()
    source[np.repeat(order < 0, frames)] = -1
    lost = rng.random(len(source)) < faults.frames_lost
    return ScanOrder(np.where(lost, -1, source), lost, shift)
