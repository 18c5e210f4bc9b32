"""Whether every atom stands where an atom of its element may stand: contacts, bonds, valence, hydrogen."""

import gemmi
import numpy as np
from numpy.typing import NDArray

from tasks.crystal.contacts import SHORTEST_BOND_FRACTION, covalent_radius
from tasks.crystal.scattering import Radiation
from tasks.refine import checks
from tasks.refine.alerts.alert import Alert, Grades, listed, raised
from tasks.refine.alerts.neighbourhood import Neighbourhood, neighbourhood, within_bonds
from tasks.refine.alerts.subject import Subject, is_hydrogen
from tasks.refine.bond_geometry import (
    VALENCE_SOFTNESS_ANGSTROM,
    VALENCES,
    Environment,
    environments,
    site_cost,
)
from tasks.refine.draft import DraftAtom
from tasks.refine.geometry import SAME_PLACE_ANGSTROM, bonds, close_contacts, contacts, electropositive
from tasks.refine.hydrogens import with_hydrogens

NEARER = Grades(b=SHORTEST_BOND_FRACTION, a=0.62, least=True)
"""Of the sum of the covalent radii. The shortest real ones of 153 structures of public packages are 0.67 to 0.70,
between atoms of uranium, plutonium and neptunium; 0.62 of it are 0.94 A between carbon atoms, no bond at all."""
OVERLAP = Grades(c=0.4, b=0.6, a=0.9)
"""Angstrom that a contact is shorter than the sum of the van der Waals radii (gemmi's, after Bondi, J. Phys. Chem. 68,
441-451, 1964). The published models of the tests come to 0.48 (H...C of L-alanine, H...O of tyrosine: true, and
harmless). At 0.9 carbon atoms of two molecules stand 2.5 A apart."""
HYDROGEN_BOND = Grades(c=1.45, b=1.25, a=1.1, least=True)
"""Angstrom from a hydrogen of N, O, F to the atom that takes it. Very strong ones have 1.2, half of O...O; the
published models of the tests 1.71 and more."""
POLAR = Grades(c=2.38, b=2.3, a=2.15, least=True)
"""Angstrom between N, O and F of two molecules: the shortest hydrogen bonds, symmetric, have O...O 2.38 to 2.40."""
ONE_HYDROGEN_ANGSTROM = 0.9
"""Between hydrogen atoms: nearer they are two halves of one that is disordered."""
ODD_BONDS = Grades(c=7.0, b=11.9)
"""Cost as chi^2 that the bonds of an atom have against its element (`bond_geometry.site_cost`): 2.6 standard
deviations, and where it is cut off. The published models of the tests cost 1.7 at most, cinchonine, with bonds
good to 0.06 A, 4.4."""
BOND_OF_HYDROGEN_ANGSTROM = (0.72, 1.18)
"""Range of X-H of C, N and O: 0.82 for O-H by X-rays less 0.1, 1.09 for C-H by neutrons plus 0.09."""
VALENCE_MISFIT = Grades(c=0.25, b=0.4)
"""Sum of bond valences off the nearest oxidation state, over it. The published models of the tests come to 0.16:
sodium in albite, in a cage."""
OXYGEN_MISFIT = Grades(c=0.2, b=0.35)
"""The same of oxygen among cations, off two; the published models of the tests come to 0.14 (albite)."""
BARE_OXYGEN = 1.4
"""Valence of an oxygen by its cations below which hydrogen lacks on it: OH leaves 0.8 to 1.2, water 0.2 to 0.5, oxide
1.7 to 2.2 (Brown, The Chemical Bond in Inorganic Chemistry, 2002); the middle of what is known."""
SALT_ANGSTROM = 0.8
"""What ions may be apart beyond their covalent radii: galena, Pb-S 2.97 A, has 0.46, caesium chloride 0.1."""
LOOSE_ANGSTROM = 4.5
"""Of ions that are looked at: caesium's covalent radius, iodine's and the 0.8."""
OTHER_STATES = {
    "Pb": (4,), "Sn": (2,), "Ti": (2,), "V": (2,), "Cr": (2, 4), "Mn": (7,), "Co": (3,), "Mo": (4,), "W": (4, 5),
    "Nb": (2, 4), "Ta": (4,), "Ni": (3,), "Fe": (4,), "Zr": (2,), "In": (1,), "Ga": (1,), "Ge": (2,),
}  # fmt: skip
"""Oxidation states of solids beyond those that elements are named by (`bond_geometry.VALENCES`): an alert must not
exclude them. Greenwood & Earnshaw, Chemistry of the Elements (1997), the tables of oxides."""
REACH_ANGSTROM = 3.6
"""Of contacts that are looked at: beyond 3.6 even iodine atoms (3.96 less 0.4) touch."""
MOST_ATOMS = 400
"""Of the asymmetric unit: contacts between molecules of larger ones are left out, their search grows as the square."""


