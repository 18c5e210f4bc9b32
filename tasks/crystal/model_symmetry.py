"""The symmetry that the atoms of a model have, within a distance, whatever group it was refined in.

The operations and the setting are found by spglib (Togo, Shinohara & Tanaka, Sci. Technol. Adv. Mater. Methods 4,
2384822, 2024); the idea is that of MISSYM (Le Page, J. Appl. Cryst. 20, 264-269, 1987). The place of the symmetry
elements, the distances and the mean positions are fitted here to all atoms: spglib takes them from single ones.
"""

from collections.abc import Sequence
from typing import NamedTuple

import gemmi
import numpy as np
import spglib
from numpy.typing import NDArray

from tasks.crystal.lattice import cell_of_metric, metric, misfit_deg, orthogonalisation
from tasks.crystal.symmetry import Operations, operations_from_hall
from tasks.model import UnitCell

SAME_ATOM_ANGSTROM = 0.1
"""Images of an atom nearer to each other than this are one atom on a special position, as in `crystal.sites`."""
ORIGIN_ROUNDS = 3
"""Of fitting the origin: each image of an atom keeps its partner, so the second round finds what the first did."""
ENTRIES = 530
"""Hall symbols of spglib's table."""
TRICLINIC_WITH_CENTRE = 2
"""Number of P-1."""
LATTICE_STEPS = 4
"""Cells up to so many times smaller along an axis are looked into: missed lattice vectors halve a cell, seldom more."""
MOST_STRAINED_DEG = 0.5
"""Of the lattice, whatever the distance allowed to atoms: axes that are said to be equal may differ by 0.9 %. Cells are
measured better; natrolite, whose axes differ by 2 %, is not tetragonal."""
MOST_STRETCHED = 2.0
"""Operations are found within a distance, and their products may be off by more: by so many times it."""
WHOLE = 1e-3
"""How far an entry of a change of axes may be from a whole number: they are ratios of small whole numbers."""


Crystal = tuple[list[list[float]], list[list[float]], list[int]]
"""What spglib takes: the axes as rows, in angstrom, fractional coordinates, and a number for each kind."""


class Sites(NamedTuple):
    """Atoms of an asymmetric unit: ``kind`` (n,) names what may be exchanged by symmetry, ``position`` (n, 3)."""

    kind: tuple[str, ...]
    position: NDArray[np.float64]


class ModelSymmetry(NamedTuple):
    """A group that the atoms of a model obey, its axes, and where its atoms stand.

    ``change`` (3, 3) and ``shift`` (3,) take old coordinates to new ones, x' = change x + shift; ``parents``: for each
    new atom the rows of the old ones that it stands for, the first its own; ``position`` (m, 3), on the symmetry
    elements; ``rms_angstrom`` and ``furthest_angstrom``: how far the atoms were from images of each other.
    """

    group: gemmi.SpaceGroup
    cell: UnitCell
    change: NDArray[np.float64]
    shift: NDArray[np.float64]
    position: NDArray[np.float64]
    parents: tuple[tuple[int, ...], ...]
    rms_angstrom: float
    furthest_angstrom: float

    @property
    def index_change(self) -> NDArray[np.float64]:
        """The matrix (3, 3) that takes old indices, as columns, to new ones."""
        return np.asarray(np.linalg.inv(self.change).T, dtype=np.float64)

    @property
    def operations_per_old_cell(self) -> float:
        """How many operations the group has in the cell that the atoms were given in."""
        order = len(operations_from_hall(self.group.hall).rotations)
        return float(order * abs(np.linalg.det(self.change)))


def symmetry_of_model(sites: Sites, hall: str, cell: UnitCell, *, within_angstrom: float) -> ModelSymmetry | None:
    """Return the group that all atoms obey within a distance; None if there is no more symmetry than `hall` has.

    The axes stay as they are where the group has a setting in them.

    Parameters
    ----------
    within_angstrom
        How far the image of an atom may be from an atom of its kind, and how far from each other images of lattice
        vectors may end.
    """
    own = operations_from_hall(hall)
    whole = _in_the_cell(sites, own, cell)
    codes = {kind: number for number, kind in enumerate(sorted(set(sites.kind)), start=1)}
    crystal: Crystal = (
        orthogonalisation(cell).T.tolist(),
        whole.position.tolist(),
        [codes[sites.kind[row]] for row in whole.row],
    )
    found = _dataset(crystal, within_angstrom, 0)
    if found is None or len(found.rotations) <= len(own.rotations):
        return None
    setting = _setting(found, crystal, within_angstrom)
    if setting is None:
        return None
    return _described(setting, whole, cell, within_angstrom=within_angstrom)


