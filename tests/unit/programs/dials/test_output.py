"""What DIALS prints and writes, read; what it is told, written."""

import json
import math
from pathlib import Path

import gemmi
import numpy as np
import pytest

from adapters.programs.dials.commands import basis_change, index_argv, mask_phil
from adapters.programs.dials.indexing import INDEX_TRIALS, Indexed, SenseResult, _other_candidate, axis_verdict
from adapters.programs.dials.integration import cell_esd
from adapters.programs.dials.output import (
    BravaisSetting,
    IndexingResult,
    best_candidate,
    bravais_settings,
    choose_setting,
    crystal_cells,
    indexing_result,
    refined_cell_esd,
    reversed_goniometers,
    scaled_statistics,
    spot_count,
)
from adapters.programs.dials.session import Session
from adapters.programs.rectangles import mask_rectangles
from tasks.model import ProgramFailedError, UnitCell

SETTINGS = [
    BravaisSetting(5, "oC", 0.090, 1.97, 0.69, "b-c,b+c,a"),
    BravaisSetting(2, "mP", 0.0493, 0.20, 0.76, "-b,a,c"),
    BravaisSetting(1, "aP", 0.0489, 0.0, None, "a,b,c"),
]


@pytest.fixture
def baseline(shared_data: Path) -> Path:
    """Logs of DIALS on the real cinchonine series."""
    return shared_data / "cinchonine" / "dials_baseline"


def test_the_last_state_of_indexing_is_read(baseline: Path) -> None:
    result = indexing_result((baseline / "index0.log").read_text())
    assert (result.indexed, result.unindexed) == (723, 57)
    assert result.fraction == pytest.approx(0.927, abs=0.001)
    assert 0 < result.rmsd_px < 2
    assert 0 < result.rmsd_deg < 0.3


def test_the_summary_of_scaling_is_read(baseline: Path) -> None:
    found = scaled_statistics((baseline / "scale.log").read_text())
    assert found == (0.705, 2.3, 31.3, 0.094, 0.995, 1535, 668)


def test_a_candidate_that_indexes_more_is_seen() -> None:
    log = """
| 6.35 6.47 11.11 75.4 75.3 69.0   |      406 |           0    |        171 |          46 |              0.86 |  0.05 |
| 7.28 10.61 11.12 108.0 90.1 90.8 |      816 |           1.01 |        309 |          83 |              0    |  0.05 |
| 7.26 10.70 11.11 108.1 90.3 90.5 |      820 |           1.02 |        309 |          83 |              0    |  0.05 |
"""
    assert best_candidate(log) == (0.83, "7.28,10.61,11.12,108.0,90.1,90.8")
    assert best_candidate("none") is None


@pytest.mark.parametrize(("share", "remedy"), [(0.46, "unit_cell=7.28,10.61,11.12,108.0,90.1,90.8"), (0.80, None)])
def test_half_a_lattice_is_tried_again_with_the_whole_one(tmp_path: Path, share: float, remedy: str | None) -> None:
    row = "| 7.28 10.61 11.12 108.0 90.1 90.8 | 816 | 1.01 | 309 | 83 | 0 | 0.05 |\n"
    (tmp_path / "index_turned.out").write_text(row)
    (tmp_path / "index_given.out").write_text(row.replace("83", "99"))
    taken = SenseResult(IndexingResult(round(1000 * share), round(1000 * (1 - share)), 0.9, 0.1), "")
    test = axis_verdict((1.0, 0.0, 0.0), SenseResult(None, "none"), taken, radius_px=100)
    other = _other_candidate(Session(tmp_path, 10), Indexed(share, 1000, test))
    assert (None if other is None else other[0]) == remedy


def test_logs_without_a_result_give_none() -> None:
    assert indexing_result("DIALS 3.12\nNo suitable lattice could be found.\n") is None
    assert scaled_statistics("nothing") is None
    assert spot_count("Extracted 0 spots") == 0
    assert spot_count("Saved 694 reflections to strong.refl") == 694


def test_a_lattice_that_fits_half_as_well_is_not_chosen() -> None:
    assert choose_setting(SETTINGS).bravais == "mP"
    assert choose_setting([SETTINGS[0]._replace(rmsd=0.05, max_angle_deg=0.3), *SETTINGS[1:]]).bravais == "oC"
    assert choose_setting(SETTINGS[2:]).bravais == "aP"


def test_a_summary_of_another_kind_is_a_typed_error() -> None:
    row = {"bravais": "mP", "rmsd": 0.1, "max_angular_difference": 0.2, "min_cc": None, "cb_op": "a,b,c"}
    assert bravais_settings(json.dumps({"2": row})) == [BravaisSetting(2, "mP", 0.1, 0.2, None, "a,b,c")]
    for text in ("{", "[]", '{"1": {}}'):
        with pytest.raises(ProgramFailedError, match="not understood"):
            bravais_settings(text)


