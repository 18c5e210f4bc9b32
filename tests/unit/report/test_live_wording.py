"""What is said of a series that grows, and when its data are called likely to be enough."""

from pathlib import Path

import pytest

from tasks.model import UnitCell
from tasks.report.live_models import LiveCrystal, LiveScan, LiveState
from tasks.report.live_page import write_live_page
from tasks.report.live_wording import awaited_words, dose_words, live_headline, verdict_sentence, verdict_words

GOOD = LiveCrystal(
    id="crystal-01",
    scans=20,
    positions=80,
    tilts=20,
    unit_cell=UnitCell.of((20.7, 20.7, 20.7, 90, 90, 90)),
    space_group="F m -3 m",
    indexed_fraction=1.0,
    d_min_angstrom=0.9,
    completeness=0.9,
    completeness_planned=1.0,
    best_tilts=((12.0, 0.95), (30.0, 0.97)),
    cc_half=0.99,
    halves_cc=0.97,
    halves_weak=0.6,
)


def state(*crystals: LiveCrystal, doses: tuple[float | None, ...] = (None, None), **more: object) -> LiveState:
    scans = [
        LiveScan(file=f"{number}.h5", tilt_deg=float(number), state="read", electrons=10, dose_e_per_A2=dose)
        for number, dose in enumerate(doses)
    ]
    to_come = LiveScan(file="9.h5", tilt_deg=9.0, state="awaited", note="the file is absent")
    return LiveState(
        sample="<i>s</i>", source="/s", updated="now", crystals=crystals, scans=(*scans, to_come), planned=3, **more
    )


def test_complete_sharp_data_whose_halves_agree_are_likely_enough() -> None:
    assert GOOD.enough
    assert verdict_words(GOOD) == "likely enough to solve"
    assert live_headline(state(GOOD)).endswith("likely enough to solve: crystal-01")


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"completeness": 0.5}, "complete 0.50 of 0.75"),
        ({"halves_cc": 0.8}, "agreement of the halves 0.80 of 0.9"),
        ({"halves_weak": None}, "agreement of the weak reflections unknown of 0.3"),
        ({"d_min_angstrom": 1.5}, "resolution 1.50 of 1.2"),
        ({"unit_cell": None}, "no lattice yet"),
    ],
)
def test_whatever_is_missing_for_that_is_named(change: dict[str, object], why: str) -> None:
    crystal = GOOD.model_copy(update=change)
    assert not crystal.enough
    assert why in verdict_words(crystal)
    assert verdict_sentence(crystal) == f"N{verdict_words(crystal)[1:]}."
    assert "likely" not in live_headline(state(crystal))


def test_a_dose_is_told_as_stated_or_as_counted_or_not_at_all() -> None:
    assert dose_words(state(doses=(0.5, 0.25))) == "0.75 e/Å² so far, by the manifest"
    assert "at least" in dose_words(state(doses=(0.5, None), dose_counted_e_per_A2=0.1))
    assert dose_words(state()) == "not known"


def test_what_is_to_come_is_one_line() -> None:
    assert awaited_words(state()) == "1 scan is to come, at 9°."


def test_the_page_reloads_itself_only_while_the_series_grows(tmp_path: Path) -> None:
    write_live_page(state(GOOD), tmp_path, (), None)
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert 'http-equiv="refresh"' in page
    assert "<i>s</i>" not in page
    assert "12° (to 95" in page
    write_live_page(state(GOOD, phase="stopped", ending="over"), tmp_path, (), None)
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "refresh" not in page
    assert "over" in page
