"""Refinement against real electron diffraction data: completed, judged, written to files that others read."""

from pathlib import Path

import gemmi
import numpy as np
import pytest
from gemmi import cif
from shelxfile import Shelxfile

from adapters.cctbx.refine_engine import SmtbxRefiner
from tasks.crystal.scattering import d_star_squared
from tasks.integrate.models import Reflections
from tasks.model import Composition
from tasks.refine.geometry import contacts
from tasks.refine.models import Refinement
from tasks.refine.task import refine_structure
from tasks.solve.models import Atom, Solution
from tests.synthetic.known_structures import SETS, KnownStructure, composition, load_merged, load_model, read_hklf4
from tests.synthetic.reflections_from_hkl import reflections_from_hkl

pytestmark = pytest.mark.needs_shared


def reflections(name: str, shared_data: Path, folder: Path) -> Reflections:
    known, model = SETS[name], load_model(name, shared_data)
    hkl, intensity, sigma = read_hklf4(shared_data / known.hkl)
    return reflections_from_hkl(
        folder,
        name,
        hkl=hkl,
        intensity=intensity,
        sigma=sigma,
        cell=model.cell,
        laue_group=known.laue,
        space_group=known.space_group,
        wavelength_angstrom=0.02508,
    )


def solution(
    name: str, positions: np.ndarray, elements: list[str], model: KnownStructure, hall: str | None = None
) -> Solution:
    group = gemmi.SpaceGroup(SETS[name].space_group)
    atoms = tuple(
        Atom(label=f"{element}{i}", element=element, position=tuple(place))
        for i, (element, place) in enumerate(zip(elements, positions.tolist(), strict=True))
    )
    return Solution(
        space_group=group.xhm(), hall=hall or group.hall, unit_cell=model.cell, atoms=atoms, r1=0.3, verdict="solved"
    )


def spoilt_solution(
    name: str, shared_data: Path, *, keep: float, jitter: float, seed: int
) -> tuple[Solution, KnownStructure]:
    """Return a part of the published atoms, displaced (angstrom), their elements shuffled."""
    rng = np.random.default_rng(seed)
    model = load_model(name, shared_data)
    heavy = [i for i, element in enumerate(model.elements) if element != "H"]
    chosen = np.sort(rng.permutation(heavy)[: round(keep * len(heavy))])
    fractional = np.array(model.cell.gemmi().frac.mat.tolist())
    moved = model.positions[chosen] + rng.normal(0, jitter, (len(chosen), 3)) @ fractional.T
    elements = rng.permutation([model.elements[i] for i in chosen]).tolist()
    return solution(name, moved, elements, model), model


def matched(refinement: Refinement, model: KnownStructure, *, within: float, polar: str = "") -> tuple[float, float]:
    """Return the parts of the published heavy atoms that are there, and there with the right element.

    Along the axes named in `polar` the origin floats: every shift that brings an atom onto one of ours is tried.
    """
    heavy = [i for i, element in enumerate(model.elements) if element != "H"]
    ours = [atom for atom in refinement.atoms if atom.element != "H"]
    places = np.array([atom.position for atom in ours])
    floating = np.array([float(axis in polar) for axis in "abc"])
    shifts = (
        (places[None, :, :] - model.positions[heavy][:, None, :]).reshape(-1, 3) * floating if polar else [[0.0] * 3]
    )
    best = (0.0, 0.0)
    for shift in np.unique(np.round(shifts, 3), axis=0):
        known = model.positions[heavy] + shift
        near = contacts(known, places, refinement.hall, refinement.unit_cell, cutoff=within)
        right = {pair.first for pair in near if model.elements[heavy[pair.first]] == ours[pair.second].element}
        best = max(best, (len({pair.first for pair in near}) / len(heavy), len(right) / len(heavy)))
    return best


@pytest.fixture(scope="module")
def natrolite(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Refinement, KnownStructure]:
    """Return natrolite refined from 70 % of its atoms with shuffled elements."""
    folder = tmp_path_factory.mktemp("natrolite")
    start, model = spoilt_solution("natrolite", shared_data, keep=0.7, jitter=0.1, seed=0)
    data = reflections("natrolite", shared_data, folder)
    result = refine_structure(data, start, composition("natrolite"), SmtbxRefiner(), folder / "refined")
    return result, model


def test_natrolite_is_completed_from_a_part_of_its_atoms(natrolite: tuple[Refinement, KnownStructure]) -> None:
    refinement, model = natrolite
    assert refinement.r1 < 0.135
    assert matched(refinement, model, within=0.1, polar="c") == (1.0, 1.0)
    assert refinement.formula == "Al2 Na2 O12 Si3"
    assert refinement.verdict == "solved"
    assert refinement.r1_free < 0.25
    assert refinement.shift_over_esd_max < 0.05
    assert all(atom.u_aniso_angstrom2 is not None for atom in refinement.atoms)