def environment_alerts(subject: Subject) -> tuple[Alert, ...]:
    """Return what the surroundings of the atoms say."""
    alerts = (*_occupancies(subject), *_clashes(subject))
    subject = subject.of_one_atom_a_site()
    atoms = subject.heavy
    sites = environments(atoms, subject.draft.hall, subject.draft.unit_cell)
    return (
        *alerts,
        *_odd_bonds(atoms, sites),
        *_crowded(subject),
        *_alone(subject, sites),
        *_valences(atoms, sites),
        *_hydrogen_missing(subject, sites),
        *_hydrogen_bonds(subject),
        *_contacts(subject),
    )


def _occupancies(subject: Subject) -> tuple[Alert, ...]:
    wrong = [(atom.label, atom.occupancy) for atom in subject.draft.atoms if not 0 < atom.occupancy <= 1.0005]
    part = [(atom.label, 1 - atom.occupancy) for atom in subject.heavy if 0 < atom.occupancy < 0.995]
    return (
        *listed("OCC01", [(name, abs(value - 0.5)) for name, value in wrong], Grades(a=0.5),
                "occupancy out of 0 to 1, off a half by more than {limit:g}"),
        *listed("OCC01", part, Grades(c=0.0), "sites that are empty in part, share"),
    )  # fmt: skip


def _clashes(subject: Subject) -> tuple[Alert, ...]:
    heavy = subject.heavy
    pairs = []
    for pair in close_contacts(heavy, subject.draft.hall, subject.draft.unit_cell):
        one, other = heavy[pair.first], heavy[pair.second]
        if one.occupancy + other.occupancy > 1.0005:
            radii = covalent_radius(one.element) + covalent_radius(other.element)
            pairs.append((f"{one.label}-{other.label} ({pair.distance:.2f} A)", pair.distance / radii))
    text = "atoms nearer than any bond, times the sum of their radii (least {limit:g})"
    return listed("GEO01", pairs, NEARER, text)


def _odd_bonds(atoms: list[DraftAtom], sites: list[Environment]) -> tuple[Alert, ...]:
    names = [atom.element for atom in atoms]
    rows = []
    for atom, site in zip(atoms, sites, strict=True):
        cost = site_cost(atom.element, site, names)
        if atom.element in VALENCES or not site.neighbours or atom.occupancy < 0.995:
            continue
        others = {other: site_cost(other, site, names) for other in ("C", "N", "O") if other != atom.element}
        best = min(others, key=lambda other: others[other])
        better = f" ({best} would suit)" if others[best] < 0.5 * cost else ""
        rows.append((f"{atom.label}{better}", cost))
    text = "lengths and angles of the bonds do not suit the element, as chi^2 (limit {limit:g})"
    return listed("GEO03", rows, ODD_BONDS, text, form=".1f")


def _crowded(subject: Subject) -> tuple[Alert, ...]:
    if subject.fit is None:
        return ()
    names = checks.impossible_bonds(subject.fit)
    return (raised("GEO04", "B", f"more bonds than the element forms: {', '.join(names[:6])}"),) if names else ()


