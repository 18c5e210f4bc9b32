"""By which one factor all bonds of a structure are off: what a wrong camera length or beam energy does to them.

A wrong scale leaves angles and numbers of neighbours as they are. So the kind of a site is told by these, and its mean
bond length by its kind: of light atoms by tables, of metals and silicon among oxygen by the bond valence sum.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tasks.crystal.contacts import covalent_radii
from tasks.crystal.contents import atom_budget, not_hydrogen
from tasks.model import Composition, UnitCell
from tasks.refine.bond_geometry import (
    SINGLE_RADII_ANGSTROM,
    VALENCE_SOFTNESS_ANGSTROM,
    VALENCES,
    Environment,
    environments,
)
from tasks.refine.draft import DraftAtom
from tasks.refine.geometry import contacts, electropositive

MEAN_LENGTHS: dict[tuple[str, str], tuple[float, float]] = {
    ("C", "CC"): (1.388, 0.006),
    ("C", "CCC"): (1.424, 0.005),
    ("C", "CCN"): (1.405, 0.005),
    ("C", "CCO"): (1.380, 0.006),
    ("C", "COO"): (1.339, 0.006),
    ("C", "CNO"): (1.358, 0.006),
    ("C", "CN"): (1.352, 0.006),
    ("N", "CC"): (1.367, 0.021),
}
"""Mean length in angstrom of the bonds at a flat site to these neighbours, hydrogen apart, and how much that differs
between structures, relative (0.006 where fewer than five hold the kind). Measured on every second family of the 99
published organic crystals that pyxtal 1.1.5 carries (tests/benchmarks/cell_scale.py)."""
PYRAMIDAL_SPREAD = 0.010
"""Relative, of the mean bond of a site of three or four bonds that is not flat, about the sum of half single bonds
(SINGLE_RADII_ANGSTROM): seven such of the same set have 0.989 to 1.008."""
FLAT_DEG, LINEAR_DEG = (115.0, 135.0), 150.0
"""Range of the mean bond angle of flat sites, between tetrahedral (109.5) and linear ones; a carbon with two bonds is
taken as flat only up to LINEAR_DEG. Chosen, not measured: sp3 with three heavy neighbours has 111 to 113."""
STRICT = frozenset({"B", "Be", "Mg", "Al", "Si", "P", "S", "Sc", "Zn", "Ga", "Ge", "Y", "Zr", "Hf", "Lu"})
"""Of one valence, with bonds short enough for all to be found."""
STRICT_SCATTER, SCATTER = 0.04, 0.20
"""Relative, of a bond valence sum in a sound structure, of these and of other elements: those have long bonds of which
some are missed, or valences that the table lacks (niobium of NbO2). Measured on the published oxides and silicates of
tests/synthetic/structures.py: 21 strict sums are off by 0.037 root mean square, three of Na and Ca by up to 0.20."""
LEAST_ESD = 0.007
"""Relative, of the common factor however many sites tell it: kinds within one structure deviate together. The spread
between the structures of the setting half is 0.005 (see MEAN_LENGTHS); electron diffraction adds to it."""
COARSE_TYPICAL, COARSE_SPREAD = 0.97, 0.09
"""Nearest neighbour over the sum of covalent radii, median of the atoms of a structure, and its relative spread.
The middle between flat carbon (0.91) and salts, whose many neighbours are farther: 69 published minerals and salts of
which nothing better is known (Debian's libavogadro-data) have 1.01 in the mean, 0.06 about it, and 1.24 at most, of
divalent lead with nine neighbours. Left out: files of BN, Rh2O3 and W2C, in which atoms nearly overlap."""
VOLUME_TYPICAL, VOLUME_SPREAD = 1.007, 0.020
"""Factor of the lengths that the mean atomic volumes of Hofmann (tasks/crystal/contents.py) ask of right cells of
molecules, and its spread: the 49 crystals that set MEAN_LENGTHS; the 51 others have 1.014 and 0.016."""
ENDS = frozenset({"H", "D", "F", "Cl", "Br", "I"})
"""Elements that end the bonds of carbon: the volumes were measured on formulas that name them."""
WHOLE = 0.02
"""Of the atoms of the composition that a model may lack, or have too many, to be weighed by their volumes."""
OUTLIER = 4.0
"""Robust standard deviations from the median beyond which a site is left out: of another kind than it looked."""
MOST_SITES = 200
"""More take too long, and tell no more: LEAST_ESD stays."""
ROUNDS = 3
"""Of scaling the cell by what was found: the first by the nearest neighbours, which bonds there are follows from it."""


class BondScale(NamedTuple):
    """By what all lengths should be multiplied to have usual bonds, its relative esd, and from how many sites.

    ``sites`` zero: by the nearest neighbours alone, good to several per cent; ``kinds``: elements at these sites.
    """

    factor: float
    esd: float
    sites: int
    kinds: int = 0


class SiteVote(NamedTuple):
    """The logarithm of the factor that a site of this element asks for, and its spread."""

    element: str
    logarithm: float
    spread: float


def bond_scale(atoms: Sequence[DraftAtom], hall: str, cell: UnitCell) -> BondScale | None:
    """Return by what factor the lengths of a structure differ from usual ones, None if nothing is known of its bonds.

    Hydrogen is left out. A uniform factor of the cell changes the answer by that factor and nothing else.
    """
    heavy = [atom for atom in atoms if atom.element not in {"H", "D"}]
    if not 0 < len(heavy) <= MOST_SITES or (coarse := _by_nearest(heavy, hall, cell)) is None:
        return None
    found = BondScale(coarse, COARSE_SPREAD, 0)
    for _ in range(ROUNDS):
        scaled = scaled_cell(cell, found.factor)
        votes = site_votes(heavy, environments(heavy, hall, scaled))
        if (rest := combined(votes)) is None:
            return found
        found = rest._replace(factor=found.factor * rest.factor)
        if abs(rest.factor - 1.0) < 1e-6:
            break
    return found


def volume_scale(composition: Composition | None, atoms_in_cell: float, cell: UnitCell) -> BondScale | None:
    """Return by what factor the lengths differ from those that molecules have room in; None if that is not known.

    Of a formula of carbon without hydrogen or halogen nothing is said: nearly all have some, which a user may have left
    out, and which take up a third of the room.

    Parameters
    ----------
    atoms_in_cell
        Of the model, hydrogen apart: all of a whole number of formula units, or nothing is said.
    """
    if composition is None or not ENDS & set(composition.counts):
        return None
    if not (budget := atom_budget(composition, cell.volume_angstrom3)).molecular:
        return None
    units = atoms_in_cell / not_hydrogen(composition)
    if round(units) < 1 or abs(units - round(units)) > WHOLE * units:
        return None
    factor = float((atoms_in_cell / budget.expected) ** (1 / 3)) / VOLUME_TYPICAL
    return BondScale(factor, VOLUME_SPREAD, 0)


def scaled_cell(cell: UnitCell, factor: float) -> UnitCell:
    """Return the cell with its three edges multiplied."""
    a, b, c, alpha, beta, gamma = cell.parameters
    return UnitCell.of((a * factor, b * factor, c * factor, alpha, beta, gamma))


def _by_nearest(atoms: Sequence[DraftAtom], hall: str, cell: UnitCell) -> float | None:
    """Return the factor by the nearest neighbours, measured in sums of covalent radii."""
    radii = covalent_radii([atom.element for atom in atoms])
    places = np.array([atom.position for atom in atoms])
    metallic = np.array([electropositive(atom.element) for atom in atoms])
    reach = float((cell.volume_angstrom3 / len(atoms)) ** (1 / 3)) * 2.0
    least = np.full(len(atoms), np.inf)
    for pair in contacts(places, places, hall, cell, cutoff=min(max(reach, 3.0), 6.0)):
        if not (metallic[pair.first] and metallic[pair.second]):
            ratio = pair.distance / (radii[pair.first] + radii[pair.second])
            least[pair.first] = min(least[pair.first], ratio)
    known = least[np.isfinite(least)]
    return COARSE_TYPICAL / float(np.median(known)) if len(known) else None


def site_votes(atoms: Sequence[DraftAtom], sites: Sequence[Environment]) -> list[SiteVote]:
    """Return what the known sites ask for."""
    names = [atom.element for atom in atoms]
    rows = [(name, _vote(name, site, names)) for name, site in zip(names, sites, strict=True)]
    return [SiteVote(name, *row) for name, row in rows if row is not None]


def _vote(element: str, site: Environment, names: Sequence[str]) -> tuple[float, float] | None:
    around = [names[j] for j in site.neighbours]
    if element in VALENCES:
        return _valence_vote(element, site.lengths) if around and set(around) == {"O"} else None
    if element not in SINGLE_RADII_ANGSTROM or len(around) < 2 or not set(around) <= set(SINGLE_RADII_ANGSTROM):
        return None
    mean = float(site.lengths.mean())
    if FLAT_DEG[0] <= site.mean_angle_deg <= FLAT_DEG[1]:
        kind = MEAN_LENGTHS.get((element, "".join(sorted(around))))
        return None if kind is None else (float(np.log(kind[0] / mean)), kind[1])
    if len(around) < 3 or site.mean_angle_deg > FLAT_DEG[1]:
        return None
    single = SINGLE_RADII_ANGSTROM[element] + np.mean([SINGLE_RADII_ANGSTROM[name] for name in around])
    return float(np.log(single / mean)), PYRAMIDAL_SPREAD


def _valence_vote(element: str, lengths: NDArray[np.float64]) -> tuple[float, float]:
    """Return the logarithm of the factor at which the valences add up, over the valences an element can have."""
    parameter, valences = VALENCES[element]
    softness = VALENCE_SOFTNESS_ANGSTROM / float(lengths.mean())
    scatter = softness * (STRICT_SCATTER if element in STRICT else SCATTER)
    factors = []
    for valence in valences:
        factor = 1.0
        for _ in range(20):  # Newton's method on the logarithm of the sum, which is nearly linear in the factor
            terms = np.exp((parameter - factor * lengths) / VALENCE_SOFTNESS_ANGSTROM)
            slope = float((terms * lengths).sum() / terms.sum()) / VALENCE_SOFTNESS_ANGSTROM
            factor = max(factor + float(np.log(terms.sum() / valence)) / slope, 0.1)
        factors.append(np.log(factor))
    return float(np.mean(factors)), float(np.hypot(scatter, np.ptp(factors) / 2.0))


def combined(votes: Sequence[SiteVote]) -> BondScale | None:
    """Return the weighted mean of the votes without those far off; None without any.

    The esd is by their spreads, or by their scatter if that is larger, and never below LEAST_ESD.
    """
    if not votes:
        return None
    value, spread = (np.array([getattr(vote, name) for vote in votes]) for name in ("logarithm", "spread"))
    centre = _weighted_median(value, spread**-2.0)
    off = (value - centre) / spread
    scatter = max(1.0, 1.4826 * float(np.median(np.abs(off))))
    kept = np.abs(off) <= OUTLIER * scatter
    weight = spread[kept] ** -2.0
    mean = float(np.average(value[kept], weights=weight))
    chi = float((weight * (value[kept] - mean) ** 2).sum()) / max(int(kept.sum()) - 1, 1)
    esd = float(np.sqrt(max(chi, 1.0) / weight.sum()))
    kinds = {vote.element for vote, good in zip(votes, kept, strict=True) if good}
    return BondScale(float(np.exp(mean)), float(np.hypot(esd, LEAST_ESD)), int(kept.sum()), len(kinds))


def _weighted_median(value: NDArray[np.float64], weight: NDArray[np.float64]) -> float:
    order = np.argsort(value, kind="stable")
    total = np.cumsum(weight[order])
    return float(value[order][int(np.searchsorted(total, total[-1] / 2.0))])