def test_the_cif_obeys_the_core_dictionary(natrolite: tuple[Refinement, KnownStructure], shared_data: Path) -> None:
    refinement, _ = natrolite
    complaints: list[str] = []
    dictionary = cif.Ddl(logger=(complaints.append, 6), print_unknown_tags=True)
    dictionary.read_ddl(cif.read(str(shared_data / "cif-dictionaries/cif_core_2.4.5_DDL1.dic")))
    assert dictionary.validate_cif(cif.read(str(refinement.cif.path)))
    # replies to validation, in no dictionary, and items that only the dictionary of electron diffraction has
    elsewhere = ("_vrf_", "_refine_diff.potential", "_refine.diffraction_theory")
    assert [text for text in complaints if not any(name in text for name in elsewhere)] == []
    block = cif.read(str(refinement.cif.path)).sole_block()
    assert block.find_value("_diffrn_radiation_probe") == "electron"
    assert float(block.find_value("_refine_ls_R_factor_gt")) == pytest.approx(refinement.r1, abs=1e-4)
    assert block.find_value("_refine_ls_abs_structure_Flack") is None
    small = gemmi.make_small_structure_from_block(block)
    assert len(small.sites) == len(refinement.atoms)
    for site, atom in zip(small.sites, refinement.atoms, strict=True):
        assert site.fract.tolist() == pytest.approx(atom.position, abs=2e-3)


def test_shelxfile_reads_res_and_ins(natrolite: tuple[Refinement, KnownStructure]) -> None:
    refinement, _ = natrolite
    for reference in (refinement.res, refinement.ins):
        res = Shelxfile()
        res.read_file(str(reference.path))
        atoms = [atom for atom in res.atoms.all_atoms if not atom.qpeak]
        assert [atom.name for atom in atoms] == [atom.label for atom in refinement.atoms]
        assert [atom.element for atom in atoms] == [atom.element for atom in refinement.atoms]
        for theirs, ours in zip(atoms, refinement.atoms, strict=True):
            assert tuple(theirs.frac_coords) == pytest.approx(ours.position, abs=1e-5)
            u = ours.u_aniso_angstrom2
            assert theirs.uvals == pytest.approx((u[0], u[1], u[2], u[5], u[4], u[3]), abs=1e-4)


def test_the_fcf_gives_the_same_r1(natrolite: tuple[Refinement, KnownStructure]) -> None:
    refinement, _ = natrolite
    block = cif.read(str(refinement.fcf.path)).sole_block()
    table = np.array(
        [[float(value) for value in row] for row in block.find(
            "_refln_", ["index_h", "index_k", "index_l", "F_squared_calc", "F_squared_meas", "F_squared_sigma"])]
    )  # fmt: skip
    calc, obs, sigma = table[:, 3], table[:, 4], table[:, 5]
    strong = obs >= 2 * sigma
    fo, fc = np.sqrt(obs[strong]), np.sqrt(calc[strong])
    assert np.abs(fo - fc).sum() / fo.sum() == pytest.approx(refinement.r1, abs=0.002)
    hkl, _, _ = read_hklf4(refinement.hkl.path)
    assert len(hkl) == refinement.reflections


def test_tyrosine_gets_its_elements_and_hydrogen(shared_data: Path, tmp_path: Path) -> None:
    start, model = spoilt_solution("tyrosine", shared_data, keep=0.8, jitter=0.08, seed=3)
    data = reflections("tyrosine", shared_data, tmp_path)
    refinement = SmtbxRefiner().refine(data, start, composition("tyrosine"), tmp_path)
    assert matched(refinement, model, within=0.3) == (1.0, 1.0)
    assert refinement.formula == "C9 H11 N1 O3"
    assert refinement.r1 < 0.145
    assert refinement.verdict == "solved"


def random_sites(n: int, model: KnownStructure, hall: str, rng: np.random.Generator) -> np.ndarray:
    sites: list[np.ndarray] = []
    while len(sites) < n:
        trial = rng.random((1, 3))
        if contacts(trial, trial, hall, model.cell, cutoff=1.3):
            continue
        if not sites or not contacts(trial, np.concatenate(sites), hall, model.cell, cutoff=1.3):
            sites.append(trial)
    return np.concatenate(sites)


@pytest.mark.parametrize(("name", "seed"), [("cinchonine-xds", 1), ("natrolite", 2)])
def test_shuffled_intensities_are_never_called_solved(name: str, seed: int, shared_data: Path, tmp_path: Path) -> None:
    known, model, rng = SETS[name], load_model(name, shared_data), np.random.default_rng(seed)
    table = load_merged(name, shared_data)
    intensity, sigma = table.intensity.copy(), table.sigma.copy()
    for shell in np.array_split(np.argsort(d_star_squared(table.hkl, model.cell)), 20):
        order = rng.permutation(shell)
        intensity[shell], sigma[shell] = table.intensity[order], table.sigma[order]
    data = reflections_from_hkl(
        tmp_path, name, hkl=table.hkl, intensity=intensity, sigma=sigma, cell=model.cell,
        laue_group=known.laue, space_group=known.space_group,
    )  # fmt: skip
    elements = [element for element in model.elements if element != "H"]
    sites = random_sites(len(elements), model, gemmi.SpaceGroup(known.space_group).hall, rng)
    start = solution(name, sites, elements, model)
    refinement = SmtbxRefiner(completion_rounds=4).refine(data, start, Composition.parse(known.formula), tmp_path)
    assert refinement.verdict != "solved"
    assert refinement.r1_free is None or refinement.r1_free > 0.33
