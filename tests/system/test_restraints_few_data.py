"""Real data cut to fewer than 8 reflections per parameter: restraints bring the atoms nearer to the published ones."""

from pathlib import Path

import numpy as np
import pytest

from adapters.cctbx.numerics import WorkerLeastSquares
from tasks.crystal.lattice import orthogonalisation
from tasks.refine.chain import unique_intensities
from tasks.refine.draft import Draft
from tasks.refine.hydrogens import with_hydrogens
from tasks.refine.restraints.geometry import geometric_restraints
from tasks.refine.restraints.step import data_suffice, with_restraints
from tasks.refine.strategy import first_draft
from tests.synthetic.few_data import few_reflections, start_of
from tests.synthetic.known_structures import composition, load_model

pytestmark = pytest.mark.needs_shared


def off(draft: Draft, name: str, shared: Path) -> float:
    """Return the root mean square distance of the atoms from the published ones, angstrom; none of them floats."""
    model = load_model(name, shared)
    known = model.positions[[element != "H" for element in model.elements]]
    ours = np.array([atom.position for atom in draft.atoms if atom.element != "H"])
    return float(np.sqrt((((ours - known) @ orthogonalisation(draft.unit_cell).T) ** 2).sum(axis=1).mean()))


@pytest.mark.parametrize(("name", "how", "ratio"), [("tyrosine", "cut", 6.0), ("tyrosine", "thinned", 8.0)])
def test_restrained_atoms_are_nearer_to_the_published_ones(
    name: str, how: str, ratio: float, shared_data: Path, tmp_path: Path
) -> None:
    data = few_reflections(name, shared_data, tmp_path, how=how, ratio=ratio, seed=0)
    solution = start_of(name, shared_data, jitter_angstrom=0.1, seed=0)
    engine = WorkerLeastSquares(tmp_path, 300.0)
    intensities = unique_intensities(engine, data, solution, None)
    free = engine.fit(first_draft(solution), intensities, cycles=20)
    carried = with_hydrogens(free.draft, data.radiation, composition(name))
    free = engine.fit(carried, intensities, cycles=20, update_weights=True)
    assert not data_suffice(free)
    held = engine.fit(with_restraints(free), intensities, cycles=20)
    held = engine.fit(with_restraints(held), intensities, cycles=20, update_weights=True)
    assert off(held.draft, name, shared_data) < off(free.draft, name, shared_data)
    assert max(pull.rms_over_esd for pull in held.pulls) < 2.0


def test_good_data_of_alanine_are_neither_helped_nor_hurt(shared_data: Path, tmp_path: Path) -> None:
    name = "l-alanine"
    data = few_reflections(name, shared_data, tmp_path, how="thinned", ratio=5.0, seed=0)
    solution = start_of(name, shared_data, jitter_angstrom=0.1, seed=0)
    engine = WorkerLeastSquares(tmp_path, 300.0)
    intensities = unique_intensities(engine, data, solution, None)
    free = engine.fit(first_draft(solution), intensities, cycles=20)
    free = engine.fit(with_hydrogens(free.draft, data.radiation, composition(name)), intensities, cycles=20)
    held = engine.fit(with_restraints(free), intensities, cycles=20)
    assert len(geometric_restraints(free.draft)) > 10
    assert off(held.draft, name, shared_data) == pytest.approx(off(free.draft, name, shared_data), abs=0.002)
