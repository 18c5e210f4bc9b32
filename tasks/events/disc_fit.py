"""Discs of one pattern fitted together: centre, counts and slope of each, by Gauss-Newton steps, Poisson weights."""

from math import erfc, exp, hypot, pi, sqrt
from typing import NamedTuple

import numpy as np
from numba import njit

from tasks.events.beam_disc import BeamDisc
from tasks.model.arrays import Floats, Mask

SWEEPS = 10
"""Over all discs, one after the other with the others held: the discs of tests/unit/events/test_disc_search.py (300 to
3000 counts, 1.4 radii of 11 px apart, started 1.5 px off) move by 0.001 px at most in the next one."""
SLOPE_PRIOR = 0.4
"""Of the change from the middle of a disc to its edge, over the middle: a rocking curve as narrow as the cone makes it
about one half. A prior, so that a weak disc's noise does not become a slope. Chosen, not measured."""
LONGEST_STEP = 0.25
"""Radii that a centre may move in one sweep: further, and the derivative at the edge no longer holds."""
FARTHEST = 0.6
"""Radii that a centre may move in all: the maximum of the filter is nearer unless it belongs to something else."""
STEEPEST = 0.9
"""Of a slope: at one, a disc is dark at one side, and beyond its pattern would be negative."""
VARIANCE_FLOOR, LEAST_VARIANCE = 0.05, 0.01
"""Of a disc's mean counts per pixel, and counts, added to every variance: a lone electron beside a disc, where next to
nothing is expected, does not pull it. Chosen, not measured."""
MISFIT = 0.05
"""Of a disc's counts, that may be left where it was subtracted: discs are uneven beyond a slope. It dampens the
significance of what lies on it. Chosen, not measured."""


TAIL = 4.0
"""Edges beyond which a blurred edge is taken for zero or one: 3e-5 of it lies there."""


class DiscsFit(NamedTuple):
    """Centres (n, 2), counts and significance (n,) above all else, and the pattern (slow, fast) of the discs."""

    px: Floats
    counts: Floats
    significance: Floats
    model: Floats


def fit_discs(
    counts: Floats, valid: Mask, background: Floats, *, px: Floats, start: Floats, disc: BeamDisc, sweeps: int = SWEEPS
) -> DiscsFit:
    """Fit discs that start at px (n, 2) with start (n,) counts; a disc of which nothing is left gets no counts.

    Parameters
    ----------
    counts, valid, background
        (slow, fast).
    """
    centre, total = px.copy(), np.maximum(start, 1.0)
    slope = np.zeros((len(px), 2))
    model = np.zeros(counts.shape)
    significance = np.zeros(len(px))
    _fit(
        counts, valid, background, px, disc.radius_px, disc.edge_px, sweeps,
        centre, total, slope, model, significance,
    )  # fmt: skip
    return DiscsFit(centre, total, significance, model)


def pattern_of_discs(shape: tuple[int, int], px: Floats, counts: Floats, disc: BeamDisc) -> Floats:
    """Return the pattern (slow, fast) of even discs at px (n, 2) with so many counts (n,)."""
    model = np.zeros(shape)
    area = pi * (disc.radius_px**2 + disc.edge_px**2)
    for centre, total in zip(px, counts, strict=True):
        _add(model, centre, float(total) / area, np.zeros(2), disc.radius_px, disc.edge_px)
    return model


@njit(cache=True, nogil=True)
def _profile(distance: float, radius: float, edge: float) -> float:  # pragma: no cover
    beyond = (distance - radius) / edge
    if beyond < -TAIL:
        return 1.0
    return 0.5 * erfc(beyond / sqrt(2.0)) if beyond < TAIL else 0.0


@njit(cache=True, nogil=True)
def _add(
    model: Floats, centre: Floats, height: float, slope: Floats, radius: float, edge: float
) -> None:  # pragma: no cover
    """Add a disc of a height per pixel to the model, in place."""
    reach = int(np.ceil(radius + 3.5 * edge))
    row, column = round(centre[0]), round(centre[1])
    for y in range(max(0, row - reach), min(model.shape[0], row + reach + 1)):
        for x in range(max(0, column - reach), min(model.shape[1], column + reach + 1)):
            down, across = y - centre[0], x - centre[1]
            inside = _profile(hypot(down, across), radius, edge)
            if inside > 0:
                model[y, x] += height * max(1.0 + (slope[0] * down + slope[1] * across) / radius, 0.0) * inside


@njit(cache=True, nogil=True)
def _fit(
    counts: Floats,
    valid: Mask,
    background: Floats,
    origin: Floats,
    radius: float,
    edge: float,
    sweeps: int,
    centre: Floats,
    total: Floats,
    slope: Floats,
    model: Floats,
    significance: Floats,
) -> None:  # pragma: no cover
    """Refine in place: ``centre`` (n, 2), ``total`` (n,), ``slope`` (n, 2), ``model``, ``significance`` (n,)."""
    area = pi * (radius * radius + edge * edge)
    for i in range(len(centre)):
        _add(model, centre[i], total[i] / area, slope[i], radius, edge)
    for sweep in range(sweeps):
        for i in range(len(centre)):
            _add(model, centre[i], -total[i] / area, slope[i], radius, edge)
            _step(counts, valid, background, model, origin[i], radius, edge, area, sweep > 0, centre, total, slope, i)
            if sweep == sweeps - 1:
                significance[i] = _judged(counts, valid, background, model, centre[i], radius)
            _add(model, centre[i], total[i] / area, slope[i], radius, edge)


