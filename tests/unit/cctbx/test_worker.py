"""The cctbx worker: right numbers, and its crashes and time limits are typed errors."""

from pathlib import Path

import gemmi
import numpy as np
import pytest

from adapters.cctbx import client
from adapters.cctbx.client import ask
from adapters.cctbx.messages import FitRequest, MergeRequest
from tasks.crystal.scattering import structure_factors
from tasks.model import FileRef, InputError, ProgramFailedError, ProgramTimeoutError, UnitCell
from tasks.refine.draft import Draft, DraftAtom, RidingGroup, UniqueIntensities

CELLS = {
    "P -1": (6.1, 7.2, 8.3, 82.0, 95.0, 104.0),
    "P 21/c": (7.0, 9.0, 11.0, 90.0, 101.0, 90.0),
    "F d d 2": (18.3, 18.6, 6.6, 90.0, 90.0, 90.0),
    "R -3 c": (5.0, 5.0, 17.0, 90.0, 90.0, 120.0),
    "F m -3 m": (20.7, 20.7, 20.7, 90.0, 90.0, 90.0),
}


def draft(symbol: str) -> Draft:
    """Return three atoms, one of them on the origin."""
    atoms = (
        DraftAtom(label="O1", element="O", position=(0.12, 0.23, 0.31), u_iso_angstrom2=0.02),
        DraftAtom(label="C1", element="C", position=(0.41, 0.07, 0.17), u_iso_angstrom2=0.04, occupancy=0.7),
        DraftAtom(label="Zr1", element="Zr", position=(0.0, 0.0, 0.0), u_iso_angstrom2=0.01),
    )
    hall = gemmi.SpaceGroup(symbol).hall
    return Draft(hall=hall, unit_cell=UnitCell.of(CELLS[symbol]), atoms=atoms)


@pytest.mark.parametrize("radiation", ["electron", "xray"])
@pytest.mark.parametrize("symbol", list(CELLS))
def test_structure_factors_agree_with_cctbx(symbol: str, radiation: str, tmp_path: Path) -> None:
    model = draft(symbol)
    grid = np.stack(np.meshgrid(*[np.arange(-4, 5)] * 3, indexing="ij"), axis=-1).reshape(-1, 3).astype(np.int32)
    group = gemmi.symops_from_hall(model.hall)
    # cctbx leaves it to the caller not to ask for reflections that centring forbids
    hkl = np.array([row for row in grid if row.any() and not group.is_systematically_absent(row.tolist())], np.int32)
    ours = structure_factors(
        hkl,
        model.unit_cell,
        group,
        elements=[atom.element for atom in model.atoms],
        positions=np.array([atom.position for atom in model.atoms]),
        u_iso_angstrom2=np.array([atom.u_iso_angstrom2 for atom in model.atoms]),
        occupancies=np.array([atom.occupancy for atom in model.atoms]),
        radiation=radiation,
    )
    # exact intensities would leave no residual to scale the errors by
    spoilt = np.abs(ours) ** 2 * (1.0 + 0.05 * (-1.0) ** np.arange(len(hkl)))
    data = measured(tmp_path, hkl, spoilt, radiation=radiation, wavelength_angstrom=0.02)
    request = FitRequest(draft=model, intensities=data, cycles=0, output=tmp_path / "fit.npz")
    fit = ask([request], tmp_path, timeout_s=60).replies[0].fit
    with np.load(fit.table.path) as table:
        theirs = np.sqrt(table["f_sq_calc"]) * np.exp(1j * np.radians(table["phase_deg"]))
    assert np.abs(ours - theirs).max() < 1e-4 * np.abs(theirs).max()


def measured(
    folder: Path, hkl: np.ndarray, intensity: np.ndarray, *, radiation: str, wavelength_angstrom: float
) -> UniqueIntensities:
    """Return intensities with errors of 2 %."""
    np.savez(folder / "data.npz", hkl=hkl, intensity=intensity, sigma=0.02 * intensity + 0.01)
    return UniqueIntensities(
        table=FileRef.of(folder / "data.npz"), radiation=radiation, wavelength_angstrom=wavelength_angstrom,
        friedel_merged=True, unique=len(hkl), measured=len(hkl), r_int=None, completeness=1.0, d_min_angstrom=1.0,
        absences=0, absences_violated=0,
    )  # fmt: skip


