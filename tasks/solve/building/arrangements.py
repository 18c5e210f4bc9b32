"""All ways to put the atoms of a composition on special positions of a group, and how well each explains |F|.

The oldest way to a structure (Bragg, 1913; Wyckoff, 1922): where reflections are few the cell is small and of high
symmetry, its atoms have hardly a choice of places, and each choice can be tried. No phases are needed.
"""

from collections.abc import Iterator
from itertools import combinations
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tasks.crystal.contacts import SHORTEST_BOND_FRACTION, covalent_radii
from tasks.crystal.contents import OTHER_METAL_ANGSTROM3, VOLUME_ANGSTROM3
from tasks.crystal.lattice import orthogonalisation
from tasks.crystal.scattering import scattering_factor
from tasks.crystal.symmetry import Symmetry
from tasks.model import Composition, UnitCell
from tasks.solve.building.atoms import Model
from tasks.solve.building.few_reflections import FewReflections
from tasks.solve.building.special_positions import Position, special_positions

ROOM = (0.2, 4.0)
"""Volume of the cell over that of its atoms (`VOLUME_ANGSTROM3`): beryllium has 0.23, copper and diamond 0.34 and 0.41,
sodium chloride 0.87, sodium 1.5, caesium 3.3. What is too dense has contacts no bond allows, so the limits are wide."""
MOST_UNITS = 32
"""Formula units in the cell: of short formulas in cells of few reflections (spinel has 8)."""
MOST_FREE = 2
"""Coordinates that an arrangement leaves free: one in spinel, two in corundum. Each more multiplies what is tried by
the number of steps along a line."""
MOST_IN_GROUP = 1500
"""Arrangements of one group: with more, those with fewer free coordinates only, so that a group costs a second. Of the
14 prototypes of tests/synthetic/tiny_cases.py only rutile has more in any, and that is found with one coordinate."""
MOST_STEPS = 25_000
"""Choices tried in one group: with more, those with fewer free coordinates only. Of those prototypes spinel takes most,
12,385 in F -4 3 m. A large cell of which few reflections were measured has no end of them: UiO-66 took minutes."""
NEAREST_SHIFTS: NDArray[np.int64] = np.stack(np.meshgrid(*[np.arange(-1, 2)] * 3, indexing="ij"), axis=-1).reshape(
    -1, 3
)
"""Lattice vectors that may bring an image nearer than the one within half of each edge, in oblique axes."""


class Places(NamedTuple):
    """Positions to be filled, how ``near`` (n, n) they lie, and the steps that are left for it, see `MOST_STEPS`."""

    sites: list[Position]
    near: NDArray[np.float64]
    effort: Iterator[int]


class Arrangement(NamedTuple):
    """Atoms of the asymmetric unit with elements; `free` coordinates, and what tells the kind but for their values."""

    symmetry: Symmetry
    element: tuple[str, ...]
    sites: tuple[Position, ...]
    kind: tuple[tuple[str, str], ...]

    @property
    def free(self) -> int:
        """Coordinates that symmetry leaves free."""
        return sum(site.line >= 0 for site in self.sites)

    def model(self, u_iso_angstrom2: float) -> Model:
        """Return the atoms with one displacement."""
        count = len(self.sites)
        places = np.array([site.place for site in self.sites])
        return Model(self.element, places, np.full(count, u_iso_angstrom2), np.ones(count), np.ones(count))


def arrangements(composition: Composition, symmetry: Symmetry, cell: UnitCell) -> list[Arrangement]:
    """Return the arrangements of the composition, hydrogen left out, that no contact forbids.

    Positions without freedom are taken once, places along a line too; the cell holds any number of formula units that
    it has room for, which need not be that of the truth: the intensities decide.
    """
    counts = {name: count for name, count in composition.counts.items() if name not in {"H", "D"}}
    if not counts or any(abs(count - round(count)) > 1e-6 for count in counts.values()):
        return []
    volume = sum(n * VOLUME_ANGSTROM3.get(name, OTHER_METAL_ANGSTROM3) for name, n in counts.items())
    divisor = int(np.gcd.reduce([round(count) for count in counts.values()]))
    units = [
        number / divisor
        for number in range(1, MOST_UNITS * divisor + 1)
        if ROOM[0] <= cell.volume_angstrom3 / (number / divisor * volume) <= ROOM[1]
    ]
    most = max((round(units[-1] * count) for count in counts.values()), default=0) if units else 0
    sites = [site for site in special_positions(symmetry, cell) if site.multiplicity <= most]
    near, effort = _nearest(sites, cell), iter(range(MOST_STEPS))
    found: list[Arrangement] = []
    for free in range(MOST_FREE + 1):
        more: list[Arrangement] = []
        for number in units:
            wanted = {name: round(number * count) for name, count in counts.items()}
            for chosen in _fillings(list(wanted.items()), Places(sites, near, effort), frozenset(), free):
                more.append(_arrangement(symmetry, chosen, sites))
                if len(found) + len(more) > MOST_IN_GROUP:
                    return found
        if next(effort, None) is None:
            return found
        found += more
    return found


