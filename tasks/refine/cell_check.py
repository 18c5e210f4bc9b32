"""Whether bond lengths ask for another unit cell: an edge that is wrong by some per cent stretches bonds one way."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tasks.crystal.lattice import fractionalisation, orthogonalisation
from tasks.crystal.symmetry import operations_from_hall
from tasks.integrate import CellScale
from tasks.model import Composition
from tasks.refine.bond_geometry import Environment, environments, total_cost
from tasks.refine.bond_scale import bond_scale, scaled_cell, volume_scale
from tasks.refine.completion import cell_contents
from tasks.refine.draft import ModelFit
from tasks.refine.geometry import bonds
from tasks.refine.polyhedra import irregularity, tetrahedra
from tasks.refine.scale_doubt import ScaleDoubt, scale_doubt

FACTORS = np.linspace(0.86, 1.16, 31)
ROUNDS = 3
"""Over the three edges. The neopentane of tests/unit/refine/test_cell_check.py with up to three edges wrong by a
tenth: after three rounds the gain in chi^2 is within 1.5 % of that of six, the factors within 0.02."""
LEAST_GAIN, GAIN_PER_SITE = 8.0, 0.15
"""Of chi^2 of the bonds, in all and for each site. Right cells: 6 at most; of a disordered framework 13."""
SURE_GAIN, SURE_GAIN_PER_SITE = 12.0, 0.5
"""From which the verdict is doubtful, not only a warning given: with two sites it is 13, the most that a
right cell gave (see LEAST_GAIN); more sites, more bonds that can be off by chance."""
MOST_ATOMS = 200
"""More take too long."""
LEAST_CHANGE = 0.05
"""Of an edge, relative. Cells of electron diffraction are a per cent or two off (SCALE_SPREAD), which is no fault:
a smaller limit names right cells, a larger one misses an edge that is wrong by as much."""
ALL_ALIKE = 0.06
"""Largest less smallest factor of the edges: just above LEAST_CHANGE, by which one wrong edge differs from the rest.
All three alike are what wrong radii of the elements give. Chosen, not measured; it only words the warning."""
STRAIN_GAIN, LEAST_STRAIN = 10.0, 0.1
"""Of chi^2 of tetrahedra (`irregularity`), and largest less smallest factor of the edges over their mean, from which
one edge is called wrong. The nine published structures with tetrahedra of tests/synthetic gain 1.6 at most as they are,
13 or more with b a fifth too long (but for quartz and apatite, whose a and b are tied), and 4 to 17 with c a tenth too
long; atoms 0.1 A off their sites add 8."""
EDGES = ("a", "b", "c")


class CellDoubt(NamedTuple):
    """By which factors of the edges (3,) the bonds would be those of the elements, and what chi^2 they gain.

    ``tied``: the edges that symmetry makes equal, together.
    """

    factors: NDArray[np.float64]
    gain: float
    sure: bool
    tied: tuple[tuple[int, ...], ...] = ((0,), (1,), (2,))

    @property
    def alike(self) -> bool:
        """Whether all edges ask for nearly one factor."""
        return float(np.ptp(self.factors)) < ALL_ALIKE

    def __str__(self) -> str:
        changed = [
            f"{' = '.join(EDGES[place] for place in group)} {self.factors[group[0]] - 1.0:+.0%}"
            for group in self.tied
            if abs(self.factors[group[0]] - 1.0) > LEAST_CHANGE / 2
        ]
        alike = self.alike
        suspect = "are the elements wrong, by a wrong composition, or the cell?" if alike else "is the cell wrong?"
        return f"bond lengths ask for another cell ({', '.join(changed)}): {suspect}"


class Doubts(NamedTuple):
    """What bonds say against a cell: against the scale of all its lengths, or against some of its edges."""

    scale: ScaleDoubt | None
    edges: CellDoubt | None


def cell_doubts(
    fit: ModelFit,
    scale: CellScale | None,
    wavelength_angstrom: float | None,
    composition: Composition | None = None,
) -> Doubts:
    """Return what the bonds say against the cell: one factor where that is enough, else the edges.

    Where they are of no known kind, the volume of a molecular composition speaks for them.

    Parameters
    ----------
    wavelength_angstrom
        Of electrons; None for X-rays, whose wavelength is not in doubt.
    """
    cell = fit.draft.unit_cell
    found = bond_scale(fit.draft.atoms, fit.draft.hall, cell)
    if found is None or not found.sites:
        atoms = sum(count for element, count in cell_contents(fit).items() if element not in {"H", "D"})
        found = volume_scale(composition, atoms, cell) or found
    common = scale_doubt(found, scale, wavelength_angstrom)
    strained = edge_strain(fit, factor=1.0 if common is None else common.factor)
    if strained is not None:
        return Doubts(None, strained)
    if common is None:
        return Doubts(None, cell_doubt(fit))
    edges = cell_doubt(fit, factor=common.factor)
    return Doubts(common, None) if edges is None or edges.alike or not edges.sure else Doubts(None, edges)


def cell_doubt(fit: ModelFit, *, factor: float = 1.0) -> CellDoubt | None:
    """Return what the bonds say against the lengths of the cell, None if nothing.

    Each edge is scaled in turn, those that symmetry makes equal together, angles and fractional coordinates as they
    are, to where the bonds cost least.

    Parameters
    ----------
    factor
        Of all edges, from which to start and beyond which there must be a gain.
    """
    atoms = [atom for atom in fit.draft.atoms if atom.element not in {"H", "D"}]
    if len(atoms) > MOST_ATOMS:
        return None
    names = [atom.element for atom in atoms]
    cell, tied = scaled_cell(fit.draft.unit_cell, factor), tied_edges(fit.draft.hall)
    fractional, orthogonal = fractionalisation(cell), orthogonalisation(cell)
    sites = environments(atoms, fit.draft.hall, cell)
    vectors: list[list[NDArray[np.float64]]] = [[] for _ in atoms]
    for bond in bonds(atoms, fit.draft.hall, cell):
        vectors[bond.first].append(fractional @ np.array(bond.vector))

    def cost(factors: NDArray[np.float64]) -> float:
        scaled = [_scaled(site, rows, orthogonal, factors) for site, rows in zip(sites, vectors, strict=True)]
        return total_cost(scaled, names)

    best, gain = _best_factors(cost, tied)
    informed = sum(1 for site in sites if len(site.neighbours))
    if gain < LEAST_GAIN + GAIN_PER_SITE * informed or np.abs(best - 1.0).max() < LEAST_CHANGE:
        return None
    return CellDoubt(factor * best, gain, gain > SURE_GAIN + SURE_GAIN_PER_SITE * informed, tied)


def edge_strain(fit: ModelFit, *, factor: float = 1.0) -> CellDoubt | None:
    """Return by which factors of the edges tetrahedra of oxygen would be regular, None if they are or there are none.

    Their shape alone is judged, so that it says nothing of a factor of all edges: that is given.
    """
    cell, tied = fit.draft.unit_cell, tied_edges(fit.draft.hall)
    fractional, orthogonal = fractionalisation(cell), orthogonalisation(cell)
    sites = [rows @ fractional.T for rows in tetrahedra(fit)]
    if not sites or len(tied) == 1:
        return None
    best, gain = _best_factors(lambda x: irregularity([(rows * x) @ orthogonal.T for rows in sites]), tied)
    best = best / best.prod() ** (1 / 3)
    if gain < STRAIN_GAIN or float(np.ptp(best)) < LEAST_STRAIN:
        return None
    return CellDoubt(factor * best, gain, sure=True, tied=tied)


def tied_edges(hall: str) -> tuple[tuple[int, ...], ...]:
    """Return the places of the edges in groups that an operation of the space group turns into each other."""
    groups = [{place} for place in range(3)]
    for rotation in operations_from_hall(hall).rotations:
        for place in range(3):
            image = np.flatnonzero(rotation[:, place])
            if len(image) == 1:
                joined = [group for group in groups if place in group or int(image[0]) in group]
                groups = [group for group in groups if group not in joined] + [set().union(*joined)]
    return tuple(sorted(tuple(sorted(group)) for group in groups))


def _best_factors(
    cost: Callable[[NDArray[np.float64]], float], tied: tuple[tuple[int, ...], ...]
) -> tuple[NDArray[np.float64], float]:
    """Return the factors (3,) of least cost, found edge by edge, and what they gain over ones."""
    best = np.ones(3)
    start = least = cost(best)
    for _ in range(ROUNDS):
        before = least
        for group in tied:
            for factor in FACTORS:
                trial = best.copy()
                trial[list(group)] = factor
                if (value := cost(trial)) < least - 1e-9:
                    best, least = trial, value
        if least == before:
            break
    return best, start - least


def _scaled(
    site: Environment, vectors: list[NDArray[np.float64]], orthogonal: NDArray[np.float64], factors: NDArray[np.float64]
) -> Environment:
    if not vectors:
        return site
    lengths = np.linalg.norm((np.array(vectors) * factors) @ orthogonal.T, axis=1)
    return site._replace(lengths=lengths)
