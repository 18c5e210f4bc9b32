"""MTZ of several crystals, unmerged and merged, as gemmi and iotbx write them; what a header may claim."""

import subprocess
import sys
from pathlib import Path

import gemmi
import numpy as np
import pytest

from adapters.formats.file_format import SeveralBlocksError
from adapters.formats.inspect_file import inspect_file
from adapters.formats.mtz import read_mtz
from adapters.formats.read_intensities import read_intensity_file, reflections_from_file
from tasks.integrate.reflection_file import read_merged
from tasks.model import SourceError, UnitCell

CELL = gemmi.UnitCell(6.25, 7.5, 21.75, 90, 90, 90)
OTHER = gemmi.UnitCell(6.5, 7.75, 22.0, 90, 90, 90)
ROWS = [(1, 0, 0, 10.5, 0.5), (0, 2, 0, 4.25, 0.25), (1, 1, 3, -0.5, 1.5)]
WRITTEN_BY_IOTBX = """
import sys
from cctbx import crystal, miller
from cctbx.array_family import flex
symmetry = crystal.symmetry(unit_cell=(6.25, 7.5, 21.75, 90, 90, 90), space_group_symbol="P 21 21 21")
indices = flex.miller_index([(1, 0, 0), (0, 2, 0), (1, 1, 3)])
data = miller.set(symmetry, indices, anomalous_flag=False).array(
    data=flex.double([10.5, 4.25, -0.5]), sigmas=flex.double([0.5, 0.25, 1.5])
).set_observation_type_xray_intensity()
data.as_mtz_dataset(column_root_label="IOBS", wavelength=0.0251).mtz_object().write(sys.argv[1])
"""


def merged(*crystals: tuple[str, str, gemmi.UnitCell, float], types: str = "JQ") -> gemmi.Mtz:
    """Return a file with a pair of columns for each crystal; values grow by one from crystal to crystal."""
    mtz = gemmi.Mtz(with_base=True)
    mtz.spacegroup, mtz.cell = gemmi.SpaceGroup("P 21 21 21"), CELL
    for number, (crystal, dataset, cell, wavelength) in enumerate(crystals):
        added = mtz.add_dataset(dataset)
        added.crystal_name, added.cell, added.wavelength = crystal, cell, wavelength
        for place, kind in enumerate(types):
            mtz.add_column(f"{kind}{number}.{place}", kind, dataset_id=added.id)
    pairs = len(crystals) * len(types) // 2
    table = [[*row[:3], *(value + n for n in range(pairs) for value in row[3:])] for row in ROWS]
    mtz.set_data(np.array(table, dtype=np.float32))
    return mtz


def unmerged(of_batch: list[int], batches: list[int]) -> gemmi.Mtz:
    """Return ROWS observed once in each batch, and the batches' data sets."""
    mtz = gemmi.Mtz(with_base=True)
    mtz.spacegroup, mtz.cell = gemmi.SpaceGroup("P 21 21 21"), CELL
    for number in sorted(set(of_batch)):
        added = mtz.add_dataset(f"set{number}")
        added.crystal_name, added.cell, added.wavelength = f"crystal{number}", CELL, 0.0251
    for label, kind in (("M/ISYM", "Y"), ("BATCH", "B"), ("I", "J"), ("SIGI", "Q"), ("ROT", "R")):
        mtz.add_column(label, kind, dataset_id=1)
    for number, dataset in zip(batches, of_batch, strict=True):
        batch = gemmi.Mtz.Batch()
        batch.number, batch.dataset_id = number, dataset
        mtz.batches.append(batch)
    table = [
        [*hkl, 1 + 2 * (n % 2), number, value + n, sigma, 0.5 * number]
        for n, number in enumerate(batches)
        for *hkl, value, sigma in ROWS
    ]
    mtz.set_data(np.array(table, dtype=np.float32))
    return mtz


def saved(mtz: gemmi.Mtz, path: Path) -> Path:
    mtz.write_to_file(str(path))
    return path


def test_what_gemmi_writes_comes_back_exactly(tmp_path: Path) -> None:
    table = read_mtz(saved(merged(("x", "one", CELL, 0.0251)), tmp_path / "a.mtz"))
    found = sorted((*hkl, i, s) for hkl, i, s in zip(table.data.hkl.tolist(), table.data.intensity, table.data.sigma))
    assert found == sorted(ROWS)
    assert table.unit_cell.parameters == CELL.parameters
    assert table.space_group == "P 21 21 21"
    assert table.wavelength_angstrom == pytest.approx(0.0251, rel=1e-6)


def test_of_several_crystals_one_must_be_named(tmp_path: Path) -> None:
    path = saved(merged(("first", "peak", CELL, 0.0251), ("second", "peak", OTHER, 0.0197)), tmp_path / "a.mtz")
    with pytest.raises(
        SeveralBlocksError, match="several data sets hold reflections: first/peak, second/peak"
    ) as caught:
        read_intensity_file(path)
    assert caught.value.names == ("first/peak", "second/peak")
    assert "--block" in caught.value.advice
    with pytest.raises(SourceError, match=r"no crystal or data set 'third'"):
        read_intensity_file(path, block="third")
    with pytest.raises(SeveralBlocksError):
        read_intensity_file(path, block="peak")
    for block in ("second", "second/peak"):
        table = read_intensity_file(path, block=block)
        assert sorted(table.data.intensity.tolist()) == [0.5, 5.25, 11.5]
        assert table.unit_cell.parameters == OTHER.parameters
        assert table.wavelength_angstrom == pytest.approx(0.0197, rel=1e-6)
    assert list(inspect_file(path).metadata["blocks"]) == ["first/peak", "second/peak"]


