"""Five refined structures opened by gemmi, iotbx, shelxfile and cod-tools: every line that a chemist reads is compared.

Each program reads the files alone. What it finds is held against the refinement and against results.json, to the
digits that a file states: a value with its standard uncertainty is rounded by a quarter of that at most.
"""

import re
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import gemmi
import numpy as np
import pytest
from gemmi import cif
from shelxfile import Shelxfile

from tasks.model import Composition
from tasks.refine.draft import DraftAtom
from tasks.refine.models import Refinement
from tasks.refine.structure import RefinedStructure
from tasks.report.results import results
from tests.synthetic.cif_names import OUTSIDE_CORE
from tests.synthetic.opened_by_iotbx import opened_by_iotbx
from tests.synthetic.outcomes import example_outcome
from tests.synthetic.refined_examples import EXAMPLES, refined_example

pytestmark = pytest.mark.needs_shared

QUARTER = 0.26
"""Of a standard uncertainty: what rounding to it may cost, when its own digits go up to 19."""


class Files(NamedTuple):
    """A refined structure and what stands in its files and in results.json."""

    name: str
    structure: RefinedStructure
    refinement: Refinement
    block: cif.Block
    told: dict[str, Any]
    composition: Composition

    @property
    def atoms(self) -> tuple[DraftAtom, ...]:
        return self.structure.fit.draft.atoms


