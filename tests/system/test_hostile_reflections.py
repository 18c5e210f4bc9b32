"""Two hundred damaged files of each format of reflections and structures: a typed error or a result, no more."""

import json
import struct
from collections.abc import Callable
from pathlib import Path

import gemmi
import numpy as np
import pytest

from adapters.formats.inspect_file import inspect_file
from adapters.formats.read_intensities import read_intensity_file
from tasks.model import ApertureError
from tests.synthetic.hostile_files import mutated, no_longer_than
from tests.system.test_hostile_input import files_below

N_FILES = 200
LIMIT_S = 60
HKL = "".join(
    f"{h:4d}{k:4d}{l:4d}{10.0 * (h + k + l):8.2f}{1.0:8.2f}\n" for h in range(1, 5) for k in range(4) for l in range(4)
)
INS = "TITL a\nCELL 0.0251 8 9 10 90 95 90\nLATT -1\nSFAC C O\nUNIT 4 4\nC1 1 0.1 0.2 0.3 11.0 0.05\n"
XSCALE = """!FORMAT=XDS_ASCII    MERGE=FALSE
!SPACE_GROUP_NUMBER=   19
!UNIT_CELL_CONSTANTS=     6.008     7.025    21.690  90.000  90.000  90.000
! ISET=   1 X-RAY_WAVELENGTH= 0.025080
!ITEM_H=1
!ITEM_K=2
!ITEM_L=3
!ITEM_IOBS=4
!ITEM_SIGMA(IOBS)=5
!ITEM_ZD=6
!ITEM_ISET=7
!END_OF_HEADER
"""
XSCALE += "".join(f"{h} {k} 1 {10 * h + k} 1.5 3.5 {h}\n" for h in range(1, 6) for k in range(8)) + "!END_OF_DATA\n"
INTEGRATE = """!OUTPUT_FILE=INTEGRATE.HKL
!UNIT_CELL_CONSTANTS=     6.008     7.025    21.690  90.000  90.000  90.000
!H,K,L,IOBS,SIGMA,XCAL,YCAL,ZCAL,RLP,PEAK,CORR
!END_OF_HEADER
"""
INTEGRATE += "".join(f"{h} {k} 1 {10 * h + k} 1.5 3.5 3.5 7.5 0.5 100 50\n" for h in range(1, 6) for k in range(8))
RES = INS + "HKLF 4 1 1 0 0 0 1 0 0 0 1 1\nEND\n"
MMCIF = "data_j\n_cell.length_a 8\n_cell.length_b 9\n_cell.length_c 10\n_cell.angle_alpha 90\n_cell.angle_beta 95\n"
MMCIF += "_cell.angle_gamma 90\n_symmetry.space_group_name_H-M 'P 1 21 1'\nloop_\n_refln.index_h\n_refln.index_k\n"
MMCIF += "_refln.index_l\n_refln.intensity_meas\n_refln.intensity_sigma\n"
MMCIF += "".join(f"{h} {k} 1 {10 * h + k} 1.5\n" for h in range(1, 6) for k in range(8))
ATOMS = (
    "data_a\n_cell_length_a 5\n_cell_length_b 6\n_cell_length_c 7\n_cell_angle_alpha 90\n_cell_angle_beta 95\n"
    "_cell_angle_gamma 90\n_space_group_name_H-M_alt 'P 1 21/c 1'\nloop_\n_atom_site_label\n_atom_site_fract_x\n"
    "_atom_site_fract_y\n_atom_site_fract_z\n" + "".join(f"C{n} 0.{n} 0.2 0.3\n" for n in range(1, 20))
)
PDB = "CRYST1   50.000   60.000   70.000  90.00  90.00  90.00 P 21 21 21\n" + "".join(
    f"ATOM  {n:5d}  CA  ALA A{n:4d}    {n:8.3f}   6.134  -6.504  1.00  0.00           C\n" for n in range(1, 30)
)
EXPT = json.dumps(
    {
        "__id__": "ExperimentList",
        "experiment": [{}],
        "imageset": [{"mask": "/etc/passwd"}],
        "beam": [{"wavelength": 0.0251, "probe": "electron"}],
        "crystal": [
            {
                "real_space_a": [5, 0, 0],
                "real_space_b": [0, 6, 0],
                "real_space_c": [0, 0, 7],
                "space_group_hall_symbol": "P 1",
            }
        ],
    }
)