def test_experiments_are_read_and_their_axis_turned_round() -> None:
    text = json.dumps(
        {
            "crystal": [{"real_space_a": [10, 0, 0], "real_space_b": [0, 7, 0], "real_space_c": [-3, 0, 9]}],
            "goniometer": [{"rotation_axis": [0.6, 0.8, 0.0]}],
        }
    )
    cell = crystal_cells(text)[0]
    assert cell.parameters[:2] == (10, 7)
    assert cell.beta == pytest.approx(math.degrees(math.acos(-3 / math.hypot(3, 9))))
    assert json.loads(reversed_goniometers(text))["goniometer"][0]["rotation_axis"] == [-0.6, -0.8, -0.0]
    with pytest.raises(ProgramFailedError, match="not understood"):
        crystal_cells("{}")


def test_equal_indexed_shares_are_decided_by_the_error_about_the_axis() -> None:
    """Measured on cinchonine: 625 of 693 spots either way, in the plane 0.89 and 0.95 px, but 0.086 and 1.33 deg."""
    right = SenseResult(IndexingResult(625, 68, 0.889, 0.086), "")
    wrong = SenseResult(IndexingResult(625, 68, 0.953, 1.333), "")
    assert not axis_verdict((0.8, 0.6, 0.0), right, wrong, radius_px=128).reversed
    turned = axis_verdict((0.8, 0.6, 0.0), wrong, right, radius_px=128)
    assert turned.reversed
    assert turned.axis == (-0.8, -0.6, -0.0)
    assert turned.indexed_fraction == (right.fraction, right.fraction)
    assert "clear" in turned.verdict
    alike = axis_verdict((0.8, 0.6, 0.0), right, right, radius_px=128)
    assert "not clear" in alike.verdict
    assert not alike.reversed
    failed = axis_verdict((0.8, 0.6, 0.0), SenseResult(None, "no lattice"), right, radius_px=128)
    assert failed.reversed
    assert failed.rmsd_px[0] is None


def test_cell_esds_are_read_and_follow_a_permutation_of_axes(tmp_path: Path) -> None:
    log = "Unit cell: 7.28084(13), 10.7449(5), 11.1002(5), 71.922(4), 90.0, 90.022(13)\n"
    assert refined_cell_esd(log) == pytest.approx((0.00013, 0.0005, 0.0005, 0.004, 0.0, 0.013))
    assert refined_cell_esd("nothing") is None
    (tmp_path / "refine_static.out").write_text(log)
    session = Session(tmp_path, 10)
    turned = np.array([[0, -1, 0], [1, 0, 0], [0, 0, 1.0]])
    assert cell_esd(session, turned) == pytest.approx((0.0005, 0.00013, 0.0005, 0.0, 0.004, 0.013))
    assert cell_esd(session, np.array([[1, 1, 0], [-1, 1, 0], [0, 0, 1.0]])) is None


def test_masks_become_rectangles_that_cover_them_exactly() -> None:
    mask = np.random.default_rng(0).random((20, 30)) > 0.2
    mask[5:9, 3:12] = False
    covered = np.ones_like(mask)
    for x0, x1, y0, y1 in mask_rectangles(mask):
        assert np.all(covered[y0:y1, x0:x1])
        covered[y0:y1, x0:x1] = False
    assert np.array_equal(covered, mask)
    assert mask_phil(np.ones((4, 4), dtype=bool)) == ""


def test_a_basis_in_dials_notation() -> None:
    assert basis_change(np.array([[1, -1, 0], [1, 1, 0], [0, 0, 1.0]])) == "h+k,-h+k,l"
    assert basis_change(np.array([[0, 0, 2], [-1, 0, 0], [0, 1, 1.0]])) == "-k,l,2*h+l"
    halves = np.array([[0.5, 0.5, 0], [0, 0, 1], [-0.5, 0.5, 0]])
    assert basis_change(halves) == "1/2*h-1/2*l,1/2*h+1/2*l,k"
    operation = gemmi.Op(basis_change(halves))
    hkl = np.array([[1, 2, 3], [3, 1, 1], [2, 0, -4]])
    assert [operation.apply_to_hkl(list(index)) for index in hkl.tolist()] == (hkl @ halves).tolist()
    with pytest.raises(ValueError, match="no simple fraction"):
        basis_change(np.diag([0.47, 1.0, 1.0]))


@pytest.mark.parametrize("cell", [None, UnitCell(a=5, b=6, c=7, alpha=90, beta=100, gamma=90)])
def test_several_sweeps_are_indexed_together_whatever_is_tried(cell: UnitCell | None) -> None:
    for change, _ in INDEX_TRIALS:
        argv = index_argv(
            experiments="imported.expt",
            name="given",
            change=[change] if change else [],
            cell=cell,
            space_group=None,
            nproc=1,
        )
        assert argv.count("indexing.joint_indexing=True") == 1
        assert not [word for word in argv if "joint_indexing" in word and word != "indexing.joint_indexing=True"]
