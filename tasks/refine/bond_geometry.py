"""What the bonds at a site say about its element: lengths, flatness and valence, neighbours considered."""

from collections.abc import Mapping, Sequence
from functools import cache
from typing import NamedTuple

import gemmi
import numpy as np
from numpy.typing import NDArray

from tasks.crystal.contacts import MOST_BONDS
from tasks.model import UnitCell
from tasks.refine.draft import DraftAtom
from tasks.refine.geometry import bonds

SINGLE_RADII_ANGSTROM = {"C": 0.765, "N": 0.705, "O": 0.66, "F": 0.61}
"""Half of a single bond: C-C 1.53, C-N 1.47, C-O 1.425 (Allen et al., J. Chem. Soc. Perkin Trans. 2, S1, 1987)."""
LIGHT = frozenset(SINGLE_RADII_ANGSTROM)
SITE_SPREAD_ANGSTROM = 0.02
"""Of the mean length of a site however many bonds it has: one kind of bond spreads by 0.01 to 0.02 in Allen et al.
Tyrosine of the tests' data, refined, is named alike with 0.01; with 0.04 its nitrogen is misplaced."""
BOND_SPREAD_ANGSTROM = 0.045
"""Of a length in an isotropic model of dynamical intensities; a mean of several is surer than one."""
MOST_COST = 12.0
"""Of the lengths or the valence of one site, as chi^2: 3.5 standard deviations, so that one misplaced atom does not
outvote the intensities. Chosen, not measured finely: 6 and 24 name natrolite and tyrosine (tests' data) alike."""
SURPLUS_COST = 20.0
"""Of each bond beyond what the valence allows, as chi^2. Chosen, not measured: above MOST_COST, since lengths only
look wrong while such a bond cannot be; not more, since an atom that should not be there makes one too."""
ON_METAL_COST = {"C": 6.0, "F": 2.0}
"""Of a bond to a metal, which N and O have more often."""
UNEVEN_ANGSTROM = 0.06
"""Between the two bonds of a nitrogen: half of the 0.12 A by which those of an amide differ (1.34 and 1.46 A), and
one standard deviation of a difference of two lengths (sqrt(2) BOND_SPREAD_ANGSTROM)."""
ALONE_COST = {"C": 6.0, "N": 4.0}
"""Of an atom without bonds, as chi^2: water and oxide are oxygen, ammonium is rare, bare carbon is none. Chosen,
not measured: a twentieth and a seventh as likely as oxygen, exp(-cost / 2); the intensities can outvote it."""
FLAT_DEG = 350.0
"""Sum of three bond angles above which they are not pyramidal: 360 less 10 for errors of positions. Chosen, not
measured; between PYRAMIDAL_DEG and this both sets of lengths are allowed."""
PYRAMIDAL_DEG = 345.0
"""Sum of three bond angles below which they are not flat: the middle between 328 (tetrahedral) and 360 degrees."""
Ideals = tuple[tuple[float, float], ...]
TERMINAL: dict[str, Ideals] = {
    "C": ((1.50, 0.0), (1.53, 0.0), (1.33, 3.0), (1.19, 8.0)),
    "N": ((1.47, 0.0), (1.49, 0.0), (1.34, 0.0), (1.15, 1.0)),
    "O": ((1.22, 0.0), (1.26, 0.0), (1.31, 0.0), (1.36, 0.0), (1.42, 0.0)),
    "F": ((1.33, 0.0), (1.36, 0.0)),
    "Cl": ((1.74, 0.0), (1.79, 0.0)),
    "Br": ((1.90, 0.0), (1.95, 0.0)),
    "I": ((2.10, 0.0), (2.15, 0.0)),
}
"""Lengths of an atom with one bond, as if to carbon, angstrom, and what each costs as a rarity."""
BRIDGING: dict[str, Ideals] = {
    "C": ((1.38, 0.0), (1.40, 0.0), (1.44, 0.5), (1.50, 0.0), (1.53, 0.0), (1.32, 2.0)),
    "N": ((1.34, 0.5), (1.37, 0.5), (1.40, 0.5), (1.46, 0.5)),
    "O": ((1.37, 0.5), (1.40, 0.5), (1.43, 0.5)),
}
"""Mean lengths of an atom with two bonds, likewise."""
EVEN_NITROGEN: Ideals = ((1.34, 0.5), (1.37, 0.5), (1.41, 3.0), (1.46, 0.5))
"""Between two bonds of one length: 1.40 is the mean of the two of an amide."""
FLAT: dict[str, Ideals] = {"C": ((1.40, 0.0), (1.43, 0.0), (1.46, 0.0)), "N": ((1.37, 1.5), (1.40, 1.5), (1.43, 1.5))}
"""Mean lengths of an atom with three bonds in a plane."""
PYRAMIDAL: dict[str, Ideals] = {"C": ((1.51, 0.0), (1.53, 0.0)), "N": ((1.46, 0.5), (1.49, 0.5))}
"""Mean lengths of an atom with three bonds not in a plane."""
FOURFOLD: dict[str, Ideals] = {"C": ((1.53, 0.0), (1.55, 0.0)), "N": ((1.50, 2.0),)}
"""Mean lengths of an atom with four bonds: C-C 1.53 to 1.55, C-N+ 1.50 (Allen et al.); ammonium is the rarer one."""
VALENCES: dict[str, tuple[float, tuple[int, ...]]] = {
    "Li": (1.466, (1,)), "Be": (1.381, (2,)), "B": (1.371, (3,)), "Na": (1.803, (1,)), "Mg": (1.693, (2,)),
    "Al": (1.651, (3,)), "Si": (1.624, (4,)), "P": (1.617, (5,)), "S": (1.624, (6,)), "K": (2.132, (1,)),
    "Ca": (1.967, (2,)), "Sc": (1.849, (3,)), "Ti": (1.815, (3, 4)), "V": (1.803, (3, 4, 5)), "Cr": (1.724, (3, 6)),
    "Mn": (1.790, (2, 3, 4)), "Fe": (1.750, (2, 3)), "Co": (1.692, (2, 3)), "Ni": (1.654, (2,)),
    "Cu": (1.679, (1, 2)), "Zn": (1.704, (2,)), "Ga": (1.730, (3,)), "Ge": (1.748, (4,)), "Rb": (2.263, (1,)),
    "Sr": (2.118, (2,)), "Y": (2.019, (3,)), "Zr": (1.928, (4,)), "Nb": (1.911, (5,)), "Mo": (1.907, (6,)),
    "Cd": (1.904, (2,)), "In": (1.902, (3,)), "Sn": (1.905, (4,)), "Cs": (2.417, (1,)), "Ba": (2.285, (2,)),
    "La": (2.172, (3,)), "Lu": (1.971, (3,)), "Hf": (1.923, (4,)), "Ta": (1.920, (5,)), "W": (1.917, (6,)),
    "Pb": (2.112, (2,)),
}  # fmt: skip
"""Bond valence parameter with oxygen (angstrom) and valences: Brown & Altermatt, Acta Cryst. B41, 244-247 (1985)."""
VALENCE_SOFTNESS_ANGSTROM = 0.37
"""The universal B of s = exp[(r0 - r) / B]: Brown & Altermatt, Acta Cryst. B41, 244-247 (1985)."""
VALENCE_SPREAD = 0.15
"""Relative, and that of bonds left out because they are long."""
SCALES = np.linspace(0.96, 1.04, 17)
SCALE_SPREAD = 0.012
"""Of bond lengths: cells of electron diffraction are a per cent or two off."""


