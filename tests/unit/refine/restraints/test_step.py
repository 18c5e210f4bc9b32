"""Restraints are tried where data are few, and kept where left-out reflections do not suffer."""

from pathlib import Path

import numpy as np
import pytest

from tasks.model import DivergedError, UnitCell
from tasks.refine.draft import Draft, DraftAtom, DraftFit
from tasks.refine.progress import RefineProgress
from tasks.refine.restraints.step import LeftOut, anisotropic_by_restraints, restrained
from tasks.refine.settings import RefineSettings
from tests.synthetic.drafts import fit_of, intensities_of

CELL = UnitCell.of((14.0, 15.0, 16.0, 90.0, 90.0, 90.0))


def benzene() -> Draft:
    turns = np.radians(60.0 * np.arange(6))
    places = 0.4 + np.column_stack([1.39 * np.cos(turns), 1.39 * np.sin(turns), 0.0 * turns]) / CELL.parameters[:3]
    atoms = (DraftAtom(label=f"C{k}", element="C", position=tuple(p)) for k, p in enumerate(places.tolist(), 1))
    return Draft(hall="P 1", unit_cell=CELL, atoms=tuple(atoms))


class Engine:
    """Gives back the draft, with an R1 of left-out reflections that depends on the restraints in it."""

    program = "a stand-in"

    def __init__(self, folder: Path, restrained: float, *, reflections: int = 120) -> None:
        self.folder, self.restrained, self.reflections, self.fits = folder, restrained, reflections, 0

    def fit(self, draft: Draft, _intensities: object, *, cycles: int, held_out: float = 0.0, seed: int = 0) -> DraftFit:
        self.fits += 1
        changed = bool(draft.restraints)
        free = (self.restrained if changed else 0.20) + 0.001 * (seed % 2) * changed
        return fit_of(
            draft, self.folder / "fit.npz", reflections=self.reflections, parameters=25, r1_free=free,
            reflections_free=20,
        )  # fmt: skip


@pytest.mark.parametrize(("free", "kept"), [(0.15, True), (0.2005, True), (0.25, False)])
def test_left_out_reflections_decide(free: float, kept: bool, tmp_path: Path) -> None:
    engine = Engine(tmp_path, free)
    start = RefineProgress(engine.fit(benzene(), None, cycles=1), ())
    after = restrained(engine, start, intensities_of(tmp_path / "data.npz"), RefineSettings())
    assert bool(after.fit.draft.restraints) == kept
    assert after.attempts[0].outcome.startswith("kept" if kept else "undone")
    assert "4.8 reflections per parameter" in after.attempts[0].reason


@pytest.mark.parametrize(
    ("choice", "reflections", "tried"), [("auto", 300, False), ("none", 50, False), ("all", 300, True)]
)
def test_they_are_tried_where_data_are_few_or_the_settings_say_so(
    choice: str, reflections: int, tried: bool, tmp_path: Path
) -> None:
    engine = Engine(tmp_path, 0.15, reflections=reflections)
    start = RefineProgress(engine.fit(benzene(), None, cycles=1), ())
    after = restrained(engine, start, intensities_of(tmp_path / "data.npz"), RefineSettings(restraints=choice))
    assert bool(after.attempts) == tried
    assert (engine.fits > 1) == tried


def test_atoms_are_freed_under_restraints_only_where_left_out_reflections_gain(tmp_path: Path) -> None:
    data = intensities_of(tmp_path / "data.npz")
    for free, freed in ((0.10, True), (0.30, False)):
        engine = Engine(tmp_path, 0.20, reflections=300)
        begun = restrained(
            engine, RefineProgress(engine.fit(benzene(), None, cycles=1), ()), data, RefineSettings(restraints="all")
        )
        assert begun.fit.draft.restraints
        settings = RefineSettings(restraints="all")
        after = anisotropic_by_restraints(Rigid(engine, free), begun, data, settings)
        assert all((a.u_aniso_angstrom2 is not None) == freed for a in after.fit.draft.atoms)


class Rigid(Engine):
    """Tells anisotropic drafts from isotropic ones."""

    def __init__(self, engine: Engine, free: float) -> None:
        super().__init__(engine.folder, free, reflections=engine.reflections)

    def fit(self, draft: Draft, _intensities: object, *, cycles: int, held_out: float = 0.0, seed: int = 0) -> DraftFit:
        free = self.restrained if draft.atoms[0].u_aniso_angstrom2 else 0.20
        return fit_of(draft, self.folder / "fit.npz", reflections=300, parameters=25, r1_free=free, reflections_free=20)


def test_a_model_that_cannot_be_refined_with_them_stays_as_it_is(tmp_path: Path) -> None:
    class Failing(Engine):
        def fit(self, draft: Draft, _intensities: object, **how: object) -> DraftFit:
            if draft.restraints:
                raise DivergedError("singular")
            return super().fit(draft, _intensities, **how)

    engine = Failing(tmp_path, 0.1)
    start = RefineProgress(engine.fit(benzene(), None, cycles=1), ())
    after = restrained(engine, start, intensities_of(tmp_path / "data.npz"), RefineSettings())
    assert after.fit is start.fit
    assert "least squares failed" in after.attempts[0].outcome


def test_chance_is_what_the_tries_differ_by() -> None:
    rows = [(0.20, 0.21 + 0.01 * k, 10) for k in (-1, 0, 1, 0, 0)]
    found = LeftOut.of(rows)
    assert found.esd == pytest.approx(np.std([0.0, 0.01, 0.02, 0.01, 0.01], ddof=1) / np.sqrt(5))
    assert found.after - found.before == pytest.approx(0.01)
    assert not found.no_worse
    assert not found.better
    assert LeftOut.of(rows[:4]) is None
