"""The cctbx worker: right numbers, and its crashes and time limits are typed errors."""

from pathlib import Path

import gemmi
import numpy as np
import pytest

from adapters.cctbx import client
from adapters.cctbx.client import ask
from adapters.cctbx.messages import PrepareRequest, StructureFactorsRequest
from tasks.model import InputError, ProgramFailedError, ProgramTimeoutError, UnitCell
from tasks.model.scattering import structure_factors
from tasks.refine.draft import Draft, DraftAtom

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
    np.savez(tmp_path / "hkl.npz", hkl=hkl)
    request = StructureFactorsRequest(
        draft=model, radiation=radiation, table=tmp_path / "hkl.npz", output=tmp_path / "f.npz"
    )
    ask([request], tmp_path, timeout_s=60)
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
    theirs = np.load(tmp_path / "f.npz")["f"]
    assert np.abs(ours - theirs).max() < 1e-4 * np.abs(theirs).max()


def prepare_request(folder: Path, hall: str = "P 1") -> PrepareRequest:
    np.savez(folder / "in.npz", hkl=np.array([[1, 0, 0]], np.int32), intensity=np.ones(1), sigma=np.ones(1))
    return PrepareRequest(
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
        ask([prepare_request(tmp_path, hall="-F 4 2 3")], tmp_path, timeout_s=60)


@pytest.mark.parametrize("death", ["os.abort()", "os.kill(os.getpid(), 11)", "raise RuntimeError('cctbx says no')"])
def test_a_crash_of_the_worker_is_a_typed_error(death: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "START", f"import os; {death}")
    with pytest.raises(ProgramFailedError):
        ask([prepare_request(tmp_path)], tmp_path, timeout_s=60)


def test_a_hanging_worker_is_stopped_at_its_time_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "START", "import time; time.sleep(60)")
    with pytest.raises(ProgramTimeoutError):
        ask([prepare_request(tmp_path)], tmp_path, timeout_s=0.5)


def test_a_stale_reply_is_not_taken_for_an_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ask([prepare_request(tmp_path)], tmp_path, timeout_s=60)
    monkeypatch.setattr(client, "START", "pass")
    with pytest.raises(ProgramFailedError, match="no reply"):
        ask([prepare_request(tmp_path)], tmp_path, timeout_s=60)