class Environment(NamedTuple):
    """The bonds of one atom to atoms other than hydrogen; `angle_sum_deg` of three bonds, else 0.

    `mean_angle_deg` of all pairs of bonds, zero with fewer than two.
    """

    neighbours: tuple[int, ...]
    lengths: NDArray[np.float64]
    angle_sum_deg: float
    mean_angle_deg: float = 0.0


def environments(atoms: Sequence[DraftAtom], hall: str, cell: UnitCell) -> list[Environment]:
    """Return the bonds of each atom."""
    found: list[list[tuple[int, float, NDArray[np.float64]]]] = [[] for _ in atoms]
    for bond in bonds(atoms, hall, cell):
        if atoms[bond.second].u_as is not None and not atoms[bond.first].part:
            continue  # the second place of an atom that is a neighbour already
        if atoms[bond.second].element not in {"H", "D"}:
            found[bond.first].append((bond.second, bond.distance, np.array(bond.vector) / bond.distance))
    return [
        Environment(
            tuple(row[0] for row in rows),
            np.array([row[1] for row in rows]),
            _angle_sum_deg(rows),
            _mean_angle_deg(rows),
        )
        for rows in found
    ]


def _angle_sum_deg(rows: Sequence[tuple[int, float, NDArray[np.float64]]]) -> float:
    if len(rows) != 3:
        return 0.0
    cosines = [rows[i][2] @ rows[j][2] for i, j in ((0, 1), (0, 2), (1, 2))]
    return float(np.degrees(np.arccos(np.clip(cosines, -1.0, 1.0))).sum())


