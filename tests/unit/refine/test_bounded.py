"""A refinement ends: its fits are counted, and one that ran out of time is the last that is tried."""

from pathlib import Path

import pytest

from tasks.model import DivergedError, ProgramTimeoutError
from tasks.refine.bounded import BoundedLeastSquares
from tasks.refine.draft import Draft, DraftFit, UniqueIntensities
from tasks.refine.progress import tried_fit
from tests.synthetic.drafts import chain, fit_of, intensities_of


class Counting:
    """Least squares that answer at once; the fit whose number is `slow` runs out of time."""

    program = "counting"

    def __init__(self, folder: Path, slow: int | None = None) -> None:
        self.folder, self.slow, self.fits = folder, slow, 0

    def merged(self, *_: object) -> UniqueIntensities:
        return intensities_of(self.folder / "merged.npz")

    def fit(self, draft: Draft, *_: object, **__: object) -> DraftFit:
        self.fits += 1
        if self.fits == self.slow:
            raise ProgramTimeoutError("stopped after 600 s")
        return fit_of(draft, self.folder / "fit.npz")


def test_no_more_fits_are_made_than_allowed(tmp_path: Path) -> None:
    engine, draft, intensities = Counting(tmp_path), chain("CN"), intensities_of(tmp_path / "i.npz")
    bounded = BoundedLeastSquares(engine, most=2)
    for _ in range(2):
        bounded.fit(draft, intensities, cycles=3)
    with pytest.raises(DivergedError, match=r"used up.*\n*.*"):
        bounded.fit(draft, intensities, cycles=3)
    assert engine.fits == 2


def test_a_change_is_undone_when_no_fits_are_left(tmp_path: Path) -> None:
    bounded = BoundedLeastSquares(Counting(tmp_path), most=0)
    assert tried_fit(bounded, chain("CN"), intensities_of(tmp_path / "i.npz")) is None


def test_after_a_fit_that_ran_out_of_time_none_is_tried(tmp_path: Path) -> None:
    engine, draft, intensities = Counting(tmp_path, slow=2), chain("CN"), intensities_of(tmp_path / "i.npz")
    bounded = BoundedLeastSquares(engine, most=100)
    assert [tried_fit(bounded, draft, intensities) is None for _ in range(5)] == [False, True, True, True, True]
    assert engine.fits == 2


def test_the_rest_of_the_engine_is_passed_on(tmp_path: Path) -> None:
    bounded = BoundedLeastSquares(Counting(tmp_path), most=1)
    assert bounded.program == "counting"
    assert bounded.merged(None, None, None, None).unique == 1000
