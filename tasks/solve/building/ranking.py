"""How far a first model can be believed: its figures, measured here, judged by the one rule."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from tasks.crystal.contacts import Contacts, covalent_radii, is_bond
from tasks.model.verdict import ModelFigures, Verdict, judge
from tasks.solve.building.atoms import multiplicities
from tasks.solve.building.bonds import fit_of_bonds, neighbours, parts
from tasks.solve.building.cross_validation import free_r, r1_without_structure
from tasks.solve.building.model_building import Built, Task

LEAST_GAIN = 0.5
"""Share of the squares of the differences of bond lengths that other axes must remove to be believed: 18 % of the 51
published crystals of TYPICAL_DIFFERENCE_ANGSTROM that did not set it have more, though their cells are right."""
SHORTEST_BOND_FRACTION = 0.62
"""Of the sum of covalent radii: shorter contacts do not occur."""
LARGEST_RADIUS_ANGSTROM = 0.9
"""Radii are cut here: a metal taken for oxygen and the reverse is an error of labels, not of the structure."""


class Judgement(NamedTuple):
    """The verdict, why, and the figures it rests on."""

    verdict: Verdict
    reasons: tuple[str, ...]
    figures: dict[str, float]


def judge_built(task: Task, built: Built, left_out: Callable[[], float] | None = None) -> Judgement:
    """Return the verdict on a built model.

    Reflections are left out only of models that are not hopeless without: it takes most of the time.

    Parameters
    ----------
    left_out
        Gives R1 of left-out reflections; None: as for one crystal.
    """
    figures = _figures(task, built)
    measure = left_out or (lambda: _r_free(task, built))
    figures["r_free"] = measure() if _hopeful(task, figures) else 1.0
    ruling = judge(_model_figures(task, figures))
    against = tuple(f"against: {statement.text}" for statement in ruling.objections)
    return Judgement(ruling.verdict, against or tuple(statement.text for statement in ruling.statements), figures)


def _over_smooth(figures: dict[str, float]) -> float | None:
    left_out = figures.get("r_free")
    return None if left_out is None or left_out >= 1.0 else left_out / max(figures["r1_smooth"], 1e-6)


def _r_free(task: Task, built: Built) -> float:
    return free_r(built.fit.model, task.observed, task.symmetry, extinction=built.fit.extinction)


def _hopeful(task: Task, figures: dict[str, float]) -> bool:
    return judge(_model_figures(task, figures)).verdict != "not-solved"


def _model_figures(task: Task, figures: dict[str, float]) -> ModelFigures:
    return ModelFigures(
        kind="first",
        radiation=task.observed.radiation,
        r1=figures["r1"],
        r1_left_out=figures.get("r_free"),
        r1_over_smooth=_over_smooth(figures),
        correlation=figures["cc"],
        weak=figures["r_weak"],
        reflections_per_parameter=figures["reflections_per_parameter"],
        atoms_per_cell=figures["atoms_per_cell"],
        atoms_expected=task.budget.low,
        bad_contacts=figures["bad_contacts"],
        isolated=figures["isolated"],
        short_bonds=figures["short_bonds"],
        axis_ratio=figures["axis_ratio"],
    )


def _figures(task: Task, built: Built) -> dict[str, float]:
    model, cell = built.fit.model, task.observed.cell
    near = neighbours(model.position, task.symmetry, cell, within_angstrom=3.2)
    bonded = is_bond(near, model.element)
    number, largest = parts(near, bonded, len(model.element))
    count = max(1, len(model.element))
    strain = fit_of_bonds(near, bonded, model.element, cell)
    return {
        "r1": built.fit.r1,
        "extinction": built.fit.extinction,
        "r1_smooth": r1_without_structure(task.observed, task.symmetry),
        "cc": built.correlation,
        "r_weak": built.r_weak,
        "reflections_per_parameter": len(task.observed.hkl) / max(1, built.fit.parameters),
        "atoms_per_cell": float(multiplicities(model.position, task.symmetry, cell).sum()),
        "bad_contacts": _impossible(near, model.element) / count,
        "isolated": 1.0 - len(np.unique(near.first[bonded])) / count,
        "short_bonds": strain.short,
        "axis_ratio": float(strain.axes.max() / max(float(strain.axes.min()), 0.1))
        if strain.gain > LEAST_GAIN
        else 1.0,
        "parts": float(number),
        "largest_part": float(largest),
        "residual_peak_sigma": built.residual,
        "residual_hole_sigma": built.hole,
        "mean_u_iso": float(model.u_iso.mean()) if len(model.element) else 0.0,
    }


def _impossible(near: Contacts, element: tuple[str, ...]) -> int:
    """Return how many atoms have a contact shorter than any bond."""
    radius = np.minimum(covalent_radii(element), LARGEST_RADIUS_ANGSTROM)
    if len(near.first) == 0:
        return 0
    short = near.distance < SHORTEST_BOND_FRACTION * (radius[near.first] + radius[near.second])
    return len(np.unique(near.first[short]))
