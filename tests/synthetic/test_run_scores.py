"""The judge of simulated runs: right on perfect data, and sees what is wrong."""

from pathlib import Path

import numpy as np
import pytest

from adapters.formats.simulated_series import write_simulated_series
from tasks.integrate.models import Reflections
from tasks.integrate.reflection_file import Merged
from tasks.simulate.demo_structure import uio66
from tasks.simulate.instruments import settings_of
from tasks.simulate.lattice import reflection_table
from tests.synthetic.realism_cases import CASES, STRUCTURES, merged
from tests.synthetic.run_scores import score_intensities
from tests.synthetic.series_truth import Unique, laue_of, unique_truth
from tests.synthetic.solve_cases import reflections_document, representatives
from tests.synthetic.structures import forsterite, natrolite


def data(folder: Path, *, fault: float = 1.0, axes: tuple[int, int, int] = (0, 1, 2)) -> tuple[Reflections, Unique]:
    """Perfect intensities of forsterite, the strongest times `fault`, indexed on axes in another order."""
    structure = forsterite()
    table = reflection_table(structure, 0.8)
    keys, first = np.unique(representatives(table.hkl, laue_of(structure)), axis=0, return_index=True)
    truth = Unique(keys, table.f_squared[first])
    intensity = 3.0 * truth.value
    intensity[intensity.argmax()] *= fault
    cell = structure.cell
    turned = type(cell).of(tuple(np.array(cell.parameters[:3])[list(axes)]) + cell.parameters[3:])
    sigma = np.full(len(keys), 0.01 * intensity.mean())
    noisy = intensity + np.random.default_rng(0).normal(0, sigma)
    content = Merged(keys[:, axes].astype(np.int32), noisy, sigma, np.full(len(keys), 4, dtype=np.int32))
    made = reflections_document(
        folder, name="x", merged=content, cell=turned, laue="P m m m", radiation="electron", wavelength=0.02
    )
    return made, truth


def test_a_laue_class_has_friedel_mates_and_centring() -> None:
    assert [laue_of(make()) for make in (forsterite, natrolite, uio66)] == ["P m m m", "F m m m", "F m -3 m"]


@pytest.mark.parametrize("axes", [(0, 1, 2), (2, 0, 1)])
def test_perfect_intensities_agree_in_any_setting(tmp_path: Path, axes: tuple[int, int, int]) -> None:
    reflections, truth = data(tmp_path, axes=axes)
    score = score_intensities(reflections, forsterite(), truth)
    assert score is not None
    assert score.correlation > 0.9999
    assert score.strongest < 0.02
    assert score.measured == 1
    assert score.spread == pytest.approx((1, 1, 1, 1), abs=0.2)


def test_one_strong_reflection_that_lost_half_is_seen(tmp_path: Path) -> None:
    reflections, truth = data(tmp_path, fault=0.5)
    score = score_intensities(reflections, forsterite(), truth)
    assert score is not None
    assert score.strongest == pytest.approx(0.5, abs=0.02)


def test_every_case_has_settings_a_structure_and_a_reference() -> None:
    for name, case in CASES.items():
        assert case.structure in STRUCTURES, name
        assert case.reference in CASES, name
        assert case.settings(101).seed == 101


def test_a_change_leaves_what_it_does_not_name() -> None:
    assert merged({"a": {"b": 1, "c": 2}}, {"a": {"b": 3}}) == {"a": {"b": 3, "c": 2}}


def test_thin_crystals_scatter_by_many_beam_theory_as_by_kinematical(tmp_path: Path) -> None:
    values = {
        "tilts": {"start_deg": -4.0, "stop_deg": 4.0, "step_deg": 2.0},
        "cluster": {"crystals": 1, "size_nm": 2.0, "bad_fraction": 0.0, "mosaic_deg": 0.5},
        "instrument": {"scan_shape": (8, 8), "step_nm": 0.6, "flyback_columns": 0, "probe_nm": 0.6},
        "scattering": {"model": "many-beam", "d_min_angstrom": 1.2, "electrons_per_pattern": 10000.0, "blocks": 4},
    }
    write_simulated_series(forsterite(), settings_of("ideal", values), tmp_path)
    truth = unique_truth(tmp_path, forsterite())
    table = reflection_table(forsterite(), 1.2)
    plain = {tuple(row): value for row, value in zip(table.hkl.tolist(), table.f_squared, strict=True)}
    expected = np.array([plain[tuple(row)] for row in truth.hkl.tolist()])
    assert len(expected) > 20
    assert np.median(truth.value / expected) == pytest.approx(1, abs=0.05)