@pytest.fixture(scope="module", params=EXAMPLES)
def files(request: pytest.FixtureRequest, shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Files:
    """Return one of the structures, refined against its real data."""
    folder = tmp_path_factory.mktemp(request.param)
    made = refined_example(request.param, shared_data, folder)
    outcome = example_outcome(folder, tilts=5)
    first = outcome.crystals[0].model_copy(update={"refinement": made.refinement})
    told = results(outcome.model_copy(update={"crystals": (first, *outcome.crystals[1:])}), folder)
    block = cif.read(str(made.refinement.cif.path)).sole_block()
    entry = told["crystals"][0]["refinement"]
    return Files(request.param, made.structure, made.refinement, block, entry, made.composition)


def close_to(ours: Sequence[float], theirs: Sequence[float], esds: Sequence[float] | None, digits: float) -> None:
    """Assert that numbers of a file are ours, rounded."""
    for value, read, esd in zip(ours, theirs, esds or (0.0,) * len(ours), strict=True):
        assert abs(value - read) <= QUARTER * esd + digits, (ours, theirs, esds)


def compare_atoms(files: Files, found: Sequence[dict[str, Any]], *, rounded: bool) -> None:
    """Assert that a program found our atoms: labels, elements, places, displacements, occupancies, multiplicities."""
    assert [atom["label"] for atom in found] == [atom.label for atom in files.atoms]
    assert [atom["element"] for atom in found] == [atom.element for atom in files.atoms]
    for ours, row, theirs in zip(files.atoms, files.structure.fit.atoms, found, strict=True):
        place_esd = row.position_esd if rounded and not row.riding else None
        # a program may take another lattice vector of an atom on a special position
        apart = np.array(theirs["position"]) - ours.position
        close_to([0, 0, 0], apart - np.round(apart), place_esd, 6e-6)
        assert theirs["occupancy"] == pytest.approx(ours.occupancy, abs=1e-4)
        assert theirs.get("multiplicity", row.multiplicity) == row.multiplicity
        assert (theirs["u_aniso"] is None) == (ours.u_aniso_angstrom2 is None)
        if ours.u_aniso_angstrom2 is not None:
            close_to(ours.u_aniso_angstrom2, theirs["u_aniso"], row.u_esd if rounded else None, 6e-6)
        else:
            close_to([row.u_equivalent], [theirs["u"]], row.u_esd if rounded else None, 1.1e-5)


def test_gemmi_reads_cell_group_and_atoms_of_the_cif(files: Files) -> None:
    small = gemmi.make_small_structure_from_block(files.block)
    close_to(files.structure.unit_cell.parameters, small.cell.parameters, files.structure.whole_cell_esd, 6e-5)
    group = gemmi.find_spacegroup_by_ops(gemmi.GroupOps([gemmi.Op(text) for text in small.symops]))
    assert group.hall == files.refinement.hall
    assert small.spacegroup_hm == files.refinement.space_group
    assert group.number == int(files.block.find_value("_space_group_IT_number"))
    found = [
        {
            "label": site.label,
            "element": site.element.name,
            "position": site.fract.tolist(),
            "occupancy": site.occ,
            "u": site.u_iso,
            "u_aniso": tuple(site.aniso.elements_pdb()) if site.aniso.nonzero() else None,
        }
        for site in small.sites
    ]
    compare_atoms(files, found, rounded=True)


def test_iotbx_reads_the_same_structure_of_cif_and_res_and_the_same_r1_of_the_fcf(files: Files) -> None:
    refinement = files.refinement
    found = opened_by_iotbx(refinement.cif.path, refinement.res.path, refinement.fcf.path)
    group = gemmi.find_spacegroup_by_ops(gemmi.symops_from_hall(refinement.hall))
    for kind in ("cif", "res"):
        assert found[kind]["number"] == group.number
        assert found[kind]["order"] == len(list(group.operations()))
    close_to(refinement.unit_cell.parameters, found["cif"]["cell"], files.structure.whole_cell_esd, 6e-5)
    close_to(refinement.unit_cell.parameters, found["res"]["cell"], None, 6e-5)
    compare_atoms(files, found["cif"]["atoms"], rounded=True)
    res_atoms = [atom | {"label": atom["label"]} for atom in found["res"]["atoms"]]
    by_name = {atom["label"].upper(): atom for atom in res_atoms}
    heavy = [atom for atom in files.atoms if atom.element != "H"]
    assert {atom.label.upper() for atom in heavy} <= set(by_name)
    for atom in heavy:
        close_to(atom.position, by_name[atom.label.upper()]["position"], None, 1e-6)
        assert by_name[atom.label.upper()]["occupancy"] == pytest.approx(atom.occupancy, abs=1e-4)
        close_to(atom.u_aniso_angstrom2 or (), by_name[atom.label.upper()]["u_aniso"] or (), None, 6e-6)
    units = files.structure.formula_units
    contents = {element: count * units for element, count in files.structure.formula.items()}
    assert found["contents"] == pytest.approx(contents, rel=1e-3)
    assert found["density"] == pytest.approx(float(files.block.find_value("_exptl_crystal_density_diffrn")), abs=2e-3)
    assert found["r1"] == pytest.approx(refinement.r1, abs=1e-5)
    assert found["reflections"] == refinement.reflections
    assert abs(found["observed"] - refinement.reflections_observed) <= 1  # one may lie at 2 sigma, rounded


def test_shelxfile_reads_every_figure_of_the_res_and_the_ins(files: Files) -> None:
    refinement, fit = files.refinement, files.structure.fit
    for reference in (refinement.res, refinement.ins):
        res = Shelxfile()
        res.read_file(str(reference.path))
        close_to(refinement.unit_cell.parameters, tuple(res.cell), None, 6e-5)
        assert res.wavelength == pytest.approx(files.structure.intensities.wavelength_angstrom, rel=1e-6)
        assert pytest.approx(files.structure.formula_units) == res.Z
        assert Composition.parse(res.sum_formula.title()).counts == pytest.approx(files.structure.formula)
        assert res.formula_weight == pytest.approx(files.structure.formula_weight, abs=0.02)
        assert (float(res.wght.a), float(res.wght.b)) == pytest.approx(refinement.weights, abs=1e-5)
        atoms = [atom for atom in res.atoms.all_atoms if not atom.qpeak]
        assert [atom.element for atom in atoms] == [atom.element for atom in _in_file_order(files)]
        for theirs, ours in zip(atoms, _in_file_order(files), strict=True):
            close_to(ours.position, tuple(theirs.frac_coords), None, 1e-6)
            u = ours.u_aniso_angstrom2
            if u is not None:
                close_to((u[0], u[1], u[2], u[5], u[4], u[3]), theirs.uvals, None, 6e-6)
    res = Shelxfile()
    res.read_file(str(refinement.res.path))
    assert (res.R1, res.wr2, res.goof) == pytest.approx((refinement.r1, refinement.wr2, refinement.goof), abs=6e-4)
    assert (res.data, res.parameters) == (refinement.reflections, refinement.parameters)
    assert res.num_restraints == refinement.restraints
    assert (res.highest_peak, res.deepest_hole) == pytest.approx((fit.density_max, fit.density_min), abs=6e-4)


def _in_file_order(files: Files) -> list[DraftAtom]:
    """Return the atoms as SHELX lists them: riding hydrogen behind the atom that carries it."""
    draft = files.structure.fit.draft
    by_label = {atom.label: atom for atom in draft.atoms}
    carried = {group.pivot: group.hydrogens for group in draft.riding}
    riding = {label for labels in carried.values() for label in labels}
    return [
        by_label[label]
        for atom in draft.atoms
        if atom.label not in riding
        for label in (atom.label, *carried.get(atom.label, ()))
    ]


def test_the_cif_states_what_results_json_states(files: Files) -> None:
    block, told = files.block, files.told

    def stated(tag: str) -> float:
        return float(cif.as_number(block.find_value(tag)))

    figures = {
        "_refine_ls_R_factor_gt": "r1", "_refine_ls_R_factor_all": "r1_all", "_refine_ls_wR_factor_ref": "wr2",
        "_refine_ls_goodness_of_fit_ref": "goof", "_refine_ls_number_parameters": "parameters",
        "_refine_ls_number_restraints": "restraints", "_refine_ls_number_reflns": "reflections",
        "_reflns_number_total": "reflections", "_reflns_number_gt": "reflections_observed",
    }  # fmt: skip
    for tag, key in figures.items():
        assert stated(tag) == pytest.approx(told[key], abs=6e-4), tag
    for tag, value in zip(("length_a", "length_b", "length_c"), told["unit_cell"], strict=False):
        assert stated(f"_cell_{tag}") == pytest.approx(value, abs=1e-3)
    assert cif.as_string(block.find_value("_chemical_formula_sum")) == told["formula"]
    assert cif.as_string(block.find_value("_space_group_name_H-M_alt")) == told["space_group"]
    volume = files.structure.unit_cell.volume_angstrom3
    assert stated("_cell_volume") == pytest.approx(volume, rel=1e-3)
    units = stated("_cell_formula_units_Z")
    assert units == files.structure.formula_units
    assert stated("_chemical_formula_weight") == pytest.approx(files.structure.formula_weight, abs=0.01)
    density = stated("_chemical_formula_weight") * units * 1.66053907 / volume
    assert stated("_exptl_crystal_density_diffrn") == pytest.approx(density, abs=1e-3)
    assert stated("_refine_ls_shift/su_max") == pytest.approx(files.refinement.shift_over_esd_max, abs=6e-4)
    alerts = cif.as_string(block.find_value("_refine_special_details"))
    assert len(re.findall(r"Alert [ABC] [A-Z]{3}\d\d:", alerts)) == len(told["alerts"])


def test_the_residual_potential_is_in_charges_per_angstrom_by_electrons_only(files: Files) -> None:
    electron = files.structure.intensities.radiation == "electron"
    potential, density = (
        files.block.find_value(tag) for tag in ("_refine_diff.potential_max", "_refine_diff_density_max")
    )
    assert (potential is None, density is None) == (not electron, electron)
    if electron:
        assert float(potential) == pytest.approx(3.3249 * files.refinement.density_max, abs=6e-4)


def complaints_of_gemmi(files: Files, dictionary: Path) -> list[str]:
    complaints: list[str] = []
    rules = cif.Ddl(logger=(complaints.append, 6), print_unknown_tags=True)
    rules.read_ddl(cif.read(str(dictionary)))
    rules.validate_cif(cif.read(str(files.refinement.cif.path)))
    return complaints


def test_the_cif_obeys_the_core_dictionary_by_gemmi(files: Files, shared_data: Path) -> None:
    complaints = complaints_of_gemmi(files, shared_data / "cif-dictionaries/cif_core_2.4.5_DDL1.dic")
    assert [text for text in complaints if not any(name in text for name in OUTSIDE_CORE)] == []


def said_by(*command: str) -> list[str]:
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    return [line for line in (run.stdout + run.stderr).splitlines() if line.strip()]


@pytest.mark.needs_cod_tools
def test_cod_tools_validate_the_cif_against_core_and_electron_diffraction(files: Files, shared_data: Path) -> None:
    folder = shared_data / "cif-dictionaries"
    named = ("cif_core_2.4.5_DDL1.dic", "cif_core.dic", "cif_ed_cif_ed.dic")
    chosen = [part for name in named for part in ("-D", str(folder / name))]
    said = said_by("cif_validate", "--clear-dictionaries", *chosen, str(files.refinement.cif.path))
    allowed = (
        "templ_attr.cif", "templ_enum.cif",  # parts of the core dictionary that are not in the folder of the tests
        *(f"'{name}" for name in OUTSIDE_CORE if "." not in name),
        "missing category key data item -- the '_diffrn_radiation_wavelength.id'",  # a list of one, as SHELXL writes it
        "'_geom_bond_atom_site_label_2'] act as a composite loop key",  # DDL1 forgets the symmetry of the second atom
    )  # fmt: skip
    assert [line for line in said if not any(text in line for text in allowed)] == []


SEVERITY = {"ERROR": "A", "WARNING": "B", "NOTE": "C"}
CRITERIA = {"_refine_ls_R_factor_gt": "FIT01", "_refine_ls_wR_factor_ref": "FIT02"}
"""Items that cod-tools hold against the IUCr's criteria, and our codes for them."""


@pytest.mark.needs_cod_tools
def test_cod_tools_find_nothing_to_mend_and_grade_r_factors_as_the_alerts_do(files: Files) -> None:
    said = said_by("cif_cod_check", "--always-continue", str(files.refinement.cif.path))
    graded = {
        CRITERIA[item]: SEVERITY[word]
        for word, item in re.findall(r": (\w+), data item '(\w+)' value", "\n".join(said))
    }
    ours = {alert.code: alert.level for alert in files.refinement.alerts if alert.code in CRITERIA.values()}
    assert ours == graded
    allowed = ("_publ_", "_journal_", "(s) encountered", *CRITERIA)
    assert [line for line in said if not any(text in line for text in allowed)] == []


@pytest.mark.needs_cod_tools
def test_cod_tools_count_the_formula_by_the_atoms(files: Files) -> None:
    said = said_by("cif_cell_contents", str(files.refinement.cif.path))
    assert Composition.parse(said[-1]).counts == pytest.approx(files.structure.formula)


@pytest.mark.needs_cod_tools
@pytest.mark.parametrize("files", ["l-alanine", "tyrosine", "cinchonine-xds"], indirect=True)
def test_cod_tools_build_the_molecule(files: Files) -> None:
    said = said_by("cif_molecule", str(files.refinement.cif.path))
    (formula,) = (line.partition(" ")[2].strip() for line in said if line.startswith("_[local]_cod_src_chemical"))
    assert Composition.parse(formula.strip("'")).counts == pytest.approx(files.structure.formula)
