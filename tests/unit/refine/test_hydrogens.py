"""Hydrogen goes where geometry leaves no doubt: against molecules whose hydrogen is known."""

import gemmi
import numpy as np
import pytest
from shelxfile import Shelxfile

from tasks.model import Composition, UnitCell
from tasks.refine.draft import Draft, DraftAtom
from tasks.refine.hydrogens import with_hydrogens

CASES = {
    "l-alanine": ("l-alanine/iam.res", "P 21 21 21", "C3H7NO2", "xray"),
    "sucrose": ("sucrose/DK_Zucker2_0m.res", "P 1 21 1", "C12H22O11", "xray"),
    "tyrosine": ("tyrosine/2.ins", "P 21 21 21", "C9H11NO3", "electron"),
}


def published(path) -> list[DraftAtom]:
    res = Shelxfile()
    res.read_file(str(path))
    return res, [
        DraftAtom(label=atom.name, element=atom.element, position=tuple(atom.frac_coords))
        for atom in res.atoms.all_atoms
        if not atom.qpeak
    ]


@pytest.mark.needs_shared
@pytest.mark.parametrize("name", list(CASES))
def test_the_hydrogen_atoms_of_known_molecules_are_found(name: str, shared_data) -> None:
    path, symbol, formula, radiation = CASES[name]
    res, atoms = published(shared_data / path)
    cell = UnitCell.of(tuple(res.cell))
    heavy = tuple(atom for atom in atoms if atom.element != "H")
    draft = Draft(hall=gemmi.SpaceGroup(symbol).hall, unit_cell=cell, atoms=heavy)
    made = with_hydrogens(draft, radiation, Composition.parse(formula))
    orthogonal = np.array(cell.gemmi().orth.mat.tolist())
    known = np.array([atom.position for atom in atoms if atom.element == "H"])
    ours = np.array([atom.position for atom in made.atoms if atom.element == "H"])
    assert len(ours) == len(known)
    delta = ours[:, None, :] - known[None, :, :]
    nearest = np.linalg.norm((delta - np.round(delta)) @ orthogonal.T, axis=2).min(axis=1)
    # torsions of hydroxyl groups follow an acceptor by rule, not by density: those may point elsewhere
    hydroxyl = {label for group in made.riding if group.kind == "hydroxyl" for label in group.hydrogens}
    sure = [atom.label not in hydroxyl for atom in made.atoms if atom.element == "H"]
    assert nearest[np.array(sure)].max() < 0.25


def test_a_composition_without_hydrogen_gets_none(benzene: Draft) -> None:
    assert with_hydrogens(benzene, "electron", Composition.parse("C6")) == benzene


def test_benzene_gets_six_flat_hydrogens_at_the_neutron_distance(benzene: Draft) -> None:
    made = with_hydrogens(benzene, "electron", None)
    orthogonal = np.array(made.unit_cell.gemmi().orth.mat.tolist())
    places = {atom.label: orthogonal @ np.array(atom.position) for atom in made.atoms}
    assert [group.kind for group in made.riding] == ["planar-xh"] * 6
    for group in made.riding:
        bond = places[group.hydrogens[0]] - places[group.pivot]
        assert np.linalg.norm(bond) == pytest.approx(1.09, abs=1e-6)
        assert bond[2] == pytest.approx(0.0, abs=1e-6)


def test_more_hydrogen_than_the_composition_holds_is_refused(benzene: Draft) -> None:
    made = with_hydrogens(benzene, "electron", Composition.parse("C6 H2"))
    assert not made.riding


@pytest.fixture
def benzene() -> Draft:
    """Return six carbon atoms in a plane, 1.39 A apart, in a wide cell."""
    turn = np.radians(60 * np.arange(6))
    places = 0.5 + np.stack([1.39 * np.cos(turn), 1.39 * np.sin(turn), 0 * turn], axis=1) / 12.0
    atoms = tuple(DraftAtom(label=f"C{i}", element="C", position=tuple(p)) for i, p in enumerate(places.tolist(), 1))
    return Draft(hall="P 1", unit_cell=UnitCell.of((12, 12, 12, 90, 90, 90)), atoms=atoms)
