"""The decisions of a refinement: weights, parameters, elements, completion, geometry."""

import itertools
from pathlib import Path

import gemmi
import numpy as np
import pytest

from tasks.crystal.contents import units_by_atoms, units_in_cell
from tasks.crystal.scattering import structure_factors
from tasks.model import Composition, UnitCell
from tasks.refine import checks, completion, parameters
from tasks.refine.assembly import tidied
from tasks.refine.draft import DensityPeak, Draft, DraftAtom
from tasks.refine.geometry import bonds, close_contacts, contacts, site_order
from tasks.refine.observed import laue_order, useful_limit
from tasks.refine.shelx_factors import S_MAX, four_gaussians
from tasks.refine.validation import shaken
from tasks.refine.weighting import best_weights, shelx_weights
from tests.synthetic.drafts import TRICLINIC, chain, fit_of, intensities_of

CUBIC = UnitCell.of((5.64, 5.64, 5.64, 90, 90, 90))
ROCK_SALT = (
    DraftAtom(label="Na1", element="Na", position=(0, 0, 0)),
    DraftAtom(label="Cl1", element="Cl", position=(0.5, 0.5, 0.5)),
)


def test_weights_follow_the_manuals_formula() -> None:
    got = shelx_weights(np.array([9.0, -3.0]), np.array([2.0, 1.0]), np.array([6.0, 3.0]), a=0.1, b=0.5)
    assert got == pytest.approx([1 / (4 + 0.49 + 3.5), 1 / (1 + 0.04 + 1.0)])


@pytest.mark.parametrize("a", [0.03, 0.12])
def test_weights_find_the_error_model_that_made_the_data(a: float) -> None:
    rng = np.random.default_rng(1)
    fc = rng.exponential(100.0, 8000)
    sigma = np.full(8000, 2.0)
    fo = fc + np.sqrt(sigma**2 + (a * fc) ** 2) * rng.normal(size=8000)
    found_a, _ = best_weights(fo, sigma, fc, parameters=10)
    assert found_a == pytest.approx(a, rel=0.15)


def test_rock_salt_has_six_neighbours_and_no_metal_metal_bond() -> None:
    hall = gemmi.SpaceGroup("F m -3 m").hall
    found = bonds(ROCK_SALT, hall, CUBIC)
    assert sum(1 for bond in found if bond.first == 0) == 6
    assert all(bond.distance == pytest.approx(2.82) for bond in found)
    assert all({bond.first, bond.second} == {0, 1} for bond in found)


def test_contacts_are_all_images_within_reach() -> None:
    places = np.random.default_rng(3).random((6, 3))
    group = gemmi.SpaceGroup("P 21/c")
    cell = UnitCell.of((6.1, 7.3, 8.9, 90, 104.0, 90))
    box = cell.gemmi()
    found = contacts(places, places, group.hall, cell, cutoff=3.5)
    for first, place in enumerate(places):
        start = box.orthogonalize(gemmi.Fractional(*place))
        expected = []
        for other in places:
            for operation in group.operations():
                image = np.array(operation.apply_to_xyz(other.tolist())) % 1.0
                for shift in itertools.product(range(-2, 3), repeat=3):
                    distance = start.dist(box.orthogonalize(gemmi.Fractional(*(image + shift))))
                    expected += [distance] if 1e-6 < distance <= 3.5 else []
        assert sorted(c.distance for c in found if c.first == first) == pytest.approx(sorted(expected), abs=1e-9)


def test_places_in_two_lists_may_coincide() -> None:
    place = np.array([[0.1, 0.2, 0.3]])
    assert len(contacts(place, place.copy(), "P 1", TRICLINIC, cutoff=0.5)) == 1
    assert contacts(place, place, "P 1", TRICLINIC, cutoff=0.5) == []


def test_an_atom_on_a_centre_is_not_its_own_neighbour() -> None:
    hall = gemmi.SpaceGroup("P -1").hall
    at_centre = (DraftAtom(label="Fe1", element="Fe", position=(0.5, 0.5, 0.5)),)
    assert site_order(at_centre[0].position, hall, TRICLINIC) == 2
    assert close_contacts(at_centre, hall, TRICLINIC) == []


def test_two_atoms_at_one_place_lose_the_looser() -> None:
    atoms = (
        DraftAtom(label="C1", element="C", position=(0.1, 0.1, 0.1), u_iso_angstrom2=0.02),
        DraftAtom(label="C2", element="C", position=(0.14, 0.1, 0.1), u_iso_angstrom2=0.09),
        DraftAtom(label="C3", element="C", position=(0.6, 0.1, 0.1)),
    )
    assert [atom.label for atom in completion.without_clashes(atoms, "P 1", TRICLINIC)] == ["C1", "C3"]


def test_atoms_with_displacements_far_above_the_others_are_loose(tmp_path: Path) -> None:
    draft = chain("CCCCCC")
    fit = fit_of(draft, tmp_path / "t", u={"X3": 0.35})
    assert completion.loose_atoms(fit) == ("X3",)
    assert completion.loose_atoms(fit_of(draft, tmp_path / "t")) == ()


