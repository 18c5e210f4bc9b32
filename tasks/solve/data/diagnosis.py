"""What the intensities say about themselves, and the likely trouble by name."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tasks.crystal.miller import pack
from tasks.crystal.scattering import d_star_squared
from tasks.integrate import Merged
from tasks.model import UnitCell
from tasks.model.verdict import LEAST_UNIQUE
from tasks.solve.data.normalise import WilsonFit

MOST_UNITS = 5.0
"""Beyond 3.6 units no number is further than `UNITS_WITHIN` from a whole one (0.5 / 3.6), and nothing can be said."""
UNITS_WITHIN = 0.14
"""Atomic volumes give that of a molecular crystal to 5 %, of sugars to 13 %; of many units it is not certain."""

NEGATIVE_SIGMA, MOST_NEGATIVE = 3.0, 0.02
"""Sigmas by which an intensity is negative for no noise, and the share of such that is told of: noise leaves 0.001, the
real sets of the tests' data have 0.002 at most (cinchonine, DIALS)."""


class Diagnosis(NamedTuple):
    """Statistics of one data set; `trouble` names what will likely keep it from being solved."""

    d_min_angstrom: float
    outermost_angstrom: float
    """d of the outermost reflection given: less than d_min where noisy or empty shells were cut off."""
    unique: int
    """Reflections merged, within d_min."""
    completeness: float
    mean_i_over_sigma: float
    negative: float
    """Share of the reflections below -3 sigma."""
    e_squared_minus_one: float
    """<|E^2 - 1|>: 0.968 centric, 0.736 acentric, less when twinned or flattened by dynamical scattering."""
    l_test: float | None
    """<|L|> of neighbours: 0.5 acentric untwinned, 0.375 perfect twin; None with too few pairs."""
    wilson_b_angstrom2: float
    resolution_correlation: float
    """Rank correlation of intensity and d: near zero when intensities and indices do not belong together."""
    intensity_spread: float
    """Relative standard deviation of the intensities."""
    trouble: tuple[str, ...]


def diagnose(
    merged: Merged,
    *,
    cell: UnitCell,
    wilson: WilsonFit,
    general: NDArray[np.bool_],
    total: int,
    measured: int,
    outermost_angstrom: float,
) -> Diagnosis:
    """Return the statistics of merged intensities.

    Parameters
    ----------
    general
        (n,) reflections on no symmetry element of the Laue group.
    total, measured
        Possible and measured reflections of the P1 hemisphere.
    """
    d_star_sq = d_star_squared(merged.hkl, cell)
    e_squared = merged.intensity / wilson.expected_intensity
    used = general if general.sum() > 50 else np.ones(len(e_squared), dtype=bool)
    figures = Diagnosis(
        d_min_angstrom=float(1 / np.sqrt(d_star_sq.max())),
        outermost_angstrom=outermost_angstrom,
        unique=len(merged.hkl),
        completeness=measured / max(1, total),
        mean_i_over_sigma=float((merged.intensity / merged.sigma).mean()),
        negative=float((merged.intensity < -NEGATIVE_SIGMA * merged.sigma).mean()),
        e_squared_minus_one=float(np.abs(e_squared[used] / e_squared[used].mean() - 1).mean()),
        l_test=l_test(merged.hkl[used], merged.intensity[used]),
        wilson_b_angstrom2=wilson.b_angstrom2,
        resolution_correlation=_rank_correlation(merged.intensity, -d_star_sq),
        intensity_spread=float(merged.intensity.std() / abs(merged.intensity.mean())),
        trouble=(),
    )
    return figures._replace(trouble=tuple(_trouble(figures)))


def suspicions(trouble: tuple[str, ...], formula_units: float | None) -> tuple[str, ...]:
    """Return what is to be suspected where no structure was found, by what the data do not show.

    Parameters
    ----------
    trouble
        What the data's statistics say: if nothing, what was said about the data is suspect.
    formula_units
        How many formula units of a molecular crystal its cell has room for; None if that is not known.
    """
    found = []
    if formula_units is not None and formula_units < MOST_UNITS:
        whole = max(1, round(formula_units))
        if abs(formula_units / whole - 1.0) > UNITS_WITHIN:
            found.append(
                f"by atomic volumes the cell has room for {formula_units:.2g} formula units, not for a whole number: "
                "wrong cell, wrong composition or solvent"
            )
    if not trouble:
        found.append(
            "no model explains intensities that by themselves look sound (resolution, completeness, signal, fall with "
            "resolution, distribution): they may not belong together with these indices and this cell, the Laue class "
            "or the composition may be wrong, or the search was too short"
        )
    return tuple(found)


