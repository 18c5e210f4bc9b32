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

from tasks.crystal.lattice import cell_of_metric, metric, orthogonalisation
from tasks.crystal.symmetry import Operations, operations_from_hall
from tasks.model import UnitCell

SAME_ATOM_ANGSTROM = 0.1
"""Images of an atom nearer to each other than this are one atom on a special position, as in `crystal.sites`."""
ORIGIN_ROUNDS = 3
"""Of fitting the origin: each image of an atom keeps its partner, so the second round finds what the first did."""
WHOLE = 1e-3
"""How far an entry of a change of axes may be from a whole number: they are ratios of small whole numbers."""


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
        return np.linalg.inv(self.change).T


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
    crystal = (
        orthogonalisation(cell).T,
        whole.position,
        [codes[sites.kind[row]] for row in whole.row],
    )
    found = _dataset(crystal, within_angstrom, 0)
    if found is None or len(found.rotations) <= len(own.rotations):
        return None
    setting = min(
        (
            dataset
            for entry in range(1, 531)
            if _number(entry) == found.number and (dataset := _dataset(crystal, within_angstrom, entry)) is not None
        ),
        key=lambda dataset: (_awkwardness(dataset.transformation_matrix), dataset.hall_number),
    )
    group = gemmi.find_spacegroup_by_ops(gemmi.symops_from_hall(setting.hall))
    if group is None:
        return None
    return _described(group, setting, whole, cell, within_angstrom=within_angstrom)


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


def _dataset(crystal: tuple[object, ...], within_angstrom: float, entry: int) -> "spglib.SpglibDataset | None":
    try:
        return spglib.get_symmetry_dataset(crystal, symprec=within_angstrom, hall_number=entry)
    except spglib.SpglibError:
        return None


def _number(entry: int) -> int:
    kind = spglib.get_spacegroup_type(entry)
    return 0 if kind is None else int(kind.number)


def _awkwardness(change: NDArray[np.float64]) -> tuple[bool, float]:
    """Return what settings are compared by, less is better: axes that are not the old ones, and how far from them."""
    whole = bool(np.abs(change - np.round(change)).max() < WHOLE and abs(abs(np.linalg.det(change)) - 1.0) < WHOLE)
    return (not whole, round(float(np.abs(change - np.eye(3)).sum()), 3))


def _described(
    group: gemmi.SpaceGroup, setting: "spglib.SpglibDataset", whole: _Whole, cell: UnitCell, *, within_angstrom: float
) -> ModelSymmetry | None:
    change = np.asarray(setting.transformation_matrix, dtype=np.float64)
    shift = np.asarray(setting.origin_shift, dtype=np.float64)
    operations = operations_from_hall(group.hall)
    back = np.linalg.inv(change)
    rotations = back @ operations.rotations @ change
    orthogonal = orthogonalisation(cell)
    for _ in range(ORIGIN_ROUNDS):
        # x' = P x + p, so an operation (W, w) of the new axes is P^-1 (W (P x + p) + w - p) in the old ones
        translations = (operations.rotations @ shift + operations.translations - shift) @ back.T
        partner, delta = _matched(whole, Operations(rotations, translations), orthogonal)
        if partner is None:
            return None
        # moving the origin by s adds (R - 1) P^-1 s to the translations; the mean misfits ask for it
        slopes = ((rotations - np.eye(3)) @ back).reshape(-1, 3)
        move, *_ = np.linalg.lstsq(slopes, delta.mean(axis=1).reshape(-1), rcond=1e-6)
        shift = shift + move
    translations = (operations.rotations @ shift + operations.translations - shift) @ back.T
    partner, delta = _matched(whole, Operations(rotations, translations), orthogonal)
    if partner is None:
        return None
    distance = np.linalg.norm(delta @ orthogonal.T, axis=2)
    if float(distance.max()) > 2.0 * within_angstrom:
        return None
    position, parents = _means(whole, partner, delta, np.linalg.inv(rotations))
    tensor = back.T @ metric(cell) @ back
    mean = np.mean([rotation.T @ tensor @ rotation for rotation in operations.rotations], axis=0)
    return ModelSymmetry(
        group=group,
        cell=_rounded(cell_of_metric(mean)),
        change=change,
        shift=shift,
        position=(position @ change.T + shift) % 1.0,
        parents=parents,
        rms_angstrom=float(np.sqrt((distance**2).mean())),
        furthest_angstrom=float(distance.max()),
    )


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