def _alone(subject: Subject, sites: list[Environment]) -> tuple[Alert, ...]:
    """Return the atoms that bond to nothing: carbon never does so, others may be ions or water."""
    atoms = subject.draft.atoms
    carried = {bond.first for bond in bonds(atoms, subject.draft.hall, subject.draft.unit_cell)}
    lost = [atom.label for index, atom in enumerate(atoms) if is_hydrogen(atom) and index not in carried]
    heavy = subject.heavy
    bare = [
        atom
        for atom, site in zip(heavy, sites, strict=True)
        if not site.neighbours and atoms.index(atom) not in carried and not electropositive(atom.element)
    ]
    near = (
        contacts(
            np.array([atom.position for atom in heavy]),
            np.array([atom.position for atom in bare]),
            subject.draft.hall,
            subject.draft.unit_cell,
            cutoff=LOOSE_ANGSTROM,
        )
        if bare
        else []
    )
    loose = {
        pair.second
        for pair in near
        if pair.distance > SAME_PLACE_ANGSTROM
        and _loosely_bonded(heavy[pair.first].element, bare[pair.second].element, pair.distance)
    }
    bare = [atom for place, atom in enumerate(bare) if place not in loose]
    never = [atom.label for atom in bare if atom.element in {"C", "N", "P", "S"}]
    maybe = [atom.label for atom in bare if atom.element not in {"C", "N", "P", "S"}]
    made = []
    if len(heavy) > 1:
        made += [("A", f"atoms bonded to nothing: {', '.join(never[:6])}")] if never else []
        made += [("B", f"atoms bonded to nothing, water or ions without hydrogen: {', '.join(maybe[:6])}")] * bool(
            maybe and any(atom.element == "O" for atom in bare)
        )
    made += [("B", f"hydrogen atoms bonded to nothing: {', '.join(lost[:6])}")] if lost else []
    return tuple(raised("GEO05", "A" if level == "A" else "B", text) for level, text in made)


def _loosely_bonded(one: str, other: str, distance: float) -> bool:
    """Tell whether two atoms are as near as those of a salt: to a metal, up to 0.8 A beyond the covalent radii."""
    return electropositive(one) and distance <= covalent_radius(one) + covalent_radius(other) + SALT_ANGSTROM


def valence_sum(element: str, site: Environment) -> float:
    """Return the sum of the bond valences of a cation that is bonded to oxygen."""
    parameter, _ = VALENCES[element]
    return float(np.exp((parameter - site.lengths) / VALENCE_SOFTNESS_ANGSTROM).sum())


def _valences(atoms: list[DraftAtom], sites: list[Environment]) -> tuple[Alert, ...]:
    rows = []
    for atom, site in zip(atoms, sites, strict=True):
        around = {atoms[j].element for j in site.neighbours}
        if atom.element not in VALENCES or around != {"O"} or atom.occupancy < 0.995:
            continue
        found = valence_sum(atom.element, site)
        states = (*VALENCES[atom.element][1], *OTHER_STATES.get(atom.element, ()))
        nearest = min(states, key=lambda state: abs(found - state))
        rows.append((f"{atom.label} ({found:.2f} for {nearest})", abs(found - nearest) / nearest))
    text = "sum of bond valences off, over the oxidation state (limit {limit:g})"
    return (
        *listed("GEO06", rows, VALENCE_MISFIT, text),
        *listed("GEO06", _oxygen_valences(atoms, sites), OXYGEN_MISFIT, f"{text}, of oxygen"),
    )


def _oxygen_valences(atoms: list[DraftAtom], sites: list[Environment]) -> list[tuple[str, float]]:
    """Return how far the oxygen atoms among cations are from two; one that lacks much lacks hydrogen instead."""
    rows = []
    for atom, site in zip(atoms, sites, strict=True):
        found = oxygen_valence(atoms, site)
        if atom.element == "O" and found is not None and found >= BARE_OXYGEN and atom.occupancy > 0.995:
            rows.append((f"{atom.label} ({found:.2f} for 2)", abs(found - 2.0) / 2.0))
    return rows


def _hydrogen_missing(subject: Subject, sites: list[Environment]) -> tuple[Alert, ...]:
    """Return the atoms that geometry or valence says carry hydrogen and that carry none in the model."""
    atoms, draft = subject.heavy, subject.draft
    every = draft.atoms
    carriers = {
        every[bond.first].label for bond in bonds(every, draft.hall, draft.unit_cell) if is_hydrogen(every[bond.second])
    }
    radiation: Radiation = "electron" if subject.electron else "xray"
    asked = with_hydrogens(draft.model_copy(update={"riding": ()}), radiation, None).riding
    whole = {atom.label for atom in atoms if atom.occupancy > 0.995}
    by_bonds = [group.pivot for group in asked if group.pivot not in carriers and group.pivot in whole]
    by_valence = [
        atom.label
        for atom, site in zip(atoms, sites, strict=True)
        if atom.element == "O" and atom.label in whole - carriers and _bare(oxygen_valence(atoms, site))
    ]
    alerts = []
    if by_bonds:
        text = f"hydrogen lacks by the bonds of {', '.join(by_bonds[:6])}" + _and_more(len(by_bonds))
        alerts.append(raised("HYD01", "B", text, value=float(len(by_bonds)), limit=0.0))
    if by_valence:
        text = f"hydrogen lacks by the valence of {', '.join(by_valence[:6])} (OH or water)" + _and_more(
            len(by_valence)
        )
        alerts.append(raised("HYD01", "C", text, value=float(len(by_valence)), limit=0.0))
    return tuple(alerts)


