"""Restraints in the cctbx worker: they pull as they should, and their pull is told."""

from pathlib import Path

import gemmi
import numpy as np
import pytest

from adapters.cctbx.client import ask
from adapters.cctbx.messages import FitRequest
from tasks.crystal.scattering import structure_factors
from tasks.model import FileRef, InputError, UnitCell
from tasks.refine.draft import Draft, DraftAtom, DraftFit, UniqueIntensities
from tasks.refine.restraint_models import RestrainedPair, Restraint, RestraintKind

CELL = UnitCell.of((7.0, 8.0, 9.0, 90.0, 90.0, 90.0))
HALL = "P 2ac 2ab"
SITES = {"C1": (0.2, 0.2, 0.2), "C2": (0.42, 0.2, 0.2), "O1": (0.2, 0.4, 0.2), "N1": (0.2, 0.2, 0.36)}


def draft(*restraints: Restraint, anisotropic: bool = False, moved: float = 0.0) -> Draft:
    """Return four atoms along the axes: C1-C2 1.54, C1-O1 1.6, C1-N1 1.44 A; C2 `moved` along a."""
    tensor = {"C1": (0.02, 0.03, 0.04, 0.0, 0.0, 0.0), "C2": (0.03, 0.03, 0.04, 0.0, 0.0, 0.0)}
    atoms = tuple(
        DraftAtom(
            label=label,
            element=label[0],
            position=(place[0] + (moved / 7.0 if label == "C2" else 0.0), place[1], place[2]),
            u_iso_angstrom2=0.03,
            u_aniso_angstrom2=tensor.get(label) if anisotropic else None,
        )
        for label, place in SITES.items()
    )
    return Draft(hall=HALL, unit_cell=CELL, atoms=atoms, restraints=restraints)


def pair(kind: RestraintKind, first: str, second: str, esd: float, **values: object) -> Restraint:
    return Restraint(kind=kind, pairs=(RestrainedPair(first=first, second=second),), esd=esd, why="a test", **values)


def fitted(model: Draft, folder: Path, *, cycles: int, noise: float = 0.05, d_min: float = 0.9) -> DraftFit:
    """Return a fit to the structure where C1-C2 is 1.54 A long, with errors of the intensities."""
    grid = np.stack(np.meshgrid(*[np.arange(0, 9)] * 3, indexing="ij"), axis=-1).reshape(-1, 3).astype(np.int32)
    group = gemmi.symops_from_hall(HALL)
    d = CELL.gemmi().calculate_d_array(grid[1:])
    hkl = np.array([row for row in grid[1:][d > d_min] if not group.is_systematically_absent(row.tolist())], np.int32)
    f = structure_factors(
        hkl, CELL, group, elements=[label[0] for label in SITES], positions=np.array(list(SITES.values())),
        u_iso_angstrom2=np.full(4, 0.03), occupancies=np.ones(4), radiation="electron",
    )  # fmt: skip
    intensity = np.abs(f) ** 2
    sigma = noise * intensity.mean() * np.ones(len(intensity))
    np.savez(folder / "data.npz", hkl=hkl, intensity=np.random.default_rng(1).normal(intensity, sigma), sigma=sigma)
    data = UniqueIntensities(
        table=FileRef.of(folder / "data.npz"), radiation="electron", wavelength_angstrom=0.02, friedel_merged=True,
        unique=len(hkl), measured=len(hkl), r_int=None, completeness=1.0, d_min_angstrom=d_min, absences=0,
        absences_violated=0,
    )  # fmt: skip
    request = FitRequest(draft=model, intensities=data, cycles=cycles, output=folder / "fit.npz")
    return ask([request], folder, timeout_s=120).replies[0].fit


def length(model: Draft, first: str, second: str) -> float:
    places = {atom.label: np.array(atom.position) for atom in model.atoms}
    return float(np.linalg.norm(np.array(CELL.parameters[:3]) * (places[first] - places[second])))


