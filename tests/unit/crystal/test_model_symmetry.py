"""The symmetry of atoms: groups reduced to subgroups and shaken come back, what is truly lower stays."""

import itertools

import gemmi
import numpy as np
import pytest
from numpy.typing import NDArray

from tasks.crystal.contacts import contacts_among
from tasks.crystal.lattice import fractionalisation, orthogonalisation
from tasks.crystal.model_symmetry import Sites, symmetry_of_model
from tasks.crystal.symmetry import Operations, operations_from_hall
from tasks.model import UnitCell

ELEMENTS = ("Zr", "O", "C")
PAIRS = [
    ("P -1", "P 1", (8, 9, 10, 80, 95, 100)),
    ("P 1 21/c 1", "P 1 21 1", (8, 9, 10, 90, 100, 90)),
    ("P 1 21/n 1", "P 1 n 1", (8, 9, 10, 90, 100, 90)),
    ("C 1 2/c 1", "C 1 c 1", (14, 8, 10, 90, 105, 90)),
    ("C 1 2/m 1", "C 1 2 1", (14, 8, 10, 90, 105, 90)),
    ("P 1 2/m 1", "P 1 m 1", (8, 9, 10, 90, 100, 90)),
    ("P n m a", "P n 21 a", (12, 8, 9, 90, 90, 90)),
    ("P n m a", "P 21 21 21", (12, 8, 9, 90, 90, 90)),
    ("P b c a", "P b c 21", (11, 12, 13, 90, 90, 90)),
    ("P 4/n b m:2", "P 4 b m", (12, 12, 11, 90, 90, 90)),
    ("R -3 c:H", "R 3 c:H", (12, 12, 24, 90, 90, 120)),
    ("R -3:H", "R 3:H", (12, 12, 20, 90, 90, 120)),
    ("P 63/m", "P 63", (12, 12, 11, 90, 90, 120)),
    ("I 1 2/m 1", "P 1 2/m 1", (11, 9, 12, 90, 100, 90)),
    ("P m m m", "P 1 2/m 1", (9, 10, 11, 90, 90, 90)),
    ("P 4/m m m", "P m m m", (12, 12, 13, 90, 90, 90)),
    ("P m -3 m", "P m m m", (16, 16, 16, 90, 90, 90)),
]  # fmt: skip


def atoms_of(high: str, cell: UnitCell, rng: np.random.Generator) -> NDArray[np.float64]:
    """Return three atoms at general positions whose images are nowhere nearer than 0.9 A."""
    operations = operations_from_hall(gemmi.SpaceGroup(high).hall)
    while True:
        place = rng.random((3, 3))
        if not len(contacts_among(place, operations, cell, within_angstrom=0.9, same_angstrom=1e-4).first):
            return place


def in_subgroup(high: str, low: str, cell: UnitCell, rng: np.random.Generator) -> tuple[Sites, NDArray[np.float64]]:
    """Return the structure of three atoms in `high` as one of atoms in `low`, and the high group's first atoms."""
    above, below = (operations_from_hall(gemmi.SpaceGroup(name).hall) for name in (high, low))
    shift = common_origin(above, below)
    place = atoms_of(high, cell, rng)
    positions, kinds = [], []
    for kind, atom in zip(ELEMENTS, place, strict=True):
        left = [tuple(x) for x in above.rotations @ atom + above.translations - shift]
        while left:
            first = np.array(left[0])
            images = below.rotations @ first + below.translations
            left = [x for x in left if (np.abs((d := images - x) - np.round(d)).max(axis=1) > 1e-6).all()]
            positions.append(first)
            kinds.append(kind)
    return Sites(tuple(kinds), np.array(positions)), place


def common_origin(above: Operations, below: Operations) -> NDArray[np.float64]:
    """Return the origin of the subgroup in the frame of the group: a point in eighths at which it is one."""
    for eighths in itertools.product(range(8), repeat=3):
        s = np.array(eighths) / 8.0
        moved = below.translations + s - below.rotations @ s
        if all(
            any((r == q).all() and (np.abs((d := t - u) - np.round(d)) < 1e-6).all()
                for q, u in zip(above.rotations, above.translations, strict=True))
            for r, t in zip(below.rotations, moved, strict=True)
        ):  # fmt: skip
            return s
    raise AssertionError("no subgroup")


def shaken(sites: Sites, cell: UnitCell, by_angstrom: float, rng: np.random.Generator) -> Sites:
    moves = rng.normal(size=sites.position.shape) * by_angstrom @ fractionalisation(cell).T
    return sites._replace(position=sites.position + moves)


@pytest.mark.parametrize(("high", "low", "axes"), PAIRS)
def test_a_group_comes_back_from_a_shaken_subgroup(high: str, low: str, axes: tuple[float, ...]) -> None:
    rng, cell = np.random.default_rng(7), UnitCell.of(axes)
    sites, place = in_subgroup(high, low, cell, rng)
    found = symmetry_of_model(shaken(sites, cell, 0.02, rng), gemmi.SpaceGroup(low).hall, cell, within_angstrom=0.2)
    assert found is not None
    assert found.group.number == gemmi.SpaceGroup(high).number
    assert len(found.position) == 3
    assert 0.01 < found.rms_angstrom < 0.08
    assert found.furthest_angstrom < 0.25
    # the same distances between all atoms as in the structure it was made from: the atoms are where they were
    assert shortest(found.position, found.group.hall, found.cell) == pytest.approx(
        shortest(place, gemmi.SpaceGroup(high).hall, cell), abs=0.12
    )


