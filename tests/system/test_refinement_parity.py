"""Least squares from published models gives what SHELXL gave, and published kinematical figures."""

from pathlib import Path

import numpy as np
import pytest
from shelxfile import Shelxfile

from adapters.cctbx.client import ask
from adapters.cctbx.messages import FitRequest, MergeRequest
from tasks.model import UnitCell
from tasks.refine.draft import Draft, DraftAtom, DraftFit, UniqueIntensities
from tests.synthetic.known_structures import read_hklf4

pytestmark = pytest.mark.needs_shared

HALL = {"l-alanine": "P 2ac 2ab", "sucrose": "P 2yb", "tyrosine": "P 2ac 2ab", "cinchonine": "P 2yb"}


def draft_of_res(path: Path, hall: str) -> tuple[Draft, float]:
    """Return the model of a SHELXL file; riding hydrogen atoms are held where it left them."""
    res = Shelxfile()
    res.read_file(str(path))
    atoms, pivot_u = [], 0.0
    for atom in res.atoms.all_atoms:
        if atom.qpeak:
            continue
        u = atom.uvals
        common = {"label": atom.name, "element": atom.element, "position": tuple(atom.frac_coords)}
        if any(abs(x) > 1e-9 for x in u[1:]):
            pivot_u = sum(u[:3]) / 3
            tensor = (u[0], u[1], u[2], u[5], u[4], u[3])
            atoms.append(DraftAtom(**common, u_iso_angstrom2=pivot_u, u_aniso_angstrom2=tensor))
        elif u[0] < 0:
            held = {"refine_position": False, "refine_u": False}
            atoms.append(DraftAtom(**common, u_iso_angstrom2=-u[0] * pivot_u, **held))
        else:
            atoms.append(DraftAtom(**common, u_iso_angstrom2=u[0]))
    weights = (float(res.wght.a), float(res.wght.b))
    draft = Draft(hall=hall, unit_cell=UnitCell.of(tuple(res.cell)), atoms=tuple(atoms), weights=weights)
    return draft, float(res.wavelength)


def refine(draft: Draft, wavelength: float, hkl_path: Path, folder: Path, **how) -> tuple[DraftFit, UniqueIntensities]:
    """Return the fit and its data."""
    hkl, intensity, sigma = read_hklf4(hkl_path)
    np.savez(folder / "in.npz", hkl=hkl, intensity=intensity, sigma=sigma)
    prepare = MergeRequest(
        hall=draft.hall,
        unit_cell=draft.unit_cell,
        radiation=how["radiation"],
        wavelength_angstrom=wavelength,
        merge_friedel=how["radiation"] == "electron",
        d_min_angstrom=how.get("d_min"),
        table=folder / "in.npz",
        output=folder / "unique.npz",
    )
    intensities = ask([prepare], folder, timeout_s=300).replies[0].intensities
    request = FitRequest(draft=draft, intensities=intensities, cycles=20, output=folder / "fit.npz")
    return ask([request], folder, timeout_s=600).replies[0].fit, intensities


def test_l_alanine_gives_shelxls_figures(shared_data: Path, tmp_path: Path) -> None:
    draft, wavelength = draft_of_res(shared_data / "l-alanine/iam.res", HALL["l-alanine"])
    fit, data = refine(draft, wavelength, shared_data / "l-alanine/iam.hkl", tmp_path, radiation="xray")
    assert data.unique == 2519
    assert fit.parameters == 83
    assert fit.r1 == pytest.approx(0.0285, abs=0.0003)
    assert fit.r1_all == pytest.approx(0.0304, abs=0.0003)
    assert fit.wr2 == pytest.approx(0.0637, abs=0.0005)
    assert fit.goof == pytest.approx(2.251, abs=0.02)
    assert fit.density_max == pytest.approx(0.531, abs=0.03)
    assert fit.converged


def test_sucrose_gives_shelxls_figures(shared_data: Path, tmp_path: Path) -> None:
    draft, wavelength = draft_of_res(shared_data / "sucrose/DK_Zucker2_0m.res", HALL["sucrose"])
    fit, data = refine(draft, wavelength, shared_data / "sucrose/DK_Zucker2_0m.hkl", tmp_path, radiation="xray")
    assert data.unique == 18544
    assert data.r_int == pytest.approx(0.0327, abs=0.002)
    assert fit.r1 == pytest.approx(0.0226, abs=0.001)
    assert fit.r1_all == pytest.approx(0.0234, abs=0.001)
    assert fit.wr2 == pytest.approx(0.0630, abs=0.001)
    moved = [np.abs(np.array(a.position) - b.position).max() for a, b in zip(draft.atoms, fit.draft.atoms, strict=True)]
    assert max(moved) < 2e-4


def test_tyrosine_electron_data_refine_below_the_published_model_unrefined(shared_data: Path, tmp_path: Path) -> None:
    draft, wavelength = draft_of_res(shared_data / "tyrosine/2.ins", HALL["tyrosine"])
    data = shared_data / "tyrosine/2.hkl"
    fit, intensities = refine(draft, wavelength, data, tmp_path, radiation="electron", d_min=0.7)
    assert intensities.r_int == pytest.approx(0.167, abs=0.01)
    assert fit.r1 < 0.119


def test_cinchonine_electron_data_refine_to_the_published_r1(shared_data: Path, tmp_path: Path) -> None:
    folder = shared_data / "cinchonine/DemoData/Cinchonine/shelxl"
    draft, wavelength = draft_of_res(folder / "shelxl.res", HALL["cinchonine"])
    fit, _ = refine(draft, wavelength, folder / "shelxl.hkl", tmp_path, radiation="electron")
    assert fit.parameters == 89
    assert fit.r1 == pytest.approx(0.1765, abs=0.005)
