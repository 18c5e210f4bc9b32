"""The table of scattering factors that a draft names is the one that least squares uses, and the files say so."""

from pathlib import Path

import gemmi
import numpy as np
import pytest
from gemmi import cif

from adapters.cctbx.client import ask
from adapters.cctbx.messages import FitRequest
from adapters.formats.cif_writer import refinement_cif
from adapters.formats.shelx_writer import ins_text
from tasks.crystal.lattice import fractionalisation
from tasks.crystal.scattering_tables import electron_factor
from tasks.model import FileRef, InputError, UnitCell
from tasks.refine.draft import Draft, DraftAtom, DraftFit, UniqueIntensities
from tasks.refine.scattering_choice import with_scattering
from tasks.refine.settings import RefineSettings
from tasks.refine.structure import RefinedStructure

CELL = UnitCell.of((5.64, 5.64, 5.64, 90.0, 90.0, 90.0))
ROCK_SALT = Draft(
    hall="-F 4 2 3",
    unit_cell=CELL,
    atoms=(
        DraftAtom(label="Na1", element="Na", position=(0.0, 0.0, 0.0), u_iso_angstrom2=0.02),
        DraftAtom(label="Cl1", element="Cl", position=(0.5, 0.5, 0.5), u_iso_angstrom2=0.02),
    ),
)


def fitted(draft: Draft, folder: Path, radiation: str = "electron") -> DraftFit:
    """Return F(calc) of a draft, nothing refined."""
    grid = np.stack(np.meshgrid(*[np.arange(0, 8)] * 3, indexing="ij"), axis=-1).reshape(-1, 3).astype(np.int32)
    whole = (grid % 2 == grid[:, :1] % 2).all(axis=1) & (grid[:, 0] >= grid[:, 1]) & (grid[:, 1] >= grid[:, 2])
    hkl = grid[whole & grid.any(axis=1)]
    np.savez(folder / "data.npz", hkl=hkl, intensity=1.0 + 0.1 * np.arange(len(hkl)), sigma=np.ones(len(hkl)))
    data = UniqueIntensities(
        table=FileRef.of(folder / "data.npz"), radiation=radiation, wavelength_angstrom=0.02, friedel_merged=True,
        unique=len(hkl), measured=len(hkl), r_int=None, completeness=1.0, d_min_angstrom=0.6, absences=0,
        absences_violated=0,
    )  # fmt: skip
    request = FitRequest(draft=draft, intensities=data, cycles=0, output=folder / "fit.npz")
    return ask([request], folder, timeout_s=120).replies[0].fit


@pytest.mark.parametrize(
    ("table", "ions"),
    [("peng-1996-high-angle", ""), ("lobato-2014", ""), ("peng-1998-ions", "Na+ Cl-"), ("peng-1998-ions", "")],
)
def test_structure_factors_are_those_of_the_table(table: str, ions: str, tmp_path: Path) -> None:
    draft = with_scattering(ROCK_SALT, "electron", RefineSettings(scattering=table, ions=ions))
    fit = fitted(draft, tmp_path)
    with np.load(fit.table.path) as file:
        hkl, found = file["hkl"], file["f_sq_calc"]
    stol = np.linalg.norm(hkl @ fractionalisation(CELL), axis=1) / 2.0
    sodium, chlorine = (
        electron_factor(draft.scatterer(name), stol, table) * np.exp(-8.0 * np.pi**2 * 0.02 * stol**2)
        for name in ("Na", "Cl")
    )
    wanted = (4.0 * (sodium + (-1.0) ** hkl.sum(axis=1) * chlorine)) ** 2
    assert np.abs(np.sqrt(found) - np.sqrt(wanted)).max() < 0.012 * np.sqrt(wanted).max()


def test_x_rays_can_be_refined_with_the_table_of_waasmaier_and_kirfel(tmp_path: Path) -> None:
    values = {}
    for table in ("it1992", "wk1995"):
        fit = fitted(ROCK_SALT.model_copy(update={"scattering": table}), tmp_path, "xray")
        with np.load(fit.table.path) as file:
            values[table] = np.sqrt(file["f_sq_calc"])
    assert values["wk1995"] == pytest.approx(values["it1992"], rel=0.02)
    assert not np.array_equal(values["wk1995"], values["it1992"])


def test_files_name_the_table_and_the_ions(tmp_path: Path) -> None:
    settings = RefineSettings(scattering="peng-1998-ions", ions="Na1+,")
    draft = with_scattering(ROCK_SALT, "electron", settings)
    fit = fitted(draft, tmp_path)
    data = UniqueIntensities(
        table=FileRef.of(tmp_path / "data.npz"), radiation="electron", wavelength_angstrom=0.02, friedel_merged=True,
        unique=30, measured=30, r_int=None, completeness=1.0, d_min_angstrom=0.6, absences=0, absences_violated=0,
    )  # fmt: skip
    structure = RefinedStructure(
        id="salt", space_group="F m -3 m", hall="-F 4 2 3", fit=fit, intensities=data, formula={"Na": 1.0, "Cl": 1.0},
        formula_units=4.0, program="a test",
    )  # fmt: skip
    block = cif.read_string(refinement_cif(structure)).sole_block()
    sources = {row[0]: row.str(1) for row in block.find("_atom_type_", ["symbol", "scat_source"])}
    assert sources["Na"] == "Peng, Acta Cryst. (1998) A54, 481-485, Na+"
    assert sources["Cl"] == "International Tables Vol C (2006) Table 4.3.2.2"
    assert "ions of Peng (1998)" in gemmi.cif.as_string(block.find_value("_refine_special_details"))
    text = ins_text(structure, intensity_scale=1.0)
    assert "REM Peng, Acta Cryst. (1998) A54, 481-485" in text
    assert "REM Na+: four Gaussians, within" in text


def test_a_table_of_the_other_radiation_is_refused() -> None:
    with pytest.raises(InputError, match=r"refine\.scattering: wk1995 is no table for electrons"):
        with_scattering(ROCK_SALT, "electron", RefineSettings(scattering="wk1995"))
