"""Elliptical distortion that the positions of spots cannot tell from a strain of the cell, from its metric.

A picture that is stretched along the tilt axis and squeezed across it looks like a crystal strained along that axis:
where no symmetry holds the cell, the two are one. A lattice that has no symmetry as measured, but has some exactly
after one such stretch, is taken to be stretched. The intensities have the last word on the symmetry.
"""

from typing import NamedTuple

import numpy as np
from scipy.optimize import minimize_scalar

from tasks.crystal.lattice import lattice_rotations, misfit_deg
from tasks.crystal.lattice_subgroups import subgroups
from tasks.integrate.geometry.mapping import Crystal, Geometry
from tasks.integrate.geometry.refinement import Refined
from tasks.integrate.indexing.lattice_score import cell_parameters, reduced
from tasks.model import UnitCell
from tasks.model.arrays import Floats

MOST_STRETCH = 0.04
"""Largest stretch tried: ellipses of 0.5 to 4 % are common in electron microscopes. With more freedom more lattices
that have no symmetry could be given some."""
SYMMETRIC_DEG = 0.12
"""Misfit (see `misfit_deg`) of a lattice that is symmetric after the stretch. Chosen, not measured: above what errors
of the cell leave, and well below STRAINED_DEG, or the stretch would not have explained anything."""
STRAINED_DEG = 0.2
"""Misfit of the best rotation at which a lattice counts as strained at all: CELL_SIGMA_DEG of laue_score. A cell that
is nearer to a symmetry needs no stretch to have it; the intensities decide."""
TOLERANCE_DEG = 3.0
"""Obliquity up to which rotations are tried, that of `determine_laue_group`: a stretch of 0.02 strains a right angle in
the worst direction by 2.4 degrees (`misfit_deg`)."""
NOTICED = 0.003
"""Misfit (see `misfit_deg`) of a lattice that is symmetric after the stretch. Chosen, not measured: above what errors
of the cell leave, and well below STRAINED_DEG, or the stretch would not have explained anything. 0.06 passes the tests
of 2 % of ellipse too (tests/contract/test_builtin_distorted_frames.py)."""

ELLIPSE_KNOWN = 0.002
"""Esd of an ellipse beyond which it is not refined beside the cell: crystals that tell it have 0.0002 to 0.0005, those
whose axes lie along and across the tilt axis 0.004 to 0.005, and are off by up to 5 esds then (natrolite, forsterite,
seed 1 of `python -m tests.benchmarks.realism convergence everything`)."""


class Stretch(NamedTuple):
    """By how much frames are stretched along the tilt axis, and the misfit in degrees of the lattice before, after."""

    value: float
    before_deg: float
    after_deg: float


def stretch_of(geometry: Geometry, crystal: Crystal) -> Stretch | None:
    """Return the stretch that gives a lattice without symmetry the most symmetry, None if there is none.

    One stretch makes nearly any axis of order two exact: where the lattice has others beside it, that proves nothing.
    """
    rows = reduced(np.asarray(np.linalg.inv(crystal.basis)))
    candidates = lattice_rotations(UnitCell.of(cell_parameters(rows)), TOLERANCE_DEG)

    def misfits(stretch: float) -> list[float]:
        moved = rows @ np.linalg.inv(strain(geometry.axis, stretch))
        return [misfit_deg(rotation, moved @ moved.T) for rotation in candidates]

    turns = [number for number, rotation in enumerate(candidates) if not np.array_equal(rotation, np.eye(3))]
    if not turns or min(misfits(0.0)[number] for number in turns) < STRAINED_DEG:
        return None
    place = {rotation.tobytes(): number for number, rotation in enumerate(candidates)}
    for group in sorted(subgroups(candidates), key=len, reverse=True):
        members = [place[rotation.tobytes()] for rotation in group]
        if len(members) < 2 or (len(members) == 2 and len(candidates) > 2):
            break

        def worst(stretch: float, members: list[int] = members) -> float:
            every = misfits(stretch)
            return max(every[number] for number in members)

        found = minimize_scalar(worst, bounds=(-MOST_STRETCH, MOST_STRETCH), method="bounded")
        if found.fun < SYMMETRIC_DEG and abs(found.x) < 0.98 * MOST_STRETCH:
            return Stretch(float(found.x), worst(0.0), float(found.fun))
    return None


def strain(axis: Floats, stretch: float) -> Floats:
    """Return the matrix (3, 3) that takes observed to true scattering vectors: longer along the axis, shorter across.

    Vectors at goniometer zero are as good as those in the laboratory: the strain is the same about the axis.
    """
    along = np.outer(axis, axis)
    return np.asarray((1.0 + stretch) * along + (1.0 - stretch) * (np.eye(3) - along))


def stretched(geometry: Geometry, crystal: Crystal, stretch: float) -> tuple[Geometry, Crystal]:
    """Return geometry and crystal with the ellipse that undoes a stretch of the frames along the axis."""
    azimuth = 2.0 * float(np.arctan2(geometry.axis[1], geometry.axis[0]))
    e1, e2 = geometry.ellipse
    ellipse = (e1 + stretch * float(np.cos(azimuth)), e2 + stretch * float(np.sin(azimuth)))
    basis = strain(geometry.axis, stretch) @ crystal.basis
    return geometry._replace(ellipse=ellipse), crystal._replace(basis=np.asarray(basis))


def ellipse_warnings(refined: Refined, *, known: bool) -> list[str]:
    """Say by how much the frames are elliptical, and what of it a cell without symmetry hides."""
    size = float(np.hypot(*refined.geometry.ellipse))
    if refined.ellipse_esd > ELLIPSE_KNOWN:
        said = f"an ellipse of the frames is told from the cell to {refined.ellipse_esd:.1%} only: none is corrected"
        return [f"{said}; lengths of axes may be off against each other by as much as the frames are elliptical"]
    if size < NOTICED:
        return []
    said = f"the frames are elliptical by {size:.1%} (long axis over the mean), which was corrected"
    angles = refined.cell[3:]
    if known or np.abs(np.rint(angles / 30.0) * 30.0 - angles).min() < 1e-9:
        return [said]
    return [f"{said} but for what a triclinic cell hides: it may be off by as much unless known_cell is given"]
