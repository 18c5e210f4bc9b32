"""Voids: where in the cell a solvent molecule would have room."""

from typing import NamedTuple

import gemmi
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial import cKDTree

from tasks.crystal.lattice import fractionalisation, orthogonalisation
from tasks.crystal.symmetry import operations_from_hall
from tasks.refine.alerts.alert import Alert, Grades, raised
from tasks.refine.alerts.subject import Subject, is_hydrogen
from tasks.refine.draft import Draft

PROBE_ANGSTROM = 1.2
"""Radius of the sphere that is rolled, PLATON's: that of a hydrogen atom, the outside of a solvent molecule."""
SPACING_ANGSTROM = 0.4
"""Of the grid: a void of one water molecule (40 A^3) has 600 points, and a volume is good to some 5 %."""
MOST_POINTS = 250_000
"""Of the grid; a larger cell than 25 A gets a coarser one, so that 60 A take no longer (2 s) and stay within 10 %."""
TIE_ANGSTROM = 1e-6
"""Points of the grid at just the distance that is asked for count alike, whatever rounding makes of it."""
VOLUME = Grades(c=40.0, b=100.0, a=500.0)
"""Angstrom^3 of one void: a molecule of water in hydrogen bonds has 40, a small solvent (acetonitrile, methanol dimer)
100 (Spek, Acta Cryst. C71, 9-18, 2015); 500 is as much as a whole molecule of 25 atoms."""


class EmptySpace(NamedTuple):
    """A connected region that a probe fills: volume of one of its images in the cell, and a place in it, fractional."""

    volume_angstrom3: float
    position: tuple[float, float, float]


def voids(draft: Draft) -> tuple[EmptySpace, ...]:
    """Return the solvent-accessible voids of a cell, the largest first; those under 5 A^3 are left out.

    The centre of a probe may be where no atom, taken as a sphere of van der Waals radius, is nearer than its radius
    and that of the probe; accessible is all that a probe covers (van der Sluis & Spek, Acta Cryst. A46, 194-201, 1990).
    """
    atoms, radii = _spheres(draft)
    shape = _grid_shape(draft)
    orthogonal = orthogonalisation(draft.unit_cell)
    fractions = np.stack(np.meshgrid(*[np.arange(n) / n for n in shape], indexing="ij"), axis=-1).reshape(-1, 3)
    points = fractions @ orthogonal.T
    free = np.ones(len(points), dtype=bool)
    for radius in np.unique(radii):
        reach = float(radius) + PROBE_ANGSTROM
        images = _with_images(atoms[radii == radius], draft, reach)
        free &= ~np.isfinite(cKDTree(images).query(points, distance_upper_bound=reach - TIE_ANGSTROM)[0])
    if not free.any():
        return ()
    centres = _with_images(fractions[free], draft, PROBE_ANGSTROM)
    covered = np.isfinite(cKDTree(centres).query(points, distance_upper_bound=PROBE_ANGSTROM + TIE_ANGSTROM)[0])
    labels = _connected(covered.reshape(shape))
    point = draft.unit_cell.volume_angstrom3 / len(points)
    found = []
    for number in np.unique(labels[labels > 0]):
        inside = np.flatnonzero(labels.reshape(-1) == number)
        x, y, z = fractions[inside[np.flatnonzero(free[inside])[0]]].tolist() if free[inside].any() else (0, 0, 0)
        found.append(EmptySpace(len(inside) * point, (x, y, z)))
    return tuple(sorted((void for void in found if void.volume_angstrom3 >= 5), reverse=True))


def void_alerts(subject: Subject) -> tuple[Alert, ...]:
    """Return an alert if the largest void would hold a solvent molecule."""
    if not subject.heavy:
        return ()
    found = voids(subject.draft)
    if not found or (reached := VOLUME.level(found[0].volume_angstrom3)) is None:
        return ()
    level, limit = reached
    total = sum(void.volume_angstrom3 for void in found)
    share = total / subject.draft.unit_cell.volume_angstrom3
    place = ", ".join(f"{x:.2f}" for x in found[0].position)
    text = (
        f"a void of {found[0].volume_angstrom3:.0f} A^3 at {place} (limit {limit:g}; water needs 40); "
        f"all voids are {share:.0%} of the cell"
    )
    return (raised("VOI01", level, text, value=found[0].volume_angstrom3, limit=limit),)


def _spheres(draft: Draft) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return all atoms of the cell, fractional (n, 3), and their radii (n,); where H lacks carbon is large enough."""
    places = np.array([atom.position for atom in draft.atoms])
    radii = np.array([1.2 if is_hydrogen(atom) else gemmi.Element(atom.element).vdw_r for atom in draft.atoms])
    operations = operations_from_hall(draft.hall)
    images = np.einsum("oij,mj->moi", operations.rotations, places) + operations.translations
    count = len(operations.rotations)
    return images.reshape(-1, 3) % 1.0, np.repeat(radii, count)


def _grid_shape(draft: Draft) -> tuple[int, int, int]:
    """Return how many points the grid has along each axis: of one spacing across the planes of the cell."""
    cell = draft.unit_cell
    heights = 1.0 / np.linalg.norm(fractionalisation(cell), axis=1)
    spacing = max(SPACING_ANGSTROM, float(np.cbrt(np.prod(heights) / MOST_POINTS)))
    a, b, c = np.maximum(4, np.ceil(heights / spacing)).astype(int).tolist()
    return a, b, c


def _with_images(fractions: NDArray[np.float64], draft: Draft, reach: float) -> NDArray[np.float64]:
    """Return points of the cell with those of the cells around it up to `reach` angstrom away, cartesian."""
    margin = reach * np.linalg.norm(fractionalisation(draft.unit_cell), axis=1)
    most = np.ceil(margin).astype(int)
    shifts = np.stack(np.meshgrid(*[np.arange(-n, n + 1) for n in most], indexing="ij"), axis=-1).reshape(-1, 3)
    kept = []
    for shift in shifts:
        moved = fractions + shift
        kept.append(moved[((moved >= -margin) & (moved <= 1 + margin)).all(axis=1)])
    return np.concatenate(kept) @ orthogonalisation(draft.unit_cell).T


def _connected(inside: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Return the number of the connected region of each point, 0 outside; the grid closes on itself."""
    labels, count = ndimage.label(inside)
    parent = np.arange(count + 1)

    def root(number: int) -> int:
        while parent[number] != number:
            number = int(parent[number])
        return number

    for axis in range(3):
        first, last = np.take(labels, 0, axis=axis), np.take(labels, -1, axis=axis)
        both = (first > 0) & (last > 0)
        for one, other in np.unique(np.column_stack([first[both], last[both]]), axis=0):
            parent[root(int(other))] = root(int(one))
    return np.array([root(number) for number in range(count + 1)])[labels]
