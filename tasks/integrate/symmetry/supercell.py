"""A cell that is too long: whole layers of reflections between the true ones hold nothing."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tasks.integrate.merging.equivalents import observations_at
from tasks.integrate.reflection_file import Unmerged
from tasks.model import UnitCell

TIMES = (2, 3)
"""By which an axis is divided, again and again: all mistakes of an indexing by 4, 6, 8 or 9 are made of these."""
LEAST_LISTED = 100
"""Reflections with no index zero that a class of layers must have, in the data, to be called absent, and as many beside
them: their mean I/sigma is then known to 0.1 (1 / sqrt(100)), and no zone with a glide plane is taken for the whole."""
MOST_SIGNAL = 0.25
"""Mean I/sigma up to which layers hold nothing: two of its errors. A real superstructure of which only a part of the
satellites rises above noise has more; one that has less cannot be solved with these data."""
MOST_OF_MEAN = 0.02
"""Their mean intensity, over that of the layers beside them: guards against sigmas that are far too large. Chosen, not
measured: the weakest superstructures that are solved have a few hundredths."""


class SmallerCell(NamedTuple):
    """The observations that are left, in the true cell, and what was found, in words."""

    data: Unmerged
    cell: UnitCell
    words: tuple[str, ...]


def smaller_cell(data: Unmerged, cell: UnitCell) -> SmallerCell | None:
    """Return the data in the cell whose axes are as short as the reflections allow; None if the given ones are.

    Only axes are divided: the cell keeps its angles, and centring is left to `find_centring`. Multiple scattering
    cannot fill these layers, as sums of reflections of a lattice are of that lattice.
    """
    found = SmallerCell(data, cell, ())
    while (division := _division(found.data)) is not None:
        found = _divided(found, *division)
    return found if found.words else None


def _division(data: Unmerged) -> tuple[int, int] | None:
    """Return an axis, and the number of parts it has."""
    for axis in range(3):
        for times in TIMES:
            between = data.hkl[:, axis] % times != 0
            if _hold_nothing(data, between):
                return axis, times
    return None


def _hold_nothing(data: Unmerged, between: NDArray[np.bool_]) -> bool:
    inside = np.all(data.hkl != 0, axis=1)
    weak, strong = between & inside, ~between & inside
    if min(np.count_nonzero(weak), np.count_nonzero(strong)) < LEAST_LISTED:
        return False
    signal = float(np.mean(data.intensity[weak] / data.sigma[weak]))
    return signal < MOST_SIGNAL and bool(
        data.intensity[weak].mean() < MOST_OF_MEAN * max(0.0, float(data.intensity[strong].mean()))
    )


def _divided(before: SmallerCell, axis: int, times: int) -> SmallerCell:
    data, lengths = before.data, list(before.cell.parameters[:3])
    kept = np.flatnonzero(data.hkl[:, axis] % times == 0)
    absent = np.delete(np.arange(len(data.hkl)), kept)
    signal = float(np.mean(data.intensity[absent] / data.sigma[absent]))
    lengths[axis] /= times
    rest = observations_at(data, kept)
    hkl = rest.hkl.copy()
    hkl[:, axis] //= times
    name, index = "abc"[axis], "hkl"[axis]
    words = (
        f"the cell given is a supercell: only reflections with {index} = {times}n are there (the other {len(absent)} "
        f"have a mean I/sigma of {signal:.1f}); {name} was divided by {times}, to {lengths[axis]:.4g} A"
    )
    return SmallerCell(
        rest._replace(hkl=hkl),
        UnitCell.of((lengths[0], lengths[1], lengths[2], *before.cell.parameters[3:])),
        (*before.words, words),
    )
