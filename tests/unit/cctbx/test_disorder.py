"""Parts, occupancies and pores in the cctbx worker, and the files that carry them."""

import subprocess
import sys
from pathlib import Path

import gemmi
import numpy as np
import pytest
from shelxfile import Shelxfile

from adapters.cctbx.client import ask
from adapters.cctbx.messages import FitRequest, MergeRequest
from adapters.cctbx.numerics import WorkerLeastSquares
from adapters.formats.cif_writer import refinement_cif
from adapters.formats.shelx_ins import read_shelx
from adapters.formats.shelx_writer import ins_text, res_text
from adapters.formats.solvent_files import fab_text
from tasks.crystal.scattering import Radiation, structure_factors
from tasks.model import UnitCell
from tasks.refine.draft import Draft, DraftAtom, DraftFit, UniqueIntensities
from tasks.refine.structure import RefinedStructure
from tests.synthetic.filled_pores import filled_pores
from tests.synthetic.known_structures import load_uio66

CELL = UnitCell.of((6.1, 7.2, 8.3, 82.0, 95.0, 104.0))
HALL = "-P 1"
SHARE, GUEST = 0.63, 0.45
ATOMS = (
    DraftAtom(label="O1", element="O", position=(0.12, 0.23, 0.31), u_iso_angstrom2=0.02),
    DraftAtom(label="C1", element="C", position=(0.41, 0.07, 0.17), u_iso_angstrom2=0.03),
    DraftAtom(label="Zr1", element="Zr", position=(0.0, 0.0, 0.0), u_iso_angstrom2=0.01),
    DraftAtom(label="F1", element="F", position=(0.60, 0.40, 0.40), u_iso_angstrom2=0.04, occupancy=SHARE,
              part=1, occupancy_group="a"),
    DraftAtom(label="F2", element="F", position=(0.30, 0.60, 0.70), u_iso_angstrom2=0.05, occupancy=SHARE,
              part=1, occupancy_group="a"),
    DraftAtom(label="F1B", element="F", position=(0.70, 0.33, 0.42), u_iso_angstrom2=0.04, occupancy=1 - SHARE,
              part=2, occupancy_group="-a", u_as="F1"),
    DraftAtom(label="F2B", element="F", position=(0.37, 0.69, 0.60), u_iso_angstrom2=0.05, occupancy=1 - SHARE,
              part=2, occupancy_group="-a", u_as="F2"),
    DraftAtom(label="N1", element="N", position=(0.85, 0.80, 0.20), u_iso_angstrom2=0.03, occupancy=GUEST,
              occupancy_group="b"),
)  # fmt: skip


def started(atom: DraftAtom, rng: np.random.Generator) -> DraftAtom:
    """Return an atom displaced, its occupancy forgotten."""
    x, y, z = (np.array(atom.position) + (0.0 if atom.label == "Zr1" else 0.01) * rng.normal(size=3)).tolist()
    occupancy = {"a": 0.5, "-a": 0.5, "b": 0.7, None: 1.0}[atom.occupancy_group]
    return atom.model_copy(update={"position": (x, y, z), "u_iso_angstrom2": 0.04, "occupancy": occupancy})


@pytest.fixture(scope="module")
def split(tmp_path_factory: pytest.TempPathFactory) -> tuple[DraftFit, UniqueIntensities]:
    """Return the fit of a structure with two parts and a guest that is not always there."""
    folder, rng = tmp_path_factory.mktemp("split"), np.random.default_rng(0)
    hkl = gemmi.make_miller_array(CELL.gemmi(), gemmi.SpaceGroup("P -1"), 0.9).astype(np.int32)
    f = structure_factors(
        hkl, CELL, gemmi.symops_from_hall(HALL), elements=[a.element for a in ATOMS],
        positions=np.array([a.position for a in ATOMS]), u_iso_angstrom2=np.array([a.u_iso_angstrom2 for a in ATOMS]),
        occupancies=np.array([a.occupancy for a in ATOMS]), radiation="electron",
    )  # fmt: skip
    intensity = np.abs(f) ** 2
    sigma = 0.05 * intensity + 0.01 * intensity.mean()
    np.savez(folder / "d.npz", hkl=hkl, intensity=intensity + sigma * rng.normal(size=len(hkl)), sigma=sigma)
    data = unique(folder, HALL, CELL, "electron")
    draft = Draft(hall=HALL, unit_cell=CELL, atoms=tuple(started(atom, rng) for atom in ATOMS))
    request = FitRequest(draft=draft, intensities=data, cycles=30, output=folder / "fit.npz")
    return ask([request], folder, timeout_s=120).replies[0].fit, data


