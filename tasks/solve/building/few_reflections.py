"""How well arrangements of atoms explain few reflections, and how well they would explain any others.

With twenty reflections a low R factor says little: so many arrangements were tried. What it is worth is measured on the
data themselves: the normalised intensities are dealt out anew among the indices many times, and each time the best of
all arrangements is found again (a permutation test: Fisher, The Design of Experiments, 1935).
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tasks.crystal.contents import non_hydrogen
from tasks.crystal.scattering import Radiation, d_star_squared, scattering_factor
from tasks.integrate import Merged
from tasks.model import Composition, UnitCell

MODEL_ERROR = 0.1
"""Of E, beside its sigma: kinematical amplitudes of electrons are no better, and strong reflections should not decide
alone. Chosen, not measured."""
U_TRIED = np.geomspace(0.001, 0.08, 14)
"""Overall U (A^2), from less than that of diamond to more than that of soft crystals, in steps of 40 %: half a step
changes amplitudes at 0.8 A by 6 % for the common U of 0.01. Least squares refines what is best."""
DEALS = 199
"""Times that the intensities are dealt out anew: the least chance that can be stated is then 1 in 200."""
U_DEALT = U_TRIED[::3]
"""Tried for each deal: it has the fall-off of the data already. A fifth of the time of all."""
SEED = 1913
"""Of the deals: any fixed number, so that the same data give the same figures."""
SAME_PATTERN = 0.99
"""Cosine between the |E| of two arrangements that are one structure if their atoms have the same surroundings too: what
a free coordinate fits to the noise of forbidden reflections takes cuprite with 8 % noise to 0.998."""
FLAT = 0.02
"""Relative spread of |E| of an arrangement of one atom for each lattice point, of which all |E| are equal."""
PATTERNS_AT_ONCE = 2000
"""In one product of matrices: bounds the memory to 3 MB an array."""


class FewReflections(NamedTuple):
    """Unique reflections (n,) that arrangements of all groups are held against, absences of these included."""

    hkl: NDArray[np.int32]
    d_star_sq: NDArray[np.float64]
    amplitude: NDArray[np.float64]
    sigma: NDArray[np.float64]
    """Of the amplitude."""
    power: NDArray[np.float64]
    """Root mean square scattering factor of the composition."""
    radiation: Radiation


class Scores(NamedTuple):
    """Of arrangements (k,): the part of |E| that each leaves unexplained, in [0, 1], and the U of the best."""

    unexplained: NDArray[np.float64]
    u_iso_angstrom2: float


def few_reflections(merged: Merged, cell: UnitCell, radiation: Radiation, composition: Composition) -> FewReflections:
    """Return the reflections as amplitudes, with what normalises them."""
    d_star_sq = d_star_squared(merged.hkl, cell)
    amplitude = np.sqrt(np.maximum(merged.intensity, 0.0))
    square = np.zeros(len(d_star_sq))
    for name, share in non_hydrogen(composition).items():
        square += share * scattering_factor(name, d_star_sq, radiation) ** 2
    sigma = merged.sigma / np.maximum(2.0 * amplitude, np.sqrt(np.maximum(merged.sigma, 1e-12)))
    return FewReflections(merged.hkl, d_star_sq, amplitude, sigma, np.sqrt(square), radiation)


def scored(patterns: NDArray[np.float64], few: FewReflections) -> Scores:
    """Return how well patterns of |E| of atoms at rest (k, n) explain the amplitudes, each with the U that suits it."""
    best = np.full(len(patterns), np.inf)
    least, typical = np.inf, float(U_TRIED[0])
    for u_iso in U_TRIED:
        e_value, weight = _normalised(few, float(u_iso))
        left = _unexplained(patterns, e_value[None, :], weight[None, :])[:, 0]
        if left.min() < least:
            least, typical = float(left.min()), float(u_iso)
        best = np.minimum(best, left)
    return Scores(best, typical)


def explained_by_chance(patterns: NDArray[np.float64], few: FewReflections, scores: Scores) -> float:
    """Return the share of deals of the normalised amplitudes that some pattern explains as well as the data.

    An arrangement of one atom for each lattice point has equal |E|, whichever index they are dealt to: that they are as
    equal as found is compared with those of random structures (Wilson, Acta Cryst. 2, 318-321, 1949).
    """
    rng = np.random.default_rng(SEED)
    e_value, weight = _normalised(few, scores.u_iso_angstrom2)
    winner = patterns[int(scores.unexplained.argmin())]
    count = len(e_value)
    if winner.std() < FLAT * winner.mean():
        dealt = np.abs(rng.normal(size=(DEALS, count))) * np.sqrt((e_value**2).mean())
        weights = np.tile(weight, (DEALS, 1))
    else:
        rows = np.array([rng.permutation(count) for _ in range(DEALS)])
        dealt, weights = e_value[rows], weight[rows]
    left = np.full(DEALS, np.inf)
    distinct = np.unique(np.round(patterns, 2), axis=0)  # differences of 1 % change no deal's best
    for u_iso in U_DEALT:
        turned = dealt * np.exp(2.0 * np.pi**2 * (u_iso - scores.u_iso_angstrom2) * few.d_star_sq)
        for begin in range(0, len(distinct), PATTERNS_AT_ONCE):
            some = _unexplained(distinct[begin : begin + PATTERNS_AT_ONCE], turned, weights)
            left = np.minimum(left, some.min(axis=0))
    return float((1 + (left <= scores.unexplained.min()).sum()) / (1 + DEALS))


def unexplained_by(
    amplitude: NDArray[np.float64], few: FewReflections, u_iso_angstrom2: float
) -> tuple[NDArray[np.float64], float]:
    """Return |E| (n,) of calculated amplitudes with displacements of their own, and what they leave unexplained."""
    pattern = amplitude * np.exp(2.0 * np.pi**2 * u_iso_angstrom2 * few.d_star_sq) / few.power
    e_value, weight = _normalised(few, u_iso_angstrom2)
    return pattern, float(_unexplained(pattern[None, :], e_value[None, :], weight[None, :])[0, 0])


def _normalised(few: FewReflections, u_iso: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return |E| (n,), root mean square 1, and weights (n,)."""
    factor = np.exp(2.0 * np.pi**2 * u_iso * few.d_star_sq) / few.power
    e_value, sigma = few.amplitude * factor, few.sigma * factor
    weight = 1.0 / (sigma**2 + MODEL_ERROR**2 * float((e_value**2).mean()))
    norm = np.sqrt(float((weight * e_value**2).sum() / weight.sum()))
    return e_value / norm, weight


def _unexplained(
    patterns: NDArray[np.float64], e_value: NDArray[np.float64], weight: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return 1 - cos^2 between patterns (k, n) and sets of weighted |E| (d, n), (k, d)."""
    product = patterns @ (weight * e_value).T
    norm = (patterns**2) @ weight.T * (weight * e_value**2).sum(axis=1)
    return np.asarray(np.clip(1.0 - product**2 / np.maximum(norm, 1e-30), 0.0, 1.0))
