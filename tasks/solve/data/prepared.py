"""What phasing starts from: normalised amplitudes of a P1 hemisphere, on one scale, with what is missing."""

from typing import NamedTuple

import gemmi
import numpy as np
from numpy.typing import NDArray

from tasks.crystal.contents import atoms_by_volume, not_hydrogen
from tasks.crystal.miller import (
    centring_allows,
    expand_to_p1,
    general_class,
    pack,
    sphere,
)
from tasks.crystal.scattering import Radiation, d_star_squared
from tasks.crystal.symmetry import laue_operations
from tasks.integrate import Merged
from tasks.model import Composition, InputError, UnitCell
from tasks.solve.data.diagnosis import Diagnosis, diagnose
from tasks.solve.data.normalise import fit_wilson, french_wilson, sum_of_squared_factors

FINEST_ANGSTROM = 0.8
"""Data beyond this do not help to find atoms and cost time."""

LEAST_INSIDE = 100
"""Unique reflections within that limit, without which none is left out: iron has 5, spinel 50. Chosen, not measured."""
LEAST_USABLE = 8
"""Unique reflections: a scale, two displacements and what they are to be tested on. Iron to 0.7 A has as many."""


class NormalisedHemisphere(NamedTuple):
    """Amplitudes ready for phasing; reflections (n,) are the measured ones of a P1 hemisphere."""

    cell: UnitCell
    operations: gemmi.GroupOps
    """Of the Laue group, with centring, without translations."""
    radiation: Radiation
    composition: Composition | None
    d_min_angstrom: float
    hkl: NDArray[np.int32]
    parent: NDArray[np.int64]
    """Row of `unique` each reflection is equivalent to: whole orbits are held out together."""
    f: NDArray[np.float64]
    sigma_f: NDArray[np.float64]
    e: NDArray[np.float64]
    """|F| over the root of the expected intensity of a general reflection at its resolution: <|E|^2> = 1 for
    those. No space-group factor is divided out, so that E is the transform of point atoms in P1."""
    sigma_e: NDArray[np.float64]
    missing: NDArray[np.int32]
    """(m, 3) indices of the hemisphere down to d_min that were not measured."""
    unique: Merged
    """The intensities within d_min, as merged."""
    wilson_b_angstrom2: float
    wilson_scale: float
    atoms_per_cell: float
    """Estimate of the number of non-hydrogen atoms in the (centred) cell."""
    diagnosis: Diagnosis


def normalised(
    merged: Merged,
    *,
    cell: UnitCell,
    laue_group: str,
    radiation: Radiation,
    composition: Composition | None = None,
    d_min_angstrom: float | None = None,
) -> NormalisedHemisphere:
    """Normalise merged intensities and expand them to P1.

    Parameters
    ----------
    merged
        Unique reflections of the Laue group.
    laue_group
        With centring, as in ``F m -3 m``; a space group is taken as its Laue class.
    composition
        Gives the scattering factors of the Wilson plot; carbon's shape is used without one.
    d_min_angstrom
        High-resolution limit; None cuts where shells hold less than noise, or too few of their reflections.

    Raises
    ------
    InputError
        If there are too few intensities, or no intensity at all.
    """
    operations = laue_operations(laue_group)
    merged = _usable(merged, operations)
    d_star_sq = d_star_squared(merged.hkl, cell)
    outermost = float(1 / np.sqrt(d_star_sq.max()))
    limit = _resolution_limit(merged, d_star_sq, cell, operations) if d_min_angstrom is None else d_min_angstrom
    inside = d_star_sq <= (1 + 1e-6) / limit**2
    merged, d_star_sq = _rows(merged, inside), d_star_sq[inside]
    limit = float(1 / np.sqrt(d_star_sq.max()))
    general = general_class(merged.hkl, operations) == 1
    factors_sq = sum_of_squared_factors(composition, d_star_sq, radiation)
    wilson = fit_wilson(merged.intensity, d_star_sq, factors_sq, general=general)
    expected = wilson.expected_intensity
    f, sigma_f = french_wilson(merged.intensity, merged.sigma, expected)
    hkl, parent = expand_to_p1(merged.hkl, operations)
    everything = sphere(cell, operations, limit)
    missing = everything[~np.isin(pack(everything), pack(hkl))]
    root = np.sqrt(expected)
    return NormalisedHemisphere(
        cell=cell,
        operations=operations,
        radiation=radiation,
        composition=composition,
        d_min_angstrom=limit,
        hkl=hkl,
        parent=parent,
        f=f[parent],
        sigma_f=sigma_f[parent],
        e=(f / root)[parent],
        sigma_e=(sigma_f / root)[parent],
        missing=missing,
        unique=merged,
        wilson_b_angstrom2=wilson.b_angstrom2,
        wilson_scale=wilson.scale,
        atoms_per_cell=_atoms_per_cell(cell, composition, len(operations.cen_ops)),
        diagnosis=diagnose(
            merged,
            cell=cell,
            wilson=wilson,
            general=general,
            total=len(everything),
            measured=len(hkl),
            outermost_angstrom=outermost,
        ),
    )


