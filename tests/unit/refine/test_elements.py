"""Which element an atom is, and how sure that is."""

import itertools
from pathlib import Path

import gemmi
import numpy as np

from tasks.crystal.scattering import structure_factors
from tasks.model import Composition, FileRef, UnitCell
from tasks.refine import elements
from tasks.refine.bond_geometry import Environment, site_cost
from tasks.refine.draft import Draft, DraftAtom
from tasks.refine.element_energy import ElementEnergy, lowest, sample
from tasks.refine.element_odds import element_odds, unsettled
from tasks.refine.site_evidence import Evidence, Option, evidence_of
from tests.synthetic.drafts import TRICLINIC, chain, fit_of, intensities_of


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
    options = [[Option(atom.element, present=True), *map(Option, ("O", "Si", "Zr"))] for atom in atoms]
    composition = {"Zr": 4.0, "Si": 12.0, "O": 16.0}
    for _ in range(4):
        table = {"hkl": hkl, "f_sq_obs": f_true**2, "sigma": 0.1 * f_true**2 + 0.01,
                 "f_sq_calc": np.abs(f_of(guess)) ** 2, "phase_deg": np.degrees(np.angle(f_of(guess)))}  # fmt: skip
        evidence = evidence_of(
            elements.residual_of(table), atoms, options, attached={}, hall=group.hall, cell=cell, radiation="electron",
            temper=0.33,
        )  # fmt: skip
        energy = energy_without_bonds(evidence, options, wanted=composition, weights=np.full(8, 4.0))
        chosen = lowest(energy, np.zeros(8, dtype=np.int64), np.random.default_rng(0))
        guess = [energy.element(i, int(k)) for i, k in enumerate(chosen)]
        atoms = tuple(atom.model_copy(update={"element": e}) for atom, e in zip(atoms, guess, strict=True))
        options = [[Option(atom.element, present=True), *map(Option, ("O", "Si", "Zr"))] for atom in atoms]
    assert guess == true


def energy_without_bonds(
    evidence: Evidence, options: list[list[Option]], *, wanted: dict[str, float] | None, weights: np.ndarray
) -> ElementEnergy:
    alone = [Environment((), np.zeros(0), 0.0) for _ in options]
    return ElementEnergy(
        evidence, options, alone, site_cost=np.zeros(sum(map(len, options))), weights=weights, wanted=wanted,
        penalty=elements.COMPOSITION_WEIGHT, scale=1.0,
    )  # fmt: skip


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
    options = [[Option("Si"), Option("Al")] for _ in range(3)]
    costs = np.array([0.0, 5.0, 0.0, 4.0, 0.0, 1.0])

    def chosen(linear: np.ndarray, wanted: dict[str, float] | None) -> list[int]:
        evidence = Evidence(np.zeros((6, 6)), -linear / 2)
        energy = energy_without_bonds(evidence, options, wanted=wanted, weights=np.ones(3))
        return lowest(energy, np.array([1, 1, 1]), np.random.default_rng(0)).tolist()

    assert chosen(costs, None) == [0, 0, 0]
    assert chosen(costs, {"Si": 2.0, "Al": 1.0}) == [0, 0, 1]
    assert chosen(costs + np.tile([0, 90.0], 3), {"Si": 2.0, "Al": 1.0}) == [0, 0, 0]


def test_two_sites_that_may_be_exchanged_are_both_in_doubt() -> None:
    """Two states of equal cost, nitrogen here or there, and one far worse: the odds are those of the states."""
    options = [[Option("Si"), Option("Al")] for _ in range(3)]
    linear = -np.array([0.0, 0.0, 0.0, 0.0, 0.0, 60.0]) / 2
    energy = energy_without_bonds(
        Evidence(np.zeros((6, 6)), linear), options, wanted={"Si": 2.0, "Al": 1.0}, weights=np.ones(3)
    )
    odds = sample(energy, np.array([0, 1, 0]), np.random.default_rng(1))
    assert 0.4 < odds[0]["Al"] < 0.6
    assert 0.4 < odds[1]["Al"] < 0.6
    assert odds[2]["Si"] > 0.99


def test_bond_lengths_tell_a_methyl_group_from_a_carbonyl_oxygen() -> None:
    carbonyl, methyl = (Environment((1,), np.array([length]), 0.0) for length in (1.22, 1.52))
    assert site_cost("O", carbonyl, ["O", "C"]) < site_cost("C", carbonyl, ["O", "C"])
    assert site_cost("C", methyl, ["C", "C"]) < site_cost("O", methyl, ["C", "C"])


def test_bonds_tell_a_tertiary_amine_from_carbon_and_aluminium_from_silicon() -> None:
    amine = Environment((1, 2, 3), np.array([1.47, 1.46, 1.48]), 333.0)
    assert site_cost("N", amine, ["N", "C", "C", "C"]) < site_cost("C", amine, ["C", "C", "C", "C"])
    for element, length in (("Si", 1.61), ("Al", 1.745)):
        site = Environment((1, 2, 3, 4), np.full(4, length), 0.0)
        costs = {name: site_cost(name, site, [name, "O", "O", "O", "O"]) for name in ("Si", "Al", "Na")}
        assert min(costs, key=lambda name: costs[name]) == element


def test_three_light_neighbours_and_a_bond_to_a_metal_speak_against_oxygen_and_carbon() -> None:
    ring = Environment((1, 2, 3), np.array([1.38, 1.40, 1.48]), 360.0)
    assert site_cost("O", ring, ["O", "C", "C", "C"]) > site_cost("C", ring, ["C", "C", "C", "C"]) + 15
    carboxylate = Environment((1, 2), np.array([1.26, 2.28]), 0.0)
    assert site_cost("C", carboxylate, ["C", "C", "Cd"]) > site_cost("O", carboxylate, ["O", "C", "Cd"]) + 5


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
    found = element_odds(fit, intensities_of(tmp_path / "o"), Composition.parse("C N O Cl"))
    odds = {item.label: item for item in found}
    assert odds["Cl1"].odds > 0.99
    assert odds["N1"].odds < 0.5
    assert odds["N1"].other == "N"
    assert "N1" in (unsettled(found) or "")
    assert element_odds(fit, intensities_of(tmp_path / "o"), Composition.parse("C")) != ()
