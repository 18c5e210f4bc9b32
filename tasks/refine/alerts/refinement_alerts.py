"""The fit: R factors, convergence, weights, residual density, uncertainties, absolute structure."""

from collections.abc import Sequence

import gemmi
import numpy as np

from tasks.crystal.lattice import orthogonalisation
from tasks.crystal.scattering import Radiation
from tasks.refine.alerts.alert import Alert, Grades, graded, listed, raised
from tasks.refine.alerts.subject import Subject, is_hydrogen
from tasks.refine.draft import DensityPeak, DraftFit, ModelFit, density_unit
from tasks.refine.element_odds import SETTLED
from tasks.refine.geometry import bonds, contacts

R1 = Grades(c=0.10, b=0.15, a=0.20)
"""The IUCr's limits of RFACG01, for X-rays and electrons alike: what electrons do to it is said in the explanation."""
WR2 = Grades(c=0.25, b=0.35, a=0.45)
"""The IUCr's limits of RFACR01."""
GOODNESS_HIGH = Grades(c=2.0, b=4.0, a=6.0)
"""The IUCr's limits of GOODF01; those below stand in the next."""
GOODNESS_LOW = Grades(c=0.8, b=0.6, a=0.4, least=True)
"""The IUCr's limits of GOODF01."""
SHIFT = Grades(c=0.05, b=0.10, a=0.20)
"""The IUCr's limits of SHFSU01."""
WEIGHT_A = Grades(c=0.12, b=0.195)
"""Of SHELXL's scheme: 0.1 is where it begins, 0.2 where it is stopped, here and in SHELXL."""
WEIGHT_B = Grades(c=5.0, b=25.0)
"""Of SHELXL's scheme, for X-rays: PLAT083 looks from 5 on. On the scale of electrons' intensities it means nothing."""
DENSITY_OVER_ZMAX = Grades(c=0.075, b=0.10, a=0.15)
"""Electrons per A^3 over the largest atomic number, but of 6 at least: the IUCr's DIFMX01 looks from 0.1 times 0.75 on;
A is half as much again as B, by judgement."""
DENSITY_SIGMAS = Grades(c=6.0, b=9.0, a=14.0)
"""Peak or hole over the standard deviation of the map, for electrons. A map of a hundred thousand points of noise comes
to 4.5; natrolite, tyrosine, LuAG and cinchonine of the tests' data, kinematical and complete, to 3.6 to 6.1; an
oxygen left out of natrolite leaves 15 and 17."""
LEAST_ZMAX = 6
"""Carbon's: with hydrogen alone as the heaviest there is no X-ray structure."""
BOND_ESD_ANGSTROM = Grades(c=0.010, b=0.020, a=0.070)
"""Mean of the bonds between C, N and O. Of PLAT340's kind, which asks for 0.005 to 0.01 of X-rays; with 0.07 single and
aromatic bonds (1.53 and 1.39 A) are two standard uncertainties apart, and chemistry is guessed."""
POSITION_ESD_ANGSTROM = Grades(c=0.03, b=0.06, a=0.15)
"""Of one atom that is not hydrogen, along its worst axis. Chosen, not measured: 0.15 is a tenth of a bond."""
FAR_ANGSTROM = 3.0
"""A peak further than this from all atoms is near none."""


def fit_alerts(subject: Subject) -> tuple[Alert, ...]:
    """Return what the figures of the fit say."""
    fit = subject.fit
    if fit is None:
        return ()
    radiation: Radiation = "electron" if subject.electron else "xray"
    return (
        *graded("FIT01", fit.r1, R1, "R1 {value:.3f} of the observed reflections (limit {limit:g})"),
        *graded("FIT02", fit.wr2, WR2, "wR2 {value:.3f} (limit {limit:g})"),
        *graded("FIT03", fit.goof, GOODNESS_HIGH, "goodness of fit {value:.2f} (most {limit:g})"),
        *graded("FIT03", fit.goof, GOODNESS_LOW, "goodness of fit {value:.2f} (least {limit:g})"),
        *_convergence(fit),
        *_weights(fit, radiation),
        *_density(subject, fit, radiation),
        *_elements(subject),
        *_absolute_structure(subject, radiation),
    )


def _convergence(fit: ModelFit) -> tuple[Alert, ...]:
    where = f" at {fit.shift_over_esd_at}" if fit.shift_over_esd_at else ""
    found = graded(
        "FIT04", abs(fit.shift_over_esd_max), SHIFT, f"last shift/s.u. {{value:.2f}}{where} (limit {{limit:g}})"
    )
    return found or (() if fit.converged else (raised("FIT04", "A", "the refinement did not converge"),))