def normalised_to_find_atoms(
    merged: Merged,
    *,
    cell: UnitCell,
    laue_group: str,
    radiation: Radiation,
    composition: Composition | None,
    d_min_angstrom: float | None = None,
) -> NormalisedHemisphere:
    """Return the same, without a limit no further than helps to find atoms."""

    def within(limit_angstrom: float | None) -> NormalisedHemisphere:
        return normalised(
            merged, cell=cell, laue_group=laue_group, radiation=radiation, composition=composition,
            d_min_angstrom=limit_angstrom,
        )  # fmt: skip

    found = within(d_min_angstrom)
    if d_min_angstrom is not None or found.d_min_angstrom >= FINEST_ANGSTROM:
        return found
    inside = d_star_squared(found.unique.hkl, cell) <= 1.0 / FINEST_ANGSTROM**2
    return within(FINEST_ANGSTROM) if inside.sum() >= LEAST_INSIDE else found


def _usable(merged: Merged, operations: gemmi.GroupOps) -> Merged:
    """Drop 0 0 0, what the centring forbids, and what is no number; sigma <= 0 becomes the median."""
    sane = np.isfinite(merged.intensity) & np.isfinite(merged.sigma) & merged.hkl.any(axis=1)
    sane &= centring_allows(merged.hkl, operations)
    if sane.sum() < LEAST_USABLE:
        raise InputError(f"only {int(sane.sum())} of {len(sane)} reflections are usable", "check cell and centring")
    kept = _rows(merged, sane)
    known = kept.sigma > 0
    typical = float(np.median(kept.sigma[known])) if known.any() else 0.05 * float(np.abs(kept.intensity).mean())
    return kept._replace(sigma=np.where(known, kept.sigma, typical))


def _rows(merged: Merged, chosen: NDArray[np.bool_]) -> Merged:
    return Merged(merged.hkl[chosen], merged.intensity[chosen], merged.sigma[chosen], merged.multiplicity[chosen])


def _resolution_limit(
    merged: Merged, d_star_sq: NDArray[np.float64], cell: UnitCell, operations: gemmi.GroupOps
) -> float:
    """Return d_min of the outermost shell, of 20, with a mean I/sigma of 1 and not too few of its reflections.

    Too few is less than a third, or in data that are nowhere complete less than half of what the best shell has.
    """
    edges = np.linspace(0, d_star_sq.max() ** 1.5 * (1 + 1e-9), 21) ** (2 / 3)
    everything = d_star_squared(sphere(cell, operations, float(1 / np.sqrt(d_star_sq.max()))), cell)
    _, parent = expand_to_p1(merged.hkl, operations)
    possible, _ = np.histogram(everything, edges)
    measured, _ = np.histogram(d_star_sq[parent], edges)
    signal, _ = np.histogram(d_star_sq, edges, weights=merged.intensity / merged.sigma)
    count, _ = np.histogram(d_star_sq, edges)
    complete = measured / np.maximum(possible, 1)
    good = (complete >= min(1 / 3, 0.5 * float(complete.max()))) & (signal >= count * 1.0) & (count > 0)
    last = int(np.flatnonzero(good).max()) if good.any() else len(good) - 1
    return float(1 / np.sqrt(min(edges[last + 1], d_star_sq.max())))


def _atoms_per_cell(cell: UnitCell, composition: Composition | None, lattice_points: int) -> float:
    """Estimate the non-hydrogen atoms in the cell, as a whole number of formulas per lattice point if one is known."""
    by_volume = atoms_by_volume(composition, cell.volume_angstrom3)
    if composition is None or not (formula := not_hydrogen(composition)) > 0:
        return by_volume
    return max(1.0, round(by_volume / formula / lattice_points)) * formula * lattice_points
