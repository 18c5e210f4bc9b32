"""Symmetry that a model has and its space group lacks."""

import numpy as np

from tasks.crystal.model_symmetry import Sites, kinds_of, symmetry_of_model
from tasks.refine.alerts.alert import Alert, Grades, raised
from tasks.refine.alerts.subject import Subject

WITHIN_ANGSTROM = 0.25
"""Distance within which the image of an atom must fall on an atom of its kind: the default of PLATON's ADDSYM."""
FURTHEST = Grades(c=0.25, b=0.12, a=0.04, least=True)
"""Angstrom from the furthest atom to the image that it should be. 0.04 is a few standard uncertainties of a refinement
by electrons, and nothing that chemistry could mean; up to 0.12 a model on its way to a singular matrix has drifted; at
0.25 the symmetry may well be broken. Chosen, not measured but for this: no published model of the tests has any."""


def symmetry_alerts(subject: Subject) -> tuple[Alert, ...]:
    """Return an alert if all atoms but hydrogen obey a larger group than theirs: the largest within 0.25 A."""
    atoms = subject.heavy
    if not atoms:
        return ()
    sites = Sites(
        kinds_of([atom.element for atom in atoms], [atom.occupancy for atom in atoms]),
        np.array([atom.position for atom in atoms]),
    )
    found = symmetry_of_model(sites, subject.draft.hall, subject.draft.unit_cell, within_angstrom=WITHIN_ANGSTROM)
    if found is None:
        return ()
    distance = found.furthest_angstrom
    reached = FURTHEST.level(distance)
    level = "C" if reached is None else reached[0]
    text = (
        f"the atoms obey {found.group.xhm()} within {distance:.2f} A ({found.rms_angstrom:.2f} A r.m.s.; "
        f"limit {FURTHEST.a:g} for A, {FURTHEST.b:g} for B)"
    )
    alert = raised("SYM01", level, text, value=distance, limit=None if reached is None else reached[1])
    said = [remark for remark in subject.remarks if found.group.xhm() in remark]
    return (alert.model_copy(update={"explanation": f"{'. '.join(said)}."}) if said else alert,)
