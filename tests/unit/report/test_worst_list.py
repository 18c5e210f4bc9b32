"""What of the list cannot be shown is said, and the rest stands."""

from pathlib import Path

import numpy as np
import pytest

from adapters.formats.fcf import read_fit
from tasks.model import SourceError, UnitCell
from tasks.refine import FittedIntensities
from tasks.report import MeasuredCrystal, worst_fitting
from tasks.report.models import RunOutcome
from tests.synthetic.outcomes import example_outcome


@pytest.fixture(scope="module")
def outcome(tmp_path_factory: pytest.TempPathFactory) -> RunOutcome:
    return example_outcome(tmp_path_factory.mktemp("run"), tilts=5)


def fitted_of(outcome: RunOutcome) -> FittedIntensities:
    data = outcome.crystals[0].reflections
    assert data is not None
    merged = data.unique_reflections
    calculated = merged.intensity.copy()
    calculated[3] *= 4.0
    return FittedIntensities(data.unit_cell, merged.hkl, merged.intensity, calculated, merged.sigma)


def test_of_another_engine_the_list_stands_alone_and_says_so(outcome: RunOutcome) -> None:
    one = outcome.crystals[0]
    found = worst_fitting(
        fitted_of(outcome), one.refinement, one.reflections, [MeasuredCrystal(one.reflections, one.frames, None)]
    )
    assert found.reflections[0].misfit.hkl == tuple(one.reflections.hkl[3].tolist())
    assert all(each.crossings == () for each in found.reflections)
    (note,) = found.notes
    assert note.startswith("crystal-01: neither rocking curves nor probe positions are shown")
    assert "integrated by dials" in note


def test_crystals_of_other_runs_are_named_once(outcome: RunOutcome) -> None:
    one = outcome.crystals[0]
    others = [one.reflections.model_copy(update={"id": name}) for name in ("run-01-a", "run-02-b")]
    members = [MeasuredCrystal(each, None, None) for each in others]
    found = worst_fitting(fitted_of(outcome), one.refinement, one.reflections, members)
    (note,) = found.notes
    assert note.startswith("run-01-a, run-02-b: its frames are not of this run")


def test_a_structure_in_axes_that_are_not_plain_has_a_list_without_pictures(outcome: RunOutcome) -> None:
    one = outcome.crystals[0]
    elsewhere = fitted_of(outcome)._replace(unit_cell=UnitCell.of([11.0, 12.0, 13.0, 90.0, 90.0, 90.0]))
    found = worst_fitting(elsewhere, one.refinement, one.reflections, [])
    assert len(found.reflections) == 10
    assert "axes of its own" in found.notes[0]


def test_an_fcf_gives_what_was_measured_and_its_sigma(tmp_path: Path) -> None:
    names = ("length_a", "length_b", "length_c", "angle_alpha", "angle_beta", "angle_gamma")
    cell = "\n".join(f"_cell_{name} {value}" for name, value in zip(names, (6, 7, 8, 90, 90, 90)))
    columns = ("index_h", "index_k", "index_l", "F_squared_calc", "F_squared_meas", "F_squared_sigma")
    loop = "loop_\n" + "\n".join(f"_refln_{name}" for name in columns)
    (tmp_path / "a.fcf").write_text(f"data_a\n{cell}\n{loop}\n1 0 2 10.5 9.25 0.5\n-1 3 4 2.5 -1 0.25\n")
    found = read_fit(tmp_path / "a.fcf")
    assert found.hkl.tolist() == [[1, 0, 2], [-1, 3, 4]]
    assert np.array_equal(
        np.stack([found.calculated, found.observed, found.sigma]), [[10.5, 2.5], [9.25, -1], [0.5, 0.25]]
    )
    (tmp_path / "b.fcf").write_text((tmp_path / "a.fcf").read_text().replace("F_squared_sigma", "F_sigma"))
    with pytest.raises(SourceError, match="F_squared_sigma"):
        read_fit(tmp_path / "b.fcf")