def shortest(place: NDArray[np.float64], hall: str, cell: UnitCell) -> list[float]:
    near = contacts_among(place, operations_from_hall(hall), cell, within_angstrom=4.5, same_angstrom=0.3)
    return [float(np.sort(near.distance[near.first == row])[0]) if (near.first == row).any() else 0.0
            for row in range(len(place))]  # fmt: skip


@pytest.mark.parametrize(("high", "low", "axes"), PAIRS)
def test_a_structure_that_breaks_the_symmetry_keeps_its_group(high: str, low: str, axes: tuple[float, ...]) -> None:
    rng, cell = np.random.default_rng(8), UnitCell.of(axes)
    sites, _ = in_subgroup(high, low, cell, rng)
    moved = sites.position.copy()
    moved[0] += np.linalg.solve(orthogonalisation(cell), [0.5, 0.4, 0.6])
    hall = gemmi.SpaceGroup(low).hall
    assert symmetry_of_model(sites._replace(position=moved), hall, cell, within_angstrom=0.2) is None


@pytest.mark.parametrize(
    ("low", "axes"),
    [("P n a 21", (12, 8, 9, 90, 90, 90)), ("P 1 21 1", (8, 9, 10, 90, 100, 90)),
     ("R 3 c:H", (12, 12, 24, 90, 90, 120)), ("P 21 21 21", (12, 8, 9, 90, 90, 90)), ("P 1", (8, 9, 10, 80, 95, 100))],
)  # fmt: skip
def test_polar_and_chiral_structures_of_general_atoms_have_no_more(low: str, axes: tuple[float, ...]) -> None:
    cell = UnitCell.of(axes)
    place = np.random.default_rng(9).random((6, 3))
    sites = Sites(("C", "N", "O", "C", "C", "N"), place)
    assert symmetry_of_model(sites, gemmi.SpaceGroup(low).hall, cell, within_angstrom=0.3) is None


def test_a_doubled_cell_is_halved() -> None:
    cell = UnitCell.of((16, 9, 10, 80, 95, 100))
    place = np.random.default_rng(2).random((4, 3))
    doubled = np.concatenate([place, place + np.array([0.5, 0, 0])])
    found = symmetry_of_model(Sites(("C", "N", "O", "S") * 2, doubled), "P 1", cell, within_angstrom=0.1)
    assert found is not None
    assert found.cell.volume_angstrom3 == pytest.approx(cell.volume_angstrom3 / 2)
    assert len(found.position) == 4
    # indices of the small cell are whole for even h alone
    whole = np.array([[2, 1, 3], [1, 0, 0]]) @ found.index_change.T
    assert np.allclose(whole[0], np.round(whole[0]))
    assert not np.allclose(whole[1], np.round(whole[1]))


def test_a_lattice_that_is_monoclinic_in_name_only_is_orthorhombic() -> None:
    rng = np.random.default_rng(3)
    cell = UnitCell.of((9, 10, 11, 90, 90.1, 90))
    sites, _ = in_subgroup("P m m m", "P 1 2/m 1", UnitCell.of((9, 10, 11, 90, 90, 90)), rng)
    found = symmetry_of_model(sites, gemmi.SpaceGroup("P 1 2/m 1").hall, cell, within_angstrom=0.1)
    assert found is not None
    assert found.group.xhm() == "P m m m"
    assert found.cell.parameters[3:] == (90, 90, 90)


def test_axes_that_differ_by_two_percent_are_not_equal() -> None:
    sites, _ = in_subgroup("P 4/m m m", "P m m m", UnitCell.of((12, 12, 13, 90, 90, 90)), np.random.default_rng(3))
    hall = gemmi.SpaceGroup("P m m m").hall
    near, far = (UnitCell.of((12, 12 * factor, 13, 90, 90, 90)) for factor in (1.005, 1.02))
    assert symmetry_of_model(sites, hall, near, within_angstrom=0.35) is not None
    assert symmetry_of_model(sites, hall, far, within_angstrom=0.35) is None


def test_atoms_of_other_elements_are_no_images_of_each_other() -> None:
    cell = UnitCell.of((8, 9, 10, 80, 95, 100))
    place = np.random.default_rng(5).random((4, 3))
    both = np.concatenate([place, -place])
    alike = Sites(("C", "N", "O", "S") * 2, both)
    unlike = Sites(("C", "N", "O", "S", "C", "N", "O", "Cl"), both)
    assert symmetry_of_model(alike, "P 1", cell, within_angstrom=0.1) is not None
    assert symmetry_of_model(unlike, "P 1", cell, within_angstrom=0.1) is None
