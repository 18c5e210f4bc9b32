"""The dose by the middle of each scan, against sums by hand."""

import pytest

from tasks.frames.doses import accumulated_doses
from tasks.ingest.models import TiltScan


def scans(*facts: tuple[int | None, float | None]) -> list[TiltScan]:
    return [
        TiltScan.model_construct(tilt_deg=float(tilt), order=order, dose_e_per_A2=dose)
        for tilt, (order, dose) in enumerate(facts)
    ]


def test_doses_add_up_in_the_order_of_acquisition() -> None:
    assert accumulated_doses(scans((2, 1.0), (0, 2.0), (1, 4.0))) == pytest.approx([6.5, 1.0, 4.0])


def test_a_scan_that_was_lost_gave_its_dose_all_the_same() -> None:
    assert accumulated_doses(scans((0, 2.0), (2, 4.0))) == pytest.approx([1.0, 7.0])


@pytest.mark.parametrize("facts", [[(None, None), (None, None)], [(0, 1.0), (1, None)], []])
def test_a_dose_that_is_not_stated_leaves_all_unknown(facts: list[tuple[int | None, float | None]]) -> None:
    assert accumulated_doses(scans(*facts)) == [None] * len(facts)
