"""Crystals of one form that belong together: a misoriented part and its parent, or one crystal found twice."""

from collections.abc import Mapping, Sequence
from itertools import combinations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from tasks.apertures import CrystalAperture, outline
from tasks.frames import FrameSeries
from tasks.integrate.crystals.crystal_match import reduced_crystal
from tasks.integrate.crystals.orientation import in_reduced_axes, misorientation_deg, orientation_matrix
from tasks.integrate.models import CrystalCluster, CrystalRelation, Reflections

LARGEST_TURN_DEG = 6.0
"""Parts of one crystal lie closer in orientation; a chance pair of cubic crystals does so rarely."""
LEAST_TOUCHING = 0.5
"""Share of common tilts at which a part lies beside its parent. Chosen, not measured: masks of a part have gaps, so not
all; two crystals that pass each other touch at a few."""
REACH_PX = 2
"""Scan positions by which the larger mask is grown before it is asked whether it meets the other: a gap of one
position, left out as mixed, still counts as touching. Chosen, not measured."""


def relations_in(
    cluster: CrystalCluster,
    reflections: Mapping[str, Reflections],
    frames: Mapping[str, FrameSeries],
    apertures: Mapping[str, CrystalAperture],
) -> tuple[CrystalRelation, ...]:
    """Return the parts of larger crystals among the members of a cluster, each with its nearest in orientation.

    A part is turned by less than 6 degrees and lies beside its parent at half of the tilts at which both are seen;
    where they are never seen together and are turned by less than 1 degree, they are one crystal found twice.
    """
    seen = [one for one in cluster.members if one.id in apertures and one.id in frames]
    matrices = {}
    for member in seen:
        own = orientation_matrix(reflections[member.id], frames[member.id])
        if own is not None:
            matrices[member.id] = in_reduced_axes(own, np.array(member.reindex))
    rotations = reduced_crystal(reflections[cluster.members[0].id]).rotations
    outlines = {name: outline(apertures[name]) for name in matrices}
    found: dict[str, CrystalRelation] = {}
    for one, other in combinations(sorted(matrices, key=lambda name: -int(outlines[name].sum())), 2):
        turn = misorientation_deg(matrices[one], matrices[other], rotations)
        touching = touching_fraction(outlines[one], outlines[other])
        related = touching >= LEAST_TOUCHING if touching is not None else turn < 1.0
        if turn < LARGEST_TURN_DEG and related and (other not in found or turn < found[other].misorientation_deg):
            found[other] = CrystalRelation(
                crystal=other, parent=one, misorientation_deg=round(turn, 2), touching=touching
            )
    return tuple(found.values())


def touching_fraction(one: NDArray[np.bool_], other: NDArray[np.bool_]) -> float | None:
    """Return the share of the tilts at which both masks (n_tilts, ny, nx) hold positions and lie side by side.

    None where they are never seen at one tilt.
    """
    both = np.flatnonzero(one.any(axis=(1, 2)) & other.any(axis=(1, 2)))
    if not len(both):
        return None
    grown = (ndimage.binary_dilation(one[tilt], iterations=REACH_PX) for tilt in both)
    return float(np.mean([bool((wide & other[tilt]).any()) for tilt, wide in zip(both, grown, strict=True)]))


def relation_text(relations: Sequence[CrystalRelation]) -> tuple[str, ...]:
    """Return the relations in words."""
    return tuple(
        f"{one.crystal} and {one.parent} are one crystal, never seen at the same tilt"
        if one.touching is None
        else f"{one.crystal} is a part of {one.parent}, turned by {one.misorientation_deg:.1f} degrees"
        for one in relations
    )
