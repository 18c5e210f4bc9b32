"""Symmetry that a refined model has and its space group lacks: looked for, refined in, and compared by the data.

The idea is that of MISSYM and PLATON's ADDSYM (Le Page, J. Appl. Cryst. 20, 264-269, 1987; Spek, Acta Cryst. D65,
148-155, 2009), with the refinement of both made, not left to the reader.
"""

import logging
import math
from typing import NamedTuple

import gemmi
import numpy as np

from tasks.crystal.model_symmetry import ModelSymmetry, Sites, kinds_of, symmetry_of_model
from tasks.integrate import Reflections
from tasks.model import ApertureError, Composition
from tasks.refine.completion import fitting_composition
from tasks.refine.draft import DraftFit, UniqueIntensities
from tasks.refine.observed import indices_in, on_its_lattice
from tasks.refine.overlapped import with_overlaps
from tasks.refine.ports import LeastSquares
from tasks.refine.prediction import left_out_r1
from tasks.refine.progress import RefineProgress
from tasks.refine.settings import RefineSettings
from tasks.refine.strategy import refined, start_of
from tasks.refine.validation import CYCLES, TRIES, Recovery, recovery, without_hydrogen
from tasks.solve import Atom, Solution

log = logging.getLogger("apertura.refine")

WITHIN_ANGSTROM = (0.1, 0.2, 0.35)
"""Distances within which images must fall on atoms: ADDSYM's default is 0.25; an acentric model of a structure with a
centre is a singular problem, whose atoms come to rest up to 0.3 A from the images of each other."""
MOST_GROUPS = 3
"""Refined in, the largest first: each costs as much as the refinement before. Chosen, not measured."""
MORE_R1 = 0.01
"""R1 that the higher group may have beyond `R1_RATIO`: its parameters are half as many. A centre missed in simulated
electron data costs 0.013 of 0.124; natrolite in a tetragonal group, aluminium on silicon, 0.02 or more of 0.13."""
R1_RATIO = 1.05
MORE_LEFT_OUT = 0.02
"""R1 of left-out reflections may be higher by so much: it scatters by that between two choices of a tenth."""
LEAST_LEFT_OUT, MOST_DRAWS = 100, 10
"""Reflections left out in all, below which more tenths are drawn, up to so many: R1 of the twenty that two tenths of a
small tetragonal cell make scatters by 0.03 (matlockite: 0.107 in a group without the centre, 0.143 in its own)."""
NARROW = 2.0
"""Times these margins: a higher group that fails by less is not excluded. Chosen, not measured."""
MOST_GAINED = {"electron": 0.35, "xray": 0.05}
"""Mean intensity of the reflections that only the higher group forbids, over that of all: of electrons multiple
scattering fills absences up to a third of the mean (`groups.symmetry_from_phases` charges nothing below a fifth)."""
MOST_BESIDE = 0.05
"""The same of reflections between the points of the higher group's lattice, for any radiation: multiple scattering
fills none, as it has no beams there. Simulated rock salt, taken for one kind of atom on both sites, has 0.10 (X-rays)
and 0.15."""

MERGING = (2.5, 0.05)
"""R(int) of intensities that only the higher group merges may be so much of R1, plus this: that of intensities is twice
that of amplitudes, with as many independent errors."""


class Standing(NamedTuple):
    """A refined model in a group, with what it was refined against and how it came back when shaken."""

    solution: Solution
    intensities: UniqueIntensities
    progress: RefineProgress
    recovery: Recovery | None


class Comparison(NamedTuple):
    """Which of two groups a structure is taken to have, and why, in words."""

    standing: Standing
    remarks: tuple[str, ...]
    doubts: tuple[str, ...] = ()
    """Higher groups that were refused so narrowly that they are not excluded, in words."""