def test_the_pull_of_each_kind_is_what_its_deviation_is_by_hand(tmp_path: Path) -> None:
    plane = Restraint(kind="plane", atoms=("C2", "O1", "N1", "C1"), esd=0.1, why="a test")
    alike = Restraint(
        kind="equal distances",
        pairs=(RestrainedPair(first="C1", second="C2"), RestrainedPair(first="C1", second="O1")),
        esd=0.02,
        why="a test",
    )
    model = draft(
        pair("distance", "C1", "C2", 0.02, target_angstrom=1.50),
        pair("one-three distance", "C2", "O1", 0.04, target_angstrom=2.0),
        alike,
        plane,
        pair("similar displacements", "C1", "C2", 0.04),
        pair("rigid bond", "C1", "C2", 0.004),
        anisotropic=True,
    )
    fit = fitted(model, tmp_path, cycles=0)
    pulls = {pull.kind: pull for pull in fit.pulls}
    assert pulls["distance"].worst_over_esd == pytest.approx(0.04 / 0.02, rel=1e-6)
    assert pulls["distance"].worst_at == "C1 C2"
    across = np.hypot(1.54, 1.6) - 2.0
    assert pulls["one-three distance"].rms_over_esd == pytest.approx(across / 0.04, rel=1e-6)
    assert pulls["equal distances"].rms_over_esd == pytest.approx(0.03 / 0.02, rel=1e-6)
    assert pulls["plane"].worst_over_esd == pytest.approx(1.54 * 1.6 * 1.44 / 0.1, rel=1e-6)
    assert pulls["similar displacements"].count == 6
    assert pulls["similar displacements"].worst_over_esd == pytest.approx(0.01 / 0.04, rel=1e-6)
    # Thorn et al. (2012): the esd grows with the distance and with the displacements, p = 0.5
    esd = 0.004 * 1.54 * np.sqrt(0.25 + 0.03 + 0.1 / 3) / 0.5
    assert pulls["rigid bond"].worst_over_esd == pytest.approx(0.01 / esd, rel=1e-6)
    assert fit.restraints == 1 + 1 + 2 + 1 + 6 + 3
    assert [len(rows) for rows in fit.deviations] == [1, 1, 2, 1, 6, 3]


def test_a_strong_restraint_holds_the_length_and_a_weak_one_leaves_it_to_the_data(tmp_path: Path) -> None:
    found = {}
    for esd in (1e-4, 10.0):
        model = draft(pair("distance", "C1", "C2", esd, target_angstrom=1.60))
        found[esd] = length(fitted(model, tmp_path, cycles=20).draft, "C1", "C2")
    assert found[1e-4] == pytest.approx(1.60, abs=2e-3)
    assert found[10.0] == pytest.approx(1.54, abs=0.02)


def test_with_few_noisy_data_a_true_restraint_brings_the_atom_nearer(tmp_path: Path) -> None:
    free = fitted(draft(moved=0.1), tmp_path, cycles=20, noise=0.3, d_min=1.2)
    held = fitted(
        draft(pair("distance", "C1", "C2", 0.02, target_angstrom=1.54), moved=0.1),
        tmp_path,
        cycles=20,
        noise=0.3,
        d_min=1.2,
    )
    assert abs(length(held.draft, "C1", "C2") - 1.54) < 0.5 * abs(length(free.draft, "C1", "C2") - 1.54)


def test_a_restraint_to_an_image_pulls_the_image(tmp_path: Path) -> None:
    image = RestrainedPair(first="C2", second="O1", operation="x+1/2,-y+1/2,-z")
    restraint = Restraint(kind="distance", pairs=(image,), target_angstrom=3.0, esd=0.02, why="a test")
    fit = fitted(draft(restraint), tmp_path, cycles=0)
    true = np.linalg.norm(np.array(CELL.parameters[:3]) * (np.array(SITES["C2"]) - [0.7, 0.1, -0.2]))
    assert fit.pulls[0].worst_over_esd == pytest.approx(abs(true - 3.0) / 0.02, rel=1e-6)


def test_extinction_and_restraints_are_refined_together(tmp_path: Path) -> None:
    model = draft(pair("distance", "C1", "C2", 0.02, target_angstrom=1.54))
    fit = fitted(model.model_copy(update={"extinction": 0.001}), tmp_path, cycles=20)
    assert fit.extinction_esd is not None
    assert length(fit.draft, "C1", "C2") == pytest.approx(1.54, abs=0.02)


def test_a_restraint_on_an_absent_atom_is_an_input_error_that_names_it(tmp_path: Path) -> None:
    model = draft(pair("distance", "C1", "C9", 0.02, target_angstrom=1.5))
    with pytest.raises(InputError, match="names C9, which the model lacks"):
        fitted(model, tmp_path, cycles=2)


def test_a_rigid_bond_of_isotropic_atoms_says_nothing(tmp_path: Path) -> None:
    fit = fitted(draft(pair("rigid bond", "C1", "C2", 0.004)), tmp_path, cycles=2)
    assert fit.pulls == ()
    assert fit.deviations == ((),)
