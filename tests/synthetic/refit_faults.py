"""Faults put into a refined model, which is then refined on to convergence against its real data."""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from adapters.cctbx.numerics import WorkerLeastSquares
from tasks.refine.alerts.alert import Alert
from tasks.refine.alerts.subject import validated_fit
from tasks.refine.alerts.validate import alerts_of
from tasks.refine.draft import Draft, DraftAtom, DraftFit
from tasks.refine.structure import formula_of
from tests.synthetic.refined_examples import Example

Atoms = tuple[DraftAtom, ...]


class RefitFault(NamedTuple):
    """A change of a model of `EXAMPLES` and the codes one of which tells so, at which level at least."""

    name: str
    change: Callable[[Atoms], Atoms]
    codes: frozenset[str]
    level: str


def renamed(label: str, element: str) -> Callable[[Atoms], Atoms]:
    """Return the change of one atom's element."""
    return lambda atoms: tuple(
        atom.model_copy(update={"element": element}) if atom.label == label else atom for atom in atoms
    )


def without(label: str) -> Callable[[Atoms], Atoms]:
    """Return the change that leaves one atom out."""
    return lambda atoms: tuple(atom for atom in atoms if atom.label != label)


DENSITY = frozenset({"DEN01", "DEN02"})
REFIT_FAULTS = {
    "oxygen O2 left out": RefitFault("natrolite", without("O2"), DENSITY, "A"),
    "water left out": RefitFault("natrolite", without("O6"), DENSITY, "A"),
    "sodium for silicon": RefitFault("natrolite", renamed("Si2", "Na"), frozenset({"GEO01", "GEO06"}), "A"),
    "sodium for water": RefitFault("natrolite", renamed("O6", "Na"), frozenset({"GEO01", "GEO06"}), "A"),
    "calcium for sodium": RefitFault("natrolite", renamed("Na1", "Ca"), frozenset({"CEL04", "GEO06"}), "A"),
    "lutetium for aluminium": RefitFault("luag", renamed("Al2", "Lu"), frozenset({"ADP05", "DEN01", "GEO06"}), "B"),
    "carbon for nitrogen": RefitFault("l-alanine", renamed("N1", "C"), DENSITY, "A"),
    "nitrogen for oxygen": RefitFault("l-alanine", renamed("O1", "N"), DENSITY, "A"),
    "nitrogen for carbon": RefitFault("l-alanine", renamed("C1", "N"), DENSITY, "B"),
    "oxygen for carbon": RefitFault("l-alanine", renamed("C3", "O"), DENSITY | {"GEO03"}, "A"),
    "oxygen left out": RefitFault("l-alanine", without("O1"), DENSITY, "A"),
    "oxygen for methylene": RefitFault("tyrosine", renamed("C7", "O"), DENSITY | {"GEO03", "ADP05"}, "B"),
    "carboxylate oxygen left out": RefitFault("tyrosine", without("O2"), DENSITY, "B"),
}


def refitted(example: Example, change: Callable[[Atoms], Atoms], folder: Path) -> tuple[DraftFit, tuple[Alert, ...]]:
    """Return the fit of the changed model and its alerts; hydrogen of an atom that was changed is taken away."""
    draft = _changed(example.structure.fit.draft, change)
    fit = WorkerLeastSquares(folder, 300.0).fit(draft, example.structure.intensities, cycles=20, update_weights=True)
    formula, units = formula_of(fit, example.composition)
    subject = validated_fit(fit, formula, units)
    subject = subject._replace(composition=example.composition, intensities=example.structure.intensities)
    return fit, alerts_of(subject)


def _changed(draft: Draft, change: Callable[[Atoms], Atoms]) -> Draft:
    atoms = change(draft.atoms)
    before = {atom.label: atom.element for atom in draft.atoms}
    same = {atom.label for atom in atoms if atom.element == before[atom.label]}
    riding = tuple(group for group in draft.riding if group.pivot in same)
    carried = {label for group in riding for label in group.hydrogens}
    kept = tuple(atom for atom in atoms if atom.element not in {"H", "D"} or atom.label in carried)
    return draft.model_copy(update={"atoms": kept, "riding": riding, "scale": None})