def merge_request(folder: Path, hall: str = "P 1") -> MergeRequest:
    np.savez(folder / "in.npz", hkl=np.array([[1, 0, 0]], np.int32), intensity=np.ones(1), sigma=np.ones(1))
    return MergeRequest(
        hall=hall,
        unit_cell=UnitCell.of(CELLS["P -1"]),
        radiation="electron",
        wavelength_angstrom=0.02,
        merge_friedel=True,
        table=folder / "in.npz",
        output=folder / "out.npz",
    )


def test_a_cell_that_breaks_the_symmetry_is_an_input_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="-F 4 2 3"):
        ask([merge_request(tmp_path, hall="-F 4 2 3")], tmp_path, timeout_s=60)


@pytest.mark.parametrize("death", ["os.abort()", "os.kill(os.getpid(), 11)", "raise RuntimeError('cctbx says no')"])
def test_a_crash_of_the_worker_is_a_typed_error(death: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "START", f"import os; {death}")
    with pytest.raises(ProgramFailedError):
        ask([merge_request(tmp_path)], tmp_path, timeout_s=60)


def test_a_hanging_worker_is_stopped_at_its_time_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "START", "import time; time.sleep(60)")
    with pytest.raises(ProgramTimeoutError):
        ask([merge_request(tmp_path)], tmp_path, timeout_s=0.5)


def test_a_stale_reply_is_not_taken_for_an_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ask([merge_request(tmp_path)], tmp_path, timeout_s=60)
    monkeypatch.setattr(client, "START", "pass")
    with pytest.raises(ProgramFailedError, match="no reply"):
        ask([merge_request(tmp_path)], tmp_path, timeout_s=60)


def test_riding_hydrogen_refused_at_first_rides_once_its_atoms_are_in_place(tmp_path: Path) -> None:
    """The bond to the pivot is too long at the start: no methyl group; least squares mends it in the same call."""
    cell = UnitCell.of((6.0, 6.5, 7.0, 90.0, 90.0, 90.0))
    true = {"O1": (0.4, 0.35, 0.3), "C1": (0.4 + 1.45 / 6.0, 0.35, 0.3), "O2": (0.1, 0.8, 0.7), "N1": (0.9, 0.1, 0.85)}
    begin = {**true, "C1": (0.4 + 1.45 / 6.0, 0.35 + 1.5 / 6.5, 0.3)}
    hydrogens = {f"H{k}": (0.72, 0.35 + 0.1 * (k - 1), 0.35) for k in range(3)}
    atoms = tuple(
        DraftAtom(label=label, element=label[0], position=place, u_iso_angstrom2=0.02)
        for label, place in (begin | hydrogens).items()
    )
    hkl = np.stack(np.meshgrid(*[np.arange(-6, 7)] * 3, indexing="ij"), axis=-1).reshape(-1, 3).astype(np.int32)
    hkl = hkl[(hkl[:, 0] > 0) | ((hkl[:, 0] == 0) & (hkl[:, 1] > 0))]
    f = structure_factors(
        hkl,
        cell,
        gemmi.symops_from_hall("P 1"),
        elements=[label[0] for label in true],
        positions=np.array(list(true.values())),
        u_iso_angstrom2=np.full(4, 0.02),
        occupancies=np.ones(4),
        radiation="electron",
    )
    intensities = measured(tmp_path, hkl, np.abs(f) ** 2, radiation="electron", wavelength_angstrom=0.02)
    group = RidingGroup(kind="methyl", pivot="C1", hydrogens=tuple(hydrogens), bond_length_angstrom=1.05)
    request = FitRequest(
        draft=Draft(hall="P 1", unit_cell=cell, atoms=atoms, riding=(group,)),
        intensities=intensities,
        cycles=30,
        output=tmp_path / "fit.npz",
    )
    fit = ask([request], tmp_path, timeout_s=120).replies[0].fit
    assert fit.riding_refused == ()
    places = {atom.label: np.array(atom.position) for atom in fit.draft.atoms}
    orthogonal = np.array(cell.gemmi().orth.mat.tolist())
    bond = np.linalg.norm(orthogonal @ (places["C1"] - places["O1"]))
    assert bond == pytest.approx(1.45, abs=0.1)