def test_a_data_set_of_amplitudes_beside_intensities_is_no_second_choice(tmp_path: Path) -> None:
    mtz = merged(("x", "one", CELL, 0.0251))
    added = mtz.add_dataset("amplitudes")
    for label, kind in (("FP", "F"), ("SIGFP", "Q")):
        mtz.add_column(label, kind, dataset_id=added.id)
    assert len(read_mtz(saved(mtz, tmp_path / "a.mtz")).data.hkl) == len(ROWS)


def test_both_of_a_friedel_pair_are_observations(tmp_path: Path) -> None:
    table = read_mtz(saved(merged(("x", "one", CELL, 0.0251), types="KMKM"), tmp_path / "a.mtz"))
    assert len(table.data.hkl) == 2 * len(ROWS)
    assert sorted(map(tuple, table.data.hkl.tolist())) == sorted(
        [tuple(sign * x for x in row[:3]) for row in ROWS for sign in (1, -1)]
    )


def test_unmerged_observations_keep_their_own_indices_angles_and_batches(tmp_path: Path) -> None:
    table = read_mtz(saved(unmerged([1, 1, 1], [3, 7, 12]), tmp_path / "a.mtz"))
    assert table.data.crystal.tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2]
    assert table.data.angle_deg.tolist() == [1.5] * 3 + [3.5] * 3 + [6.0] * 3
    assert table.data.intensity.tolist() == [value + n for n in range(3) for value in (10.5, 4.25, -0.5)]
    assert table.data.hkl[2].tolist() == [1, 1, 3]
    turned = gemmi.SpaceGroup("P 21 21 21").operations().sym_ops[1]
    assert table.data.hkl[5].tolist() == list(turned.apply_to_hkl([1, 1, 3]))
    assert dict(table.facts)["batches"] == 3


def test_batches_of_several_crystals_are_chosen_by_name(tmp_path: Path) -> None:
    path = saved(unmerged([1, 1, 2], [3, 7, 12]), tmp_path / "a.mtz")
    with pytest.raises(SeveralBlocksError, match="crystal1/set1, crystal2/set2"):
        read_mtz(path)
    assert read_mtz(path, "crystal1").data.intensity.tolist() == [10.5, 4.25, -0.5, 11.5, 5.25, 0.5]
    assert read_mtz(path, "crystal2").data.intensity.tolist() == [12.5, 6.25, 1.5]


def test_the_file_that_we_write_keeps_every_number_to_single_precision(tmp_path: Path) -> None:
    hkl = gemmi.make_miller_array(CELL, gemmi.SpaceGroup("P m m m"), 1.2)
    rng = np.random.default_rng(3)
    rows = [
        f"{h} {k} {l} {value:.4f} {error:.4f}"
        for (h, k, l), value, error in zip(
            hkl.tolist(), rng.exponential(100.0, len(hkl)) + 1, rng.random(len(hkl)) + 0.5, strict=True
        )
    ]
    (tmp_path / "a.csv").write_text("\n".join(["h k l I sigma", *rows]))
    given = UnitCell.of(CELL.parameters)
    found = reflections_from_file(
        tmp_path / "a.csv", cell=given, space_group="P 21 21 21", energy_kev=200, workdir=tmp_path
    )
    merged, table = read_merged(found.merged), read_mtz(found.mtz.path)
    assert len(table.data.hkl) == len(hkl)
    assert np.array_equal(table.data.hkl, merged.hkl)
    assert np.array_equal(table.data.intensity, merged.intensity.astype(np.float32))
    assert np.array_equal(table.data.sigma, merged.sigma.astype(np.float32))
    assert table.unit_cell == given
    assert table.space_group == "P 21 21 21"


def test_values_that_are_missing_are_counted(tmp_path: Path) -> None:
    mtz = merged(("x", "one", CELL, 0.0251))
    table = np.array(mtz.array, copy=True)
    table[0, 3] = np.nan
    mtz.set_data(table)
    found = read_mtz(saved(mtz, tmp_path / "a.mtz"))
    assert len(found.data.hkl) == len(ROWS) - 1
    assert "1 reflections left out" in found.warnings[0]


def test_what_iotbx_writes_comes_back_exactly(tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-c", WRITTEN_BY_IOTBX, str(tmp_path / "a.mtz")], check=True, capture_output=True)
    table = read_mtz(tmp_path / "a.mtz")
    found = sorted((*hkl, i, s) for hkl, i, s in zip(table.data.hkl.tolist(), table.data.intensity, table.data.sigma))
    assert found == sorted(ROWS)
    assert table.unit_cell.parameters == CELL.parameters
    assert table.wavelength_angstrom == pytest.approx(0.0251, rel=1e-6)


def test_a_header_that_claims_more_than_the_file_holds_takes_no_memory(tmp_path: Path) -> None:
    path = saved(merged(("x", "one", CELL, 0.0251)), tmp_path / "a.mtz")
    content = path.read_bytes()
    found = content.index(b"NCOL")
    claim = b"NCOL        5   2000000000        0"
    path.write_bytes(content[:found] + claim.ljust(80) + content[found + 80 :])
    with pytest.raises(SourceError, match="claims 2000000000 reflections"):
        read_mtz(path)
