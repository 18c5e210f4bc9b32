"""A lattice with what its symmetry says: stretched frames put right, refinement in the conventional cell."""

from typing import cast

import gemmi
import numpy as np

from tasks.integrate.geometry.mapping import Crystal
from tasks.integrate.geometry.refinement import Refined, refine_geometry
from tasks.integrate.geometry.state import CrystalSystem, Freedom
from tasks.integrate.indexing.distortion import ELLIPSE_KNOWN, stretch_of, stretched
from tasks.integrate.indexing.lattice_search import Solved, index_predicted, refine_lattice
from tasks.integrate.spots.spot_search import Spots
from tasks.integrate.symmetry.laue import LaueChoice
from tasks.model import NotIndexedError

WORST_CURVATURE = 0.1
"""Relative esd of a camera length by curvature beyond which it is not kept: it could not tell the energies that are in
use, 200 and 300 keV, whose wavelengths differ by 27 %, at NAMED_SIGMAS of tasks/integrate/cell_scale.py."""

CROSSING = 4.0
"""Standard deviations of excitation errors that a reflection must pass the Ewald sphere by, on its way about the axis,
to be seen from both sides alike: 6e-5 of a normal distribution lie beyond."""
SAMPLED_EVENLY = 0.7
"""Error of the camera length by curvature over the esd of least squares, which takes the excitation errors of spots as
independent: those of one reflection lie on both sides of the sphere at even steps, and cancel in part. `python -m
tests.benchmarks.cell_scale curvature urea,forsterite,natrolite,uio66 --seeds 1,2,3` gives 0.42 of it root mean square;
kept larger for steps so wide that most reflections are seen once."""
LEAST_SPOTS = 25
"""As many as are asked of a series to be indexed (`IntegrationSettings.min_spots`)."""


def straightened(solved: Solved, spots: Spots) -> Solved | None:
    """Return the lattice with stretched frames put right, if that gives a lattice without symmetry some."""
    refined = solved.refined
    found = stretch_of(refined.geometry, refined.crystal)
    if found is None:
        return None
    geometry, crystal = stretched(refined.geometry, refined.crystal, found.value)
    try:
        better = refine_lattice(geometry, crystal, spots, Freedom(axis=False))
    except NotIndexedError:
        return None
    said = (
        f"frames stretched by {found.value:+.1%} along the tilt axis would explain why the lattice is"
        f" {found.before_deg:.2f} degrees off a symmetry (then {found.after_deg:.2f}): corrected"
    )
    return solved._replace(refined=better, warnings=(*solved.warnings, said), straight=True)


def length_by_curvature(spots: Spots, refined: Refined, freedom: Freedom) -> tuple[float, float] | None:
    """Return the camera length by the curvature of the Ewald sphere over that used, and its relative esd.

    All that was refined moves again, with the curvature: cell, axis and frames would follow a part of it. Reflections
    near the axis are left out: they come near the sphere without crossing it, are seen from one side on many frames,
    and make it look flat. None if the spots do not hold it.
    """
    hkl, indexed = index_predicted(refined, spots)
    ellipse = freedom.ellipse and refined.ellipse_esd <= ELLIPSE_KNOWN
    geometry, free = refined.geometry, freedom._replace(curvature=True, ellipse=ellipse)
    q = hkl @ refined.crystal.basis.T
    from_axis = np.linalg.norm(np.cross(q, geometry.axis), axis=1)
    reach = CROSSING * refined.rms_excitation + geometry.wavelength * (q**2).sum(axis=1) / 2.0
    kept = indexed & (from_axis > reach)
    if int(kept.sum()) < LEAST_SPOTS:
        return None
    try:
        bent = refine_geometry(geometry, refined.crystal, spots.where(kept), hkl[kept], freedom=free)
    except (NotIndexedError, np.linalg.LinAlgError):
        return None
    ratio = geometry.wavelength / bent.geometry.wavelength
    esd = SAMPLED_EVENLY * bent.distance_esd
    return (ratio, esd) if 0.0 < esd < WORST_CURVATURE else None


def refine_in_system(spots: Spots, refined: Refined, choice: LaueChoice, freedom: Freedom) -> Refined:
    """Refine again in the conventional cell with the constraints of its crystal system.

    A cell whose axes lie along and across the tilt axis is strained as an ellipse would strain it: an ellipse that the
    spots hardly tell from that stays as the search left it.
    """
    basis = refined.crystal.basis @ np.linalg.inv(choice.basis).T
    hkl, indexed = index_predicted(refined, spots)
    conventional = np.rint(hkl[indexed] @ choice.basis).astype(np.int64)
    crystal = Crystal(basis, refined.crystal.correction)
    found = refine_geometry(refined.geometry, crystal, spots.where(indexed), conventional, freedom=freedom)
    if found.ellipse_esd <= ELLIPSE_KNOWN:
        return found
    held = freedom._replace(ellipse=False)
    kept = refine_geometry(refined.geometry, crystal, spots.where(indexed), conventional, freedom=held)
    return kept._replace(ellipse_esd=found.ellipse_esd)


def crystal_system(laue: gemmi.SpaceGroup) -> CrystalSystem:
    """Return the crystal system of a setting as far as its cell is concerned."""
    name = laue.crystal_system_str()
    if name == "trigonal":
        return "triclinic" if laue.ext == "R" else "hexagonal"
    if name == "monoclinic" and laue.monoclinic_unique_axis() != "b":
        return "triclinic"
    return cast("CrystalSystem", name)
