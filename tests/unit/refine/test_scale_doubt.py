"""Lengths that are all wrong by one factor: found in the bonds, explained by camera length or energy."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.integrate.cell_scale import stated_scale, with_curvature
from tasks.model import Beam, Composition, Detector, UnitCell
from tasks.refine.bond_scale import BondScale, bond_scale, scaled_cell, volume_scale
from tasks.refine.cell_check import tied_edges
from tasks.refine.draft import DraftAtom
from tasks.refine.scale_doubt import scale_doubt
from tasks.simulate.models import Structure
from tests.synthetic.structures import all_structures

DETECTOR = Detector(name="d", shape_px=(64, 64), pixel_size_mm=0.01, camera_length_mm=110.0)
LAMBDA_200, LAMBDA_300 = (Beam(energy_kev=energy).wavelength_angstrom for energy in (200.0, 300.0))
KNOWN = [made for made in all_structures() if made.name != "urea"]


def atoms_of(made: Structure) -> list[DraftAtom]:
    return [DraftAtom(label=a.label, element=a.element, position=a.position) for a in made.atoms]


@pytest.mark.parametrize("made", KNOWN, ids=lambda made: made.name)
def test_published_structures_have_usual_bonds(made: Structure) -> None:
    found = bond_scale(atoms_of(made), made.hall, made.cell)
    assert found is not None
    assert found.sites > 0
    assert abs(np.log(found.factor)) < 2.5 * found.esd
    assert abs(found.factor - 1.0) < 0.015


@pytest.mark.parametrize("made", KNOWN, ids=lambda made: made.name)
@pytest.mark.parametrize("wrong", [1.03, LAMBDA_200 / LAMBDA_300, 0.8])
def test_a_factor_of_the_cell_is_asked_back_exactly(made: Structure, wrong: float) -> None:
    right = bond_scale(atoms_of(made), made.hall, made.cell)
    found = bond_scale(atoms_of(made), made.hall, scaled_cell(made.cell, wrong))
    assert right is not None
    assert found is not None
    assert found.factor * wrong == pytest.approx(right.factor, rel=1e-3)


@pytest.mark.parametrize(("name", "kinds"), [("forsterite", 2), ("quartz", 1), ("naphthalene", 1), ("urea", 0)])
def test_elements_that_ask_for_the_factor_are_counted(name: str, kinds: int) -> None:
    (made,) = (made for made in all_structures() if made.name == name)
    found = bond_scale(atoms_of(made), made.hall, scaled_cell(made.cell, 1.27))
    assert found is not None
    assert found.kinds == kinds


def test_urea_alone_has_too_few_kinds_of_bonds_to_tell_more_than_a_tenth() -> None:
    (made,) = (made for made in all_structures() if made.name == "urea")
    found = bond_scale(atoms_of(made), made.hall, made.cell)
    assert found is not None
    assert (found.sites, found.esd >= 0.05) == (0, True)


def test_an_energy_of_200_stated_for_300_is_named_with_300_where_the_curvature_confirms_the_camera() -> None:
    scale = with_curvature(stated_scale(DETECTOR), 1.003, 0.01)
    doubt = scale_doubt(BondScale(LAMBDA_300 / LAMBDA_200, 0.008, 9), scale, LAMBDA_200)
    assert doubt is not None
    assert doubt.cause == "beam energy"
    assert "300 keV in place of 200 keV" in doubt.text
    assert "1.27" in doubt.text


def test_a_camera_length_is_named_where_bonds_and_curvature_agree_on_it() -> None:
    scale = with_curvature(stated_scale(DETECTOR), 1 / 1.08, 0.011)
    doubt = scale_doubt(BondScale(1 / 1.08, 0.008, 9), scale, LAMBDA_300)
    assert doubt is not None
    assert doubt.cause == "camera length"
    assert "101.9 mm in place of 110 mm" in doubt.text


def test_bonds_and_curvature_together_see_what_neither_does_alone() -> None:
    alone = BondScale(0.975, 0.0095, 4)
    scale = stated_scale(DETECTOR)
    assert scale_doubt(alone, scale, LAMBDA_300) is None
    doubt = scale_doubt(alone, with_curvature(scale, 0.972, 0.0098), LAMBDA_300)
    assert doubt is not None
    assert "times too long" in doubt.text


def test_a_camera_length_that_is_a_per_cent_off_is_no_news() -> None:
    scale = with_curvature(stated_scale(DETECTOR), 0.99, 0.01)
    assert scale_doubt(BondScale(0.99, 0.002, 9), scale, LAMBDA_300) is None


def test_without_bonds_only_the_curvature_speaks() -> None:
    assert scale_doubt(None, None, LAMBDA_300) is None
    assert scale_doubt(None, with_curvature(stated_scale(DETECTOR), 1.01, 0.01), LAMBDA_300) is None
    doubt = scale_doubt(None, with_curvature(stated_scale(DETECTOR), 0.9, 0.01), LAMBDA_300)
    assert doubt is not None
    assert doubt.cause == "camera length"


@given(factor=st.floats(0.7, 1.4))
def test_any_large_factor_is_contradicted_and_the_words_hold_its_inverse(factor: float) -> None:
    doubt = scale_doubt(BondScale(factor, 0.007, 5), None, LAMBDA_300)
    assert (doubt is None) == (abs(np.log(factor)) <= 0.021)
    if doubt is not None:
        said = float(doubt.text.split("lengths are ")[1].split("(")[0])
        assert said == pytest.approx(max(factor, 1 / factor), abs=0.0051)
        assert ("too long" in doubt.text) == (factor < 1)


@pytest.mark.parametrize(
    ("hall", "groups"),
    [
        ("P 1", ((0,), (1,), (2,))),
        ("-P 2yn", ((0,), (1,), (2,))),
        ("F 2 -2d", ((0,), (1,), (2,))),
        ("-P 4 2", ((0, 1), (2,))),
        ("-P 6 2", ((0, 1), (2,))),
        ("-F 4 2 3", ((0, 1, 2),)),
        ("P 3*", ((0, 1, 2),)),
    ],
)
def test_edges_are_tied_as_the_crystal_system_ties_them(hall: str, groups: tuple[tuple[int, ...], ...]) -> None:
    assert tied_edges(hall) == groups


def test_a_molecule_of_nothing_known_says_nothing() -> None:
    lone = [DraftAtom(label="Ar1", element="Ar", position=(0.0, 0.0, 0.0))]
    assert bond_scale(lone, "P 1", UnitCell.of((30, 30, 30, 90, 90, 90))) is None


def test_a_molecule_has_room_in_its_cell_and_in_no_other() -> None:
    (made,) = (made for made in all_structures() if made.name == "urea")
    composition = Composition.parse("C H4 N2 O")
    right, longer = (volume_scale(composition, 8, scaled_cell(made.cell, factor)) for factor in (1.0, 1.274))
    assert right is not None
    assert longer is not None
    assert abs(np.log(right.factor)) < 2 * right.esd
    assert longer.factor * 1.274 == pytest.approx(right.factor)
    assert volume_scale(composition, 7, made.cell) is None
    assert volume_scale(Composition.parse("Zr6 C48 H28 O32"), 86, made.cell) is None
    assert volume_scale(Composition.parse("C N2 O"), 8, made.cell) is None, "who names no hydrogen has left it out"
    doubt = scale_doubt(longer, None, LAMBDA_200)
    assert doubt is not None
    assert "the room for its atoms" in doubt.text