@pytest.mark.parametrize(
    ("formula", "atoms", "symbol", "units"),
    [
        ("Na2Al2Si3O12H4", 152, "F d d 2", 8),
        ("Na2Al2Si3O12H4", 144, "F d d 2", 8),
        ("C48H28O32Zr6", 344, "F m -3 m", 4),
        ("C19H22N2O", 44, "P 1 21 1", 2),
        ("C9H11NO3", 50, "P 21 21 21", 4),
    ],
)
def test_formula_units_follow_from_the_atoms_found(formula: str, atoms: int, symbol: str, units: int) -> None:
    hall = gemmi.SpaceGroup(symbol).hall
    assert units_by_atoms(Composition.parse(formula), atoms, hall) == units


def test_a_short_formula_on_special_positions_is_counted_by_its_atoms() -> None:
    """Ferrierite holds 36 SiO2 in I m m m: no multiple or part of its 16 operations."""
    hall = gemmi.SpaceGroup("I m m m").hall
    quartz = Composition.parse("Si O2")
    assert units_in_cell(quartz, {"Si": 36.0, "O": 72.0}, hall) == 36
    assert units_in_cell(quartz, {"Si": 36.0, "O": 56.0}, hall) == 30
    cinchonine = Composition.parse("C19 H22 N2 O")
    assert units_in_cell(cinchonine, {"C": 36.0, "N": 4.0, "O": 2.0}, gemmi.SpaceGroup("P 21").hall) == 2


def test_a_formula_with_fractions_of_atoms_is_written_for_any_part_of_the_cell() -> None:
    """Chabazite with 18 guests found of the 14.4 Na and 36 O that half fill their sites, in R -3 m of order 36."""
    hall = gemmi.SpaceGroup("R -3 m:H").hall
    units = units_in_cell(Composition.parse("O7.5 Si2.5 Na1"), {"Si": 36.0, "O": 90.0, "Na": 18.0}, hall)
    assert 11 * units == pytest.approx(158.4, rel=0.08)  # atoms in the cell; with parts of 36 only it would be 198


def test_a_composition_larger_than_the_cell_is_divided() -> None:
    contents = Composition.parse("Na16 Al16 Si24 O96 H32")
    half = UnitCell.of((13.0, 13.0, 6.6, 90, 90, 90))
    whole = UnitCell.of((18.3, 18.6, 6.6, 90, 90, 90))
    assert completion.fitting_composition(contents, half) == Composition.parse("Na2 Al2 Si3 O12 H4")
    assert completion.fitting_composition(contents, whole) == contents
    assert completion.fitting_composition(None, half) is None


def test_peaks_become_atoms_only_at_sane_distances(tmp_path: Path) -> None:
    draft = chain("CC")
    step = 1.45 / TRICLINIC.a
    peaks = (
        DensityPeak(position=(0.1 + 0.3 * step, 0.2, 0.3), height=1.0, height_sigma=9.0),  # inside a bond
        DensityPeak(position=(0.1 - step, 0.2, 0.3), height=0.9, height_sigma=8.0),  # at a bond's distance
        DensityPeak(position=(0.1 + 2 * step, 0.2, 0.3), height=0.2, height_sigma=1.8),  # too low
    )
    fit = fit_of(draft, tmp_path / "t", peaks=peaks)
    found = completion.new_atoms(fit, ["C", "O"], most=None)
    assert [atom.position for atom in found] == [peaks[1].position]
    assert found[0].element == "C"
    assert completion.new_atoms(fit, ["C", "O"], most=0) == ()


def test_anisotropic_only_where_the_data_bear_it(tmp_path: Path) -> None:
    draft = chain("CCCCCCCO")
    heavy = draft.model_copy(
        update={"atoms": (*draft.atoms, DraftAtom(label="Zr1", element="Zr", position=(0.5, 0.5, 0.5)))}
    )
    fit = fit_of(heavy, tmp_path / "t", parameters=36)
    intensities = intensities_of(tmp_path / "o")
    plenty = fit.model_copy(update={"reflections": 900, "reflections_observed": 700})
    some = fit.model_copy(update={"reflections": 400, "reflections_observed": 300})
    few = fit.model_copy(update={"reflections": 150, "reflections_observed": 100})
    assert parameters.anisotropic_elements(plenty, intensities) == {"C", "O", "Zr"}
    assert parameters.anisotropic_elements(some, intensities) == {"Zr"}
    assert parameters.anisotropic_elements(few, intensities) == set()
    assert parameters.anisotropic_elements(plenty, intensities_of(tmp_path / "o", d_min=1.3)) == set()


