"""Second places of atoms, what bonds across parts, and the density of pores."""

from pathlib import Path

import gemmi
import numpy as np
import pytest

from tasks.crystal.lattice import orthogonalisation
from tasks.model import FileRef, UnitCell
from tasks.refine import checks, completion, disorder
from tasks.refine.alternatives import along_axis, alternative
from tasks.refine.draft import DensityPeak, Draft, DraftAtom
from tasks.refine.geometry import bonds, close_contacts
from tasks.refine.hydrogens import with_hydrogens
from tasks.refine.pores import Grid, pore_density
from tasks.refine.solvent_mask import SolventMask, Void, is_empty, solvent_in_words
from tests.synthetic.drafts import fit_of

CELL = UnitCell.of((9.0, 10.0, 11.0, 90.0, 98.0, 90.0))
ORTHOGONAL = orthogonalisation(CELL)
CENTRE = np.array([0.5, 0.5, 0.5])


def end(turn_deg: float, length: float = 1.33) -> list[tuple[float, float, float]]:
    """Return fractional places of three atoms on a carbon whose fourth bond runs along -z."""
    rows = []
    for angle in np.radians(turn_deg + np.array([0.0, 120.0, 240.0])):
        arm = length * np.array([np.sqrt(8) / 3 * np.cos(angle), np.sqrt(8) / 3 * np.sin(angle), 1 / 3])
        rows.append(tuple((CENTRE + np.linalg.solve(ORTHOGONAL, arm)).tolist()))
    return rows


def trifluoromethyl() -> Draft:
    below = tuple((CENTRE - np.linalg.solve(ORTHOGONAL, [0.0, 0.0, 1.5])).tolist())
    atoms = [DraftAtom(label="C1", element="C", position=tuple(CENTRE.tolist()))]
    atoms.append(DraftAtom(label="C2", element="C", position=below))
    atoms += [DraftAtom(label=f"F{i}", element="F", position=place) for i, place in enumerate(end(0.0), 1)]
    return Draft(hall="P 1", unit_cell=CELL, atoms=tuple(atoms))


def peaks(places: list[tuple[float, float, float]], height: float) -> tuple[DensityPeak, ...]:
    return tuple(DensityPeak(position=place, height=height, height_sigma=10 * height) for place in places)


def distance(first: object, second: object) -> float:
    return float(np.linalg.norm(ORTHOGONAL @ (np.array(first) - np.array(second))))


@pytest.mark.parametrize("seen", [3, 2, 1])
@pytest.mark.parametrize("turn_deg", [60.0, 40.0])
def test_a_turned_end_is_found_by_some_of_its_peaks(seen: int, turn_deg: float) -> None:
    draft, other = trifluoromethyl(), end(turn_deg)
    found = alternative(draft, ["F1", "F2", "F3"], (*peaks(end(0.0), 1.0), *peaks(other[:seen], 0.6)))
    assert found is not None
    assert found.labels == ("F1", "F2", "F3")
    for place in found.second:
        assert min(distance(place, true) for true in other) < 0.02


def test_without_other_peaks_there_is_no_alternative() -> None:
    draft = trifluoromethyl()
    low = peaks(end(60.0), 0.1)  # a tenth of the atoms' own: ripples
    far = peaks([(0.1, 0.1, 0.1)], 1.0)
    assert alternative(draft, ["F1", "F2", "F3"], (*peaks(end(0.0), 1.0), *low, *far)) is None
    assert alternative(draft, ["F1", "F2", "F3"], ()) is None


def test_an_ellipsoid_longer_than_an_atom_is_two_places_on_its_axis() -> None:
    """Two halves 0.9 A apart along c, in an oblique cell: their mean is an ellipsoid, from which they come back."""
    true = [(0.3, 0.4, 0.5 + sign * 0.45 / CELL.c) for sign in (1, -1)]
    along = np.array([0.0, 0.0, 1.0])
    axis = ORTHOGONAL @ along / np.linalg.norm(ORTHOGONAL @ along)
    cartesian = 0.03 * np.eye(3) + 0.45**2 * np.outer(axis, axis)
    inverse = np.linalg.inv(ORTHOGONAL)
    lengths = np.linalg.norm(inverse, axis=1)
    tensor = inverse @ cartesian @ inverse.T / np.outer(lengths, lengths)
    u = (tensor[0, 0], tensor[1, 1], tensor[2, 2], tensor[0, 1], tensor[0, 2], tensor[1, 2])
    atom = DraftAtom(label="C1", element="C", position=(0.3, 0.4, 0.5), u_aniso_angstrom2=u)
    draft = Draft(hall="P 1", unit_cell=CELL, atoms=(atom,))
    found = along_axis(draft, "C1")
    assert found is not None
    for place in true:
        assert min(distance(place, one) for one in (found.first[0], found.second[0])) < 1e-6
    round_one = atom.model_copy(update={"u_aniso_angstrom2": (0.04, 0.04, 0.04, 0.0, 0.0, 0.0)})
    assert along_axis(draft.model_copy(update={"atoms": (round_one,)}), "C1") is None


