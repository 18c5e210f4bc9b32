"""Real intensities made unfit on purpose: each fault must be called anything but solved, or be survived."""

from typing import NamedTuple

import numpy as np

from tasks.integrate.reflection_file import Merged
from tasks.model import UnitCell
from tests.synthetic.solve_cases import Case, merge, read_hklf4


class Faulty(NamedTuple):
    """One bad input; ``survivable``: the structure may still be found."""

    name: str
    merged: Merged
    cell: UnitCell
    laue: str
    radiation: str
    composition: str
    survivable: bool


def faulty_sets(case: Case, seed: int) -> list[Faulty]:
    """Return the data of a case, each with one fault."""
    merged = merge(*read_hklf4(case.hkl), case.laue)
    d = case.cell.gemmi().calculate_d_array(merged.hkl)
    rng = np.random.default_rng(seed)

    def fault(name: str, data: Merged, *, survivable: bool, **other: object) -> Faulty:
        fields = {"cell": case.cell, "composition": case.composition} | other
        return Faulty(f"{case.name}-{name}", data, laue=case.laue, radiation=case.radiation,
                      survivable=survivable, **fields)  # type: ignore[arg-type]  # fmt: skip

    return [
        fault("wrong-cell", merged, survivable=False, cell=_stretched(case.cell)),
        fault("wrong-composition", merged, survivable=True, composition="Fe2 O3"),
        fault("equal", merged._replace(intensity=np.full(len(d), 100.0)), survivable=False),
        fault("overlap", overlapped(merged, d), survivable=True),
        fault("1.4A", rows(merged, d > 1.4), survivable=True),
        fault("30%", rows(merged, rng.random(len(d)) < 0.3), survivable=True),
        fault("cone-30%", rows(merged, _in_cone(merged, case.cell, 0.3)), survivable=True),
    ]


def rows(merged: Merged, keep: np.ndarray) -> Merged:
    """Return the reflections of a mask."""
    return Merged(*(column[keep] for column in merged))


def overlapped(merged: Merged, d: np.ndarray) -> Merged:
    """Return half of each intensity and half of that of the reflection next in resolution: no law relates the two.

    As unrelated crystals overlap; twins by a law of the lattice are in `tests.synthetic.twins`.
    """
    order = np.argsort(d)
    partner = np.empty(len(d), dtype=np.int64)
    partner[order] = np.roll(order, 1)
    return merged._replace(intensity=(merged.intensity + merged.intensity[partner]) / 2)


def _stretched(cell: UnitCell) -> UnitCell:
    a, b, c, *angles = cell.parameters
    return UnitCell.of((1.25 * a, 0.8 * b, 1.15 * c, *angles))


def _in_cone(merged: Merged, cell: UnitCell, share: float) -> np.ndarray:
    reciprocal = merged.hkl @ np.array(cell.gemmi().frac.mat.tolist())
    height = np.abs(reciprocal[:, 0]) / np.linalg.norm(reciprocal, axis=1)
    return height <= np.quantile(height, share)