def test_an_isotropic_tensor_is_isotropic_in_oblique_axes() -> None:
    draft = parameters.made_anisotropic(chain("C"), frozenset({"C"}))
    u = draft.atoms[0].u_aniso_angstrom2
    small = gemmi.SMat33d(*u)
    cell = TRICLINIC.gemmi()
    reciprocal = cell.reciprocal()
    scale = np.diag([reciprocal.a, reciprocal.b, reciprocal.c])
    cartesian = np.array(cell.orth.mat.tolist()) @ scale @ np.array(small.as_mat33().tolist()) @ scale
    cartesian = cartesian @ np.array(cell.orth.mat.tolist()).T
    assert cartesian == pytest.approx(0.03 * np.eye(3), abs=1e-12)


def test_more_parameters_must_pay(tmp_path: Path) -> None:
    before = fit_of(chain("CC"), tmp_path / "t")
    better = before.model_copy(update={"parameters": 90, "wr2": 0.30, "r1": 0.12})
    barely = before.model_copy(update={"parameters": 90, "wr2": 0.39, "r1": 0.149})
    assert parameters.pays(before, better)
    assert not parameters.pays(before, barely)


def test_tidying_assembles_fragments_and_leaves_structure_factors_alone() -> None:
    hall = gemmi.SpaceGroup("P -1").hall
    draft = chain("OCCN", hall=hall)
    scattered = tuple(
        atom.model_copy(update={"position": tuple((-np.array(atom.position) + [i, -i, 2 * i]).tolist())})
        if i % 2
        else atom
        for i, atom in enumerate(draft.atoms)
    )
    spread = draft.model_copy(update={"atoms": scattered})
    neat = tidied(spread)
    orthogonal = np.array(TRICLINIC.gemmi().orth.mat.tolist())
    places = np.array([atom.position for atom in neat.atoms]) @ orthogonal.T
    nearest = np.sort(np.linalg.norm(places[:, None] - places[None], axis=2), axis=1)[:, 1]
    assert nearest == pytest.approx(np.full(4, 1.45), abs=1e-6)
    assert [atom.label for atom in neat.atoms] == ["O1", "N1", "C1", "C2"]
    hkl = np.array([[1, 2, 3], [2, -1, 4], [0, 3, -2]], np.int32)

    def f_of(model: Draft) -> np.ndarray:
        return structure_factors(
            hkl, TRICLINIC, gemmi.symops_from_hall(hall), elements=[a.element for a in model.atoms],
            positions=np.array([a.position for a in model.atoms]), u_iso_angstrom2=np.full(4, 0.03),
            occupancies=np.ones(4), radiation="electron",
        )  # fmt: skip

    assert f_of(neat) == pytest.approx(f_of(spread), abs=1e-9)


def test_shaking_keeps_atoms_on_their_symmetry_elements() -> None:
    hall = gemmi.SpaceGroup("F m -3 m").hall
    on_axis = DraftAtom(label="C1", element="C", position=(0.2, 0.0, 0.0))
    draft = Draft(hall=hall, unit_cell=CUBIC, atoms=(*ROCK_SALT, on_axis))
    moved = shaken(draft, np.random.default_rng(2))
    assert moved.atoms[0].position == pytest.approx((0, 0, 0), abs=1e-12)
    assert moved.atoms[2].position[1:] == pytest.approx((0, 0), abs=1e-12)
    assert moved.atoms[2].position[0] != pytest.approx(0.2, abs=1e-4)


def test_data_end_where_they_fade_into_noise() -> None:
    rng = np.random.default_rng(5)
    d = rng.uniform(0.5, 3.0, 4000)
    signal = np.where(d > 0.8, 50.0, 0.0)
    assert useful_limit(d, signal + rng.normal(size=4000), np.ones(4000)) == pytest.approx(0.8, abs=0.13)
    assert useful_limit(d, 50.0 + rng.normal(size=4000), np.ones(4000)) is None


@pytest.mark.parametrize(("symbol", "order"), [("P -1", 2), ("P 21 21 21", 8), ("F d d 2", 8), ("F m -3 m", 48)])
def test_laue_orders(symbol: str, order: int) -> None:
    assert laue_order(gemmi.SpaceGroup(symbol).hall) == order


@pytest.mark.parametrize("element", ["H", "C", "N", "O", "Al", "Zr", "Lu"])
def test_four_gaussians_follow_the_table(element: str) -> None:
    a, b = four_gaussians(element)
    s_sq = np.linspace(0, S_MAX, 97) ** 2
    table = gemmi.Element(element).c4322
    wanted = np.exp(-np.outer(s_sq, table.b)) @ np.array(table.a)
    assert np.exp(-np.outer(s_sq, b)) @ np.array(a) == pytest.approx(wanted, rel=0.02)


def test_composition_agreement_counts_elements_and_surplus() -> None:
    wanted = Composition.parse("C4 O2")
    assert checks.composition_agreement({"C": 4.0, "O": 2.0, "H": 9.0}, wanted) == pytest.approx(1.0)
    assert checks.composition_agreement({"C": 6.0}, wanted) == pytest.approx((4 - 1) / 6)
    assert checks.completeness_of_model({"C": 3.0, "O": 1.0}, wanted) == pytest.approx(4 / 6)
    assert checks.composition_agreement({"C": 1.0}, None) is None