def _mean_angle_deg(rows: Sequence[tuple[int, float, NDArray[np.float64]]]) -> float:
    cosines = [one[2] @ other[2] for place, one in enumerate(rows) for other in rows[:place]]
    return float(np.degrees(np.arccos(np.clip(cosines, -1.0, 1.0))).mean()) if cosines else 0.0


def site_cost(
    element: str, site: Environment, names: Mapping[int, str] | Sequence[str], *, scale: float = 1.0
) -> float:
    """Return how badly an element suits the bonds of its site, as a chi^2; zero where nothing is known of it.

    C, N, O, F and halogens among themselves by the number of bonds, flatness and mean length, each length as if to
    carbon, bonds to metals apart; elements that bond to oxygen alone by the sum of bond valences.

    Parameters
    ----------
    names
        The elements of all atoms, or of the neighbours, by number.
    scale
        Factor of the lengths, for a cell that is off.
    """
    around = [names[j] for j in site.neighbours]
    if element in VALENCES:
        return _valence_cost(element, site, around, scale)
    metal = [_is_metal(name) for name in around]
    if element not in MOST_BONDS or any(name not in LIGHT and not met for name, met in zip(around, metal, strict=True)):
        return 0.0
    rows = [k for k, met in enumerate(metal) if not met]
    cost = ON_METAL_COST.get(element, 0.0) if any(metal) else 0.0
    if not rows:
        return cost if any(metal) else ALONE_COST.get(element, 0.0)
    lengths = site.lengths[rows] * scale + [SINGLE_RADII_ANGSTROM["C"] - SINGLE_RADII_ANGSTROM[around[k]] for k in rows]
    return cost + _length_cost(element, lengths, site.angle_sum_deg)


def _length_cost(element: str, lengths: NDArray[np.float64], angle_sum_deg: float) -> float:
    """Return what the lengths (k,) of bonds have against an element, each as if to carbon."""
    count = len(lengths)
    surplus = SURPLUS_COST * max(0, count - MOST_BONDS[element])
    ideals = _ideals(element, lengths, angle_sum_deg)
    if ideals is None:
        return surplus + (1.5 if element == "N" and count >= 3 else 0.0)
    variance = SITE_SPREAD_ANGSTROM**2 + BOND_SPREAD_ANGSTROM**2 / count
    misfit = min((float(lengths.mean()) - ideal) ** 2 / variance + rarity for ideal, rarity in ideals)
    return surplus + min(misfit, MOST_COST)


@cache
def _is_metal(element: str) -> bool:
    return bool(gemmi.Element(element).is_metal)


def _ideals(element: str, lengths: NDArray[np.float64], angle_sum_deg: float) -> Ideals | None:
    count = len(lengths)
    if count == 3:
        # three bonds to light atoms beside one to a metal: the angles between all are not known to be flat
        flat = FLAT.get(element, ()) if angle_sum_deg >= PYRAMIDAL_DEG or not angle_sum_deg else ()
        return (*flat, *(PYRAMIDAL.get(element, ()) if angle_sum_deg <= FLAT_DEG else ())) or None
    if element == "N" and count == 2 and abs(float(lengths[0] - lengths[1])) < UNEVEN_ANGSTROM:
        return EVEN_NITROGEN
    return {1: TERMINAL, 2: BRIDGING, 4: FOURFOLD}.get(count, {}).get(element)


def _valence_cost(element: str, site: Environment, around: Sequence[str], scale: float) -> float:
    if not around or any(name != "O" for name in around):
        return 0.0
    parameter, valences = VALENCES[element]
    total = float(np.exp((parameter - site.lengths * scale) / VALENCE_SOFTNESS_ANGSTROM).sum())
    misfit = min(abs(total - valence) / (VALENCE_SPREAD * valence) for valence in valences)
    return min(misfit**2, MOST_COST)


def total_cost(sites: Sequence[Environment], names: Sequence[str], *, scale: float = 1.0) -> float:
    """Return the sum of the costs of all sites."""
    return sum(site_cost(name, site, names, scale=scale) for name, site in zip(names, sites, strict=True))


def best_scale(sites: Sequence[Environment], names: Sequence[str]) -> float:
    """Return the factor of all lengths that suits the bonds best, held near one."""
    costs = [total_cost(sites, names, scale=float(scale)) + ((scale - 1.0) / SCALE_SPREAD) ** 2 for scale in SCALES]
    return float(SCALES[int(np.argmin(costs))])