class _Whole(NamedTuple):
    """All atoms of a cell: ``position`` (k, 3), ``row`` (k,) of the atom of the asymmetric unit, and the kinds."""

    position: NDArray[np.float64]
    row: NDArray[np.int64]
    kind: NDArray[np.str_]


def _in_the_cell(sites: Sites, operations: Operations, cell: UnitCell) -> _Whole:
    orthogonal = orthogonalisation(cell)
    positions, rows = [], []
    for row, place in enumerate(sites.position):
        images = operations.rotations @ place + operations.translations
        kept: list[NDArray[np.float64]] = []
        for image in images:
            delta = np.array([image - other for other in kept]).reshape(-1, 3)
            delta -= np.round(delta)
            if not len(delta) or np.linalg.norm(delta @ orthogonal.T, axis=1).min() >= SAME_ATOM_ANGSTROM:
                kept.append(image)
        positions += kept
        rows += [row] * len(kept)
    return _Whole(np.array(positions) % 1.0, np.array(rows), np.array([sites.kind[row] for row in rows]))


def _dataset(crystal: Crystal, within_angstrom: float, entry: int) -> "spglib.SpglibDataset | None":
    try:
        return spglib.get_symmetry_dataset(crystal, symprec=within_angstrom, hall_number=entry, _throw=True)
    except spglib.SpglibError:
        return None


class _Setting(NamedTuple):
    """A group of the tables and how its axes come from the old ones: x' = change x + shift."""

    group: gemmi.SpaceGroup
    change: NDArray[np.float64]
    shift: NDArray[np.float64]


def _setting(found: "spglib.SpglibDataset", crystal: Crystal, within_angstrom: float) -> _Setting | None:
    """Return the setting nearest to the old axes, of all that the tables have for a type of group."""
    settings = [
        dataset
        for entry in range(1, ENTRIES + 1)
        if _number(entry) == found.number and (dataset := _dataset(crystal, within_angstrom, entry)) is not None
    ]
    best = min(settings, key=lambda dataset: (_awkwardness(dataset.transformation_matrix), dataset.hall_number))
    group: gemmi.SpaceGroup | None = gemmi.find_spacegroup_by_ops(gemmi.symops_from_hall(best.hall))
    if group is None:
        return None
    if group.number == TRICLINIC_WITH_CENTRE and len(found.rotations) == 2:
        # any axes do: spglib would reduce them
        inversion = int(np.flatnonzero(np.trace(found.rotations, axis1=1, axis2=2) == -3)[0])
        return _Setting(group, np.eye(3), -np.asarray(found.translations[inversion]) / 2.0)
    return _Setting(group, np.asarray(best.transformation_matrix), np.asarray(best.origin_shift))


def _number(entry: int) -> int:
    kind = spglib.get_spacegroup_type(entry, _throw=True)
    return 0 if kind is None else int(kind.number)


def _awkwardness(change: NDArray[np.float64]) -> tuple[bool, float]:
    """Return what settings are compared by, less is better: axes that are not the old ones, and how far from them."""
    whole = bool(np.abs(change - np.round(change)).max() < WHOLE and abs(abs(np.linalg.det(change)) - 1.0) < WHOLE)
    return (not whole, round(float(np.abs(change - np.eye(3)).sum()), 3))


def _described(setting: _Setting, whole: _Whole, cell: UnitCell, *, within_angstrom: float) -> ModelSymmetry | None:
    group, change, shift = setting
    if _strain_deg(setting, cell) > MOST_STRAINED_DEG:
        return None
    orthogonal = orthogonalisation(cell)
    for _ in range(ORIGIN_ROUNDS):
        operations = _in_old_axes(group, change, shift)
        partner, delta = _matched(whole, operations, orthogonal)
        if partner is None:
            return None
        # moving the origin by s adds (R - 1) P^-1 s to the translations; the mean misfits ask for it
        slopes = ((operations.rotations - np.eye(3)) @ np.linalg.inv(change)).reshape(-1, 3)
        move, *_ = np.linalg.lstsq(slopes, delta.mean(axis=1).reshape(-1), rcond=1e-6)
        shift = shift + move
    operations = _in_old_axes(group, change, shift)
    partner, delta = _matched(whole, operations, orthogonal)
    if partner is None:
        return None
    distance = np.linalg.norm(delta @ orthogonal.T, axis=2)
    if float(distance.max()) > MOST_STRETCHED * within_angstrom:
        return None
    position, parents = _means(whole, partner, delta, np.asarray(np.linalg.inv(operations.rotations), dtype=np.float64))
    return ModelSymmetry(
        group=group,
        cell=_symmetric_cell(cell, setting),
        change=change,
        shift=shift,
        position=(position @ change.T + shift) % 1.0,
        parents=parents,
        rms_angstrom=float(np.sqrt((distance**2).mean())),
        furthest_angstrom=float(distance.max()),
    )