def _arrangement(symmetry: Symmetry, chosen: tuple[tuple[str, int], ...], sites: list[Position]) -> Arrangement:
    kind = sorted((name, f"line {sites[row].line}" if sites[row].line >= 0 else f"{row}") for name, row in chosen)
    return Arrangement(symmetry, tuple(name for name, _ in chosen), tuple(sites[row] for _, row in chosen), tuple(kind))


def _fillings(
    wanted: list[tuple[str, int]], places: Places, taken: frozenset[tuple[str, int]], free: int
) -> Iterator[tuple[tuple[str, int], ...]]:
    """Yield (element, row of `sites`) for all atoms wanted, with exactly so many free coordinates."""
    if not wanted:
        if free == 0:
            yield tuple(sorted(taken))
        return
    (name, count), *rest = wanted
    sites, near = places.sites, places.near
    used = {row for _, row in taken}
    open_rows = [
        row
        for row, site in enumerate(sites)
        if row not in used and site.multiplicity <= count and (site.line < 0 or free > 0)
        and _apart(name, row, taken, near)
    ]  # fmt: skip
    for rows in _rows_of(open_rows, places, count, free):
        added = frozenset((name, row) for row in rows)
        if all(_apart(name, row, taken | added, near) for row in rows):
            left = free - sum(sites[row].line >= 0 for row in rows)
            yield from _fillings(rest, places, taken | added, left)


def _rows_of(rows: list[int], places: Places, count: int, free: int) -> Iterator[tuple[int, ...]]:
    """Yield the choices of positions that hold `count` atoms together, at most `free` of them on lines."""
    sites = places.sites
    fixed = [row for row in rows if sites[row].line < 0]
    lines = [row for row in rows if sites[row].line >= 0]
    for on_lines in range(free + 1):
        for free_rows in combinations(lines, on_lines):
            left = count - sum(sites[row].multiplicity for row in free_rows)
            if left < 0:
                continue
            yield from (free_rows + some for some in _summing(fixed, places, left))


def _summing(rows: list[int], places: Places, count: int) -> Iterator[tuple[int, ...]]:
    if count == 0:
        yield ()
        return
    for at, row in enumerate(rows):
        if next(places.effort, None) is None:
            return
        multiplicity = places.sites[row].multiplicity
        if multiplicity <= count:
            for others in _summing(rows[at + 1 :], places, count - multiplicity):
                yield (row, *others)


def _apart(name: str, row: int, others: frozenset[tuple[str, int]], near: NDArray[np.float64]) -> bool:
    """Tell whether a position is no nearer to others, and to its own images, than a bond."""
    radius = covalent_radii([name, *(other for other, _ in others)])
    rows = [row, *(other for _, other in others)]
    return bool((near[row, rows] >= SHORTEST_BOND_FRACTION * (radius[0] + radius)).all())


def _nearest(sites: list[Position], cell: UnitCell) -> NDArray[np.float64]:
    """Return the shortest distances between positions, and of each to another image of itself, (n, n) angstrom."""
    orthogonal = orthogonalisation(cell)
    place = np.array([site.place for site in sites]).reshape(-1, 3)
    near = np.full((len(sites), len(sites)), np.inf)
    for row, site in enumerate(sites):
        others = slice(row, None)
        delta = site.images[None, :, :] - place[others, None, :]
        delta -= np.round(delta)
        vectors = (delta[:, :, None, :] + NEAREST_SHIFTS) @ orthogonal.T
        square = np.einsum("...i,...i->...", vectors, vectors).reshape(len(sites) - row, -1)
        square[0, square[0] < 1e-6] = np.inf
        near[row, others] = near[others, row] = np.sqrt(square.min(axis=1))
    return near


def moduli(found: list[Arrangement], observed: FewReflections) -> NDArray[np.float64]:
    """Return |F| of atoms at rest over the root of the sum of f^2 in the cell, (arrangements, n)."""
    table: dict[str, NDArray[np.float64]] = {}
    waves: dict[bytes, NDArray[np.complex128]] = {}
    result = np.empty((len(found), len(observed.hkl)))
    for row, arrangement in enumerate(found):
        total = np.zeros(len(observed.hkl), dtype=np.complex128)
        power = np.zeros(len(observed.hkl))
        for name, site in zip(arrangement.element, arrangement.sites, strict=True):
            if name not in table:
                table[name] = scattering_factor(name, observed.d_star_sq, observed.radiation)
            key = site.images.tobytes()
            if key not in waves:
                waves[key] = np.exp(2j * np.pi * (observed.hkl @ site.images.T)).sum(axis=1)
            total += table[name] * waves[key]
            power += table[name] ** 2 * site.multiplicity
        result[row] = np.abs(total) / np.sqrt(power)
    return result
