"""The data: radiation, completeness, resolution, agreement, how many are observed and how many there are."""

import math

from tasks.refine.alerts.alert import Alert, Grades, graded, raised
from tasks.refine.alerts.subject import Subject
from tasks.refine.draft import UniqueIntensities

COMPLETE = {
    "xray": Grades(c=0.97, b=0.95, a=0.90, least=True),
    "electron": Grades(c=0.95, b=0.80, a=0.50, least=True),
}
"""Of the unique reflections. X-rays: checkCIF's for PLAT029. Electrons: the goniometer leaves a cone out, real sets of
low symmetry (cinchonine of the tests' data, monoclinic) have 0.70, and solve; with less than half the density is
smeared along the cone and atoms are missed. By judgement."""
SINE_OVER_WAVELENGTH = Grades(c=0.590, b=0.575, a=0.550, least=True)
"""1/(2 d), 1/angstrom: the IUCr's limits of THETM01, d = 0.85, 0.87 and 0.91 A."""
EQUIVALENTS = Grades(c=0.12, b=0.18, a=0.25)
"""R_int: the IUCr's limits of RINTA01."""
OBSERVED = Grades(c=0.5, b=0.4, a=0.3, least=True)
"""Share of the unique reflections with I > 2 sigma: of the order of PLAT026's. Chosen, not measured: with less than a
third observed most of the reflections that are refined against are noise."""
PER_PARAMETER = Grades(c=8.0, b=6.0, a=3.0, least=True)
"""Unique reflections: journals ask for 8 to 10; under 3 a least-squares fit of random atoms has an R1 that passes for
that of a structure (tests/benchmarks/solve.py, shuffled data)."""
ELECTRON_ANGSTROM = (0.005, 0.09)
"""Wavelengths of 20 keV (a scanning microscope) to 2 MeV."""
XRAY_ANGSTROM = (0.15, 2.4)
"""Wavelengths from synchrotrons at high energy to chromium's radiation, 2.29."""


def data_alerts(subject: Subject) -> tuple[Alert, ...]:
    """Return what the intensities that were refined against say."""
    data, fit = subject.intensities, subject.fit
    made: tuple[Alert, ...] = ()
    if data is not None:
        made = (
            *_radiation(data),
            *graded("DAT01", data.completeness, COMPLETE[data.radiation],
                    "the unique data are {value:.1%} complete (least {limit:.0%})"),
            *graded("DAT02", 0.5 / data.d_min_angstrom, SINE_OVER_WAVELENGTH,
                    f"data to {data.d_min_angstrom:.2f} A: sin(theta)/wavelength {{value:.3f}} (least {{limit:g}})"),
            *graded("DAT03", data.r_int, EQUIVALENTS, "R_int {value:.3f} (limit {limit:g})"),
        )  # fmt: skip
    if fit is None:
        return made
    share = fit.reflections_observed / fit.reflections if fit.reflections else None
    ratio = fit.reflections / fit.parameters if fit.parameters else None
    return (
        *made,
        *graded("DAT05", share, OBSERVED, "{value:.0%} of the unique reflections have I > 2 sigma (least {limit:.0%})"),
        *graded("DAT06", ratio, PER_PARAMETER, "{value:.1f} unique reflections for each parameter (least {limit:g})"),
    )


def _radiation(data: UniqueIntensities) -> tuple[Alert, ...]:
    least, most = ELECTRON_ANGSTROM if data.radiation == "electron" else XRAY_ANGSTROM
    wavelength = data.wavelength_angstrom
    if least <= wavelength <= most:
        return ()
    name = "electrons" if data.radiation == "electron" else "X-rays"
    limit = least if math.isnan(wavelength) or wavelength < least else most
    text = f"no {name} of {wavelength:.5g} A are used in diffraction ({least:g} to {most:g} A)"
    return (raised("DAT04", "A", text, value=wavelength, limit=limit),)