def split() -> Draft:
    found = alternative(trifluoromethyl(), ["F1", "F2", "F3"], (*peaks(end(0.0), 1.0), *peaks(end(60.0), 0.6)))
    return disorder.split_draft(trifluoromethyl(), found)


def test_the_larger_part_is_made_the_first() -> None:
    found = alternative(trifluoromethyl(), ["F1", "F2", "F3"], (*peaks(end(0.0), 1.0), *peaks(end(60.0), 0.6)))
    before = {atom.label: atom for atom in split().atoms}
    after = {atom.label: atom for atom in disorder.larger_first(split(), found).atoms}
    assert list(after) == list(before)
    for first, second in (("F1", "F1B"), ("F2", "F2B"), ("F3", "F3B")):
        assert (after[first].position, after[first].occupancy) == (before[second].position, before[second].occupancy)
        assert (after[second].position, after[second].occupancy) == (before[first].position, before[first].occupancy)
        assert after[second].occupancy_group == "-a"
    assert after["C1"] == before["C1"]


def test_parts_do_not_bond_nor_crowd_each_other() -> None:
    draft = split()
    names = [atom.label for atom in draft.atoms]
    assert names == ["C1", "C2", "F1", "F2", "F3", "F1B", "F2B", "F3B"]
    pairs = {(names[b.first], names[b.second]) for b in bonds(draft.atoms, draft.hall, draft.unit_cell)}
    assert ("C1", "F1") in pairs
    assert ("C1", "F1B") in pairs
    assert not any(a[0] == b[0] == "F" for a, b in pairs)
    assert close_contacts(draft.atoms, draft.hall, draft.unit_cell) == []
    one = [atom.model_copy(update={"part": 0}) for atom in draft.atoms]
    assert any(one[b.first].element == one[b.second].element == "F" for b in bonds(one, draft.hall, draft.unit_cell))


def test_an_atom_bonds_to_one_part_at_a_time(tmp_path: Path) -> None:
    fit = fit_of(split(), tmp_path / "t")
    assert checks.impossible_bonds(fit) == ()
    whole = tuple(atom.model_copy(update={"part": 0}) for atom in fit.draft.atoms)
    together = fit_of(fit.draft.model_copy(update={"atoms": whole}), tmp_path / "t")
    assert "C1" in checks.impossible_bonds(together)


def test_occupancies_count_in_the_contents_and_parts_coincide_freely(tmp_path: Path) -> None:
    draft = split()
    assert completion.cell_contents(fit_of(draft, tmp_path / "t")) == pytest.approx({"C": 2.0, "F": 3.0})
    near = tuple(
        atom.model_copy(update={"position": draft.atoms[2].position}) if atom.label == "F1B" else atom
        for atom in draft.atoms
    )
    assert completion.without_clashes(near, draft.hall, draft.unit_cell) == near


def test_new_names_keep_the_two_places_of_an_atom_together() -> None:
    draft = completion.relabelled(split(), ["C", "N", "O", "F", "F", "F", "F", "F"])
    by_label = {atom.label: atom for atom in draft.atoms}
    pairs = [(atom, by_label[atom.u_as]) for atom in draft.atoms if atom.u_as is not None]
    assert len(pairs) == 3
    assert [(a.element, b.element) for a, b in pairs] == [("O", "O"), ("F", "F"), ("F", "F")]
    assert len(by_label) == len(draft.atoms)


def test_a_negative_part_does_not_bond_to_its_own_images() -> None:
    """A carbon 0.7 A from a centre: half of a molecule in two orientations."""
    hall = "-P 1"
    near = tuple(np.linalg.solve(ORTHOGONAL, [0.7, 0.0, 0.0]).tolist())
    plain = DraftAtom(label="C1", element="C", position=near, occupancy=0.5)
    half = plain.model_copy(update={"part": -1})
    assert len(bonds([plain], hall, CELL)) > 0
    assert bonds([half], hall, CELL) == []


