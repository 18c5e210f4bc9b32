"""The camera: electrons that arrive become the recorded entries of a scan's file, with what was lost on the way.

In the order of nature: descan that is not linear, beam stop, detective efficiency, camera frames, hits that are no
electrons, dead pixels, counting, and frames that go astray. Each effect has a random stream of its own for each scan,
so that switching one on leaves what the others draw as it was; without any, and with ideal counting, every electron is
recorded in its pixel.
"""

from enum import IntEnum
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tasks.model.arrays import Floats, Integers, Mask
from tasks.simulate.arrived import Arrived
from tasks.simulate.camera_counting import FramedElectrons, charge_sharing, first_come, random_marks
from tasks.simulate.faults import DeadInScan, ScanOrder, Sensor, dead_in_scan, draw_order, draw_sensor, transmitted
from tasks.simulate.models import Instrument

DEPOSIT_MIN = 0.05
"""Of the most probable deposit. Chosen, not measured: the distribution's lower tail would reach zero and below; at the
default width 1e-5 of the electrons are raised to it."""
PIXEL_BITS = 32
"""Of a sort key; a frame of 8192 x 8192 pixels needs 26."""


class Effect(IntEnum):
    """Numbers of the random streams; a number is never given to another effect."""

    STOP = 1
    EFFICIENCY = 2
    FRAMES = 3
    SPURIOUS = 4
    DEAD = 5
    DEPOSITS = 6
    NOISE = 7
    ORDER = 8


class Camera(NamedTuple):
    """The camera of one series."""

    instrument: Instrument
    seed: int
    sensor: Sensor
    sensitivity: Floats | None
    """(rows, columns), probability that an electron is seen; None where it is 1 everywhere."""

    def stream(self, index: int, effect: Effect) -> np.random.Generator:
        """Return the random stream of one effect at tilt number `index`."""
        return np.random.default_rng([self.seed, 3, index, effect])


class Recorded(NamedTuple):
    """One scan as recorded: entries in compressed sparse rows, scan-major, `frames_per_position` for each position."""

    offsets: Integers
    """(n_entries + 1,)"""
    events: NDArray[np.uint32]
    """(n_events,), flat pixels, sorted within each entry."""
    arrived: Integers
    """(n_positions,), electrons of each position of the widened scan that reached the sensor's area, stop included."""
    dead: DeadInScan
    order: ScanOrder


class _Hits(NamedTuple):
    """What the sensor feels: entry (n,), place (n, 2) in px, charge (n,) relative to an electron's deposit."""

    entry: Integers
    place: Floats
    charge: Floats


def prepare_camera(instrument: Instrument, seed: int) -> Camera:
    """Return the camera of a series; its broken parts and its sensitivity are decided by the seed."""
    sensor_seed, sensitivity_seed = np.random.SeedSequence([seed, 3]).spawn(2)
    plan = instrument.camera
    sensitivity = None
    if plan.efficiency < 1 or plan.efficiency_spread > 0:
        spread = np.random.default_rng(sensitivity_seed).normal(0.0, plan.efficiency_spread, instrument.shape_px)
        sensitivity = np.clip(plan.efficiency * (1 + spread), 0.0, 1.0)
    sensor = draw_sensor(instrument.sensor, instrument.shape_px, np.random.default_rng(sensor_seed))
    return Camera(instrument, seed, sensor, sensitivity)


def record(arrived: Arrived, camera: Camera, index: int) -> Recorded:
    """Return what the camera records of the electrons of the scan at tilt number `index`."""
    instrument = camera.instrument
    position, place = _on_sensor(_descanned(arrived, instrument), instrument)
    positions = _positions(instrument)
    per_position = np.bincount(position, minlength=positions)
    seen = _seen(place, camera, index)
    entry = _entries(position[seen], camera, index)
    entries = positions * instrument.camera.frames_per_position
    dead = dead_in_scan(camera.sensor, entries, camera.stream(index, Effect.DEAD))
    hits = _with_spurious(_Hits(entry, place[seen], np.ones(len(entry))), entries, camera, index)
    key = _counted(hits, dead, camera, index)
    order = draw_order(
        instrument.scan_faults,
        _widened(instrument),
        instrument.camera.frames_per_position,
        camera.stream(index, Effect.ORDER),
    )
    offsets, events = _ordered(key, entries, order)
    return Recorded(offsets, events, per_position, dead, order)


