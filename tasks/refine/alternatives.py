"""Second places of atoms by the density that is left when they are taken out."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from tasks.crystal.lattice import orthogonalisation
from tasks.refine.draft import DensityPeak, Draft
from tasks.refine.geometry import bonds, contacts

SAME_ANGSTROM = 0.55
"""A peak this near to an atom is the atom: less than half of the 1.26 A between the fluorines of two CF3 turned by 60
degrees, which are the nearest alternatives that are common."""
FURTHEST_ANGSTROM = 1.9
"""Between two places of one atom: two thirds of a turn about a single bond, beyond which it is another atom's."""
NEAREST_ANGSTROM = 0.45
"""Of two places: nearer ones are an ellipsoid to data of 0.8 A, half of whose resolution this is. Chosen, not
measured."""
LEAST_HEIGHT = 0.2
"""Of the highest peak of the same omitted atoms: parts of less than about 20:100 are not told from ripples of a map.
Chosen, not measured."""
LENGTH_CHANGE_ANGSTROM = 0.35
"""By which the bond to the atom that carries both places may differ: peaks of a map that overlap are off by as much."""

Point = NDArray[np.float64]


class Alternative(NamedTuple):
    """Atoms that have a second place, by label: where they are, and where else; fractional."""

    labels: tuple[str, ...]
    first: tuple[Point, ...]
    second: tuple[Point, ...]


def alternative(draft: Draft, members: Sequence[str], peaks: Sequence[DensityPeak]) -> Alternative | None:
    """Return two places for members of a group of atoms, by the peaks of a map from which these were left out.

    Peaks at the atoms are the first part. Others that lie as far from the carrier as an atom does are the second; the
    ends of one carrier, of which not all have such a peak, turn about their axis together. None without a second part.
    """
    orthogonal = orthogonalisation(draft.unit_cell)
    index = {atom.label: i for i, atom in enumerate(draft.atoms)}
    hosts = [index[label] for label in members]
    near = _peaks_near(draft, hosts, peaks, orthogonal)
    if not near:
        return None
    floor = LEAST_HEIGHT * max(peaks[k].height for k in near)
    near = {k: place for k, place in near.items() if peaks[k].height >= floor}
    first = {host: np.array(draft.atoms[host].position) for host in hosts}
    others = []
    for place in near.values():
        distances = {host: _distance(place, np.array(draft.atoms[host].position), orthogonal) for host in hosts}
        nearest = min(distances, key=lambda host: distances[host])
        if distances[nearest] <= SAME_ANGSTROM:
            first[nearest] = place
        else:
            others.append(place)
    carriers = _carriers(draft, hosts, orthogonal)
    second = _paired(first, others, carriers, orthogonal)
    second = second | _turned(first, second, carriers, orthogonal)
    if not second:
        return None
    kept = [host for host in hosts if host in second]
    labels = tuple(draft.atoms[host].label for host in kept)
    return Alternative(labels, tuple(first[host] for host in kept), tuple(second[host] for host in kept))


def along_axis(draft: Draft, label: str) -> Alternative | None:
    """Return two places of an atom on the longest axis of its ellipsoid, whose peaks a map does not part.

    Two half atoms at a distance d have a mean square displacement that is d^2 / 4 larger along their line.
    """
    atom = next(atom for atom in draft.atoms if atom.label == label)
    if atom.u_aniso_angstrom2 is None:
        return None
    orthogonal = orthogonalisation(draft.unit_cell)
    reciprocal = np.diag(np.linalg.norm(np.linalg.inv(orthogonal), axis=1))
    u11, u22, u33, u12, u13, u23 = atom.u_aniso_angstrom2
    tensor = np.array([[u11, u12, u13], [u12, u22, u23], [u13, u23, u33]])
    basis = orthogonal @ reciprocal
    values, vectors = np.linalg.eigh(basis @ tensor @ basis.T)
    half = np.sqrt(max(float(values[2] - values[1]), 0.0))
    if 2.0 * half < NEAREST_ANGSTROM:
        return None
    shift = np.linalg.solve(orthogonal, half * vectors[:, 2])
    place = np.array(atom.position)
    return Alternative((label,), (place + shift,), (place - shift,))


def _distance(first: Point, second: Point, orthogonal: Point) -> float:
    return float(np.linalg.norm(orthogonal @ (first - second)))


