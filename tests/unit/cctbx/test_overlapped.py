"""Least squares against observations of several twin domains at once."""

from pathlib import Path

import gemmi
import numpy as np
import pytest

from adapters.cctbx.client import ask
from adapters.cctbx.messages import FitRequest
from tasks.crystal.scattering import structure_factors
from tasks.integrate import DomainOverlaps, write_overlaps
from tasks.model import FileRef, UnitCell
from tasks.refine.draft import Draft, DraftAtom, DraftFit, UniqueIntensities
from tasks.refine.twinning import twin_of

CELL = UnitCell.of((6.1, 7.2, 8.3, 82.0, 95.0, 104.0))
ATOMS = {"Ti": (0.07, 0.21, 0.33), "O": (0.31, 0.12, 0.18), "C": (0.44, 0.38, 0.09), "N": (0.22, 0.41, 0.47)}


def draft(*, moved: float, domains: tuple[float, ...]) -> Draft:
    """Return four atoms in P -1, all of them moved by a part of each axis."""
    atoms = (
        DraftAtom(label=f"{name}1", element=name, position=tuple(x + moved for x in place), u_iso_angstrom2=0.02)
        for name, place in ATOMS.items()
    )
    return Draft(hall="-P 1", unit_cell=CELL, atoms=tuple(atoms), domains=domains)


def twin(folder: Path, fractions: tuple[float, ...]) -> UniqueIntensities:
    """Return a list of domains with errors of 3 %: a third of the observations of all domains, the rest of one."""
    rng = np.random.default_rng(5)
    grid = np.stack(np.meshgrid(*[np.arange(-6, 7)] * 3, indexing="ij"), axis=-1).reshape(-1, 3).astype(np.int32)
    hkl = grid[len(grid) // 2 + 1 :]
    hkl = hkl[1.0 / CELL.gemmi().calculate_d_array(hkl) < 1.25]
    model = draft(moved=0.0, domains=fractions)
    f_sq = np.abs(
        structure_factors(
            hkl, CELL, gemmi.SpaceGroup("P -1").operations(), elements=list(ATOMS),
            positions=np.array(list(ATOMS.values())), u_iso_angstrom2=np.full(4, 0.02), occupancies=np.ones(4),
            radiation="electron",
        )
    ) ** 2  # fmt: skip
    rows: list[tuple[int, int, int]] = []
    sums: list[float] = []
    for number in range(len(hkl)):
        others = rng.integers(0, len(hkl), len(fractions))
        others[0] = number
        groups = [range(len(fractions))] if number % 3 == 0 else [[domain] for domain in range(len(fractions))]
        for domains in groups:
            rows += [(int(others[domain]), domain + 1, len(sums)) for domain in domains]
            sums.append(sum(fractions[domain] * f_sq[others[domain]] for domain in domains))
    place, domain, observation = np.array(rows, dtype=np.int32).T
    intensity = 40.0 * np.array(sums)
    sigma = 0.03 * intensity + 0.002 * intensity.mean()
    overlaps = DomainOverlaps(hkl[place], domain, observation, intensity + rng.normal(0, sigma), sigma)
    np.savez(folder / "data.npz", hkl=hkl, intensity=f_sq, sigma=0.03 * f_sq + 0.01)
    assert model.domains == fractions
    return UniqueIntensities(
        table=FileRef.of(folder / "data.npz"), overlaps=write_overlaps(overlaps, folder / "overlaps.npz"),
        radiation="electron", wavelength_angstrom=0.02, friedel_merged=True, unique=len(hkl), measured=len(hkl),
        r_int=None, completeness=1.0, d_min_angstrom=0.8, absences=0, absences_violated=0,
    )  # fmt: skip


def fitted(folder: Path, model: Draft, data: UniqueIntensities, *, held_out: float = 0.0) -> DraftFit:
    request = FitRequest(draft=model, intensities=data, cycles=20, held_out=held_out, output=folder / "fit.npz")
    return ask([request], folder, timeout_s=120).replies[0].fit


@pytest.mark.parametrize("fractions", [(0.65, 0.35), (0.3, 0.7), (0.5, 0.3, 0.2)])
def test_structure_and_fractions_come_back_from_sums(fractions: tuple[float, ...], tmp_path: Path) -> None:
    start = tuple(1.0 / len(fractions) for _ in fractions)
    fit = fitted(tmp_path, draft(moved=0.01, domains=start), twin(tmp_path, fractions))
    assert fit.r1 < 0.05
    assert fit.draft.domains == pytest.approx(fractions, abs=0.01)
    told = twin_of(fit)
    assert told is not None
    assert told.law == "HKLF 5"
    assert told.fraction == pytest.approx(1.0 - fractions[0], abs=0.01)
    for atom in fit.draft.atoms:
        assert atom.position == pytest.approx(ATOMS[atom.element], abs=0.002)
    with np.load(fit.table.path) as table:  # one row for each unique reflection, on the absolute scale
        assert len(np.unique(table["hkl"], axis=0)) == len(table["hkl"])
        assert table["f_sq_obs"].sum() == pytest.approx(table["f_sq_calc"].sum(), rel=0.03)


def test_reflections_left_out_are_foretold_by_the_right_model_and_not_by_a_wrong_one(tmp_path: Path) -> None:
    data = twin(tmp_path, (0.6, 0.4))
    right = fitted(tmp_path, draft(moved=0.005, domains=(0.5, 0.5)), data, held_out=0.2)
    wrong = draft(moved=0.0, domains=(0.5, 0.5))
    turned = [atom.model_copy(update={"position": atom.position[::-1]}) for atom in wrong.atoms]
    other = fitted(tmp_path, wrong.model_copy(update={"atoms": tuple(turned)}), data, held_out=0.2)
    assert right.r1_free is not None
    assert right.reflections_free > 30
    assert right.r1_free < 0.06
    assert other.r1_free > 0.3
    assert right.reflections + right.reflections_free < len(np.load(data.overlaps.path)["intensity"])
