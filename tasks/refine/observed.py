"""Which intensities a structure is refined against.

The states of the reflection list on its way, one name each:

=========================  ===============================================  ============================
name                       what it holds                                    made by
=========================  ===============================================  ============================
`Unmerged`                 observations on one scale, outliers removed      tasks.integrate
`Merged`                   unique under the Laue group                      tasks.integrate
`NormalisedHemisphere`     |F| and |E| of a P1 hemisphere, to phase         tasks.solve.data.prepared
`GroupAmplitudes`          |F| and |E| that a space group allows, to build  tasks.solve.data.observations
`ReindexedIntensities`     in the axes of a solution, not merged again      tasks.refine.observed
`UniqueIntensities`        unique under its space group, absences left out  a LeastSquares port (cctbx)
table of a `DraftFit`      these beside F(calc)^2, on the absolute scale    a LeastSquares port (cctbx)
HKL and FCF                the last two as text                             adapters.formats
=========================  ===============================================  ============================
"""

from typing import NamedTuple

import gemmi
import numpy as np
from numpy.typing import NDArray

from tasks.integrate import Merged, Reflections, Unmerged, read_merged, read_unmerged
from tasks.model import InputError
from tasks.solve import Solution

SHELL_REFLECTIONS = 50
"""Per shell at least: a share of LEAST_OBSERVED then has a standard error of 0.06, and the 0.023 of noise lies three
of these below."""
LEAST_OBSERVED = 0.2
"""Share with I > 2 sigma in the last shell kept. Chosen, not measured: noise alone gives 0.023; more cuts weak data
that still carry signal, less refines against noise."""


WHOLE = 1e-3
"""How far a whole index may be from what a change of axes gives: their entries are ratios of small whole numbers."""
Table = Merged | Unmerged


class ReindexedIntensities(NamedTuple):
    """Intensities in the axes of a solution, not merged again: hkl (n, 3) int32, the rest (n,)."""

    hkl: NDArray[np.int32]
    intensity: NDArray[np.float64]
    sigma: NDArray[np.float64]


def laue_order(hall: str) -> int:
    """Return the order of the Laue class of a space group."""
    rotations = {tuple(map(tuple, operation.rot)) for operation in gemmi.symops_from_hall(hall).sym_ops}
    return len(rotations | {tuple(tuple(-x for x in row) for row in rotation) for rotation in rotations})


def reindexed(data: Reflections, solution: Solution) -> ReindexedIntensities:
    """Return the intensities to refine a solution against, indexed in its cell.

    Electrons: the merged ones, unless the solution's symmetry is lower than what they were merged in, or its setting
    differs; then, and for X-rays, where Friedel mates differ, the unmerged ones.

    Raises
    ------
    InputError
        If the solution's setting gives indices that are not whole.
    """
    table, exact, whole = _in_axes_of(data, solution)
    if not whole.all():
        raise InputError(
            f"{data.id}: the setting of {solution.space_group} turns hkl into fractions",
            str(np.array(solution.to_solution_cell).tolist()),
        )
    return _rounded(table, exact, whole)


def on_its_lattice(data: Reflections, solution: Solution) -> ReindexedIntensities:
    """Return the same for a solution in a smaller cell than the data's: reflections that it has no index for left out.

    Whether these are weak enough is for the caller to know.
    """
    return _rounded(*_in_axes_of(data, solution))


def indices_in(matrix: NDArray[np.float64], hkl: NDArray[np.int32]) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Return the indices (n, 3) that a matrix turns others into, and which of them are whole, (n,)."""
    exact = hkl.astype(np.float64) @ matrix.T
    return exact, np.abs(exact - np.round(exact)).max(axis=1, initial=0.0) <= WHOLE


def _in_axes_of(data: Reflections, solution: Solution) -> tuple[Table, NDArray[np.float64], NDArray[np.bool_]]:
    """Return the table that suits a solution, its indices in the solution's cell, and which of them are whole."""
    matrix = np.array(solution.to_solution_cell, dtype=np.float64)
    same_setting = bool(np.allclose(matrix, np.eye(3)))
    symbol = gemmi.find_spacegroup_by_name(data.laue_group)
    merged_order = None if symbol is None else laue_order(symbol.hall)
    mergeable = same_setting and merged_order is not None and laue_order(solution.hall) >= merged_order
    table = read_merged(data.merged) if data.radiation == "electron" and mergeable else read_unmerged(data.unmerged)
    return table, *indices_in(matrix, table.hkl)


def _rounded(table: Table, exact: NDArray[np.float64], whole: NDArray[np.bool_]) -> ReindexedIntensities:
    return ReindexedIntensities(
        np.round(exact[whole]).astype(np.int32),
        table.intensity[whole].astype(np.float64),
        table.sigma[whole].astype(np.float64),
    )


def useful_limit(
    d_angstrom: NDArray[np.float64], intensity: NDArray[np.float64], sigma: NDArray[np.float64]
) -> float | None:
    """Return where the data end: the d beyond which fewer than a fifth of the reflections have I > 2 sigma.

    Noise alone gives 2.3 %. Looked at in shells of equal numbers (50 at least) from the outside in; None if the
    outermost shell is good, or if none is.

    Parameters
    ----------
    d_angstrom, intensity, sigma
        (n,) unique reflections.
    """
    order = np.argsort(d_angstrom, kind="stable")
    shells = np.array_split(order, max(1, min(20, len(order) // SHELL_REFLECTIONS)))
    observed = [float(np.mean(intensity[shell] > 2.0 * sigma[shell])) for shell in shells if len(shell)]
    good = [number for number, fraction in enumerate(observed) if fraction >= LEAST_OBSERVED]
    if not good or good[0] == 0:
        return None
    return float(d_angstrom[shells[good[0]]].min())


def draft_labels(elements: list[str]) -> list[str]:
    """Return a label for each atom: the element with a running number."""
    counts: dict[str, int] = {}
    labels = []
    for element in elements:
        counts[element] = counts.get(element, 0) + 1
        labels.append(f"{element}{counts[element]}")
    return labels