@pytest.mark.parametrize("wavelength", [0.062, 0.7107, 5.0])
def test_photons_beyond_the_table_of_dispersion_scatter_without_it(wavelength: float, tmp_path: Path) -> None:
    """Light atoms, whose dispersion is small in the table too: intensities without it fit to 2 % at any energy."""
    cell = UnitCell.of((6.0, 6.5, 7.0, 90.0, 90.0, 90.0))
    atoms = tuple(
        DraftAtom(label=f"{name}1", element=name, position=place, u_iso_angstrom2=0.02)
        for name, place in {"O": (0.4, 0.35, 0.3), "C": (0.64, 0.35, 0.3), "H": (0.72, 0.45, 0.35)}.items()
    )
    hkl = np.stack(np.meshgrid(*[np.arange(-5, 6)] * 3, indexing="ij"), axis=-1).reshape(-1, 3).astype(np.int32)
    hkl = hkl[(hkl[:, 0] > 0) | ((hkl[:, 0] == 0) & (hkl[:, 1] > 0))]
    f = structure_factors(
        hkl, cell, gemmi.symops_from_hall("P 1"), elements=[atom.element for atom in atoms],
        positions=np.array([atom.position for atom in atoms]), u_iso_angstrom2=np.full(3, 0.02),
        occupancies=np.ones(3), radiation="xray",
    )  # fmt: skip
    intensities = measured(tmp_path, hkl, np.abs(f) ** 2, radiation="xray", wavelength_angstrom=wavelength)
    model = Draft(hall="P 1", unit_cell=cell, atoms=atoms)
    request = FitRequest(draft=model, intensities=intensities, cycles=0, output=tmp_path / "fit.npz")
    assert ask([request], tmp_path, timeout_s=120).replies[0].fit.r1 < 0.02


def test_extinction_is_found_and_counts_for_the_reflections_left_out(tmp_path: Path) -> None:
    """Intensities weakened by the formula of the SHELXL manual: its coefficient comes back, left-out ones agree."""
    cell, wavelength, strength = UnitCell.of((6.0, 6.5, 7.0, 90.0, 90.0, 90.0)), 0.0251, 8000.0
    atoms = tuple(
        DraftAtom(label=f"{name}1", element=name, position=place, u_iso_angstrom2=0.02)
        for name, place in {"O": (0.4, 0.35, 0.3), "C": (0.64, 0.35, 0.3), "Si": (0.1, 0.8, 0.7)}.items()
    )
    hkl = np.stack(np.meshgrid(*[np.arange(-6, 7)] * 3, indexing="ij"), axis=-1).reshape(-1, 3).astype(np.int32)
    hkl = hkl[(hkl[:, 0] > 0) | ((hkl[:, 0] == 0) & (hkl[:, 1] > 0))]
    f = structure_factors(
        hkl, cell, gemmi.symops_from_hall("P 1"), elements=[atom.element for atom in atoms],
        positions=np.array([atom.position for atom in atoms]), u_iso_angstrom2=np.full(3, 0.02),
        occupancies=np.ones(3), radiation="electron",
    )  # fmt: skip
    square = np.abs(f) ** 2
    double_angle = 2.0 * np.arcsin(wavelength / 2.0 / cell.gemmi().calculate_d_array(hkl))
    intensity = square / np.sqrt(1.0 + 0.001 * strength * square * wavelength**3 / np.sin(double_angle))
    assert (intensity / square).min() < 0.8
    intensities = measured(tmp_path, hkl, intensity, radiation="electron", wavelength_angstrom=wavelength)
    fits = []
    for start in (None, 0.001):
        request = FitRequest(
            draft=Draft(hall="P 1", unit_cell=cell, atoms=atoms, extinction=start), intensities=intensities,
            cycles=40, held_out=0.2, output=tmp_path / "fit.npz",
        )  # fmt: skip
        fits.append(ask([request], tmp_path, timeout_s=120).replies[0].fit)
    without, with_it = fits
    assert with_it.draft.extinction == pytest.approx(strength, rel=0.02)
    assert with_it.r1_free < 0.005 < without.r1_free