def _widened(instrument: Instrument) -> tuple[int, int]:
    return instrument.scan_shape[0], instrument.scan_shape[1] + instrument.flyback_columns


def _positions(instrument: Instrument) -> int:
    rows, columns = _widened(instrument)
    return rows * columns


def _descanned(arrived: Arrived, instrument: Instrument) -> Arrived:
    """Add the part of the descan that is not linear: it grows with the square of the distance from the middle."""
    amount = instrument.scan_faults.descan_quadratic_px
    if not any(amount):
        return arrived
    rows, columns = _widened(instrument)
    row, column = np.divmod(arrived.position, columns)
    swing = np.stack([row / max(rows - 1, 1), column / max(columns - 1, 1)], axis=1) - 0.5
    return arrived._replace(place_px=arrived.place_px + np.array(amount) * (2 * swing) ** 2)


def _on_sensor(arrived: Arrived, instrument: Instrument) -> Arrived:
    inside = _inside(arrived.place_px, instrument)
    return Arrived(arrived.position[inside], arrived.place_px[inside])


def _inside(place: Floats, instrument: Instrument) -> Mask:
    row, column = place.T
    rows, columns = instrument.shape_px
    return (row > -0.5) & (row < rows - 0.5) & (column > -0.5) & (column < columns - 0.5)


def _seen(place: Floats, camera: Camera, index: int) -> Mask | slice:
    """Return which electrons pass the beam stop and are seen by their pixel."""
    stop = camera.instrument.beam_stop
    seen: Mask | slice = slice(None)
    if stop is not None:
        passed = transmitted(stop, camera.instrument.beam_centre_px, place)
        seen = camera.stream(index, Effect.STOP).random(len(place)) < passed
    if camera.sensitivity is not None:
        row, column = np.rint(place).astype(np.int64).T
        felt = camera.stream(index, Effect.EFFICIENCY).random(len(place)) < camera.sensitivity[row, column]
        seen = felt if isinstance(seen, slice) else seen & felt
    return seen


def _entries(position: Integers, camera: Camera, index: int) -> Integers:
    """Return the entry of each electron: one of its position's camera frames, all equally likely."""
    frames = camera.instrument.camera.frames_per_position
    if frames == 1:
        return position
    return position * frames + camera.stream(index, Effect.FRAMES).integers(0, frames, len(position))


def _with_spurious(hits: _Hits, entries: int, camera: Camera, index: int) -> _Hits:
    """Add dark counts, hot pixels and the pixels of cosmic tracks."""
    instrument, rng = camera.instrument, camera.stream(index, Effect.SPURIOUS)
    plan, shape = instrument.camera, np.array(instrument.shape_px)
    parts = [hits]
    if plan.dark_counts > 0:
        count = rng.poisson(plan.dark_counts * entries)
        place = rng.random((count, 2)) * shape - 0.5
        parts.append(_Hits(rng.integers(0, entries, count), place, np.ones(count)))
    for pixel in camera.sensor.hot_pixels.tolist():
        lit = np.flatnonzero(rng.random(entries) < instrument.sensor.hot_rate)
        place = np.tile(np.array(divmod(pixel, instrument.shape_px[1]), dtype=np.float64), (len(lit), 1))
        parts.append(_Hits(lit, place, np.ones(len(lit))))
    if plan.cosmic_hits > 0:
        parts.append(_tracks(instrument, entries, rng))
    if len(parts) == 1:
        return hits
    return _Hits(*(np.concatenate(columns) for columns in zip(*parts, strict=True)))


def _tracks(instrument: Instrument, entries: int, rng: np.random.Generator) -> _Hits:
    """Return straight tracks at random places and directions, a hit for each px of their exponential lengths."""
    plan, shape = instrument.camera, np.array(instrument.shape_px)
    count = rng.poisson(plan.cosmic_hits * entries)
    entry = rng.integers(0, entries, count)
    start = rng.random((count, 2)) * shape - 0.5
    angle = rng.uniform(0, 2 * np.pi, count)
    steps = 1 + rng.exponential(plan.cosmic_length_px, count).astype(np.int64)
    along = np.arange(steps.sum()) - np.repeat(np.cumsum(steps) - steps, steps)
    direction = np.stack([np.sin(angle), np.cos(angle)], axis=1)
    place = np.repeat(start, steps, axis=0) + along[:, None] * np.repeat(direction, steps, axis=0)
    inside = _inside(place, instrument)
    charge = np.full(int(inside.sum()), plan.cosmic_deposit)
    return _Hits(np.repeat(entry, steps)[inside], place[inside], charge)


