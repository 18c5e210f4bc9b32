"""Why an alert may be raised by a right structure: what electrons and the microscope do to data and models."""

from tasks.refine.alerts.alert import Alert
from tasks.refine.alerts.subject import Subject

DYNAMICAL = (
    "Electrons are scattered more than once. A kinematical model does not describe that: its R factors are 0.12 to "
    "0.20 for right structures, and a dynamical refinement brings them to 0.07 to 0.12."
)
CONE = "Where a cone of reflections is missing, displacements along it are badly determined."
ELECTRONS = {
    "FIT01": DYNAMICAL,
    "FIT02": DYNAMICAL,
    "FIT03": (
        "The standard uncertainties of the intensities are those of counting; the errors that dynamical scattering "
        "makes are larger."
    ),
    "FIT05": (
        "The weights take up what dynamical scattering adds to the errors of the measurement; a is at or near its "
        "limit in most kinematical refinements against electron diffraction."
    ),
    "DEN01": (
        "Residuals of the electrostatic potential hold the errors of the kinematical model and the bonding of the "
        "atoms; look whether a peak has the distance of an atom."
    ),
    "DEN02": (
        "Residuals of the electrostatic potential hold the errors of the kinematical model; scattering factors are "
        "those of neutral atoms, from which ions differ at low angles."
    ),
    "DAT01": "The goniometer of the microscope reaches a part of the tilts: a cone of reflections is not measured.",
    "DAT03": (
        "Equivalent reflections are excited together with different others and differ by multiple scattering; still "
        "tilts and changing thickness add to that."
    ),
    "SYM02": "Multiple scattering gives intensity to reflections that glide planes and screw axes forbid.",
    "VOI01": "In the vacuum of the microscope a pore may have lost its solvent.",
}
"""By code, of structures by electrons."""
POROUS = "Frameworks have pores: empty, or filled with disordered molecules that no atoms stand for."
FULL = 0.9
"""Completeness from which no cone of reflections is missing that displacements would feel. Chosen, not measured."""
SHORT_RESOLUTION = 0.9
"""Angstrom: data that end before it leave uncertainties of bonds of 0.02 A and more even where all else is right."""


def explained(alert: Alert, subject: Subject) -> Alert:
    """Return the alert with what may explain it, where something is known."""
    text = ELECTRONS.get(alert.code, "") if subject.electron else ""
    if alert.code == "VOI01":
        text = f"{POROUS} {text}".strip()
    data = subject.intensities
    if alert.code in {"ADP02", "ADP04"} and data is not None and data.completeness < FULL:
        text = CONE
    if alert.code == "GEO07" and data is not None and data.d_min_angstrom > SHORT_RESOLUTION:
        text = f"The data end at {data.d_min_angstrom:.2f} A."
    return alert.model_copy(update={"explanation": text}) if text and not alert.explanation else alert
