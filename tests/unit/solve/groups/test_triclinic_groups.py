"""P1 and P-1: a structure laid over its own inverse must not stand for one without a centre."""

from pathlib import Path

import numpy as np

from tasks.model import Composition, UnitCell
from tasks.solve.engines import DirectMethods
from tests.synthetic.known_structures import KnownStructure
from tests.synthetic.random_structures import simulated_intensities
from tests.synthetic.solve_cases import reflections_document

KAOLINITE = KnownStructure(
    UnitCell.of((5.155, 5.156, 7.405, 75.14, 84.11, 60.18)),
    "P 1",
    ("Si", "Si", "Al", "Al", *["O"] * 9),
    np.array([
        (0.6920, 0.3251, 0.5962), (0.0360, 0.6669, 0.5965), (0.0174, 0.8770, 0.9775), (0.3509, 0.2049, 0.9745),
        (0.6845, 0.2129, 0.8186), (0.3617, 0.4946, 0.5023), (0.8885, 0.0335, 0.5082), (0.8192, 0.5617, 0.5284),
        (0.3111, 0.4879, 0.1113), (0.6894, 0.8694, 0.1137), (0.0732, 0.1092, 0.1154), (0.2986, 0.9780, 0.8266),
        (0.0673, 0.5926, 0.8198),
    ]),
    np.full(13, 0.01),
    np.ones(13),
)  # fmt: skip


def test_a_layer_silicate_without_a_centre_is_solved_in_p1(tmp_path: Path) -> None:
    merged = simulated_intensities(KAOLINITE, d_min_angstrom=0.7, seed=1, noise=0.05, completeness=0.6)
    data = reflections_document(
        tmp_path / "data", name="layers", merged=merged, cell=KAOLINITE.cell, laue="P -1", radiation="electron"
    )
    found = DirectMethods().solve(data, Composition.parse("Al4 O18 Si4"), tmp_path)
    assert found.best.space_group == "P 1"
    assert found.best.verdict == "solved"
    assert found.best.r1 < 0.1
