"""Symmetry that a model has and its space group lacks."""

import numpy as np

from tasks.crystal.model_symmetry import ModelSymmetry, Sites, kinds_of, symmetry_of_model
from tasks.refine.alerts.alert import Alert, Grades, raised
from tasks.refine.alerts.subject import Subject
from tasks.refine.draft import DraftAtom

WITHIN_ANGSTROM = (0.1, 0.2, 0.35)
"""Distances within which the image of an atom must fall on an atom of its kind, around the 0.25 of PLATON's ADDSYM: a
wider one may find a larger group, a narrower one the exact part of it."""
FURTHEST = Grades(c=0.25, b=0.12, a=0.04, least=True)
"""Angstrom from the furthest atom to the image that it should be. 0.04 is a few standard uncertainties of a refinement
by electrons, and nothing that chemistry could mean; up to 0.12 a model on its way to a singular matrix has drifted; at
0.25 the symmetry may well be broken. Chosen, not measured but for this: no published model of the tests has any."""


def symmetry_alerts(subject: Subject) -> tuple[Alert, ...]:
    """Return an alert for each larger group that all atoms but hydrogen obey within a distance.

    Where hydrogen is in the model and breaks the symmetry, as in ordered ices, the alert is C.
    """
    found, whole = _groups(subject, subject.heavy), _groups(subject, list(subject.draft.atoms))
    return tuple(_alert(higher, subject, by_all=symbol in whole) for symbol, higher in found.items())


def _groups(subject: Subject, atoms: list[DraftAtom]) -> dict[str, ModelSymmetry]:
    if not atoms:
        return {}
    sites = Sites(
        kinds_of([atom.element for atom in atoms], [atom.occupancy for atom in atoms]),
        np.array([atom.position for atom in atoms]),
    )
    found: dict[str, ModelSymmetry] = {}
    for within in WITHIN_ANGSTROM:
        higher = symmetry_of_model(sites, subject.draft.hall, subject.draft.unit_cell, within_angstrom=within)
        if higher is not None:
            found.setdefault(higher.group.xhm(), higher)
    return found


def _alert(found: ModelSymmetry, subject: Subject, *, by_all: bool) -> Alert:
    distance, symbol = found.furthest_angstrom, found.group.xhm()
    level, limit = FURTHEST.level(distance) or ("C", None)
    if not by_all:
        level, limit = "C", None
    which = "" if by_all else " that are not hydrogen"
    text = (
        f"the atoms{which} obey {symbol} within {distance:.2f} A ({found.rms_angstrom:.2f} A r.m.s.; "
        f"limit {FURTHEST.a:g} for A, {FURTHEST.b:g} for B)"
    )
    alert = raised("SYM01", level, text, value=distance, limit=limit)
    said = [remark for remark in subject.remarks if symbol in remark]
    return alert.model_copy(update={"explanation": f"{'. '.join(said)}."}) if said else alert
