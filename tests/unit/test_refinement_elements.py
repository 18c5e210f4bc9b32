"""Which element an atom is, and how sure that is."""

import itertools
from pathlib import Path

import gemmi
import numpy as np

from tasks.model import Composition, FileRef, UnitCell
from tasks.model.scattering import structure_factors
from tasks.refine import elements
from tasks.refine.draft import Draft, DraftAtom
from tasks.refine.element_odds import element_odds, unsettled
from tests.unit.test_refinement_decisions import TRICLINIC, chain, fit_of, observations_of


def test_the_element_at_each_site_is_found_from_intensities() -> None:
    cell = UnitCell.of((7.0, 8.0, 9.0, 90, 100, 90))
    group = gemmi.SpaceGroup("P 1 21/c 1")
    rng = np.random.default_rng(7)
    true = ["Si", "O", "Zr", "O", "Si", "O", "Si", "O"]
    places = np.array([[0.1, 0.1, 0.1], [0.3, 0.1, 0.1], [0.6, 0.3, 0.2], [0.8, 0.4, 0.3], [0.2, 0.4, 0.4],
                       [0.4, 0.7, 0.05], [0.7, 0.8, 0.4], [0.9, 0.9, 0.15]])  # fmt: skip
    hkl = gemmi.make_miller_array(cell.gemmi(), group, 0.8, 0, True).astype(np.int32)
    guess = ["O"] * 8
    u = np.full(8, 0.015)

    def f_of(names: list[str]) -> np.ndarray:
        return structure_factors(
            hkl, cell, group.operations(), elements=names, positions=places, u_iso_angstrom2=u,
            occupancies=np.ones(8), radiation="electron",
        )  # fmt: skip

    f_true = np.abs(f_of(true)) * (1 + 0.05 * rng.normal(size=len(hkl)))
    atoms = tuple(
        DraftAtom(label=f"O{i}", element="O", position=tuple(p), u_iso_angstrom2=0.015)
        for i, p in enumerate(places.tolist())
    )
    names = ["O", "Si", "Zr"]
    composition = Composition.parse("Zr Si3 O4")
    weights = np.full(8, 4.0)
    for _ in range(4):
        table = {"hkl": hkl, "f_sq_obs": f_true**2, "sigma": 0.1 * f_true**2 + 0.01,
                 "f_sq_calc": np.abs(f_of(guess)) ** 2, "phase_deg": np.degrees(np.angle(f_of(guess)))}  # fmt: skip
        costs = elements.exchange_costs(
            elements.residual_of(table), atoms, names, hall=group.hall, cell=cell, radiation="electron"
        )
        picked = elements.assign(costs, weights, elements.targets(composition, names, weights))
        guess = [names[k] for k in picked]
        atoms = tuple(atom.model_copy(update={"element": e}) for atom, e in zip(atoms, guess, strict=True))
    assert guess == true


def test_a_loose_heavy_atom_and_a_tight_light_one_look_exchanged(tmp_path: Path) -> None:
    draft = chain("CSiOAl")
    loose = {"X1": 0.09, "X2": 0.005}
    assert elements.suspicious_swaps(fit_of(draft, tmp_path / "t", u=loose), most=1) == (("X1", "X2"),)
    assert elements.suspicious_swaps(fit_of(draft, tmp_path / "t"), most=3) == ()


def test_exchanges_are_proposed_that_part_atoms_nearer_than_a_bond() -> None:
    """A sodium in the place of an oxygen bound to silicon; the true sodium, taken for oxygen, has no near neighbour."""
    cell = UnitCell.of((20, 20, 20, 90, 90, 90))
    places = {"Si1": (2, 2, 2), "Na1": (3.6, 2, 2), "O1": (2, 3.6, 2), "O2": (8, 8, 8), "O3": (8, 10.4, 8)}
    atoms = [
        DraftAtom(label=label, element=label[:-1], position=(x / 20, y / 20, z / 20), u_iso_angstrom2=0.02)
        for label, (x, y, z) in places.items()
    ]
    assert set(elements.resolving_swaps(atoms, "P 1", cell, most=9)) == {("Na1", "O2"), ("Na1", "O3")}
    assert elements.resolving_swaps(atoms[2:], "P 1", cell, most=9) == ()