def test_an_atom_with_two_surroundings_gets_no_hydrogen() -> None:
    """Where CH2 carries a chlorine in two places, hydrogen would have two places as well."""
    arms = {"C2": [1.53, 0.0, 0.0], "Cl1": [-0.59, 1.67, 0.0], "Cl1B": [-0.59, -0.835, 1.446]}
    atoms = [DraftAtom(label="C1", element="C", position=tuple(CENTRE.tolist()))]
    for label, arm in arms.items():
        place = tuple((CENTRE + np.linalg.solve(ORTHOGONAL, arm)).tolist())
        part = {"Cl1": 1, "Cl1B": 2}.get(label, 0)
        atoms.append(DraftAtom(label=label, element=label.rstrip("12B"), position=place, part=part))
    draft = Draft(hall="P 1", unit_cell=CELL, atoms=tuple(atoms))
    assert "C1" not in {group.pivot for group in with_hydrogens(draft, "electron", None).riding}
    one = draft.model_copy(update={"atoms": draft.atoms[:3]})
    assert "C1" in {group.pivot for group in with_hydrogens(one, "electron", None).riding}


def test_three_ends_are_looked_at_together_if_one_is_loose(tmp_path: Path) -> None:
    fit = fit_of(trifluoromethyl(), tmp_path / "t", u={"F2": 0.09})
    assert disorder.loose_groups(fit) == [("F1", "F2", "F3")]
    assert disorder.loose_groups(fit_of(trifluoromethyl(), tmp_path / "t")) == []


BOX = (20.0, 20.0, 20.0)


def ball(shape: tuple[int, int, int], radius: float) -> np.ndarray:
    axes = [np.minimum(np.arange(n), n - np.arange(n)) * side / n for n, side in zip(shape, BOX, strict=True)]
    x, y, z = np.meshgrid(*axes, indexing="ij")
    return np.sqrt(x**2 + y**2 + z**2) <= radius


def test_grid_and_reflections_are_transforms_of_each_other() -> None:
    cell = gemmi.UnitCell(*BOX, 90, 90, 90)
    hkl = gemmi.make_miller_array(cell, gemmi.SpaceGroup("P 1"), 2.0).astype(np.int32)
    grid = Grid(hkl, (32, 30, 36), cell.volume)
    rng = np.random.default_rng(0)
    place = rng.random(3)
    f = np.exp(2j * np.pi * hkl @ place)
    density = grid.density(f)
    peak = np.array(np.unravel_index(int(density.argmax()), density.shape)) / density.shape
    assert np.abs((peak - place + 0.5) % 1.0 - 0.5).max() < 0.02
    assert grid.structure_factors(density) == pytest.approx(f, abs=1e-9)


@pytest.mark.parametrize("filling", [0.0, 0.1])
def test_an_even_liquid_in_a_pore_is_weighed(filling: float) -> None:
    """Atoms outside of a ball that holds a liquid; amplitudes and the atoms' F alone are known, some not measured."""
    rng = np.random.default_rng(2)
    cell = gemmi.UnitCell(*BOX, 90, 90, 90)
    hkl = gemmi.make_miller_array(cell, gemmi.SpaceGroup("P 1"), 1.8).astype(np.int32)
    shape = (36, 36, 36)
    grid = Grid(hkl, shape, cell.volume)
    inside = ball(shape, 7.0)
    d_star_sq = cell.calculate_1_d2_array(hkl)
    places = []
    while len(places) < 150:
        trial = rng.random(3)
        if np.linalg.norm((trial - np.round(trial)) * 20.0) > 8.0:
            places.append(trial)
    atoms = (2.0 * np.exp(2j * np.pi * hkl @ np.array(places).T)).sum(axis=1) * np.exp(-3.0 * d_star_sq)
    liquid = grid.structure_factors(filling * inside) * np.exp(-3.0 * d_star_sq)
    f_obs = np.abs(atoms + liquid) * (1.0 + 0.02 * rng.normal(size=len(hkl)))
    f_obs[rng.random(len(hkl)) < 0.1] = np.nan
    found = pore_density(
        hkl, f_obs, atoms, pores=inside.astype(np.int64), cores=ball(shape, 6.0), volume_angstrom3=cell.volume,
        d_star_sq=d_star_sq, densest_per_angstrom3=0.2,
    )  # fmt: skip
    true = filling * inside.mean() * cell.volume
    assert found.contents.sum() == pytest.approx(true, abs=0.1 * 0.1 * inside.mean() * cell.volume)


def test_what_pores_hold_is_said_as_electrons_or_as_an_estimate_of_water(tmp_path: Path) -> None:
    (tmp_path / "m.npz").write_bytes(b"")
    void = Void(centre=(0.5, 0.5, 0.5), volume_angstrom3=1000.0, content=100.0)
    mask = SolventMask(voids=(void,), probe_angstrom=1.2, accessible_share=0.25, table=FileRef.of(tmp_path / "m.npz"))
    assert "100 electrons" in solvent_in_words(mask, "xray")
    said = solvent_in_words(mask, "electron")
    assert "100 A of scattering length" in said
    assert "33 molecules or 327 electrons (an estimate)" in said
    assert not is_empty(mask, "xray")
    assert is_empty(mask.model_copy(update={"voids": (void.model_copy(update={"content": 5.0}),)}), "electron")
