"""TWIN and BASF, and the CIF of a twin: against shelxfile and closed forms."""

from pathlib import Path

import gemmi
import numpy as np
from shelxfile import Shelxfile
from shelxfile.shelx.cards import BASF

from adapters.formats.cif_writer import refinement_cif
from adapters.formats.shelx_writer import ins_text
from adapters.formats.twin_text import twin_lines
from tasks.refine.draft import Draft, DraftAtom, TwinComponent
from tasks.refine.structure import RefinedStructure
from tests.synthetic.drafts import fit_of, intensities_of
from tests.synthetic.twins import APATITE, CRYOLITE, TwinCase

IDENTITY = ((1, 0, 0), (0, 1, 0), (0, 0, 1))
FOURFOLD = ((0, 1, 0), (-1, 0, 0), (0, 0, 1))


def structure(case: TwinCase, folder: Path) -> RefinedStructure:
    group = gemmi.SpaceGroup(case.space_group)
    twin = (TwinComponent(law=IDENTITY, fraction=0.6489), TwinComponent(law=case.law, fraction=0.3511))
    atoms = tuple(DraftAtom(label=f"{e}{i}", element=e, position=xyz) for i, (e, xyz, _) in enumerate(case.sites))
    draft = Draft(hall=group.hall, unit_cell=case.cell, atoms=atoms, twin=twin)
    fit = fit_of(draft, folder / "fit.npz", twin_esd=(0.0041,))
    data = intensities_of(folder / "unique.npz")
    np.savez(data.table.path, hkl=np.array([[1, 0, 2], [2, 1, 1]], np.int32), intensity=np.ones(2), sigma=np.ones(2))
    return RefinedStructure(
        id=case.name, space_group=group.xhm(), hall=group.hall, fit=fit, intensities=data, formula={"Ca": 1.0},
        formula_units=2, program="x",
    )  # fmt: skip


def test_shelxfile_reads_law_and_fraction(tmp_path: Path) -> None:
    made = structure(APATITE, tmp_path)
    formula = {element: 1.0 for element, _, _ in APATITE.sites}
    text = ins_text(made.model_copy(update={"formula": formula}), intensity_scale=1.0)
    (tmp_path / "twin.ins").write_text(text)
    read = Shelxfile()
    read.read_file(str(tmp_path / "twin.ins"))
    assert read.twin.matrix == [0.0, 1.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, -1.0]
    assert read.twin.n_value == 2
    card = next(card for card in read._reslist if isinstance(card, BASF))  # not among its attributes
    assert card.scale_factors == [0.3511]


def test_powers_of_one_law_are_written_once() -> None:
    turns = [IDENTITY, FOURFOLD, ((-1, 0, 0), (0, -1, 0), (0, 0, 1))]
    twin = [TwinComponent(law=law, fraction=part) for law, part in zip(turns, (0.5, 0.3, 0.2), strict=True)]
    assert twin_lines(twin) == ["TWIN 0 1 0 -1 0 0 0 0 1 3", "BASF 0.30000 0.20000"]
    assert twin_lines([twin[0], twin[2], twin[1]])[0] == "REM twin law -h,-k,l, fraction 0.2000"
    assert twin_lines([]) == []


def test_the_cif_names_every_component(tmp_path: Path) -> None:
    for case, kind in ((APATITE, "mt_II"), (CRYOLITE, "pmt")):
        block = gemmi.cif.read_string(refinement_cif(structure(case, tmp_path))).sole_block()
        table = block.find("_twin_individual_", ["id", "mass_fraction_refined", "twin_lattice_type", "twin_matrix_12"])
        assert [list(row) for row in table] == [
            ["1", "0.649(4)", "ref", "0"],
            ["2", "0.351(4)", kind, str(case.law[0][1])],
        ]