def missed_symmetry(fit: DraftFit) -> tuple[ModelSymmetry, ...]:
    """Return the groups that the atoms obey, hydrogen apart, beyond their own; the largest first."""
    atoms = [atom for atom in fit.draft.atoms if atom.element not in {"H", "D"}]
    if not atoms:
        return ()
    named = kinds_of([atom.element for atom in atoms], [atom.occupancy for atom in atoms])
    places = np.array([atom.position for atom in atoms])
    found: dict[tuple[int, int], ModelSymmetry] = {}
    # elements may be named wrong: what the places alone obey is looked at too, and named anew when it is refined
    for kind in dict.fromkeys((named, ("any",) * len(named))):
        for within in WITHIN_ANGSTROM:
            sites = Sites(kind, places)
            higher = symmetry_of_model(sites, fit.draft.hall, fit.draft.unit_cell, within_angstrom=within)
            if higher is not None:
                found.setdefault((higher.group.number, round(1e3 * abs(np.linalg.det(higher.change)))), higher)
    return tuple(sorted(found.values(), key=lambda item: -item.operations_per_old_cell))[:MOST_GROUPS]


def solution_in(found: ModelSymmetry, fit: DraftFit, solution: Solution) -> Solution:
    """Return the atoms of a refined model, hydrogen apart, as a first model in a higher group."""
    atoms = [atom for atom in fit.draft.atoms if atom.element not in {"H", "D"}]
    u = {row.label: row.u_equivalent for row in fit.atoms}
    merged = tuple(
        Atom(
            label=atoms[rows[0]].label,
            element=atoms[rows[0]].element,
            position=tuple(place.tolist()),
            u_iso_angstrom2=float(np.mean([u[atoms[row].label] for row in rows])),
            occupancy=min(1.0, float(np.mean([atoms[row].occupancy for row in rows]))),
        )
        for place, rows in zip(found.position, found.parents, strict=True)
    )
    matrix = found.index_change @ np.array(solution.to_solution_cell)
    return solution.model_copy(
        update={
            "space_group": found.group.xhm(),
            "hall": found.group.hall,
            "unit_cell": found.cell,
            "to_solution_cell": tuple(tuple(np.round(row, 9).tolist()) for row in matrix),
            "atoms": merged,
        }
    )


def in_its_symmetry(
    numerics: LeastSquares,
    data: Reflections,
    standing: Standing,
    *,
    composition: Composition | None,
    settings: RefineSettings,
) -> Comparison:
    """Return the model refined in the highest group that explains the data as well as its own, with remarks.

    A model that has no more symmetry, or one whose higher group the data refuse, stays as it is; the remark then says
    what was refused, if anything was.
    """
    refused: list[str] = []
    narrow: list[str] = []
    if not settings.missed_symmetry:
        return Comparison(standing, ())
    for found in missed_symmetry(standing.progress.fit):
        words = _distances(found)
        gained, beside = newly_forbidden(found, standing), off_its_lattice(found, standing)
        if beside > MOST_BESIDE:
            refused.append(
                f"atoms obey {found.group.xhm()} {words}, but the data refuse it: reflections between the points of "
                f"its lattice have {beside:.0%} of the mean intensity"
            )
            continue
        if gained > MOST_GAINED[standing.intensities.radiation]:
            refused.append(
                f"atoms obey {found.group.xhm()} {words}, but the data refuse it: reflections that it forbids have "
                f"{gained:.0%} of the mean intensity"
            )
            continue
        try:
            higher = _refined_in(numerics, data, standing, found, composition, settings)
        except ApertureError as error:
            log.debug("%s: %s", found.group.xhm(), error)
            continue
        lower, higher = (over_enough(numerics, one) for one in (standing, higher))
        figures = _figures(lower, higher)
        if _as_good(lower, higher):
            remark = (
                f"{found.group.xhm()} is taken, not {standing.solution.space_group}: atoms obey it {words}, {figures}"
            )
            return Comparison(higher, (remark,))
        refused.append(f"atoms obey {found.group.xhm()} {words}, but the data refuse it: {figures}")
        if _as_good(lower, higher, margins=NARROW):
            narrow.append(f"atoms obey {found.group.xhm()} {words}, which is not excluded: {figures}")
    return Comparison(standing, tuple(refused[:1]), tuple(narrow[:1]))


