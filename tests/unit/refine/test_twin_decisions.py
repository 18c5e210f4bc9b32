"""When a refinement is that of a twin: laws of the lattice, fractions beyond their errors, left-out reflections."""

from pathlib import Path

import gemmi
import pytest

from tasks.model import FileRef, UnitCell
from tasks.model.twin import Twin
from tasks.refine import twinning
from tasks.refine.draft import Draft, DraftAtom, DraftFit, UniqueIntensities
from tasks.refine.progress import RefineProgress
from tests.synthetic.drafts import fit_of, intensities_of

HEXAGONAL = UnitCell.of((9.4, 9.4, 6.9, 90, 90, 120))


class Engine:
    """Least squares with told figures: R1 of a single crystal and of a twin, fraction and esd."""

    program = "none"

    def __init__(self, folder: Path, *, alone: float, twin: float, fraction: float, esd: float = 0.004) -> None:
        self.folder, self.alone, self.twin, self.fraction, self.esd = folder, alone, twin, fraction, esd
        self.fits = 0

    def merged(self, *_: object) -> UniqueIntensities:
        raise AssertionError("nothing is merged")

    def fit(self, draft: Draft, _: UniqueIntensities, *, cycles: int, held_out: float = 0.0, seed: int = 0) -> DraftFit:
        assert cycles > 0
        self.fits += 1
        value = self.twin if draft.twin else self.alone
        if draft.twin:
            first, second = draft.twin
            parts = (first.model_copy(update={"fraction": 1 - self.fraction}),
                     second.model_copy(update={"fraction": self.fraction}))  # fmt: skip
            draft = draft.model_copy(update={"twin": parts})
        path = self.folder / "fit.npz"
        figures = {"r1": value, "r1_all": value, "twin_esd": (self.esd,) if draft.twin else ()}
        if held_out:
            figures |= {"r1_free": value * (1.1 + 0.01 * seed), "reflections_free": 40}
        return fit_of(draft, path, **figures)


def draft(symbol: str = "P 63/m", cell: UnitCell = HEXAGONAL, twin: Twin | None = None) -> Draft:
    atoms = (DraftAtom(label="O1", element="O", position=(0.1, 0.2, 0.3)),)
    return Draft(hall=gemmi.SpaceGroup(symbol).hall, unit_cell=cell, atoms=atoms, twin=twinning.twin_components(twin))


def progress(engine: Engine, model: Draft) -> RefineProgress:
    return RefineProgress(engine.fit(model, None, cycles=1), ())


@pytest.mark.parametrize(
    ("alone", "twin", "fraction", "esd", "accepted"),
    [
        (0.16, 0.02, 0.35, 0.004, True),
        (0.06, 0.02, 0.10, 0.004, True),
        (0.16, 0.155, 0.08, 0.004, False),  # no better for what was left out
        (0.16, 0.10, 0.02, 0.002, False),  # too little of a second crystal
        (0.16, 0.10, 0.20, 0.050, False),  # within its errors
        (0.16, 0.10, 0.99, 0.004, False),  # nothing of the first one left
    ],
)
def test_a_twin_is_one_that_left_out_reflections_ask_for(
    alone: float, twin: float, fraction: float, esd: float, accepted: bool, tmp_path: Path
) -> None:
    engine = Engine(tmp_path, alone=alone, twin=twin, fraction=fraction, esd=esd)
    found = twinning.twinned(engine, progress(engine, draft()), intensities_of(tmp_path / "unique.npz"))
    assert bool(found.fit.draft.twin) == accepted
    assert found.attempts[-1].change == "refined as a twin by k,h,-l"
    assert found.attempts[-1].outcome.startswith("kept" if accepted else "undone")


def test_a_good_fit_and_a_lattice_without_laws_are_left_alone(tmp_path: Path) -> None:
    data = intensities_of(tmp_path / "unique.npz")
    good = Engine(tmp_path, alone=0.02, twin=0.001, fraction=0.4)
    assert twinning.twinned(good, progress(good, draft()), data).attempts == ()
    other = Engine(tmp_path, alone=0.2, twin=0.001, fraction=0.4)
    for model in (draft("P 63/m m c"), draft("P 21 21 21", UnitCell.of((5.0, 7.0, 21.0, 90, 90, 90)))):
        assert twinning.twinned(other, progress(other, model), data).attempts == ()
    assert other.fits == 2


def test_a_told_twin_with_nothing_of_a_second_crystal_becomes_a_single_one(tmp_path: Path) -> None:
    data, told = intensities_of(tmp_path / "unique.npz"), draft(twin=Twin(law="k,h,-l", fraction=0.3))
    nothing = Engine(tmp_path, alone=0.05, twin=0.05, fraction=0.004)
    assert twinning.settled(nothing, progress(nothing, told), data).fit.draft.twin == ()
    half = Engine(tmp_path, alone=0.2, twin=0.02, fraction=0.5)
    assert twinning.settled(half, progress(half, told), data).fit.draft.twin[1].fraction == 0.5


def test_a_twin_is_named_with_law_and_fraction(tmp_path: Path) -> None:
    fit = fit_of(draft(twin=Twin(law="k,h,-l", fraction=0.351)), tmp_path / "fit.npz", twin_esd=(0.004,))
    assert twinning.twin_of(fit) == Twin(law="k,h,-l", fraction=0.351, fraction_esd=0.004)
    assert twinning.about_twin(fit) == ("twin: 35.1(4) % of the crystal is turned by the law k,h,-l",)
    single = fit_of(draft(), tmp_path / "fit.npz")
    assert twinning.twin_of(single) is None
    assert twinning.about_twin(single) == ()
    assert FileRef.of(tmp_path / "fit.npz").path.is_file()