def unique(folder: Path, hall: str, cell: UnitCell, radiation: Radiation) -> UniqueIntensities:
    """Return the intensities of d.npz as a refinement takes them; photons of an energy without dispersion."""
    request = MergeRequest(
        hall=hall, unit_cell=cell, radiation=radiation, wavelength_angstrom=0.0251, merge_friedel=True,
        table=folder / "d.npz", output=folder / "unique.npz",
    )  # fmt: skip
    return ask([request], folder, timeout_s=120).replies[0].intensities


def structure(split: tuple[DraftFit, UniqueIntensities]) -> RefinedStructure:
    fit, data = split
    formula = {"C": 1.0, "F": 2.0, "N": GUEST, "O": 1.0, "Zr": 0.5}
    return RefinedStructure(
        id="split", space_group="P -1", hall=HALL, fit=fit, intensities=data, formula=formula, formula_units=2.0,
        program="a test",
    )  # fmt: skip


def test_two_parts_share_one_occupancy_and_a_guest_has_its_own(split: tuple[DraftFit, UniqueIntensities]) -> None:
    fit, _ = split
    atoms, rows = {a.label: a for a in fit.draft.atoms}, {r.label: r for r in fit.atoms}
    assert atoms["F1"].occupancy == atoms["F2"].occupancy == pytest.approx(SHARE, abs=0.02)
    assert atoms["F1B"].occupancy == atoms["F2B"].occupancy == pytest.approx(1.0 - atoms["F1"].occupancy, abs=1e-12)
    assert atoms["N1"].occupancy == pytest.approx(GUEST, abs=0.03)
    assert abs(atoms["N1"].occupancy - GUEST) < 4 * rows["N1"].occupancy_esd
    assert rows["F1"].occupancy_esd == pytest.approx(rows["F1B"].occupancy_esd)
    assert rows["O1"].occupancy_esd is None
    assert atoms["F1B"].u_iso_angstrom2 == atoms["F1"].u_iso_angstrom2
    # scale; places of seven atoms; displacements of six, two shared; two occupancies
    assert fit.parameters == 1 + 7 * 3 + 6 + 2
    for truth in ATOMS:
        assert np.abs(np.array(atoms[truth.label].position) - truth.position).max() < 0.004


FROM_RES = """
import sys
import cctbx.xray
from iotbx.shelx import parse_smtbx_refinement_model
model = parse_smtbx_refinement_model(filename=sys.argv[1])
for s in model.structure.scatterers():
    print(s.label, s.occupancy)
"""


def test_res_says_parts_and_free_variables_as_others_read_them(
    split: tuple[DraftFit, UniqueIntensities], tmp_path: Path
) -> None:
    fit, _ = split
    made = structure(split)
    path = tmp_path / "refined.res"
    path.write_text(res_text(made, intensity_scale=1.0))
    truth = {atom.label: atom for atom in fit.draft.atoms}
    theirs = Shelxfile()
    theirs.read_file(path)
    listed = [atom for atom in theirs.atoms if not atom.qpeak]
    assert {atom.name: atom.part.n for atom in listed} == {label: atom.part for label, atom in truth.items()}
    halves = {atom.name: 0.5 if atom.name == "Zr1" else 1.0 for atom in listed}
    for atom in listed:
        assert atom.occupancy == pytest.approx(truth[atom.name].occupancy * halves[atom.name], abs=1e-5)
    for atom in read_shelx(path).atoms:
        assert atom.part == truth[atom.name].part
        assert atom.occupancy == pytest.approx(truth[atom.name].occupancy * halves[atom.name], abs=1e-5)
    # iotbx reads no SFAC line with numbers: the same for X-rays
    for_xrays = made.model_copy(update={"intensities": made.intensities.model_copy(update={"radiation": "xray"})})
    path.write_text(ins_text(for_xrays, intensity_scale=1.0))
    run = subprocess.run([sys.executable, "-c", FROM_RES, str(path)], capture_output=True, text=True, check=True)
    rows = [line.split() for line in run.stdout.splitlines()]
    assert {name.lower(): float(value) for name, value in rows} == pytest.approx(
        {label.lower(): atom.occupancy for label, atom in truth.items()}, abs=2e-5
    )


