"""How far a first model can be believed: its figures, measured here, judged by the one rule."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import NamedTuple

import gemmi
import numpy as np

from tasks.crystal.contacts import BOND_TOLERANCE_ANGSTROM, Contacts, covalent_radii, is_bond
from tasks.crystal.symmetry import Symmetry
from tasks.model import UnitCell
from tasks.model.verdict import ModelFigures, Verdict, judge, with_search
from tasks.solve.building.atoms import Model, multiplicities
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


IONIC_REACH_ANGSTROM = 0.3
"""What a metal and a nonmetal may be farther apart than a bond and still be neighbours: many long contacts in the place
of few bonds. Of 190 published minerals (Debian's libavogadro-data) the nearest neighbour is farther than a bond in the
salts of divalent lead alone (0.0 to 0.22 A) and where hydrogen is not named."""
NOTHING_KNOWN: Mapping[str, float] = MappingProxyType({})
"""Of a model from phases: no other arrangement was compared."""


class Judgement(NamedTuple):
    """The verdict, why, and the figures it rests on."""

    verdict: Verdict
    reasons: tuple[str, ...]
    figures: dict[str, float]


def judge_built(
    task: Task, built: Built, left_out: Callable[[], float] | None = None, *, known: Mapping[str, float] = NOTHING_KNOWN
) -> Judgement:
    """Return the verdict on a built model.

    Reflections are left out only of models that are not hopeless without: it takes most of the time.

    Parameters
    ----------
    left_out
        Gives R1 of left-out reflections; None: as for one crystal.
    known
        Further figures, of a model that all arrangements of its atoms were compared with.
    """
    figures = _figures(task, built) | dict(known)
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
    measured = ModelFigures(
        kind="first",
        radiation=task.observed.radiation,
        r1=figures["r1"],
        r1_left_out=figures.get("r_free"),
        r1_over_smooth=_over_smooth(figures),
        correlation=None if "explained_by_chance" in figures else figures["cc"],  # of equal |E| it says nothing
        weak=None if "explained_by_chance" in figures else figures["r_weak"],
        reflections_per_parameter=figures["reflections_per_parameter"],
        atoms_per_cell=figures["atoms_per_cell"],
        atoms_expected=task.budget.low,
        bad_contacts=figures["bad_contacts"],
        isolated=figures["isolated"],
        short_bonds=figures["short_bonds"],
        axis_ratio=figures["axis_ratio"],
    )
    return with_search(measured, figures)


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
        "unique_reflections": float(len(task.observed.hkl)),
        "reflections_per_parameter": len(task.observed.hkl) / max(1, built.fit.parameters),
        "atoms_per_cell": float(multiplicities(model.position, task.symmetry, cell).sum()),
        "bad_contacts": _impossible(near, model.element) / count,
        "isolated": isolated(model, symmetry=task.symmetry, cell=cell) / count,
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


def isolated(model: Model, *, symmetry: Symmetry, cell: UnitCell) -> int:
    """Return how many atoms have no neighbour within a bond, nor a metal and a nonmetal hardly farther apart."""
    radii = covalent_radii(model.element)
    reach = 2.0 * float(radii.max(initial=0.0)) + BOND_TOLERANCE_ANGSTROM + IONIC_REACH_ANGSTROM
    near = neighbours(model.position, symmetry, cell, within_angstrom=reach)
    metal = np.array([gemmi.Element(element).is_metal for element in model.element], dtype=bool)
    bond = radii[near.first] + radii[near.second] + BOND_TOLERANCE_ANGSTROM
    beside = near.distance <= bond + IONIC_REACH_ANGSTROM * (metal[near.first] != metal[near.second])
    return len(model.element) - len(np.unique(near.first[beside]))


def _impossible(near: Contacts, element: tuple[str, ...]) -> int:
    """Return how many atoms have a contact shorter than any bond."""
    radius = np.minimum(covalent_radii(element), LARGEST_RADIUS_ANGSTROM)
    if len(near.first) == 0:
        return 0
    short = near.distance < SHORTEST_BOND_FRACTION * (radius[near.first] + radius[near.second])
    return len(np.unique(near.first[short]))
