"""Engines that choose among engines: who is skipped, who wins, and what the table of agreement says."""

import json
from pathlib import Path
from typing import Literal

import gemmi
import numpy as np
import pytest

from adapters.formats.read_intensities import reflections_from_file
from adapters.programs.probe import SHELXL, SHELXT, XDS
from flows import policies
from flows.policies import AllIntegrators, AllRefiners, AllSolvers, AutoIntegrator, agreement
from tasks.crystal.lattice import transformed_cell
from tasks.crystal.scattering import structure_factors
from tasks.frames.models import FrameSeries
from tasks.integrate.hklf4 import hklf4_text
from tasks.integrate.models import Reflections
from tasks.model import Composition, Document, NotIndexedError, ProgramNotFoundError, UnitCell
from tasks.model.verdict import standing
from tasks.solve.engines import DirectMethods

CELL = UnitCell(a=5.5, b=8.5, c=7.6, alpha=90, beta=98, gamma=90)
TO_N = np.array([[-1, 0, 0], [0, -1, 0], [1, 0, 1]])
"""Axes of the P 21/n setting in those of P 21/c, as rows; indices transform alike."""


class Given(Document):
    """An engine that returns what it was given, or finds no lattice."""

    engine: Literal["given", "other", "blind"] = "given"
    result: Reflections | None = None

    def integrate(self, frames: FrameSeries, workdir: Path) -> Reflections:
        """Return the result; see the port."""
        if self.result is None:
            raise NotIndexedError("no lattice")
        provenance = self.result.provenance.model_copy(update={"engine": self.engine})
        return self.result.model_copy(update={"provenance": provenance})


def data(folder: Path, *, noise: float, seed: int, to_n: bool = False, spoil_below: float = 0.0) -> Reflections:
    """Return intensities of four atoms with noise, in either setting; those of small d replaced by chance."""
    rng = np.random.default_rng(seed)
    group = gemmi.SpaceGroup("P 1 21/c 1")
    hkl = np.array(gemmi.make_miller_array(CELL.gemmi(), group, 0.8), dtype=np.int32)
    factors = structure_factors(
        hkl,
        CELL,
        group.operations(),
        elements=["S", "C", "N", "N"],
        positions=np.array([[0.428, -0.016, 0.239], [0.23, 0.14, 0.21], [-0.011, 0.116, 0.199], [0.317, 0.285, 0.199]]),
        u_iso_angstrom2=np.full(4, 0.03),
        occupancies=np.ones(4),
        radiation="electron",
    )
    intensity = np.abs(factors) ** 2
    spoilt = CELL.gemmi().calculate_d_array(hkl) < spoil_below
    intensity[spoilt] = rng.permutation(intensity[spoilt])
    both = np.tile(intensity, 2)
    both = both + noise * both * rng.normal(size=len(both))
    twice = np.concatenate([hkl, hkl * np.array([-1, 1, -1], dtype=np.int32)])
    cell, symbol = CELL, "P 1 21/c 1"
    if to_n:
        twice, cell, symbol = twice @ TO_N.T, transformed_cell(CELL, TO_N.T.astype(float)), "P 1 21/n 1"
    folder.mkdir()
    (folder / "in.hkl").write_text(hklf4_text(twice.astype(np.int32), both, 0.02 * np.abs(both) + 0.001 * both.max()))
    return reflections_from_file(folder / "in.hkl", cell=cell, space_group=symbol, energy_kev=200, workdir=folder)


def test_the_same_crystal_in_another_setting_agrees(tmp_path: Path) -> None:
    first = data(tmp_path / "c", noise=0.02, seed=1)
    second = data(tmp_path / "n", noise=0.02, seed=2, to_n=True)
    assert second.unit_cell.parameters != pytest.approx(first.unit_cell.parameters, rel=0.01)
    row = agreement(first, second)
    assert row["common_reflections"] >= 0.95 * first.overall.unique
    assert len(row["cc_with_best_by_shell"]) == 5
    assert min(row["cc_with_best_by_shell"]) > 0.98
    assert row["disagrees"] == []


def test_the_shells_that_disagree_are_named(tmp_path: Path) -> None:
    first = data(tmp_path / "a", noise=0.02, seed=1)
    row = agreement(first, data(tmp_path / "b", noise=0.02, seed=2, spoil_below=0.92))
    values = row["cc_with_best_by_shell"]
    assert min(values[:2]) > 0.98
    assert abs(values[-1]) < 0.3
    assert row["disagrees"][-1].startswith("intensities in shell ")
    assert row["disagrees"][-1].endswith("5 of 5")