def _peaks_near(
    draft: Draft, hosts: Sequence[int], peaks: Sequence[DensityPeak], orthogonal: Point
) -> dict[int, Point]:
    """Return the peaks within reach of the atoms, moved to the image next to them, by their number."""
    if not peaks:
        return {}
    start = np.array([draft.atoms[host].position for host in hosts])
    found: dict[int, tuple[float, Point]] = {}
    places = np.array([peak.position for peak in peaks])
    for pair in contacts(start, places, draft.hall, draft.unit_cell, cutoff=FURTHEST_ANGSTROM):
        if pair.second not in found or pair.distance < found[pair.second][0]:
            image = start[pair.first] + np.linalg.solve(orthogonal, np.array(pair.vector))
            found[pair.second] = (pair.distance, image)
    return {number: place for number, (_, place) in sorted(found.items())}


def _carriers(draft: Draft, hosts: Sequence[int], orthogonal: Point) -> dict[int, Point]:
    """Return for each atom the place of one it is bonded to that is not of the group itself; none if it has none."""
    heavy = [atom if atom.element not in {"H", "D"} else None for atom in draft.atoms]
    places: dict[int, Point] = {}
    for bond in bonds(draft.atoms, draft.hall, draft.unit_cell):
        if bond.first in hosts and bond.second not in hosts and heavy[bond.second] is not None:
            start = np.array(draft.atoms[bond.first].position)
            places.setdefault(bond.first, start + np.linalg.solve(orthogonal, np.array(bond.vector)))
    return places


def _paired(
    first: dict[int, Point], others: Sequence[Point], carriers: dict[int, Point], orthogonal: Point
) -> dict[int, Point]:
    """Return one of the other peaks for each atom that has one, so that the sum of the distances is least."""
    hosts = list(first)
    if not others:
        return {}
    cost = np.full((len(hosts), len(others)), 1e3)
    for row, host in enumerate(hosts):
        for column, place in enumerate(others):
            distance = _distance(first[host], place, orthogonal)
            if distance <= FURTHEST_ANGSTROM and _fits(host, first[host], place, carriers, orthogonal):
                cost[row, column] = distance
    rows, columns = linear_sum_assignment(cost)
    return {hosts[r]: others[c] for r, c in zip(rows.tolist(), columns.tolist(), strict=True) if cost[r, c] < 1e3}


def _fits(host: int, first: Point, place: Point, carriers: dict[int, Point], orthogonal: Point) -> bool:
    carrier = carriers.get(host)
    if carrier is None:
        return True
    change = _distance(first, carrier, orthogonal) - _distance(place, carrier, orthogonal)
    return abs(change) <= LENGTH_CHANGE_ANGSTROM


def _turned(
    first: dict[int, Point],
    second: dict[int, Point],
    carriers: dict[int, Point],
    orthogonal: Point,
) -> dict[int, Point]:
    """Return second places of the ends of one carrier by the turn about its axis that peaks of some of them ask for."""
    turned: dict[int, Point] = {}
    for lead, carrier in carriers.items():
        ends = [host for host in first if host in carriers and _distance(carriers[host], carrier, orthogonal) < 0.05]
        if lead != ends[0] or len(ends) < 3 or not any(end in second for end in ends):
            continue
        arms = [orthogonal @ (first[end] - carrier) for end in ends]
        axis = np.sum(arms, axis=0)
        if float(np.linalg.norm(axis)) < 0.3:
            continue
        axis = axis / np.linalg.norm(axis)
        angles = [
            _angle(arm, orthogonal @ (second[end] - carrier), axis)
            for end, arm in zip(ends, arms, strict=True)
            if end in second
        ]
        # a threefold end looks the same after a third of a turn
        step = 2.0 * np.pi / len(ends)
        mean = float(np.angle(np.mean(np.exp(1j * np.array(angles) * len(ends))))) / len(ends) % step
        for end, arm in zip(ends, arms, strict=True):
            turned[end] = carrier + np.linalg.solve(orthogonal, _rotated(arm, axis, mean))
    return turned


def _angle(start: Point, end: Point, axis: Point) -> float:
    flat = [arm - (arm @ axis) * axis for arm in (start, end)]
    return float(np.arctan2(np.cross(flat[0], flat[1]) @ axis, flat[0] @ flat[1]))


def _rotated(arm: Point, axis: Point, angle: float) -> Point:
    along = (arm @ axis) * axis
    return np.asarray(along + np.cos(angle) * (arm - along) + np.sin(angle) * np.cross(axis, arm), dtype=np.float64)
