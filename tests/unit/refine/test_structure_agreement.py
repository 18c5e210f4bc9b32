"""R1 of intensities against a structure that was refined against others."""

import numpy as np
import pytest

from adapters.formats.fcf import read_fcf
from tasks.model import InputError, SourceError, UnitCell
from tasks.refine import CalculatedIntensities, agreement
from tasks.solve.models import Solution
from tests.synthetic.reflections_from_hkl import reflections_from_hkl

CELL = UnitCell.of([6.0, 7.0, 8.0, 90.0, 90.0, 90.0])
HKL = np.array([(h, k, l) for h in range(5) for k in range(5) for l in range(1, 6)], dtype=np.int32)
F_SQUARED = np.random.default_rng(4).gamma(1.0, 50.0, len(HKL)) + 1.0


def data_of(folder, intensity, sigma, hkl=HKL):
    return reflections_from_hkl(
        folder, "crystal-01", hkl=hkl, intensity=intensity, sigma=sigma, cell=CELL, laue_group="P m m m",
        space_group="P 21 21 21",
    )  # fmt: skip


def solution(cell=CELL, **changes):
    group = {"space_group": "P 21 21 21", "hall": "P 2ac 2ab"}
    return Solution(**{**group, "unit_cell": cell, "atoms": (), "r1": 0.1, "verdict": "solved", **changes})


def calculated(cell=CELL):
    return CalculatedIntensities(cell, HKL, F_SQUARED)


def test_intensities_on_any_scale_that_follow_the_structure_agree_with_it(tmp_path):
    found = agreement(data_of(tmp_path, 371.0 * F_SQUARED, 0.01 * F_SQUARED), solution(), calculated())
    assert found.r1 == pytest.approx(0.0, abs=1e-6)
    assert found.reflections == len(HKL)


def test_r1_is_the_sum_over_strong_reflections_written_out(tmp_path):
    rng = np.random.default_rng(8)
    observed = F_SQUARED * rng.uniform(0.5, 1.5, len(HKL))
    sigma = np.where(rng.random(len(HKL)) < 0.3, 0.6, 0.1) * observed
    found = agreement(data_of(tmp_path, observed, sigma), solution(), calculated())
    strong = observed > 2 * sigma
    fo, fc = np.sqrt(observed[strong]), np.sqrt(F_SQUARED[strong])
    k = (fo * fc).sum() / (fc**2).sum()
    assert found.r1 == pytest.approx(np.abs(fo - k * fc).sum() / fo.sum(), rel=1e-6)
    assert found.reflections == strong.sum() < len(HKL)


def test_equivalents_of_either_list_are_the_same_reflection(tmp_path):
    signs = np.random.default_rng(1).choice([-1, 1], (len(HKL), 3)).astype(np.int32)
    found = agreement(data_of(tmp_path, F_SQUARED, 0.01 * F_SQUARED, HKL * signs), solution(), calculated())
    assert found.r1 == pytest.approx(0.0, abs=1e-6)


def test_axes_that_the_solution_changed_are_followed(tmp_path):
    turned = UnitCell.of([7.0, 8.0, 6.0, 90.0, 90.0, 90.0])
    table = CalculatedIntensities(turned, HKL[:, [1, 2, 0]], F_SQUARED)
    cyclic = solution(turned, to_solution_cell=((0, 1, 0), (0, 0, 1), (1, 0, 0)))
    found = agreement(data_of(tmp_path, F_SQUARED, 0.01 * F_SQUARED), cyclic, table)
    assert found.r1 == pytest.approx(0.0, abs=1e-6)
    assert found.reflections == len(HKL)


def test_a_structure_refined_in_other_axes_is_not_compared(tmp_path):
    with pytest.raises(InputError, match="other axes"):
        agreement(
            data_of(tmp_path, F_SQUARED, 0.01 * F_SQUARED),
            solution(),
            calculated(UnitCell.of([12.0, 7.0, 8.0, 90.0, 90.0, 90.0])),
        )


def test_an_fcf_is_read_and_a_file_without_the_columns_refused(tmp_path):
    cell = "\n".join(
        f"_cell_{name} {value}"
        for name, value in zip(
            ("length_a", "length_b", "length_c", "angle_alpha", "angle_beta", "angle_gamma"), CELL.parameters
        )
    )
    loop = "loop_\n_refln_index_h\n_refln_index_k\n_refln_index_l\n_refln_F_squared_calc\n_refln_F_squared_meas\n"
    rows = "".join(f"{h} {k} {l} {value:.6g} 1.0\n" for (h, k, l), value in zip(HKL, F_SQUARED))
    (tmp_path / "a.fcf").write_text(f"data_a\n{cell}\n{loop}{rows}")
    found = read_fcf(tmp_path / "a.fcf")
    assert found.unit_cell == CELL
    assert np.array_equal(found.hkl, HKL)
    assert found.f_squared == pytest.approx(F_SQUARED, rel=1e-5)
    (tmp_path / "b.fcf").write_text(f"data_b\n{cell}\n")
    with pytest.raises(SourceError, match="F_squared_calc"):
        read_fcf(tmp_path / "b.fcf")
    (tmp_path / "c.fcf").write_text("nothing")
    with pytest.raises(SourceError, match="not a readable FCF"):
        read_fcf(tmp_path / "c.fcf")