def _weights(fit: ModelFit, radiation: Radiation) -> tuple[Alert, ...]:
    a, b = fit.draft.weights
    alerts = graded("FIT05", a, WEIGHT_A, "weights: a = {value:.3f} (limit {limit:g})")
    if radiation == "xray":
        alerts += graded("FIT05", b, WEIGHT_B, "weights: b = {value:.2f} (limit {limit:g})")
    return alerts


def _density(subject: Subject, fit: ModelFit, radiation: Radiation) -> tuple[Alert, ...]:
    unit = density_unit(radiation)
    peaks = fit.peaks[:1] if isinstance(fit, DraftFit) else ()
    holes = fit.holes[:1] if isinstance(fit, DraftFit) else ()
    rows = (("DEN01", "peak", fit.density_max, peaks), ("DEN02", "hole", fit.density_min, holes))
    alerts: tuple[Alert, ...] = ()
    for code, name, height, places in rows:
        where = _near(subject, places)
        text = f"{name} of {height:.2f} {unit}{where}"
        if radiation == "xray":
            heaviest = max((gemmi.Element(atom.element).atomic_number for atom in subject.draft.atoms), default=0)
            share = abs(height) / max(LEAST_ZMAX, heaviest)
            alerts += graded(
                code, share, DENSITY_OVER_ZMAX, f"{text}: {{value:.3f}} of the largest Z (limit {{limit:g}})"
            )
        elif isinstance(fit, DraftFit) and fit.density_rms > 0:
            sigmas = abs(height) / fit.density_rms
            alerts += graded(
                code, sigmas, DENSITY_SIGMAS, f"{text}: {{value:.1f}} times the r.m.s. (limit {{limit:g}})"
            )
    return alerts


def _near(subject: Subject, places: Sequence[DensityPeak]) -> str:
    """Return in words how far the highest of some peaks is from which atom."""
    if not places:
        return ""
    atoms = subject.draft.atoms
    near = contacts(
        np.array([places[0].position]), np.array([atom.position for atom in atoms]),
        subject.draft.hall, subject.draft.unit_cell, cutoff=FAR_ANGSTROM,
    )  # fmt: skip
    if not near:
        return f", far from all atoms, at {', '.join(f'{x:.3f}' for x in places[0].position)}"
    first = min(near, key=lambda pair: pair.distance)
    return f", {first.distance:.2f} A from {atoms[first.second].label}"


def _elements(subject: Subject) -> tuple[Alert, ...]:
    rows = [(f"{item.label} ({item.other}?)", item.odds) for item in subject.odds]
    text = "odds of the element against the others are below {limit:g}"
    return listed("ELM01", rows, Grades(c=SETTLED, b=0.5, least=True), text)


def precision_alerts(subject: Subject) -> tuple[Alert, ...]:
    """Return which atoms and bonds are known badly."""
    fits, cell = subject.fits(), subject.draft.unit_cell
    edges = np.linalg.norm(orthogonalisation(cell), axis=0)
    spread = {}
    for atom in subject.heavy:
        row = fits.get(atom.label)
        if row is not None and row.position_esd is not None and not row.riding:
            spread[atom.label] = float(np.max(np.array(row.position_esd) * edges))
    light = [atom for atom in subject.heavy if atom.element in {"C", "N", "O"} and atom.label in spread]
    found = [
        float(np.hypot(spread[light[bond.first].label], spread[light[bond.second].label]))
        for bond in bonds(light, subject.draft.hall, cell)
        if bond.first <= bond.second
    ]
    mean = float(np.mean(found)) if found else None
    text = "bonds of C, N and O have a mean standard uncertainty of {value:.3f} A (limit {limit:g})"
    return (
        *graded("GEO07", mean, BOND_ESD_ANGSTROM, text),
        *listed("GEO07", list(spread.items()), POSITION_ESD_ANGSTROM,
                "standard uncertainty of the position over {limit:g} A", form=".3f"),
    )  # fmt: skip


def _absolute_structure(subject: Subject, radiation: Radiation) -> tuple[Alert, ...]:
    """Return what is said of the hand, of crystals that have one; hydrogen is too light to tell it."""
    group = gemmi.find_spacegroup_by_ops(gemmi.symops_from_hall(subject.draft.hall))
    if radiation == "electron" or group is None or group.is_centrosymmetric():
        return ()
    if subject.flack is None:
        heavy = [atom for atom in subject.draft.atoms if not is_hydrogen(atom)]
        return (
            raised("ABS01", "C", "no centre, and no Flack parameter: the absolute structure was not tested"),
        ) * bool(heavy)
    value, esd = subject.flack
    if abs(value) > max(3 * esd, 0.1):
        text = f"Flack parameter {value:.2f}({esd:.2f}): inverted, or a twin by inversion"
        return (raised("ABS01", "B", text, value=value, limit=0.0),)
    return ()
