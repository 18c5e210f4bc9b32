"""Displacements: possible at all, of a usual size and shape, and those of bonded atoms alike along their bond."""

import numpy as np
from numpy.typing import NDArray

from tasks.crystal.lattice import orthogonalisation
from tasks.model import UnitCell
from tasks.refine.alerts.alert import Alert, Grades, listed
from tasks.refine.alerts.neighbourhood import neighbourhood
from tasks.refine.alerts.subject import Subject
from tasks.refine.displacement import principal_displacements
from tasks.refine.draft import AtomFit, Tensor
from tasks.refine.geometry import bonds, electropositive

INDEFINITE = Grades(a=0.0, least=True)
"""Smallest principal mean square displacement, angstrom^2: a negative one means nothing."""
ELONGATED = Grades(c=5.0, b=8.0)
"""Largest over smallest principal displacement. PLATON looks from about 4 on. The published X-ray models of the tests
reach 4.3, natrolite by electrons, kinematical, 7.9. Never A: disorder and few data do it in right models."""
SMALL = Grades(c=0.003, b=0.0015, least=True)
"""U(eq), angstrom^2: minerals at room temperature have 0.004 and more; 0.002 is what refinement allows at least."""
LARGE = Grades(c=0.15, b=0.25, a=0.5)
"""U(eq), angstrom^2. 0.15 is an amplitude of 0.39 A; at 0.5, 0.7 A, an atom is spread as wide as half a bond: there is
none."""
RIGID_ESDS = Grades(c=5.0, b=7.0, a=10.0)
"""Difference along a bond over its standard uncertainty: PLATON's limits of PLAT230."""
RIGID_LEAST_ANGSTROM2 = 0.005
"""Difference below which no alert is made however small the esds: five times what Hirshfeld (Acta Cryst. A32, 239-244,
1976) allows light atoms in the best of structures."""
RIGID_WITHOUT_ESD = Grades(c=0.03, b=0.06)
"""The same in angstrom^2 where no esds are known. Chosen, not measured: 0.03 is a difference as large as the whole
displacement of an organic atom at room temperature."""
LARGE_BESIDE = Grades(c=2.0, b=3.0)
"""U(eq) over the mean of the bonded atoms, where no metal takes part; the published models of the tests reach 1.5.
Never A: it is a hint."""
LARGE_BESIDE_TERMINAL = Grades(c=3.0, b=4.5)
"""Likewise of an atom with one bond, which swings: half as much again; they reach 1.8."""
LARGE_BESIDE_IONIC = Grades(c=5.0, b=8.0)
"""Likewise with a metal, silicon or boron among them: ions rattle in their cages. The published albite, dynamical, has
4.8 (an oxygen between silicon atoms) and 3.9 (sodium)."""
SMALL_BESIDE = Grades(c=0.5, b=0.35, least=True)
"""U(eq) over the mean of the bonded atoms; the published models of the tests reach down to 0.68 without metals."""
SMALL_BESIDE_IONIC = Grades(c=0.25, b=0.15, least=True)
"""Likewise with a metal, silicon or boron among them; albite's silicon atoms have 0.28."""
LONGEST_BOND_ANGSTROM = 3.2
"""Between atoms that are not both metals: caesium's to iodine, 3.95, is not rigid anyway; all others are shorter."""


def displacement_alerts(subject: Subject) -> tuple[Alert, ...]:
    """Return what the displacements of the atoms that are not hydrogen say."""
    cell = subject.draft.unit_cell
    shapes, sizes = [], []
    for atom in subject.heavy:
        if atom.u_aniso_angstrom2 is None:
            sizes.append((atom.label, atom.u_iso_angstrom2))
            continue
        least, most, mean = principal_displacements(atom.u_aniso_angstrom2, cell)
        shapes.append((atom.label, least, most))
        sizes.append((atom.label, mean))
    definite = [(label, most / least) for label, least, most in shapes if least > 0]
    return (
        *listed("ADP01", [(label, least) for label, least, _ in shapes], INDEFINITE,
                "displacement not positive definite, smallest principal value in A^2", form=".4f"),
        *listed("ADP01", [row for row in sizes if row[1] <= 0], INDEFINITE._replace(a=1e-9),
                "displacement negative or zero, in A^2", form=".4f"),
        *listed("ADP02", definite, ELONGATED, "largest over smallest principal displacement (limit {limit:g})",
                form=".1f"),
        *listed("ADP03", [row for row in sizes if row[1] > 0], SMALL, "U(eq) in A^2 is small (least {limit:g})",
                form=".4f"),
        *listed("ADP03", sizes, LARGE, "U(eq) in A^2 is large (limit {limit:g})", form=".2f"),
        *_beside_neighbours(subject, dict(sizes)),
        *_rigid_bonds(subject),
    )  # fmt: skip