def newly_forbidden(found: ModelSymmetry, standing: Standing) -> float:
    """Return the mean intensity of the reflections that only the higher group forbids over that of all.

    Those that have no whole index in a smaller cell are among them. Zero if there is none.
    """
    return _forbidden(gemmi.symops_from_hall(found.group.hall), found, standing)


def off_its_lattice(found: ModelSymmetry, standing: Standing) -> float:
    """Return the same of the reflections that have no point in the lattice of the higher group, centring included."""
    return _forbidden(gemmi.symops_from_hall(found.group.hall).derive_symmorphic(), found, standing)


def _forbidden(operations: gemmi.GroupOps, found: ModelSymmetry, standing: Standing) -> float:
    with np.load(standing.intensities.table.path, allow_pickle=False) as file:
        hkl, intensity = file["hkl"], file["intensity"]
    exact, whole = indices_in(found.index_change, hkl)
    forbidden = ~whole
    forbidden[whole] = operations.systematic_absences(np.round(exact[whole]).astype(np.int32))
    mean = float(intensity.mean())
    return float(intensity[forbidden].mean()) / mean if forbidden.any() and mean > 0 else 0.0


def _refined_in(
    numerics: LeastSquares,
    data: Reflections,
    standing: Standing,
    found: ModelSymmetry,
    composition: Composition | None,
    settings: RefineSettings,
) -> Standing:
    solution = solution_in(found, standing.progress.fit, standing.solution)
    table = on_its_lattice(data, solution)
    merged = numerics.merged(data, solution, table, standing.intensities.d_min_angstrom)
    intensities = with_overlaps(merged, data, solution)
    fitting = fitting_composition(composition, solution.unit_cell)
    progress = refined(
        numerics, start_of(solution, intensities, settings), intensities, composition=fitting, settings=settings
    )
    return Standing(solution, intensities, progress, recovery(numerics, progress.fit, intensities))


def over_enough(numerics: LeastSquares, standing: Standing) -> Standing:
    """Return a standing whose R1 of left-out reflections is that of enough of them to be compared."""
    found = standing.recovery
    if found is None or found.reflections_free >= LEAST_LEFT_OUT:
        return standing
    draws = min(MOST_DRAWS, math.ceil(TRIES * LEAST_LEFT_OUT / found.reflections_free))
    bare = without_hydrogen(standing.progress.fit.draft)
    r1 = left_out_r1(numerics, bare, standing.intensities, draws=draws, cycles=CYCLES, shake=True)
    counted = draws * found.reflections_free // TRIES
    return standing if r1 is None else standing._replace(recovery=found._replace(r1_free=r1, reflections_free=counted))


def _as_good(lower: Standing, higher: Standing, *, margins: float = 1.0) -> bool:
    """Tell whether the higher group explains the data, and those left out, as well with fewer parameters.

    `margins` widens what R1 may be more; equivalents must agree as well whatever it is.
    """
    before, after = lower.progress.fit.r1, higher.progress.fit.r1
    times, more = MERGING
    if (higher.intensities.r_int or 0.0) > max(times * before + more, times * (lower.intensities.r_int or 0.0)):
        return False
    if after > before + margins * ((R1_RATIO - 1.0) * before + MORE_R1):
        return False
    if lower.recovery is None or higher.recovery is None:
        return higher.recovery is not None
    return higher.recovery.r1_free <= lower.recovery.r1_free + margins * MORE_LEFT_OUT


def _figures(lower: Standing, higher: Standing) -> str:
    def text(standing: Standing) -> str:
        left_out = "" if standing.recovery is None else f" ({standing.recovery.r1_free:.3f} left out)"
        fit = standing.progress.fit
        return f"{fit.r1:.3f}{left_out} with {fit.parameters} parameters"

    return f"R1 {text(higher)} against {text(lower)}"


def _distances(found: ModelSymmetry) -> str:
    return f"within {found.furthest_angstrom:.2f} A ({found.rms_angstrom:.2f} A r.m.s.)"
