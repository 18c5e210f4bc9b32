"""Restraints from chemistry: the kinds of atoms that are sure, and nothing where there is doubt."""

import gemmi
import numpy as np
import pytest

from tasks.model import UnitCell
from tasks.refine.draft import Draft, DraftAtom, RidingGroup
from tasks.refine.restraint_models import Restraint
from tasks.refine.restraints.bond_lengths import angle_deg, bond_length_angstrom
from tasks.refine.restraints.bonded import bonded
from tasks.refine.restraints.geometry import geometric_restraints
from tasks.refine.restraints.kinds import Surroundings, aromatic_rings

CELL = UnitCell.of((14.0, 15.0, 16.0, 90.0, 90.0, 90.0))
EDGES = np.array(CELL.parameters[:3])


def draft_of(
    atoms: dict[str, tuple[float, float, float]], *, hydrogens: dict[str, int] | None = None, hall: str = "P 1"
) -> Draft:
    """Return a draft of places in angstrom, shifted into the cell; so many hydrogen atoms ride on some of them."""
    places = {label: (np.array(place) + 4.0) / EDGES for label, place in atoms.items()}
    heavy = [
        DraftAtom(label=label, element=label.rstrip("0123456789"), position=tuple(p)) for label, p in places.items()
    ]
    light, groups = [], []
    for label, count in (hydrogens or {}).items():
        names = tuple(f"H{label}{k}" for k in range(count))
        light += [DraftAtom(label=name, element="H", position=tuple(places[label])) for name in names]
        groups.append(RidingGroup(kind="methyl", pivot=label, hydrogens=names, bond_length_angstrom=1.0))
    return Draft(hall=hall, unit_cell=CELL, atoms=(*heavy, *light), riding=tuple(groups))


def ring(bond: float, element: str = "C") -> dict[str, tuple[float, float, float]]:
    turns = np.radians(60.0 * np.arange(6))
    return {f"{element}{k + 1}": (bond * np.cos(t), bond * np.sin(t), 0.0) for k, t in enumerate(turns)}


def of_kind(restraints: tuple[Restraint, ...], kind: str) -> list[Restraint]:
    return [restraint for restraint in restraints if restraint.kind == kind]


def test_benzene_has_six_bonds_six_angles_and_one_plane() -> None:
    uneven = {label: (x * (1.0 + 0.02 * (-1) ** k), y, z) for k, (label, (x, y, z)) in enumerate(ring(1.39).items())}
    found = geometric_restraints(draft_of(uneven))
    assert [item.target_angstrom for item in of_kind(found, "distance")] == [1.39] * 6
    across = [item.target_angstrom for item in of_kind(found, "one-three distance")]
    assert across == pytest.approx([1.39 * np.sqrt(3)] * 6, abs=1e-3)
    (plane,) = of_kind(found, "plane")
    assert sorted(plane.atoms) == [f"C{k}" for k in range(1, 7)]
    assert len(of_kind(found, "similar displacements")) == 6


def test_in_a_cell_of_wrong_scale_targets_are_wrong_by_the_same_factor() -> None:
    naphthalene = {**ring(1.44), "C7": (2.88, 0.0, 0.0), "C8": (3.60, 1.247, 0.0), "C9": (2.88, 2.494, 0.0)}
    naphthalene |= {"C10": (1.44, 2.494, 0.0)}
    found = of_kind(geometric_restraints(draft_of(naphthalene)), "distance")
    assert len(found) == 11
    targets = {item.target_angstrom for item in found}
    assert len(targets) == 1
    assert targets.pop() == pytest.approx(1.44, abs=0.02)
    assert "off by a factor of 1.0" in found[0].why


def test_a_ring_of_single_bonds_in_a_plane_is_not_called_aromatic() -> None:
    assert aromatic_rings(surroundings_of(ring(1.39))) == (tuple(range(6)),)
    assert aromatic_rings(surroundings_of(ring(1.53))) == ()


def surroundings_of(atoms: dict[str, tuple[float, float, float]]) -> Surroundings:
    elements, places = [label[0] for label in atoms], np.array(list(atoms.values()))
    bonds = bonded(elements, (places + 4.0) / EDGES, "P 1", CELL)
    return Surroundings(elements, places, [1] * len(elements), bonds)


def test_a_chair_of_aromatic_length_is_not_called_aromatic() -> None:
    chair = {label: (x, y, 0.25 * (-1) ** k) for k, (label, (x, y, _)) in enumerate(ring(1.35).items())}
    assert of_kind(geometric_restraints(draft_of(chair)), "plane") == []


ACID = {"C1": (0, 0, 0), "O1": (0.63, 1.08, 0), "O2": (0.63, -1.08, 0), "C2": (-1.53, 0, 0), "N1": (-2.03, 1.40, 0)}


def test_both_bonds_of_an_acid_group_are_alike_only_when_its_proton_sits_on_the_amine() -> None:
    carried = {"C2": 2, "N1": 3}
    ionised = of_kind(geometric_restraints(draft_of(ACID, hydrogens=carried)), "distance")
    assert {item.pairs[0].second: item.target_angstrom for item in ionised if item.pairs[0].first == "C1"} == {
        "O1": 1.255,
        "O2": 1.255,
        "C2": 1.53,
    }
    doubtful = geometric_restraints(draft_of(ACID, hydrogens={"C2": 2}))
    assert not any(item.target_angstrom == 1.255 for item in doubtful)
    assert len(of_kind(doubtful, "plane")) == 1