def l_test(hkl: NDArray[np.int32], intensity: NDArray[np.float64]) -> float | None:
    """Return <|L|>, L = (I1 - I2)/(I1 + I2) of reflections two indices apart; None with less than 50 pairs.

    Source: Padilla & Yeates, Acta Cryst. D59, 1124-1130 (2003).
    """
    keys = pack(hkl)
    order = np.argsort(keys)
    values = []
    for shift in np.array([[2, 0, 0], [0, 2, 0], [0, 0, 2], [2, 2, 0], [2, 0, 2], [0, 2, 2]]):
        wanted = pack(hkl + shift.astype(np.int32))
        place = np.minimum(np.searchsorted(keys[order], wanted), len(keys) - 1)
        partner = order[place]
        found = keys[partner] == wanted
        first, second = intensity[found], intensity[partner[found]]
        positive = first + second > 0
        first, second = np.maximum(first[positive], 0), np.maximum(second[positive], 0)
        values.append(np.abs(first - second) / (first + second))
    pooled = np.concatenate(values)
    return float(pooled.mean()) if len(pooled) >= 50 else None


def _trouble(figures: Diagnosis) -> list[str]:
    """Return what is wrong with the data in words, what upsets the other figures first: background and noise."""
    found = []
    if figures.negative > MOST_NEGATIVE:
        found.append(
            f"{figures.negative:.0%} of the reflections are negative by more than {NEGATIVE_SIGMA:g} sigma: too high a "
            "background was taken off"
        )
    if figures.mean_i_over_sigma < 2.0:
        found.append(f"the mean I/sigma is {figures.mean_i_over_sigma:.1f}: little signal")
    if figures.intensity_spread < 0.1:
        found.append(f"the intensities are all but equal (relative spread {figures.intensity_spread:.2g})")
    if figures.d_min_angstrom > 1.3:
        cut = f" (cut from {figures.outermost_angstrom:.2f} A: beyond is little signal, or too few reflections)"
        found.append(
            f"the resolution of {figures.d_min_angstrom:.2f} A"
            f"{cut if figures.outermost_angstrom < 0.95 * figures.d_min_angstrom else ''}"
            " does not separate atoms (1.2 A is needed)"
        )
    if figures.completeness < 0.5:
        found.append(
            f"only {figures.unique} unique reflections, {100 * figures.completeness:.0f} % of all, were measured"
        )
    elif figures.unique < LEAST_UNIQUE:
        found.append(f"only {figures.unique} unique reflections: too few to tell a structure from others that fit")
    if figures.resolution_correlation < 0.15 and figures.wilson_b_angstrom2 < 0.5:
        found.append(
            "the intensities do not fall with resolution "
            f"(rank correlation {figures.resolution_correlation:.2f}, Wilson B {figures.wilson_b_angstrom2:.1f} A^2): "
            "indices, cell and intensities may not belong together"
        )
    if figures.e_squared_minus_one < 0.6:
        found.append(
            f"<|E^2-1|> of {figures.e_squared_minus_one:.2f} is below 0.74: twinning, overlap of crystals, or "
            "strong dynamical scattering"
        )
    if figures.l_test is not None and figures.l_test < 0.42 and figures.intensity_spread >= 0.1:
        found.append(f"<|L|> of {figures.l_test:.2f} is below 0.5: twinning, overlap, or strong dynamical scattering")
    return found


def _rank_correlation(first: NDArray[np.float64], second: NDArray[np.float64]) -> float:
    if not (np.ptp(first) > 0 and np.ptp(second) > 0):
        return 0.0
    from scipy import stats  # half a second of import that a flow's start need not wait for

    return float(stats.spearmanr(first, second).statistic)
