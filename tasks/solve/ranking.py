"""How far a model can be believed: one rule for all data sets, with its reasons."""

from typing import NamedTuple

import numpy as np

from tasks.crystal.contacts import Contacts, covalent_radii, is_bond
from tasks.solve.atoms import multiplicities
from tasks.solve.building import Built, Task
from tasks.solve.cross_validation import free_r
from tasks.solve.geometry import fit_of_bonds, neighbours, parts
from tasks.solve.models import Verdict

R1_SOLVED = {"electron": 0.30, "xray": 0.22}
R_FREE_SOLVED = {"electron": 0.28, "xray": 0.25}
"""Wrong models with a low R1, of many parameters and few data, came to 0.298 and more."""
R1_DOUBTFUL = 0.42
CORRELATION_SOLVED = 0.70
CORRELATION_DOUBTFUL = 0.50
WEAK_SOLVED = 0.45
R_FREE_POROUS = 0.24
CORRELATION_POROUS = 0.85
"""A model without half of its atoms has 0.7 at most, and twice the R factor."""
RATIO_SOLVED = 3.0
LEAST_GAIN = 0.6
AXIS_RATIO_SOLVED = 1.3
"""Right models come to 1.25 (gypsum, layered), tyrosine in a cell with edges up to 25 % off to 1.35."""
SHORT_BONDS_SOLVED = 0.2
SHORTEST_BOND_FRACTION = 0.62
"""Of the sum of covalent radii: shorter contacts do not occur."""
LARGEST_RADIUS_ANGSTROM = 0.9
"""Radii are cut here: a metal taken for oxygen and the reverse is an error of labels, not of the structure."""


class Judgement(NamedTuple):
    """The verdict, why, and the figures it rests on."""

    verdict: Verdict
    reasons: tuple[str, ...]
    figures: dict[str, float]


def judge(task: Task, built: Built) -> Judgement:
    """Return the verdict on a built model.

    Solved means: R1, also that of reflections left out of the fit, the correlation of E, the weak reflections, the
    number of data per parameter, the number of atoms and the distances all agree with a structure. The limits stand
    where models fitted to random intensities and to wrong phases never came (see tests/benchmarks/solve).
    """
    figures = _figures(task, built)
    hopeful = figures["r1"] <= R1_DOUBTFUL and figures["cc"] >= CORRELATION_DOUBTFUL
    figures["r_free"] = free_r(built.fit.model, task.observed, task.symmetry) if hopeful else 1.0
    limit, free_limit = R1_SOLVED[task.observed.radiation], R_FREE_SOLVED[task.observed.radiation]
    checks = [
        (figures["r1"] <= limit, f"R1 {figures['r1']:.3f} (limit {limit:.2f})"),
        (
            figures["r_free"] <= free_limit,
            f"R1 of left-out reflections {figures['r_free']:.3f} (limit {free_limit:.2f})",
        ),
        (figures["cc"] >= CORRELATION_SOLVED, f"correlation of E {figures['cc']:.2f} (least {CORRELATION_SOLVED})"),
        (figures["r_weak"] <= WEAK_SOLVED, f"weak reflections {figures['r_weak']:.2f} (limit {WEAK_SOLVED})"),
        (
            figures["reflections_per_parameter"] >= RATIO_SOLVED,
            f"{figures['reflections_per_parameter']:.1f} reflections per parameter (least {RATIO_SOLVED})",
        ),
        (
            figures["atoms_per_cell"] >= task.budget.low or _predicts(figures),
            f"{figures['atoms_per_cell']:.0f} atoms in the cell (at least {task.budget.low:.0f} expected)",
        ),
        (figures["bad_contacts"] <= 0.1, f"{figures['bad_contacts']:.0%} of the atoms with impossible contacts"),
        (
            figures["axis_ratio"] <= AXIS_RATIO_SOLVED,
            f"bond lengths ask for axes in ratios up to {figures['axis_ratio']:.2f} of those given: wrong cell?",
        ),
        (
            figures["short_bonds"] <= SHORT_BONDS_SOLVED,
            f"{figures['short_bonds']:.0%} of the bonds too short for the elements: wrong composition or cell?",
        ),
        (figures["isolated"] <= 0.35, f"{figures['isolated']:.0%} of the atoms without a neighbour to bond to"),
    ]
    failed = [text for good, text in checks if not good]
    verdict: Verdict = "solved"
    if failed:
        verdict = "doubtful" if hopeful else "not-solved"
    reasons = tuple(f"against: {text}" for text in failed) or tuple(text for _, text in checks)
    return Judgement(verdict, reasons, figures)


def _predicts(figures: dict[str, float]) -> bool:
    """Tell whether a model explains the data so well that little can be missing: frameworks of molecules have pores."""
    return figures["r_free"] <= R_FREE_POROUS and figures["cc"] >= CORRELATION_POROUS


def _figures(task: Task, built: Built) -> dict[str, float]:
    model, cell = built.fit.model, task.observed.cell
    near = neighbours(model.position, task.symmetry, cell, within_angstrom=3.2)
    bonded = is_bond(near, model.element)
    number, largest = parts(near, bonded, len(model.element))
    count = max(1, len(model.element))
    strain = fit_of_bonds(near, bonded, model.element, cell)
    return {
        "r1": built.fit.r1,
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