def test_perchlorate_has_equal_distances_and_sulfate_which_may_be_acid_has_none() -> None:
    corners = np.array([(1, 1, 1), (1, -1, -1), (-1, 1, -1), (-1, -1, 1)]) / np.sqrt(3) * 1.44
    for centre, expected in (("Cl", 2), ("S", 0)):
        atoms = {f"{centre}1": (0.0, 0.0, 0.0), **{f"O{k}": tuple(row) for k, row in enumerate(corners, 1)}}
        found = of_kind(geometric_restraints(draft_of(atoms)), "equal distances")
        assert len(found) == expected
        assert [len(item.pairs) for item in found] == [4, 6][:expected]


def test_atoms_bonded_to_a_metal_are_in_doubt() -> None:
    atoms = {**ACID, "Zn1": (2.4, 1.9, 0)}
    found = geometric_restraints(draft_of(atoms, hydrogens={"C2": 2, "N1": 3}))
    assert not any("O1" in item.labels for item in of_kind(found, "distance"))
    assert not any("Zn1" in item.labels for item in found)


def test_a_bond_far_from_the_length_of_its_kind_is_left_to_the_data() -> None:
    longer = {**ACID, "C2": (-1.70, 0, 0), "N1": (-2.20, 1.40, 0)}
    found = of_kind(geometric_restraints(draft_of(longer, hydrogens={"C2": 2, "N1": 3})), "distance")
    assert not any({"C1", "C2"} == set(item.labels) for item in found)
    assert any({"C2", "N1"} == set(item.labels) for item in found)


def test_angles_inside_a_five_membered_ring_are_not_tetrahedral_ones() -> None:
    turns = np.radians(72.0 * np.arange(5))
    atoms = {f"C{k + 1}": (1.30 * np.cos(t), 1.30 * np.sin(t), 0.1 * (-1) ** k) for k, t in enumerate(turns)}
    found = geometric_restraints(draft_of(atoms, hydrogens=dict.fromkeys(atoms, 2)))
    assert len(of_kind(found, "distance")) == 5
    assert of_kind(found, "one-three distance") == []


def test_a_bond_across_a_centre_is_restrained_to_the_image() -> None:
    half = draft_of({"C1": (0.0, 0.0, 0.0), "C2": (1.53, 0.0, 0.0), "C3": (2.04, 1.44, 0.0)}, hall="-P 1")
    # the centre at the middle of C1 and its image 1.53 A away
    shift = np.array([(4.0 - 0.765) / 14.0, 4.0 / 15.0, 4.0 / 16.0])
    atoms = tuple(a.model_copy(update={"position": tuple(np.array(a.position) - shift)}) for a in half.atoms)
    groups = draft_of({"C1": (0, 0, 0), "C2": (0, 0, 0), "C3": (0, 0, 0)}, hydrogens={"C1": 2, "C2": 2, "C3": 3})
    model = half.model_copy(update={"atoms": (*atoms, *groups.atoms[3:]), "riding": groups.riding})
    found = geometric_restraints(model)
    images = [item for item in found if item.pairs and not item.pairs[0].whole]
    assert {(item.kind, item.pairs[0].operation) for item in images} >= {("distance", "-x,-y,-z")}
    for item in images:
        one, other = (
            next(a for a in atoms if a.label == label) for label in (item.pairs[0].first, item.pairs[0].second)
        )
        place = np.array(gemmi.Op(item.pairs[0].operation).apply_to_xyz(list(other.position)))
        actual = float(np.linalg.norm((place - np.array(one.position)) * EDGES))
        assert actual == pytest.approx(item.target_angstrom, abs=0.1)


def test_only_anisotropic_atoms_are_restrained_to_rigid_bonds() -> None:
    model = draft_of(ring(1.39))
    tensor = (0.03, 0.03, 0.03, 0.0, 0.0, 0.0)
    some = tuple(
        a.model_copy(update={"u_aniso_angstrom2": tensor}) if a.label in {"C1", "C2", "C3"} else a for a in model.atoms
    )
    found = of_kind(geometric_restraints(model.model_copy(update={"atoms": some})), "rigid bond")
    assert {item.labels for item in found} == {("C1", "C2"), ("C2", "C3"), ("C1", "C3")}


def test_lengths_and_angles_are_found_from_either_end() -> None:
    assert bond_length_angstrom("O amide", "C amide") == bond_length_angstrom("C amide", "O amide") == 1.23
    assert bond_length_angstrom("C sp3", None) is None
    assert angle_deg("O amide", "C amide", "N amide") == angle_deg("N amide", "C amide", "O amide") == 123.0
    assert angle_deg("C sp3", "O ether", "C sp3") is None


def test_a_draft_without_atoms_but_hydrogen_has_no_restraints() -> None:
    assert geometric_restraints(draft_of({})) == ()


def test_a_bond_may_be_further_off_its_kind_where_positions_are_unsure() -> None:
    longer = draft_of({**ACID, "C2": (-1.66, 0, 0), "N1": (-2.16, 1.40, 0)}, hydrogens={"C2": 2, "N1": 3})
    bond = {"C1", "C2"}
    assert not any(bond == set(item.labels) for item in geometric_restraints(longer) if item.kind == "distance")
    unsure = geometric_restraints(longer, esd_angstrom=0.04)
    assert any(bond == set(item.labels) for item in unsure if item.kind == "distance")