def _beside_neighbours(subject: Subject, sizes: dict[str, float]) -> tuple[Alert, ...]:
    """Compare U(eq) of each atom with the mean of its bonded neighbours."""
    atoms = subject.heavy
    around: dict[int, list[int]] = {}
    for bond in bonds(atoms, subject.draft.hall, subject.draft.unit_cell):
        around.setdefault(bond.first, []).append(bond.second)
    inner: list[tuple[str, float]] = []
    terminal: list[tuple[str, float]] = []
    ionic: list[tuple[str, float]] = []
    for index, neighbours in around.items():
        mean = float(np.mean([sizes[atoms[j].label] for j in neighbours]))
        if mean > 0 and sizes[atoms[index].label] > 0:
            row = (atoms[index].label, sizes[atoms[index].label] / mean)
            if any(electropositive(atoms[j].element) for j in (index, *neighbours)):
                ionic.append(row)
            else:
                (terminal if len(neighbours) == 1 else inner).append(row)
    text = "U(eq) is large beside those of the bonded atoms, times their mean (limit {limit:g})"
    small = "U(eq) is small beside those of the bonded atoms, times their mean (least {limit:g})"
    return (
        *listed("ADP05", inner, LARGE_BESIDE, text),
        *listed("ADP05", terminal, LARGE_BESIDE_TERMINAL, text + ", of an atom with one bond"),
        *listed("ADP05", ionic, LARGE_BESIDE_IONIC, text),
        *listed("ADP06", inner + terminal, SMALL_BESIDE, small),
        *listed("ADP06", ionic, SMALL_BESIDE_IONIC, small),
    )


def _rigid_bonds(subject: Subject) -> tuple[Alert, ...]:
    """Compare the displacements of bonded atoms along their bond; bonds to metals are left out, they are not rigid."""
    atoms = [atom for atom in subject.heavy if atom.u_aniso_angstrom2 is not None]
    if not atoms:
        return ()
    around = neighbourhood(subject.draft, atoms, within_angstrom=LONGEST_BOND_ANGSTROM)
    tensors = [cartesian_tensor(atom.u_aniso_angstrom2, subject.draft.unit_cell) for atom in atoms]
    fits, bonds = subject.fits(), around.bonds()
    in_esds: dict[str, float] = {}
    plain: dict[str, float] = {}
    for first, second, distance, vector, operation in zip(
        bonds.first, bonds.second, bonds.distance, bonds.cartesian, bonds.operation, strict=True
    ):
        one, other = atoms[first], atoms[second]
        if first >= second or electropositive(one.element) != electropositive(other.element):
            continue
        unit, turn = vector / distance, around.rotations[operation]
        difference = abs(float(unit @ tensors[first] @ unit - unit @ turn @ tensors[second] @ turn.T @ unit))
        if difference < RIGID_LEAST_ANGSTROM2:
            continue
        name, esd = f"{one.label}-{other.label}", _esd(fits.get(one.label), fits.get(other.label))
        rows, value = (in_esds, difference / esd) if esd > 0 else (plain, difference)
        rows[name] = max(rows.get(name, 0.0), value)
    return (
        *listed("ADP04", list(in_esds.items()), RIGID_ESDS,
                "displacements along the bond differ, in standard uncertainties (limit {limit:g})", form=".1f"),
        *listed("ADP04", list(plain.items()), RIGID_WITHOUT_ESD,
                "displacements along the bond differ, in A^2 (limit {limit:g})", form=".3f"),
    )  # fmt: skip


def _esd(one: AtomFit | None, other: AtomFit | None) -> float:
    """Return the standard uncertainty of the difference of two displacements, angstrom^2; 0 if not known.

    That along a bond is taken as the mean of those of U11, U22 and U33: right where they are alike.
    """
    variances = [float(np.mean(row.u_esd[:3])) ** 2 for row in (one, other) if row is not None and row.u_esd]
    return float(np.sqrt(sum(variances))) if len(variances) == 2 else 0.0


def cartesian_tensor(u_aniso_angstrom2: Tensor | None, cell: UnitCell) -> NDArray[np.float64]:
    """Return U in cartesian axes (3, 3), angstrom^2: A N U N^T A^T, N the reciprocal lengths, A orthogonalisation."""
    u11, u22, u33, u12, u13, u23 = u_aniso_angstrom2 or (0.0,) * 6
    reciprocal = cell.gemmi().reciprocal()
    turn = orthogonalisation(cell) @ np.diag([reciprocal.a, reciprocal.b, reciprocal.c])
    return np.asarray(turn @ np.array([[u11, u12, u13], [u12, u22, u23], [u13, u23, u33]]) @ turn.T)