@njit(cache=True, nogil=True)
def _normal_equations(
    counts: Floats,
    valid: Mask,
    background: Floats,
    others: Floats,
    centre: Floats,
    height: float,
    slope: Floats,
    radius: float,
    edge: float,
) -> tuple[Floats, Floats]:  # pragma: no cover
    """Return matrix (5, 5) and right side (5,) for a disc's height, slope (times height) and shift."""
    reach = int(np.ceil(radius + 3.5 * edge))
    row, column = round(centre[0]), round(centre[1])
    normal, right, part = np.zeros((5, 5)), np.zeros(5), np.zeros(5)
    for y in range(max(0, row - reach), min(counts.shape[0], row + reach + 1)):
        for x in range(max(0, column - reach), min(counts.shape[1], column + reach + 1)):
            if not valid[y, x]:
                continue
            down, across = y - centre[0], x - centre[1]
            distance = hypot(down, across)
            inside = _profile(distance, radius, edge)
            tilt = max(1.0 + (slope[0] * down + slope[1] * across) / radius, 0.0)
            floor = background[y, x] + max(others[y, x], 0.0)
            variance = floor + height * tilt * inside + VARIANCE_FLOOR * height + LEAST_VARIANCE
            rise = 0.0
            if abs(distance - radius) < TAIL * edge:
                rise = exp(-0.5 * ((distance - radius) / edge) ** 2) / (sqrt(2 * pi) * edge)
                rise *= height / max(distance, 1e-6)
            part[0], part[1], part[2] = inside, inside * down / radius, inside * across / radius
            part[3], part[4] = rise * down, rise * across
            residual = counts[y, x] - background[y, x] - others[y, x]
            for a in range(5):
                right[a] += part[a] * residual / variance
                for b in range(a + 1):
                    normal[a, b] += part[a] * part[b] / variance
    for a in range(5):
        for b in range(a):
            normal[b, a] = normal[a, b]
    return normal, right


@njit(cache=True, nogil=True)
def _step(
    counts: Floats,
    valid: Mask,
    background: Floats,
    others: Floats,
    origin: Floats,
    radius: float,
    edge: float,
    area: float,
    moves: bool,
    centre: Floats,
    total: Floats,
    slope: Floats,
    i: int,
) -> None:  # pragma: no cover
    """Take one Gauss-Newton step of a disc's height, slope and centre, in place."""
    height = max(total[i], 1.0) / area
    normal, right = _normal_equations(counts, valid, background, others, centre[i], height, slope[i], radius, edge)
    if not normal[0, 0] > 0:
        total[i] = 0.0
        return
    for a in (1, 2):
        normal[a, a] += (SLOPE_PRIOR * height) ** -2
    used = 5 if moves else 3
    for a in range(used):
        normal[a, a] += 1e-9 * normal[0, 0] + 1e-12
    solved = np.linalg.solve(normal[:used, :used], right[:used])
    found = max(solved[0], 0.0)
    total[i] = found * area
    for a in range(2):
        slope[i, a] = min(max(solved[1 + a] / max(found, 1e-9), -STEEPEST), STEEPEST)
        if moves:
            step = min(max(solved[3 + a], -LONGEST_STEP * radius), LONGEST_STEP * radius)
            low, high = origin[a] - FARTHEST * radius, origin[a] + FARTHEST * radius
            centre[i, a] = min(max(centre[i, a] + step, low), high)


@njit(cache=True, nogil=True)
def _judged(
    counts: Floats, valid: Mask, background: Floats, others: Floats, centre: Floats, radius: float
) -> float:  # pragma: no cover
    """Return the significance of the counts within a disc above the background and the other discs."""
    reach = int(np.ceil(radius))
    row, column = round(centre[0]), round(centre[1])
    seen, expected, overlapping = 0.0, 0.02, 0.0
    for y in range(max(0, row - reach), min(counts.shape[0], row + reach + 1)):
        for x in range(max(0, column - reach), min(counts.shape[1], column + reach + 1)):
            if valid[y, x] and hypot(y - centre[0], x - centre[1]) <= radius + 0.25:
                seen += counts[y, x]
                expected += background[y, x] + max(others[y, x], 0.0)
                overlapping += max(others[y, x], 0.0)
    deviance = 2.0 * ((seen * np.log(seen / expected) if seen > 0 else 0.0) - (seen - expected))
    damped = sqrt(expected / (expected + (MISFIT * overlapping) ** 2))
    root = sqrt(max(deviance, 0.0)) * damped
    return root if seen > expected else -root
