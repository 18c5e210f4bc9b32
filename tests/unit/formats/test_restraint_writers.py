"""Restraints in INS, RES and CIF: read back by shelxfile, iotbx's names and the dictionary of SHELXL's restraints."""

from pathlib import Path

import gemmi
import numpy as np
import pytest
from gemmi import cif
from shelxfile import Shelxfile

from adapters.formats.cif_restraints import restraint_loops, symmetry_code
from adapters.formats.cif_writer import refinement_cif
from adapters.formats.shelx_restraints import restraint_lines
from adapters.formats.shelx_writer import ins_text, res_text
from tasks.refine import RefinedStructure, RestrainedPair, Restraint, RestraintPull
from tests.synthetic.drafts import chain as chain_of
from tests.synthetic.drafts import fit_of, intensities_of

SYMMETRY = "-x+1,-y,z+1/2"
RESTRAINTS = (
    Restraint(
        kind="distance", pairs=(RestrainedPair(first="X0", second="X1"),), target_angstrom=1.53, esd=0.02, why="test"
    ),
    Restraint(
        kind="distance",
        pairs=(RestrainedPair(first="X1", second="X2", operation=SYMMETRY),),
        target_angstrom=1.53,
        esd=0.02,
        why="test",
    ),
    Restraint(
        kind="one-three distance",
        pairs=(RestrainedPair(first="X0", second="X2"),),
        target_angstrom=2.51,
        esd=0.04,
        why="test",
    ),
    Restraint(
        kind="equal distances",
        pairs=(RestrainedPair(first="X1", second="X2"), RestrainedPair(first="X2", second="X3")),
        esd=0.02,
        why="test",
    ),
    Restraint(kind="plane", atoms=("X0", "X1", "X2", "X3", "X4"), esd=0.1, why="test"),
    Restraint(kind="similar displacements", pairs=(RestrainedPair(first="X0", second="X1"),), esd=0.04, why="test"),
    Restraint(kind="similar displacements", pairs=(RestrainedPair(first="X1", second="X2"),), esd=0.08, why="test"),
    Restraint(kind="rigid bond", pairs=(RestrainedPair(first="X0", second="X1"),), esd=0.004, why="test"),
)
NAMES = {f"X{k}": f"C{k + 1}" for k in range(5)}


def test_each_restraint_becomes_the_instruction_of_shelxl() -> None:
    assert restraint_lines(RESTRAINTS, NAMES) == [
        "EQIV $1 -X+1,-Y,Z+1/2",
        "DFIX 1.53 0.02 C1 C2 C2 C3_$1",
        "DANG 2.51 0.04 C1 C3",
        "SADI 0.02 C2 C3 C3 C4",
        "FLAT 0.1 C1 C2 C3 C4 C5",
        "SIMU 0.04 0.08 2 C1 C2 C3",
        "RIGU 0.004 0.004 C1 C2",
    ]


@pytest.fixture
def structure(tmp_path: Path) -> RefinedStructure:
    """Return five carbon atoms in a row with restraints of every kind."""
    draft = chain_of("CCCCC").model_copy(update={"restraints": RESTRAINTS, "scale": 1.0})
    deviations = ((0.01,), (-0.02,), (0.03,), (0.001, -0.001), (0.2, -0.1), (0.0,) * 6, (0.0,), (0.003, 0.002, 0.001))
    pulls = tuple(
        RestraintPull(kind=kind, count=count, rms_over_esd=0.5, worst_over_esd=1.0, worst_at="X0 X1")
        for kind, count in (("distance", 2), ("plane", 2))
    )
    fit = fit_of(draft, tmp_path / "fit.npz", pulls=pulls, deviations=deviations, goof_restrained=1.234)
    return RefinedStructure(
        id="few-data", space_group="P 1", hall="P 1", fit=fit, intensities=intensities_of(tmp_path / "data.npz"),
        formula={"C": 5.0}, formula_units=1.0, program="a test",
    )  # fmt: skip


def test_shelxfile_reads_the_restraints_and_complains_of_none(structure: RefinedStructure, tmp_path: Path) -> None:
    for text in (ins_text(structure, intensity_scale=1.0), res_text(structure, intensity_scale=1.0)):
        path = tmp_path / "refined.res"
        path.write_text(text)
        read = Shelxfile()
        read.read_file(path)
        kinds = [type(item).__name__ for item in read.restraints]
        assert kinds == ["DFIX", "DANG", "SADI", "FLAT", "SIMU", "RIGU"]
        assert read.restraints[0].d == 1.53
        assert read.restraints[0].atoms == ["X0", "X1", "X1", "X2_$1"]
    assert "parameters refined using 4 restraints" in text
    assert "Restrained GooF = 1.234" in text


def test_the_cif_lists_every_restraint_with_its_target_and_its_deviation(structure: RefinedStructure) -> None:
    loops = {loop.prefix: loop for loop in restraint_loops(structure)}
    assert loops["_restr_distance_"].rows[0] == ["X0", "X1", ".", "1.530", "0.020", "-0.0100"]
    assert loops["_restr_equal_distance_class_"].rows == [["1", "0.020", "0.0010"]]
    assert loops["_restr_chirality_"].rows[1] == ["X0", "X1", "X2", "X4", "0.0", "0.100", "0.1000"]
    assert loops["_restr_RIGU_"].rows == [["X0", "X1", "0.0040", "0.0030", "0.0020", "0.0010"]]
    assert len(loops["_restr_SIMU_"].rows) == 2


def test_symmetry_codes_are_those_of_the_list_of_operations() -> None:
    operations = list(gemmi.symops_from_hall("-P 2ybc"))
    number = next(k for k, op in enumerate(operations, 1) if op.wrap() == gemmi.Op("-x,y+1/2,-z+1/2"))
    assert symmetry_code("-x+1,y+1/2,-z-1/2", operations) == f"{number}_654"
    assert symmetry_code("x,y,z", operations) == "."
    assert symmetry_code("-y,x,z", operations) == "?"


@pytest.mark.needs_shared
def test_names_of_restrained_displacements_are_in_the_dictionary_of_shelxl(
    structure: RefinedStructure, shared_data: Path
) -> None:
    known = (shared_data / "cif-dictionaries/cif_shelxl.dic").read_text()
    for loop in restraint_loops(structure):
        if loop.prefix in {"_restr_SIMU_", "_restr_RIGU_"}:
            assert all(f"'{loop.prefix}{tag}'" in known for tag in loop.tags)


def test_the_number_of_restraints_and_their_goodness_of_fit_stand_in_the_cif(structure: RefinedStructure) -> None:
    np.savez(structure.intensities.table.path, hkl=np.array([[1, 0, 0], [0, 2, 0]], np.int32))
    block = cif.read_string(refinement_cif(structure)).sole_block()
    assert block.find_value("_refine_ls_number_restraints") == "4"
    assert block.find_value("_refine_ls_restrained_S_all") == "1.234"
    assert len(block.find("_restr_distance_", ["target"])) == 3