def test_another_cell_is_named(tmp_path: Path) -> None:
    first = data(tmp_path / "a", noise=0.02, seed=1)
    a, b, c, *angles = first.unit_cell.parameters
    row = agreement(first, first.model_copy(update={"unit_cell": UnitCell.of((a, b * 1.2, c, *angles))}))
    assert row["common_reflections"] == 0
    assert "primitive cell of" in row["disagrees"][0]


@pytest.fixture
def without_programs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")


@pytest.mark.usefixtures("without_programs")
def test_all_takes_the_best_and_goes_on_without_what_is_missing_or_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    good = data(tmp_path / "good", noise=0.02, seed=1)
    worse = data(tmp_path / "worse", noise=0.3, seed=2, to_n=True)
    engines = [
        (Given(engine="other", result=worse), None),
        (Given(engine="blind"), None),
        (Given(engine="given", result=good), None),
        (Given(engine="given", result=worse), XDS),
    ]
    monkeypatch.setattr(policies, "integrators", lambda _: engines)
    work = tmp_path / "work"
    work.mkdir()
    found = AllIntegrators().integrate(None, work)
    assert found.provenance.engine == "given"
    assert found.space_group == "P 1 21/c 1"
    rows = json.loads((work / "consensus.json").read_text())
    assert {row["engine"] for row in rows} == {"given", "other"}
    outcomes = [attempt.outcome for attempt in found.provenance.attempts]
    assert "no lattice" in outcomes
    assert any("XDS is not installed" in outcome for outcome in outcomes)


@pytest.mark.usefixtures("without_programs")
def test_auto_takes_the_first_that_is_there_and_says_who_was_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    good = data(tmp_path / "good", noise=0.02, seed=1)
    engines = [(Given(result=good), XDS), (Given(engine="blind"), None), (Given(engine="other", result=good), None)]
    monkeypatch.setattr(policies, "integrators", lambda _: engines)
    found = AutoIntegrator().integrate(None, tmp_path / "work")
    assert found.provenance.engine == "other"
    assert ["not installed" in attempt.outcome for attempt in found.provenance.attempts] == [True, False]
    monkeypatch.setattr(policies, "integrators", lambda _: engines[:2])
    with pytest.raises(NotIndexedError):
        AutoIntegrator().integrate(None, tmp_path / "work2")
    monkeypatch.setattr(policies, "integrators", lambda _: engines[:1])
    with pytest.raises(ProgramNotFoundError, match="XDS"):
        AllIntegrators().integrate(None, tmp_path / "work2")


def test_the_order_is_the_stated_one() -> None:
    order = [
        (engine.engine, None if program is None else program.name) for engine, program in policies.integrators(0.9)
    ]
    assert order == [("xds", "XDS"), ("dials", "DIALS"), ("builtin", None)]
    assert all(engine.d_min_angstrom == 0.9 for engine, _ in policies.integrators(0.9))
    assert (SHELXT.executable, SHELXL.executable, DirectMethods().engine) == ("shelxt", "shelxl", "direct-methods")


@pytest.mark.usefixtures("without_programs")
def test_all_solvers_and_refiners_compare_what_is_embedded(tmp_path: Path) -> None:
    intensities = data(tmp_path / "data", noise=0.02, seed=1)
    contents = Composition.parse("S C N2")
    for name in ("solve", "refine"):
        (tmp_path / name).mkdir()
    solutions = AllSolvers().solve(intensities, contents, tmp_path / "solve")
    rows = json.loads((tmp_path / "solve" / "consensus.json").read_text())
    assert {row["engine"] for row in rows} == {"charge-flipping", "direct-methods"}
    best = min(rows, key=lambda row: (standing(row["verdict"]), row["r1"]))
    assert (solutions.verdict, round(solutions.best.r1, 4)) == (best["verdict"], best["r1"])
    missing = [attempt.outcome for attempt in solutions.provenance.attempts if "not installed" in attempt.outcome]
    assert len(missing) == 3
    refinement = AllRefiners().refine(intensities, solutions.best, contents, tmp_path / "refine")
    (row,) = json.loads((tmp_path / "refine" / "consensus.json").read_text())
    assert row["engine"] == "smtbx"
    assert row["r1"] == pytest.approx(refinement.r1, abs=1e-4)