def _and_more(count: int) -> str:
    return f" and {count - 6} more" if count > 6 else ""


def oxygen_valence(atoms: list[DraftAtom], site: Environment) -> float | None:
    """Return the sum of the bond valences of an oxygen among cations; None where others, or none, surround it."""
    names = [atoms[j].element for j in site.neighbours]
    if not names or any(name not in VALENCES for name in names):
        return None
    return sum(
        float(np.exp((VALENCES[name][0] - length) / VALENCE_SOFTNESS_ANGSTROM))
        for name, length in zip(names, site.lengths, strict=True)
    )


def _bare(valence: float | None) -> bool:
    return valence is not None and valence < BARE_OXYGEN


def _hydrogen_bonds(subject: Subject) -> tuple[Alert, ...]:
    """Return the covalent bonds of hydrogen that are too short or too long."""
    atoms, (least, most) = subject.draft.atoms, BOND_OF_HYDROGEN_ANGSTROM
    rows = []
    for bond in bonds(atoms, subject.draft.hall, subject.draft.unit_cell):
        one, other = atoms[bond.first], atoms[bond.second]
        if is_hydrogen(other) and one.element in {"C", "N", "O"}:
            rows.append((f"{one.label}-{other.label}", bond.distance))
    return (
        *listed("HYD02", rows, Grades(c=least, least=True), "bonds of hydrogen shorter than {limit:g} A"),
        *listed("HYD02", rows, Grades(c=most), "bonds of hydrogen longer than {limit:g} A"),
    )


def _contacts(subject: Subject) -> tuple[Alert, ...]:
    """Return the contacts between atoms that no three bonds join, shorter than atoms let each other come."""
    draft = subject.draft
    atoms = [atom for atom in draft.atoms if atom.occupancy > 0.995]
    if not atoms or len(atoms) > MOST_ATOMS:
        return ()
    around = neighbourhood(draft, atoms, within_angstrom=REACH_ANGSTROM)
    open_pairs = around.near.where(~within_bonds(around) & ~_ionic(around))
    polar = [_polar(around, index) for index in range(len(atoms))]
    overlaps: dict[str, float] = {}
    hydrogen_bonds: dict[str, float] = {}
    acceptors: dict[str, float] = {}
    for first, second, distance in zip(open_pairs.first, open_pairs.second, open_pairs.distance, strict=True):
        if first > second:
            continue
        one, other = atoms[first], atoms[second]
        name, both_hydrogen = f"{one.label}...{other.label}", is_hydrogen(one) and is_hydrogen(other)
        if both_hydrogen and distance < ONE_HYDROGEN_ANGSTROM:
            continue
        if polar[first] and polar[second] and not both_hydrogen:
            rows = hydrogen_bonds if is_hydrogen(one) or is_hydrogen(other) else acceptors
            rows[name] = min(rows.get(name, np.inf), float(distance))
            continue
        overlap = gemmi.Element(one.element).vdw_r + gemmi.Element(other.element).vdw_r - float(distance)
        overlaps[name] = max(overlaps.get(name, -np.inf), overlap)
    return (
        *listed("GEO02", list(overlaps.items()), OVERLAP,
                "contacts shorter than the van der Waals radii by more than {limit:g} A"),
        *listed("GEO02", list(hydrogen_bonds.items()), HYDROGEN_BOND, "hydrogen bonds shorter than {limit:g} A"),
        *listed("GEO02", list(acceptors.items()), POLAR, "N, O or F of two molecules nearer than {limit:g} A"),
    )  # fmt: skip


def _ionic(around: Neighbourhood) -> NDArray[np.bool_]:
    """Tell which contacts have a metal or another electropositive atom at an end: radii of ions are others."""
    positive = np.array([electropositive(atom.element) for atom in around.atoms], dtype=bool)
    return np.asarray(positive[around.near.first] | positive[around.near.second])


def _polar(around: Neighbourhood, index: int) -> bool:
    """Tell whether an atom takes part in hydrogen bonds: N, O, F, or a hydrogen atom on one of them."""
    if not is_hydrogen(around.atoms[index]):
        return around.atoms[index].element in {"N", "O", "F"}
    bonds = around.bonds()
    return any(around.atoms[j].element in {"N", "O", "F"} for j in bonds.second[bonds.first == index])
