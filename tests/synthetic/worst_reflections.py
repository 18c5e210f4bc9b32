"""A list of worst-fitting reflections for the tests of the page: made up, the maps drawn as the report draws them."""

import numpy as np

from tasks.refine import Misfit
from tasks.report.worst_list import map_entry_of
from tasks.report.worst_models import CrossingEntry, WorstFitting, WorstReflection
from tasks.trace import PositionMap


def example_worst(crystal: str, *, reflections: int = 10) -> WorstFitting:
    """Return a list whose last reflection was seen nowhere."""
    rng = np.random.default_rng(5)
    rows = []
    for number in range(reflections):
        seen = 0 if number == reflections - 1 else 6
        rows.append(
            WorstReflection(
                misfit=Misfit(
                    hkl=(number, -2, 14),
                    d_angstrom=2.1 - 0.1 * number,
                    f_squared_observed=1234.5 - 140.0 * number,
                    f_squared_calculated=810.2,
                    sigma=21.4,
                    deviation=9.1 - 2.0 * number,
                ),
                crossings=tuple(_crossing(crystal, number, place, rng) for place in range(seen)),
                crossings_in_all=4 * seen,
                traced_as=((crystal, (number, -2, 14)),) if seen else (),
            )
        )
    return WorstFitting(reflections=tuple(rows), notes=(f"{crystal}: no probe positions in a made-up note",))


def _crossing(crystal: str, number: int, place: int, rng: np.random.Generator) -> CrossingEntry:
    predicted = 80.0 * np.exp(-(np.linspace(-2, 2, 5) ** 2))
    electrons = rng.poisson(2.0, (9, 14))
    electrons[:2, :3] = -1
    return CrossingEntry(
        crystal=crystal,
        hkl=(number, -2 - place, 14),
        tilt_deg=tuple((-30.0 + 10.0 * place + 1.5 * np.arange(5)).tolist()),
        counts=tuple((rng.poisson(predicted) + 6).tolist()),
        background=(6.0,) * 5,
        predicted=(*predicted[:4].tolist(), None),
        used=(True, True, True, True, False),
        map=map_entry_of(PositionMap(-27.0 + 10.0 * place, (3, 4), electrons)),
    )