def _in_old_axes(group: gemmi.SpaceGroup, change: NDArray[np.float64], shift: NDArray[np.float64]) -> Operations:
    """Return the operations of a group in the axes that the atoms have; lattice vectors of a smaller cell among them.

    With x' = P x + p an operation (W, w) of the new axes is P^-1 (W (P x + p) + w - p) in the old ones.
    """
    new, back = operations_from_hall(group.hall), np.linalg.inv(change)
    rotations = back @ new.rotations @ change
    translations = (new.rotations @ shift + new.translations - shift) @ back.T
    steps = np.stack(np.meshgrid(*[np.arange(LATTICE_STEPS)] * 3, indexing="ij"), axis=-1).reshape(-1, 3)
    vectors = np.unique(np.round((steps @ back.T) % 1.0, 6) % 1.0, axis=0)
    return Operations(
        np.tile(rotations, (len(vectors), 1, 1)), (vectors[:, None, :] + translations[None, :, :]).reshape(-1, 3)
    )


def _strain_deg(setting: _Setting, cell: UnitCell) -> float:
    """Return how far the lattice is from one that the group allows; see `misfit_deg`."""
    back = np.linalg.inv(setting.change)
    tensor = back.T @ metric(cell) @ back
    rotations = operations_from_hall(setting.group.hall).rotations
    return max(misfit_deg(np.rint(rotation).astype(np.int64), tensor) for rotation in rotations)


def _symmetric_cell(cell: UnitCell, setting: _Setting) -> UnitCell:
    """Return the new cell, exactly as its group wants it."""
    back = np.linalg.inv(setting.change)
    tensor = back.T @ metric(cell) @ back
    rotations = operations_from_hall(setting.group.hall).rotations
    return _rounded(cell_of_metric(np.mean([rotation.T @ tensor @ rotation for rotation in rotations], axis=0)))


def _matched(
    whole: _Whole, operations: Operations, orthogonal: NDArray[np.float64]
) -> tuple[NDArray[np.int64] | None, NDArray[np.float64]]:
    """Return for each operation and atom the atom nearest to its image, (g, k), and the way to it, (g, k, 3).

    None where two images fall to one atom.
    """
    images = np.einsum("gij,kj->gki", operations.rotations, whole.position) + operations.translations[:, None, :]
    same = whole.kind[:, None] == whole.kind[None, :]
    partner = np.empty(images.shape[:2], dtype=np.int64)
    delta = np.empty_like(images)
    for row, image in enumerate(images):
        way = whole.position[None, :, :] - image[:, None, :]
        way -= np.round(way)
        length = np.where(same, np.linalg.norm(way @ orthogonal.T, axis=2), np.inf)
        partner[row] = length.argmin(axis=1)
        delta[row] = way[np.arange(len(way)), partner[row]]
        if len(np.unique(partner[row])) < len(way):
            return None, delta
    return partner, delta


def _means(
    whole: _Whole, partner: NDArray[np.int64], delta: NDArray[np.float64], inverse: NDArray[np.float64]
) -> tuple[NDArray[np.float64], tuple[tuple[int, ...], ...]]:
    """Return the mean place of one atom of each orbit, (m, 3), and the rows of the atoms in each.

    An image (R, t) of an atom falls short of its partner by delta, so the atom would stand at x + R^-1 delta.
    """
    places, parents = [], []
    done = np.zeros(len(whole.position), dtype=bool)
    for atom in range(len(whole.position)):
        if done[atom]:
            continue
        done[partner[:, atom]] = True
        wish = np.einsum("gij,gj->gi", inverse, delta[:, atom])
        places.append(whole.position[atom] + wish.mean(axis=0))
        rows = [int(whole.row[atom]), *(int(row) for row in whole.row[partner[:, atom]])]
        parents.append(tuple(dict.fromkeys(rows)))
    return np.array(places), tuple(parents)


def _rounded(cell: UnitCell) -> UnitCell:
    a, b, c, alpha, beta, gamma = (float(f"{value:.10g}") for value in cell.parameters)
    return UnitCell(a=a, b=b, c=c, alpha=alpha, beta=beta, gamma=gamma)


def kinds_of(elements: Sequence[str], occupancies: Sequence[float]) -> tuple[str, ...]:
    """Return what symmetry may exchange: the element, and a tenth of the occupancy for sites that are not full."""
    return tuple(f"{element} {round(occupancy, 1)}" for element, occupancy in zip(elements, occupancies, strict=True))
