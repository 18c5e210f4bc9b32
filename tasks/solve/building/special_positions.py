"""The positions of a space group that have no free coordinate, or one: where atoms of the simplest crystals sit."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tasks.crystal.lattice import orthogonalisation
from tasks.crystal.symmetry import Symmetry
from tasks.model import UnitCell

GRID = 24
"""Parts of an edge in which every position without freedom lies, and every line of one: operations of the tables have
translations in 24ths."""
STEP_ANGSTROM = 0.15
"""Between places tried along a line, at most half of it from the right one: the phase of a reflection of 0.8 A is then
within 34 degrees, and least squares finds the rest. Chosen, not measured."""


class Position(NamedTuple):
    """One orbit of equivalent places.

    ``line`` numbers the line it is on, -1 for a position without freedom; ``images`` (k, 3) are all in the cell.
    """

    place: NDArray[np.float64]
    images: NDArray[np.float64]
    line: int

    @property
    def multiplicity(self) -> int:
        """Atoms in the cell."""
        return len(self.images)


def special_positions(symmetry: Symmetry, cell: UnitCell) -> list[Position]:
    """Return the positions without freedom, then places along the lines with one, in steps; each orbit once.

    Every position that the operations fix in a point has coordinates in 24ths, so all places of that grid are looked
    at in whole numbers: what an operation leaves where it is, is exact.
    """
    rotations = np.tile(symmetry.rotations, (len(symmetry.centring), 1, 1)).astype(np.int64)
    shifts = (symmetry.centring[:, None, :] + symmetry.translations[None, :, :]).reshape(-1, 3)
    translations = np.rint(shifts * GRID).astype(np.int64)
    axis = np.arange(GRID)
    grid = np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), axis=-1).reshape(-1, 3)
    key = np.array([GRID * GRID, GRID, 1])
    fixed = np.empty((len(rotations), len(grid)), dtype=bool)
    image_key = np.empty((len(rotations), len(grid)), dtype=np.int64)
    for row, (rotation, translation) in enumerate(zip(rotations, translations, strict=True)):
        image = (grid @ rotation.T + translation) % GRID
        fixed[row] = (image == grid).all(axis=1)
        image_key[row] = image @ key
    mean = np.einsum("og,oij->gij", fixed.astype(np.float64), rotations.astype(np.float64))
    mean /= fixed.sum(axis=0)[:, None, None]
    freedom = np.rint(np.trace(mean, axis1=1, axis2=2)).astype(np.int64)
    points = np.flatnonzero((freedom == 0) & (image_key.min(axis=0) == np.arange(len(grid))))
    found = [_position(grid[point] / GRID, symmetry, line=-1) for point in points]
    seen = np.zeros(len(grid), dtype=bool)
    line = 0
    for point in np.flatnonzero(freedom == 1):
        if seen[point]:
            continue
        direction = _direction(mean[point])
        on_line = ((grid[point] + np.arange(GRID)[:, None] * direction) % GRID) @ key
        seen[image_key[:, on_line].ravel()] = True
        found += _along(grid[point] / GRID, direction, symmetry, cell, line=line)
        line += 1
    return found


def _direction(projection: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return the shortest whole vector of the line that a projection (3, 3) maps on."""
    column = projection[:, int(np.abs(projection).max(axis=0).argmax())]
    least = np.abs(column[np.abs(column) > 1e-6]).min()
    scaled = column / least
    return np.rint(scaled if np.allclose(scaled, np.rint(scaled), atol=1e-6) else 2.0 * scaled).astype(np.int64)


def _along(
    place: NDArray[np.float64], direction: NDArray[np.int64], symmetry: Symmetry, cell: UnitCell, *, line: int
) -> list[Position]:
    """Return the distinct orbits at steps along a line, its special points left out."""
    length = float(np.linalg.norm(orthogonalisation(cell) @ direction))
    count = max(4, int(np.ceil(length / STEP_ANGSTROM)))
    found: list[Position] = []
    most = 0
    known: set[tuple[int, ...]] = set()
    for step in range(count):
        position = _position(place + direction * (step + 0.5) / count, symmetry, line=line)
        label = tuple(np.rint(min(map(tuple, np.round(position.images, 6))) * np.array(1e6)).astype(int).tolist())
        if label in known:
            continue
        known.add(label)
        found.append(position)
        most = max(most, position.multiplicity)
    return [position for position in found if position.multiplicity == most]


def _position(place: NDArray[np.float64], symmetry: Symmetry, *, line: int) -> Position:
    rotations, translations = symmetry.operations()
    images = (rotations @ place + translations) % 1.0
    images = np.where(np.abs(images - 1.0) < 1e-9, 0.0, images)
    _, rows = np.unique(np.round(images * 1e6).astype(np.int64) % 1_000_000, axis=0, return_index=True)
    return Position(images[rows[0]], images[rows], line)
