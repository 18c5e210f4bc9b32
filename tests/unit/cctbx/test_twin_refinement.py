"""Least squares against twins: fractions that are known, the law's direction, reflections left out in pairs."""

from pathlib import Path

import gemmi
import numpy as np
import pytest

from adapters.cctbx.client import ask
from adapters.cctbx.messages import FitRequest, MergeRequest
from tasks.crystal.twin_laws import orbit_number, twin_laws
from tasks.model import UnitCell
from tasks.refine.draft import Draft, DraftAtom, DraftFit, TwinComponent, UniqueIntensities
from tests.synthetic.twins import APATITE, QUARTZ, TwinCase, observe_twin

IDENTITY = ((1, 0, 0), (0, 1, 0), (0, 0, 1))


def intensities(case: TwinCase, fraction: float, folder: Path, noise: float = 0.05) -> UniqueIntensities:
    observed = observe_twin(case, fraction, d_min=0.9, noise=noise)
    np.savez(folder / "in.npz", **observed._asdict())
    request = MergeRequest(
        hall=gemmi.SpaceGroup(case.space_group).hall, unit_cell=case.cell, radiation="electron",
        wavelength_angstrom=0.0251, merge_friedel=True, table=folder / "in.npz", output=folder / "unique.npz",
    )  # fmt: skip
    return ask([request], folder, timeout_s=60).replies[0].intensities


def model(case: TwinCase, twin: tuple[TwinComponent, ...]) -> Draft:
    atoms = tuple(
        DraftAtom(label=f"{element}{number}", element=element, position=place, u_iso_angstrom2=u)
        for number, (element, place, u) in enumerate(case.sites)
    )
    hall = gemmi.SpaceGroup(case.space_group).hall
    return Draft(hall=hall, unit_cell=case.cell, atoms=atoms, twin=twin, weights=(0.05, 0.0))


def components(law: tuple[tuple[float, ...], ...], fraction: float) -> tuple[TwinComponent, ...]:
    return (TwinComponent(law=IDENTITY, fraction=1 - fraction), TwinComponent(law=law, fraction=fraction))


def fitted(case: TwinCase, twin: tuple[TwinComponent, ...], data: UniqueIntensities, folder: Path) -> DraftFit:
    request = FitRequest(draft=model(case, twin), intensities=data, cycles=20, held_out=0.1, output=folder / "fit.npz")
    return ask([request], folder, timeout_s=60).replies[0].fit


@pytest.mark.parametrize("case", [QUARTZ, APATITE], ids=lambda case: case.name)
@pytest.mark.parametrize("fraction", [0.1, 0.35, 0.5])
def test_the_fraction_is_found(case: TwinCase, fraction: float, tmp_path: Path) -> None:
    data = intensities(case, fraction, tmp_path)
    fit = fitted(case, components(case.law, 0.25), data, tmp_path)
    assert fit.draft.twin[1].fraction == pytest.approx(fraction, abs=0.01)
    assert sum(part.fraction for part in fit.draft.twin) == pytest.approx(1.0)
    assert abs(fit.draft.twin[1].fraction - fraction) < 4 * fit.twin_esd[0] < 0.03
    assert fit.r1 < 0.02
    assert fit.r1_free < 0.025
    alone = fitted(case, (), data, tmp_path)
    assert alone.r1 > 3 * fit.r1
    assert alone.draft.twin == ()


def test_what_is_no_twin_refines_to_none(tmp_path: Path) -> None:
    fit = fitted(APATITE, components(APATITE.law, 0.25), intensities(APATITE, 0.0, tmp_path), tmp_path)
    assert fit.draft.twin[1].fraction < 0.005


def test_a_law_of_higher_order_is_taken_in_the_right_direction(tmp_path: Path) -> None:
    # a fourfold law is not its own inverse: triclinic, in a cubic cell
    case = TwinCase(
        "cubic-metric", "P 1", UnitCell.of((6.0, 6.0, 6.0, 90, 90, 90)), "",
        (("Ca", (0.1, 0.2, 0.3), 0.01), ("O", (0.45, 0.7, 0.9), 0.01), ("O", (0.8, 0.35, 0.6), 0.02)),
        ((0, 1, 0), (-1, 0, 0), (0, 0, 1)),
    )  # fmt: skip
    data = intensities(case, 0.3, tmp_path)
    inverse = tuple(tuple(row) for row in np.array(case.law).T.tolist())
    right, wrong = (fitted(case, components(law, 0.25), data, tmp_path) for law in (case.law, inverse))
    assert right.r1 < 0.03 < wrong.r1
    assert right.draft.twin[1].fraction == pytest.approx(0.3, abs=0.01)


def test_the_table_of_a_twin_holds_the_first_crystal(tmp_path: Path) -> None:
    fit = fitted(APATITE, components(APATITE.law, 0.25), intensities(APATITE, 0.35, tmp_path, 0.01), tmp_path)
    with np.load(tmp_path / "fit.npz") as table:
        hkl, observed, calculated = table["hkl"], table["f_sq_obs"], table["f_sq_calc"]
    clean = fitted(APATITE, (), intensities(APATITE, 0.0, tmp_path, 0.01), tmp_path)
    with np.load(tmp_path / "fit.npz") as table:
        true = {tuple(row): value for row, value in zip(table["hkl"].tolist(), table["f_sq_calc"], strict=True)}
    known = np.array([true.get(tuple(row), np.nan) for row in hkl.tolist()])
    both = np.isfinite(known)
    assert both.sum() > 100
    assert np.abs(calculated - known)[both].sum() < 0.05 * known[both].sum()
    assert np.abs(observed - known)[both].sum() < 0.05 * known[both].sum()
    assert fit.density_max < 2 * max(clean.density_max, 0.02)


def test_a_reflection_is_left_out_with_those_that_its_law_relates(tmp_path: Path) -> None:
    data = intensities(QUARTZ, 0.5, tmp_path)
    fitted(QUARTZ, components(QUARTZ.law, 0.5), data, tmp_path)
    with np.load(tmp_path / "fit.npz") as table, np.load(data.table.path) as every:
        used, whole = table["hkl"], every["hkl"]
    laws = [law.law for law in twin_laws(QUARTZ.cell, gemmi.SpaceGroup("P -3 m 1"))]
    orbit = orbit_number(whole, gemmi.SpaceGroup(QUARTZ.space_group).hall, [np.eye(3), *laws])
    kept = {tuple(row) for row in used.tolist()}
    left = np.array([tuple(row) not in kept for row in whole.tolist()])
    assert 0 < left.sum() < 0.3 * len(whole)
    assert not set(orbit[left].tolist()) & set(orbit[~left].tolist())