def refl() -> bytes:
    """Return a reflection table of two columns."""
    body = b"".join(
        bytes([0xA0 + len(name)]) + name + b"\x92\xa3int\x92\x10\xc6" + struct.pack(">I", 64) + bytes(64)
        for name in (b"miller_index", b"intensity.scale.value", b"id")
    )
    return b"\x93\xbbdials::af::reflection_table\x01\x83\xabidentifiers\x80\xa5nrows\x10\xa4data\x83" + body


def mtz(path: Path) -> bytes:
    """Return an unmerged file of two crystals."""
    made = gemmi.Mtz(with_base=True)
    made.spacegroup, made.cell = gemmi.SpaceGroup("P 21 21 21"), gemmi.UnitCell(6, 7, 21, 90, 90, 90)
    for name in ("first", "second"):
        made.add_dataset(name).crystal_name = name
    for label, kind in (("M/ISYM", "Y"), ("BATCH", "B"), ("I", "J"), ("SIGI", "Q")):
        made.add_column(label, kind, dataset_id=1)
    for number in (1, 2):
        batch = gemmi.Mtz.Batch()
        batch.number, batch.dataset_id = number, number
        made.batches.append(batch)
    rows = [[h, k, 1, 1, 1 + h % 2, 10 * h + k, 1.5] for h in range(1, 6) for k in range(8)]
    made.set_data(np.array(rows, dtype=np.float32))
    made.write_to_file(str(path))
    return path.read_bytes()


FILES: dict[str, Callable[[Path], bytes]] = {
    "a.mtz": lambda folder: mtz(folder / "a.mtz"),
    "b.HKL": lambda _: XSCALE.encode(),
    "c.HKL": lambda _: INTEGRATE.encode(),
    "d.refl": lambda _: refl(),
    "e.ins": lambda _: (INS + "HKLF -4 1 1 0 0 0 1 0 0 0 1 1\n" + HKL).encode(),
    "f.res": lambda _: (INS + "HKLF 4\nEND\n").encode(),
    "g.cif": lambda _: ATOMS.encode(),
    "h.pdb": lambda _: PDB.encode(),
    "i.cif": lambda _: f"data_i\n_shelx_res_file\n;\n{RES};\n_shelx_hkl_file\n;\n{HKL};\n".encode(),
    "j.cif": lambda _: MMCIF.encode(),
}


def refusal(look: Callable[[Path], object], path: Path) -> str | None:
    """Return what a typed error says, None if the file was taken."""
    try:
        look(path)
    except ApertureError as error:
        return error.message
    return None


@pytest.mark.parametrize("name", FILES)
def test_two_hundred_mutated_files_are_inspected_and_read(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both by the same table; DIALS is not there, so that nothing is started for its tables."""
    monkeypatch.setenv("PATH", "/nowhere")
    path, rng = tmp_path / name, np.random.default_rng(21)
    good = FILES[name](tmp_path)
    (tmp_path / "d.expt").write_text(EXPT)
    path.write_bytes(good)
    before, taken = files_below(tmp_path), 0
    with no_longer_than(LIMIT_S):
        inspect_file(path)
        for _ in range(N_FILES):
            path.write_bytes(mutated(good, rng))
            for look in (inspect_file, read_intensity_file):
                said = refusal(look, path)
                taken += said is None
                assert said is None or name in said or "dials.export" in said
    assert files_below(tmp_path) == before
    assert 0 < taken < 2 * N_FILES, "no mutation mattered, or all did"


def test_two_hundred_mutated_experiments(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    rng = np.random.default_rng(22)
    (tmp_path / "d.refl").write_bytes(refl())
    with no_longer_than(LIMIT_S):
        for _ in range(N_FILES):
            (tmp_path / "d.expt").write_bytes(mutated(EXPT.encode(), rng))
            for look in (inspect_file, read_intensity_file):
                said = refusal(look, tmp_path / "d.refl")
                assert said is None or "d." in said or "dials.export" in said