def test_assignment_keeps_the_composition_and_follows_the_costs() -> None:
    costs = np.array([[0.0, 5.0], [0.0, 4.0], [0.0, 1.0]])
    weights = np.ones(3)
    assert elements.assign(costs, weights, None).tolist() == [0, 0, 0]
    assert elements.assign(costs, weights, np.array([2.0, 1.0])).tolist() == [0, 0, 1]
    assert elements.assign(costs + np.array([0, 90.0]), weights, np.array([2.0, 1.0])).tolist() == [0, 0, 0]


def test_bond_lengths_tell_a_methyl_group_from_a_carbonyl_oxygen() -> None:
    short, long = chain("CC"), chain("CC")
    stretched = [atom.model_copy(update={"position": (0.1 + d / TRICLINIC.a, 0.2, 0.3)}) for atom, d in
                 zip(short.atoms, (0.0, 1.22), strict=True)]  # fmt: skip
    carbonyl = elements.chemistry_costs(stretched, ["C", "O"], "P 1", TRICLINIC)[1]
    apart = [long.atoms[0], long.atoms[1].model_copy(update={"position": (0.1 + 1.52 / TRICLINIC.a, 0.2, 0.3)})]
    methyl = elements.chemistry_costs(apart, ["C", "O"], "P 1", TRICLINIC)[1]
    assert carbonyl[1] < carbonyl[0]
    assert methyl[0] < methyl[1]


def test_an_element_too_large_for_its_site_is_made_costly() -> None:
    atoms = [
        DraftAtom(label="Na1", element="Na", position=(0.1, 0.2, 0.3)),
        DraftAtom(label="Na2", element="Na", position=(0.1 + 2.37 / TRICLINIC.a, 0.2, 0.3)),
        DraftAtom(label="Na3", element="Na", position=(0.1, 0.2 + 4.0 / TRICLINIC.b, 0.3)),
    ]
    costs = elements.crowding_costs(atoms, ["Na", "O"], "P 1", TRICLINIC)
    assert costs[:, 1].tolist() == [0, 0, 0]
    assert costs[:, 0].tolist() == [elements.TOO_NEAR, elements.TOO_NEAR, 0]


def test_odds_tell_a_settled_element_from_an_unsettled_one(tmp_path: Path) -> None:
    """Exact intensities of C, N, O and Cl; the model calls the nitrogen carbon, and all else by its name."""
    cell = UnitCell.of((9.0, 10.0, 11.0, 90, 90, 90))
    places = {"C1": (0.2, 0.2, 0.2), "N1": (0.2, 0.35, 0.2), "O1": (0.6, 0.6, 0.6), "Cl1": (0.8, 0.2, 0.7)}
    true = ["C", "N", "O", "Cl"]
    hkl = np.array([row for row in itertools.product(range(-9, 10), range(10), range(10)) if any(row)], dtype=np.int32)
    common = {"positions": np.array(list(places.values())), "u_iso_angstrom2": np.full(4, 0.03)}
    group = gemmi.symops_from_hall("P 1")
    observed, model = (
        structure_factors(
            hkl, cell, group, elements=names, occupancies=np.ones(4), radiation="electron", **common
        )
        for names in (true, ["C", "C", "O", "Cl"])
    )  # fmt: skip
    table = tmp_path / "fit.npz"
    np.savez(
        table, hkl=hkl, f_sq_obs=np.abs(observed) ** 2, f_sq_calc=np.abs(model) ** 2,
        sigma=0.02 * np.abs(observed) ** 2 + 0.01, phase_deg=np.degrees(np.angle(model)),
    )  # fmt: skip
    atoms = tuple(
        DraftAtom(label=label, element=name, position=place, u_iso_angstrom2=0.03)
        for (label, place), name in zip(places.items(), ["C", "C", "O", "Cl"], strict=True)
    )
    fit = fit_of(Draft(hall="P 1", unit_cell=cell, atoms=atoms), tmp_path / "empty").model_copy(
        update={"table": FileRef.of(table)}
    )
    found = element_odds(fit, observations_of(tmp_path / "o"), Composition.parse("C N O Cl"))
    odds = {item.label: item for item in found}
    assert odds["Cl1"].odds > 0.99
    assert odds["N1"].odds < 0.5
    assert odds["N1"].other == "N"
    assert "N1" in (unsettled(found) or "")
    assert element_odds(fit, observations_of(tmp_path / "o"), Composition.parse("C")) != ()
