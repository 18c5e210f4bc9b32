"""Faults put into structures on purpose, and the codes one of which validation must raise for each."""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import gemmi
import numpy as np

from tasks.crystal.lattice import fractionalisation
from tasks.refine.alerts.subject import Subject, is_hydrogen
from tasks.refine.draft import DraftAtom
from tasks.refine.geometry import bonds


class SeededFault(NamedTuple):
    """How a structure is spoilt, and which codes tell so."""

    spoil: Callable[[Subject], Subject]
    codes: frozenset[str]
    not_of: frozenset[str] = frozenset()
    """Published structures that cannot have this fault."""


def _with_atoms(subject: Subject, atoms: list[DraftAtom]) -> Subject:
    draft = subject.draft.model_copy(update={"atoms": tuple(atoms)})
    fit = None if subject.fit is None else subject.fit.model_copy(update={"draft": draft})
    return subject._replace(draft=draft, fit=fit)


def _changed(subject: Subject, index: int, **update: object) -> Subject:
    atoms = list(subject.draft.atoms)
    atoms[index] = atoms[index].model_copy(update=update)
    return _with_atoms(subject, atoms)


def _moved(subject: Subject, index: int, vector: tuple[float, float, float]) -> Subject:
    shift = fractionalisation(subject.draft.unit_cell) @ np.array(vector)
    place = np.array(subject.draft.atoms[index].position) + shift
    return _changed(subject, index, position=tuple(place.tolist()))


def _general(subject: Subject) -> Iterator[int]:
    """Yield the atoms that are not hydrogen, the last first: those are the lightest in most lists."""
    for index in reversed(range(len(subject.draft.atoms))):
        if not is_hydrogen(subject.draft.atoms[index]):
            yield index


def hydrogen_omitted(subject: Subject) -> Subject:
    return _with_atoms(subject, subject.heavy)


def atom_moved(subject: Subject) -> Subject:
    return _moved(subject, next(_general(subject)), (0.5, 0.35, 0.0))


def atom_doubled(subject: Subject) -> Subject:
    index = next(_general(subject))
    twin = subject.draft.atoms[index].model_copy(update={"label": "X99"})
    return _moved(_with_atoms(subject, [*subject.draft.atoms, twin]), len(subject.draft.atoms), (0.45, 0.3, 0.4))


def atom_left_out(subject: Subject) -> Subject:
    index = next(_general(subject))
    return _with_atoms(subject, [atom for place, atom in enumerate(subject.draft.atoms) if place != index])


def displacement_negative(subject: Subject) -> Subject:
    index = next(_general(subject))
    if subject.draft.atoms[index].u_aniso_angstrom2 is None:
        return _changed(subject, index, u_iso_angstrom2=-0.005)
    return _changed(subject, index, u_aniso_angstrom2=(-0.01, 0.02, 0.02, 0.0, 0.0, 0.0))


def displacement_huge(subject: Subject) -> Subject:
    return _changed(subject, next(_general(subject)), u_iso_angstrom2=0.6, u_aniso_angstrom2=None)


def displacement_stretched(subject: Subject) -> Subject:
    return _changed(subject, next(_general(subject)), u_aniso_angstrom2=(0.15, 0.01, 0.01, 0.0, 0.0, 0.0))


def occupancy_too_high(subject: Subject) -> Subject:
    return _changed(subject, next(_general(subject)), occupancy=1.3)


def units_doubled(subject: Subject) -> Subject:
    return subject._replace(formula_units=2 * subject.formula_units)


def cell_too_large(subject: Subject) -> Subject:
    cell = subject.draft.unit_cell
    large = cell.model_copy(update={edge: 1.12 * getattr(cell, edge) for edge in "abc"})
    draft = subject.draft.model_copy(update={"unit_cell": large})
    fit = None if subject.fit is None else subject.fit.model_copy(update={"draft": draft})
    return subject._replace(draft=draft, fit=fit)


def metal_exchanged(subject: Subject) -> Subject:
    """Return the structure with its metal, or silicon, taken for another that scatters alike."""
    others = {"Si": "Ca", "Al": "Na", "Lu": "Hf", "Zr": "Sr", "Na": "Al"}
    for index, atom in enumerate(subject.draft.atoms):
        if atom.element in others:
            return _changed(subject, index, element=others[atom.element])
    raise ValueError("no metal to exchange")


def carbon_taken_for_oxygen(subject: Subject) -> Subject:
    """Return the structure with a carbon atom of three or more bonds taken for oxygen, without its hydrogen."""
    for index, atom in enumerate(subject.draft.atoms):
        if atom.element == "C" and _bonds_of(subject, index) >= 3:
            return _changed(subject, index, element="O")
    raise ValueError("no carbon atom of three bonds")


def _bonds_of(subject: Subject, index: int) -> int:
    atoms = subject.draft.atoms
    return sum(
        1
        for bond in bonds(atoms, subject.draft.hall, subject.draft.unit_cell)
        if bond.first == index and not is_hydrogen(atoms[bond.second])
    )


def symmetry_forgotten(subject: Subject) -> Subject:
    """Return the same crystal in P1: every atom of the cell once, isotropic."""
    atoms: dict[tuple[float, ...], DraftAtom] = {}
    for number, operation in enumerate(gemmi.symops_from_hall(subject.draft.hall)):
        for atom in subject.draft.atoms:
            place = np.array(operation.apply_to_xyz(list(atom.position))) % 1.0
            update = {"label": f"{atom.label}_{number}", "position": tuple(place.tolist()), "u_aniso_angstrom2": None}
            atoms.setdefault(tuple(np.round(place, 3) % 1.0), atom.model_copy(update=update))
    draft = subject.draft.model_copy(update={"hall": "P 1", "atoms": tuple(atoms.values())})
    return subject._replace(draft=draft, fit=None, atoms=())


MINERALS = frozenset({"natrolite", "natrolite-kinematical", "albite", "luag"})
LARGE = frozenset({"uio-66"})  # 440 atoms in P1 take 15 s
MOLECULES = frozenset({"l-alanine", "sucrose", "cinchonine", "tyrosine"})
FAULTS = {
    "hydrogen omitted": SeededFault(
        hydrogen_omitted, frozenset({"HYD01"}), frozenset({"albite", "luag", "cinchonine"})
    ),
    "atom moved": SeededFault(atom_moved, frozenset({"GEO01", "GEO02", "GEO03", "GEO04", "GEO05", "GEO06", "HYD02"})),
    "atom doubled": SeededFault(atom_doubled, frozenset({"GEO01"})),
    "atom left out": SeededFault(atom_left_out, frozenset({"CEL02"})),
    "displacement negative": SeededFault(displacement_negative, frozenset({"ADP01"})),
    "displacement huge": SeededFault(displacement_huge, frozenset({"ADP03"})),
    "displacement stretched": SeededFault(displacement_stretched, frozenset({"ADP02"})),
    "occupancy too high": SeededFault(occupancy_too_high, frozenset({"OCC01"})),
    "Z doubled": SeededFault(units_doubled, frozenset({"CEL02"})),
    "cell too large": SeededFault(cell_too_large, frozenset({"GEO03", "GEO05", "GEO06"})),
    "symmetry forgotten": SeededFault(symmetry_forgotten, frozenset({"SYM01"}), LARGE),
    "metal exchanged": SeededFault(metal_exchanged, frozenset({"GEO06"}), MOLECULES),
    "carbon taken for oxygen": SeededFault(carbon_taken_for_oxygen, frozenset({"GEO03", "GEO04"}), MINERALS),
}
