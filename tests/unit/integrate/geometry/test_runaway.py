"""A refinement that leaves what can be a lattice ends in a refusal, not in numbers that are none."""

import numpy as np
import pytest

from tasks.integrate.geometry import refinement
from tasks.integrate.geometry.mapping import Geometry
from tasks.integrate.geometry.state import State
from tasks.model import NotIndexedError

GEOMETRY = Geometry(
    axis=np.array([1.0, 0.0, 0.0]),
    angle_deg=np.array([0.0, 1.0]),
    beam_px=np.full((2, 2), 63.5),
    distance_px=2000.0,
    wavelength=0.0251,
)


def state(cell: tuple[float, ...], beam: float = 63.5) -> State:
    return State(GEOMETRY._replace(beam_px=np.full((2, 2), beam)), np.eye(3), np.array(cell), np.zeros((2, 3)))


def test_a_lattice_passes() -> None:
    refinement._check(state((7.3, 10.7, 11.1, 90.0, 108.0, 90.0)))


@pytest.mark.parametrize(
    ("cell", "beam"),
    [
        ((7.3, 10.7, 11.1, 25.0, 30.0, 120.0), 63.5),  # the angles enclose no volume
        ((7.3, np.nan, 11.1, 90.0, 90.0, 90.0), 63.5),
        ((7.3, 1e5, 11.1, 90.0, 90.0, 90.0), 63.5),
        ((7.3, 10.7, 11.1, 90.0, 108.0, 90.0), np.nan),
    ],
)
def test_what_is_no_lattice_is_refused(cell: tuple[float, ...], beam: float) -> None:
    with pytest.raises(NotIndexedError, match="ran away"):
        refinement._check(state(cell, beam))