def test_structure_factors_of_the_res_are_those_of_the_refinement(
    split: tuple[DraftFit, UniqueIntensities], tmp_path: Path
) -> None:
    fit, _ = split
    path = tmp_path / "refined.res"
    path.write_text(ins_text(structure(split), intensity_scale=1.0))
    read = read_shelx(path)
    shares = {row.label: row.multiplicity / 2 for row in fit.atoms}
    with np.load(fit.table.path) as table:
        hkl, theirs = table["hkl"], np.sqrt(table["f_sq_calc"])
    ours = np.abs(
        structure_factors(
            hkl, read.unit_cell, read.operations(), elements=[a.element for a in read.atoms],
            positions=np.array([a.position for a in read.atoms]),
            u_iso_angstrom2=np.array([a.u[0] for a in read.atoms]),
            occupancies=np.array([a.occupancy / shares[a.name] for a in read.atoms]), radiation="electron",
        )
    )  # fmt: skip
    assert np.abs(ours - theirs).max() < 1e-3 * theirs.max()


def test_cif_says_assembly_part_and_occupancy_with_its_uncertainty(split: tuple[DraftFit, UniqueIntensities]) -> None:
    block = gemmi.cif.read_string(refinement_cif(structure(split))).sole_block()
    tags = ["label", "occupancy", "refinement_flags_occupancy", "disorder_assembly", "disorder_group"]
    rows = {row[0]: list(row)[1:] for row in block.find("_atom_site_", tags)}
    assert rows["F1"][1:] == rows["F2"][1:] == ["P", "A", "1"]
    assert rows["F1B"][1:] == ["P", "A", "2"]
    assert rows["N1"][1:] == ["P", ".", "."]
    assert rows["O1"] == ["1", ".", ".", "."]
    assert "(" in rows["F1"][0]
    bonds = {frozenset(row) for row in block.find("_geom_bond_", ["atom_site_label_1", "atom_site_label_2"])}
    assert not any({"F1", "F1B"} <= pair or {"F2", "F2B"} <= pair for pair in bonds)


@pytest.mark.needs_shared
def test_a_mask_of_filled_pores_counts_their_contents_and_leaves_the_framework_where_it_is(
    shared_data: Path, tmp_path: Path
) -> None:
    """UiO-66 with 150 atoms a cell in its pores, electrons, errors of 5 %, to 1.1 A."""
    model = load_uio66(shared_data)
    filled = filled_pores(model, "F m -3 m", atoms=150, radiation="electron", d_min=1.1, seed=3)
    np.savez(tmp_path / "d.npz", hkl=filled.merged.hkl, intensity=filled.merged.intensity, sigma=filled.merged.sigma)
    hall = gemmi.SpaceGroup("F m -3 m").hall
    data = unique(tmp_path, hall, model.cell, "electron")
    atoms = tuple(
        DraftAtom(label=f"{element}{i}", element=element, position=tuple(place), u_iso_angstrom2=float(u))
        for i, (element, place, u) in enumerate(
            zip(model.elements, model.positions.tolist(), model.u_iso_angstrom2, strict=True)
        )
    )
    engine = WorkerLeastSquares(tmp_path, 300)
    plain = engine.fit(Draft(hall=hall, unit_cell=model.cell, atoms=atoms), data, cycles=8)
    mask = engine.solvent(plain.draft, data)
    masked = engine.fit(plain.draft.model_copy(update={"solvent": mask}), data, cycles=8)
    again = engine.solvent(masked.draft, data)
    assert masked.r1 < 0.5 * plain.r1
    assert again.content == pytest.approx(filled.content, rel=0.15)
    assert len(mask.voids) == 1  # the cages of UiO-66 open into each other
    heavy = [i for i, element in enumerate(model.elements) if element != "H"]
    moved = [np.array(masked.draft.atoms[i].position) - model.positions[i] for i in heavy]
    assert np.abs(moved).max() * model.cell.a < 0.03
    # the mask is in F(calc) of the fit, and the FAB file has the same
    lines = [line.split() for line in fab_text(mask).splitlines()]
    listed = {tuple(map(int, row[:3])): complex(float(row[3]), float(row[4])) for row in lines}
    assert lines[-1][:3] == ["0", "0", "0"]
    with np.load(masked.table.path) as table:
        hkl, f_sq = table["hkl"], table["f_sq_calc"]
    bare = structure_factors(
        hkl, model.cell, gemmi.symops_from_hall(hall), elements=[a.element for a in masked.draft.atoms],
        positions=np.array([a.position for a in masked.draft.atoms]),
        u_iso_angstrom2=np.array([a.u_iso_angstrom2 for a in masked.draft.atoms]),
        occupancies=np.ones(len(atoms)), radiation="electron",
    )  # fmt: skip
    with_pores = np.abs(bare + np.array([listed[tuple(row)] for row in hkl.tolist()]))
    assert np.abs(with_pores - np.sqrt(f_sq)).max() < 1e-3 * with_pores.max()
