"""Whether the nearest atoms of a site are unlike it, as those of a cation are anions and the other way round.

An exchange of two elements leaves all distances as they are. Where they scatter alike, and both names leave lengths
that bonds have, what tells them apart is that unlike elements attract: the energy of a bond grows with the difference
of electronegativities (Pauling, The Nature of the Chemical Bond, 3rd ed., ch. 3). A cation that has cations nearest,
beside an anion that has anions, are names exchanged.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from tasks.crystal.electronegativity import PAULING
from tasks.model import UnitCell
from tasks.refine.draft import DraftAtom
from tasks.refine.geometry import contacts, electropositive

SOFTNESS_ANGSTROM = 0.37
"""By how much farther an atom counts e times less: as bond valences fall off (`bond_geometry`)."""
REACH_ANGSTROM = 4.5
"""Of the contacts looked at: farther atoms count less than 0.02 where any is as near as 3 angstrom."""
UNLIKE = 0.5
"""Difference of electronegativity from which two elements are wholly unlike. Of 42 salts, oxides and chalcogenides of
libavogadro-data (the half that sets, by the hash of the name) an exchange that keeps the formula lowers the sum over
the sites by 0.08 at most, one of a cation and an anion on sites that are not alike raises it by 0.34 or more; with 0.9
chalcogenides of Sb and Bi, 0.5 apart, would count half."""
MOST_COST = 12.0
"""Of a site all of whose nearest atoms are of its own kind, as chi^2: as much as lengths or a valence may cost."""


class Shell(NamedTuple):
    """The nearest atoms of a site by number, each once, and the share of each, which add up to one."""

    atoms: tuple[int, ...]
    shares: tuple[float, ...]


NOTHING_NEAR = Shell((), ())


def shells(atoms: Sequence[DraftAtom], hall: str, cell: UnitCell) -> list[Shell]:
    """Return the nearest atoms of each site by distances alone, so that no name of an atom changes them.

    Nothing is said of structures with carbon, nor of those of metals or of non-metals alone: molecules and alloys are
    made of bonds between like atoms.
    """
    names = {atom.element for atom in atoms} - {"H", "D"}
    if "C" in names or len({electropositive(name) for name in names}) < 2 or not names <= set(PAULING):
        return [NOTHING_NEAR] * len(atoms)
    places = np.array([atom.position for atom in atoms])
    rows: list[dict[int, list[float]]] = [{} for _ in atoms]
    for pair in contacts(places, places, hall, cell, cutoff=REACH_ANGSTROM):
        if {atoms[pair.first].element, atoms[pair.second].element} & {"H", "D"}:
            continue
        if not (atoms[pair.first].part and atoms[pair.second].part):
            rows[pair.first].setdefault(pair.second, []).append(pair.distance)
    return [_shell(row) for row in rows]


def _shell(distances: Mapping[int, Sequence[float]]) -> Shell:
    if not distances:
        return NOTHING_NEAR
    nearest = min(min(row) for row in distances.values())
    weight = {
        number: float(np.exp((nearest - np.array(row)) / SOFTNESS_ANGSTROM).sum()) for number, row in distances.items()
    }
    total = sum(weight.values())
    return Shell(tuple(weight), tuple(value / total for value in weight.values()))


def like_cost(element: str, shell: Shell, names: Mapping[int, str] | Sequence[str]) -> float:
    """Return what it costs an element, as chi^2, that the nearest atoms are of its own kind."""
    if element not in PAULING:
        return 0.0
    unlike = sum(
        share * min(abs(PAULING[element] - PAULING.get(names[number], PAULING[element])) / UNLIKE, 1.0)
        for number, share in zip(shell.atoms, shell.shares, strict=True)
    )
    return MOST_COST * (1.0 - unlike) if shell.atoms else 0.0
