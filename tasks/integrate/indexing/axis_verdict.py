"""Which sense of the rotation axis is right, and how sure that is: both refined, and compared spot by spot."""

from typing import NamedTuple

import numpy as np

from tasks.integrate.geometry.mapping import Geometry
from tasks.integrate.geometry.refinement import Refined
from tasks.integrate.indexing.axis_search import IndexedLattice, Senses
from tasks.integrate.models import AxisTest

CLEAR_INFORMATION = 0.25
"""Nats per spot between the senses of a clear verdict: with the least number of spots (min_spots, 25) 6 nats, odds of
500 to one if spots were independent; they share faults of the frames, so less would be called clear too easily."""
LEAST_FRACTION = 0.3
"""Fraction indexed by the better sense below which neither is right: the default of min_indexed_fraction. As a rule of
electron diffraction 80 % indexed is good and 30 % can still do."""
LEAST_PX = 0.05
"""Residual below which a smaller one tells nothing: the centroid of 400 electrons in a spot of 1 px sigma is as good (1
/ sqrt(400)). Keeps the logarithm finite."""
LEAST_EXCITATION = 1e-4
"""In 1/angstrom, as LEAST_PX: a point at 1 angstrom moves so far in 0.006 degrees, finer than a goniometer."""
OTHERWISE_NATS = 6.0
"""The worst residuals that count as indexed, 3 px and 0.02 1/angstrom, cost ln(3^2 x 20) = 5.2: this leaves every
indexed spot worth something, and a wrong lattice with many loose spots little."""


class Tried(NamedTuple):
    """One sense of the axis after refinement: the fraction of the spots that it then indexes."""

    refined: Refined
    fraction: float


def information(tried: Tried | None) -> float:
    """Return what a sense tells, in nats per spot: the fraction indexed, more if the residuals are small.

    A spot that is indexed within Gaussians of the residuals' widths gains the logarithm of one over their volume
    against a spot that may lie anywhere within OTHERWISE_NATS of that scale (a pixel, 0.001/angstrom).
    """
    if tried is None:
        return 0.0
    px = max(tried.refined.rmsd_px, LEAST_PX)
    excitation = max(tried.refined.rms_excitation, LEAST_EXCITATION) / 1e-3
    return max(tried.fraction * (OTHERWISE_NATS - 2.0 * float(np.log(px)) - float(np.log(excitation))), 0.0)


def axis_test(geometry: Geometry, senses: Senses, tried: tuple[Tried | None, Tried | None]) -> AxisTest:
    """Return the verdict with its figures; ``tried``: as given, reversed."""
    reverse = is_reversed(senses, tried)
    winner, loser = (1, 0) if reverse else (0, 1)
    refined = tried[winner]
    found = (senses.given, senses.opposite)[winner]
    axis = refined.refined.geometry.axis if refined else found.geometry.axis if found else geometry.axis
    return AxisTest(
        axis=(float(axis[0]), float(axis[1]), float(axis[2])),
        reversed=reverse,
        indexed_fraction=(_fraction(senses.given, tried[0]), _fraction(senses.opposite, tried[1])),
        rmsd_px=(_rmsd(senses.given, tried[0]), _rmsd(senses.opposite, tried[1])),
        verdict=_verdict(senses, tried, winner, loser),
    )


def is_reversed(senses: Senses, tried: tuple[Tried | None, Tried | None]) -> bool:
    """Tell whether the opposite sense is better, after refinement if both could be refined."""
    if tried[0] is None and tried[1] is None:
        return senses.reverse
    return information(tried[1]) > information(tried[0])


def _fraction(found: IndexedLattice | None, tried: Tried | None) -> float:
    return tried.fraction if tried else found.lattice.fraction if found else 0.0


def _rmsd(found: IndexedLattice | None, tried: Tried | None) -> float | None:
    return tried.refined.rmsd_px if tried else found.rmsd_px if found else None


def _verdict(senses: Senses, tried: tuple[Tried | None, Tried | None], winner: int, loser: int) -> str:
    found = (senses.given, senses.opposite)
    if found[winner] is None:
        return "neither sense of the axis gives a lattice"
    best = tried[winner]
    margin = information(best) - information(tried[loser])
    sense = "opposite to the one given" if winner else "as given"
    if best is None:
        sure = "not decisive: neither sense could be refined"
    elif best.fraction < LEAST_FRACTION:
        sure = "not decisive: neither sense explains the spots"
    elif margin > CLEAR_INFORMATION:
        sure = f"clear, by {margin:.2f} nats per spot"
    else:
        sure = f"not decisive, {margin:.2f} nats per spot: the range of angles or the resolution is too small"
    figures = [_figures(found[number], tried[number]) for number in (winner, loser)]
    return f"the axis is {sense}{senses.note} ({figures[0]}; the other sense: {figures[1]}); {sure}"


def _figures(found: IndexedLattice | None, tried: Tried | None) -> str:
    if tried is not None:
        excitation = tried.refined.rms_excitation
        return (
            f"{tried.fraction:.1%} indexed, {tried.refined.rmsd_px:.2f} px, {excitation:.2g} 1/angstrom off the sphere"
        )
    return f"{found.lattice.fraction:.1%} indexed, not refined" if found else "no lattice"