def _counted(hits: _Hits, dead: DeadInScan, camera: Camera, index: int) -> Integers:
    """Return the sorted keys (entry << 32 | pixel) of the counts."""
    plan = camera.instrument.camera
    columns = camera.instrument.shape_px[1]
    row, column = np.rint(hits.place).astype(np.int64).T
    key = hits.entry << PIXEL_BITS | row * columns + column
    if plan.counting == "ideal":
        return np.sort(key[_alive(hits.entry, row, column, dead)])
    # by charge sharing the neighbours of a dead pixel feel its electrons: the kernel leaves it out itself
    felt = dead._replace(dead=np.zeros_like(dead.dead)) if plan.pile_up == "charge-sharing" else dead
    lives = _alive(hits.entry, row, column, felt)
    order = np.argsort(key, kind="stable")
    order = order if isinstance(lives, slice) else order[lives[order]]
    entries = _positions(camera.instrument) * plan.frames_per_position
    electrons = FramedElectrons(
        np.searchsorted(key[order], np.arange(entries + 1) << PIXEL_BITS),
        hits.place[order],
        hits.charge[order] * _deposits(len(order), camera, index),
    )
    entry, pixel = _local_maxima(electrons, dead, camera, index)
    row, column = np.divmod(pixel, columns)
    lives = _alive(entry, row, column, dead)
    return np.sort((entry << PIXEL_BITS | pixel)[lives])


def _alive(entry: Integers, row: Integers, column: Integers, dead: DeadInScan) -> Mask | slice:
    """Return which hits or counts, (n,), fall on pixels that live in their frame."""
    alive: Mask | slice = slice(None)
    if dead.dead.any():
        alive = ~dead.dead[row, column]
    for gap in dead.gaps:
        outside = ~gap.holds(entry, row, column)
        alive = outside if isinstance(alive, slice) else alive & outside
    return alive


def _deposits(count: int, camera: Camera, index: int) -> Floats:
    """Return random deposits, (n,): Moyal's distribution, -2 ln|z| of a normal z, about a most probable value of 1.

    Where they only decide who survives they are uniform random marks.
    """
    rng = camera.stream(index, Effect.DEPOSITS)
    if camera.instrument.camera.pile_up != "charge-sharing":
        return 1 - rng.random(count)
    normal = rng.standard_normal(count)
    width = camera.instrument.camera.deposit_width
    return np.maximum(1 - 2 * width * np.log(np.maximum(np.abs(normal), np.finfo(np.float64).tiny)), DEPOSIT_MIN)


def _local_maxima(
    electrons: FramedElectrons, dead: DeadInScan, camera: Camera, index: int
) -> tuple[Integers, Integers]:
    plan = camera.instrument.camera
    if plan.pile_up == "random-marks":
        return random_marks(electrons, camera.instrument.shape_px)
    if plan.pile_up == "first-come":
        return first_come(electrons, camera.instrument.shape_px)
    return charge_sharing(
        electrons,
        dead.dead,
        camera.stream(index, Effect.NOISE),
        spread_px=plan.charge_spread_px,
        noise=plan.noise,
        threshold=plan.threshold,
    )


def _ordered(key: Integers, entries: int, order: ScanOrder) -> tuple[Integers, NDArray[np.uint32]]:
    """Return offsets (n_entries + 1,) and events (uint32) of the entries in the order in which the file holds them."""
    events = (key & ((1 << PIXEL_BITS) - 1)).astype(np.uint32)
    counts = np.bincount(key >> PIXEL_BITS, minlength=entries)
    begin = np.cumsum(counts) - counts
    if (order.source == np.arange(entries)).all():
        return np.concatenate([[0], np.cumsum(counts)]), events
    size = np.where(order.source < 0, 0, counts[order.source])
    offsets = np.concatenate([[0], np.cumsum(size)])
    rows = np.repeat(begin[order.source] - offsets[:-1], size) + np.arange(offsets[-1])
    return offsets, events[rows]
