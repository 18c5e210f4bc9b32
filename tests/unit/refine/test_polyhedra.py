"""Tetrahedra that one wrong edge strains, in published structures."""

from pathlib import Path

import numpy as np
import pytest

from tasks.model import UnitCell
from tasks.refine.cell_check import cell_doubts, edge_strain
from tasks.refine.draft import Draft, DraftAtom, ModelFit
from tasks.refine.polyhedra import irregularity
from tests.synthetic.adversarial_structures import published
from tests.synthetic.drafts import fit_of

TETRAHEDRAL = ("apatite", "anhydrite", "coesite", "quartz", "forsterite", "natrolite", "diopside", "albite", "kyanite")


def fitted(
    folder: Path, name: str, a: float = 1.0, b: float = 1.0, c: float = 1.0, *, moved_angstrom: float = 0.0
) -> ModelFit:
    structure, rng = published(name), np.random.default_rng(7)
    lengths = np.array(structure.cell.parameters[:3]) * (a, b, c)
    cell = UnitCell.of((*lengths.tolist(), *structure.cell.parameters[3:]))
    atoms = tuple(
        DraftAtom(
            label=atom.label, element=atom.element,
            position=tuple((np.array(atom.position) + moved_angstrom * rng.normal(size=3) / lengths).tolist()),
            u_iso_angstrom2=atom.u_iso_angstrom2,
        )
        for atom in structure.atoms
    )  # fmt: skip
    return fit_of(Draft(hall=structure.hall, unit_cell=cell, atoms=atoms), folder / "table")


@pytest.mark.parametrize("name", TETRAHEDRAL)
def test_published_structures_are_not_strained(name: str, tmp_path: Path) -> None:
    assert edge_strain(fitted(tmp_path, name)) is None
    assert edge_strain(fitted(tmp_path, name, 1.02, 1.0, 0.98)) is None
    if name not in {"apatite", "quartz", "anhydrite"}:  # where atoms lie on special positions
        assert edge_strain(fitted(tmp_path, name, moved_angstrom=0.03)) is None


@pytest.mark.parametrize("name", ["coesite", "forsterite", "natrolite", "albite", "kyanite", "anhydrite"])
def test_an_edge_a_fifth_too_long_is_found(name: str, tmp_path: Path) -> None:
    found = edge_strain(fitted(tmp_path, name, b=1.2))
    assert found is not None
    assert int(np.argmin(found.factors)) == 1
    assert found.factors[1] / np.sqrt(found.factors[0] * found.factors[2]) == pytest.approx(1 / 1.2, abs=0.06)


def test_a_wrong_edge_is_named_before_the_scale_of_all_lengths(tmp_path: Path) -> None:
    doubts = cell_doubts(fitted(tmp_path, "forsterite", b=1.2), None, 0.0251)
    assert doubts.scale is None
    assert "b -1" in str(doubts.edges)
    assert "is the cell wrong?" in str(doubts.edges)


def test_a_scale_of_all_lengths_stays_one(tmp_path: Path) -> None:
    doubts = cell_doubts(fitted(tmp_path, "forsterite", 1.2, 1.2, 1.2), None, 0.0251)
    assert doubts.scale is not None
    assert doubts.edges is None


def test_a_regular_tetrahedron_of_any_size_is_regular() -> None:
    corners = np.array([[1, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]]) / np.sqrt(3.0)
    assert irregularity([1.6 * corners, 0.3 * corners]) == pytest.approx(0.0, abs=1e-9)
    assert irregularity([corners * (1.1, 1.0, 1.0)]) > 1.0
