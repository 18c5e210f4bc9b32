"""Hydrogen is refined where the data bear it and left-out reflections gain; else it rides on."""

from pathlib import Path

import numpy as np
import pytest

from tasks.model import UnitCell
from tasks.refine.draft import Draft, DraftAtom, DraftFit, RidingGroup
from tasks.refine.hydrogen_freedom import freed, hydrogen_freed, strayed
from tasks.refine.progress import RefineProgress
from tests.synthetic.drafts import fit_of, intensities_of

CELL = UnitCell.of((10.0, 10.0, 10.0, 90.0, 90.0, 90.0))
GROUPS = (
    RidingGroup(kind="hydroxyl", pivot="O1", hydrogens=("HO1A",), bond_length_angstrom=0.98),
    RidingGroup(kind="planar-xh", pivot="C1", hydrogens=("HC1A",), bond_length_angstrom=1.09),
)


def draft(stretch: float = 0.0) -> Draft:
    """Return an O-H and a C-H group; the H of the carbon `stretch` angstrom too far."""
    places = {
        "O1": (2.0, 2.0, 2.0),
        "C1": (5.0, 5.0, 5.0),
        "HO1A": (2.98, 2.0, 2.0),
        "HC1A": (6.09 + stretch, 5.0, 5.0),
    }
    atoms = (
        DraftAtom(label=label, element=label[0], position=tuple(np.array(place) / 10.0), refine_u=label[0] != "H")
        for label, place in places.items()
    )
    return Draft(hall="P 1", unit_cell=CELL, atoms=tuple(atoms), riding=GROUPS)


class Engine:
    """Gives back the draft; refined hydrogen lowers wR2, and R1 of left-out reflections to `free`."""

    program = "a stand-in"

    def __init__(self, folder: Path, free: float, *, wr2: float = 0.2) -> None:
        self.folder, self.free, self.wr2, self.fits = folder, free, wr2, 0

    def fit(self, model: Draft, _intensities: object, *, cycles: int, held_out: float = 0.0, seed: int = 0) -> DraftFit:
        self.fits += 1
        loose = len(model.riding) < len(GROUPS)
        figures = {"r1": 0.14, "wr2": self.wr2, "r1_free": self.free, "parameters": 40} if loose else {"r1_free": 0.2}
        return fit_of(model, self.folder / "fit.npz", **({"reflections_free": 50, "parameters": 32} | figures))


def after(engine: Engine, folder: Path, *, stretch: float = 0.0, d_min: float = 0.8) -> RefineProgress:
    start = RefineProgress(engine.fit(draft(stretch), None, cycles=1), ())
    return hydrogen_freed(engine, start, intensities_of(folder / "data.npz", d_min))


@pytest.mark.parametrize(("free", "refined"), [(0.15, True), (0.1999, False), (0.3, False)])
def test_left_out_reflections_decide(free: float, refined: bool, tmp_path: Path) -> None:
    found = after(Engine(tmp_path, free), tmp_path)
    hydrogen = [atom for atom in found.fit.draft.atoms if atom.element == "H"]
    assert [atom.refine_u for atom in hydrogen] == [refined] * 2
    assert found.fit.draft.riding == (() if refined else GROUPS)
    assert found.attempts[0].change == "refined 2 of 2 hydrogen atoms"


def test_distances_of_refined_hydrogen_are_restrained_to_those_of_the_radiation() -> None:
    held = freed(draft(), GROUPS).restraints
    assert {(item.pairs[0].first, item.pairs[0].second, item.target_angstrom) for item in held} == {
        ("O1", "HO1A", 0.98),
        ("C1", "HC1A", 1.09),
    }


def test_a_group_whose_hydrogen_strays_rides_on(tmp_path: Path) -> None:
    found = after(Engine(tmp_path, 0.15), tmp_path, stretch=0.2)
    assert [group.pivot for group in found.fit.draft.riding] == ["C1"]
    assert found.attempts[0].change == "refined 1 of 2 hydrogen atoms"


def test_displacements_that_mean_nothing_count_as_strayed(tmp_path: Path) -> None:
    fit = fit_of(draft(), tmp_path / "fit.npz", u={"HO1A": 0.001})
    assert strayed(fit, GROUPS) == {"O1"}


def test_data_that_end_early_or_gain_nothing_cost_no_reflections_left_out(tmp_path: Path) -> None:
    short = Engine(tmp_path, 0.1)
    assert after(short, tmp_path, d_min=1.0).attempts == ()
    assert short.fits == 1
    idle = Engine(tmp_path, 0.1, wr2=0.4)
    assert after(idle, tmp_path).fit.draft.riding == GROUPS
    assert idle.fits == 2
