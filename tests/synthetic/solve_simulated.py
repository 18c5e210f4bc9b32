"""Simulated merged intensities of known or random structures: noise, a missing cone, dynamical-like flattening."""

from pathlib import Path
from typing import NamedTuple

import gemmi
import numpy as np
from numpy.typing import NDArray

from tasks.crystal.scattering import structure_factors
from tasks.integrate.reflection_file import Merged
from tasks.model import UnitCell
from tests.synthetic.solve_cases import Published, from_cif, representatives


class Simulated(NamedTuple):
    """A structure to be found, and its intensities."""

    name: str
    merged: Merged
    cell: UnitCell
    laue: str
    composition: str
    published: Published


def simulate(
    published: Published, cell: UnitCell, laue: str, *, d_min: float, noise: float, completeness: float,
    flatten: float = 1.0, u_iso: float = 0.03, seed: int = 0,
) -> Merged:  # fmt: skip
    """Return intensities with relative noise plus a background, a cone of directions missing, I^flatten."""
    rng = np.random.default_rng(seed)
    hkl = gemmi.make_miller_array(cell.gemmi(), gemmi.SpaceGroup(laue), d_min).astype(np.int32)
    hkl = representatives(hkl, laue)
    n = len(published.elements)
    f = structure_factors(
        hkl, cell, published.group.operations(), elements=published.elements, positions=published.positions,
        u_iso_angstrom2=np.full(n, u_iso), occupancies=np.ones(n), radiation="electron",
    )  # fmt: skip
    intensity = np.abs(f) ** (2 * flatten)
    sigma = noise * intensity + 0.02 * intensity.mean()
    measured = intensity + sigma * rng.normal(size=len(hkl))
    direction = hkl @ np.array(cell.gemmi().frac.mat.tolist())
    axis = rng.normal(size=3)
    cosine = np.abs(direction @ axis) / np.linalg.norm(direction, axis=1) / np.linalg.norm(axis)
    seen = cosine <= np.quantile(cosine, completeness)
    scale = 1000.0 / measured.mean()
    return Merged(hkl[seen], measured[seen] * scale, sigma[seen] * scale, np.full(int(seen.sum()), 4, dtype=np.int32))


def molecules(
    symbol: str, cell: UnitCell, count: int, *, seed: int, elements: tuple[str, ...] = ("C", "C", "C", "N", "O")
) -> Published:
    """Return `count` atoms grown as a chain-like cluster with bonds of 1.4 A, nothing nearer than 1.3 A."""
    rng = np.random.default_rng(seed)
    group = gemmi.SpaceGroup(symbol)
    orthogonal = np.array(cell.gemmi().orth.mat.tolist())
    inverse = np.linalg.inv(orthogonal)
    operations = list(group.operations())
    rotations = np.array([op.rot for op in operations]) / gemmi.Op.DEN
    shifts = np.array([op.tran for op in operations]) / gemmi.Op.DEN
    sites: list[NDArray[np.float64]] = []
    images = np.zeros((0, 3))
    while len(sites) < count:
        if sites and rng.random() < 0.97:
            step = rng.normal(size=3)
            x = sites[int(rng.integers(len(sites)))] + inverse @ (step / np.linalg.norm(step) * rng.uniform(1.35, 1.52))
        else:
            x = rng.random(3)
        mine = rotations @ x + shifts
        others = np.concatenate([mine[1:], images])
        delta = others - x
        delta -= np.round(delta)
        distance = np.linalg.norm(delta @ orthogonal.T, axis=1)
        own = distance[: len(mine) - 1]
        if (own < 3.0).any() or (distance < 1.3).any() or (distance[len(mine) - 1 :] < 1.9).sum() > 3 * len(mine):
            continue
        sites.append(x)
        images = np.concatenate([images, mine])
    return Published(tuple(elements[i % len(elements)] for i in range(count)), np.array(sites), group)


def uio66(folder: Path, *, noise: float = 0.1, seed: int = 0) -> Simulated:
    """Return UiO-66 to 0.8 A; `folder` is that of the real data sets."""
    published = from_cif(folder / "uio66/UiO-66.cif")
    cell = UnitCell.of((20.7004, 20.7004, 20.7004, 90, 90, 90))
    merged = simulate(published, cell, "F m -3 m", d_min=0.8, noise=noise, completeness=1.0, seed=seed)
    return Simulated("uio66", merged, cell, "F m -3 m", "Zr6 O32 C48 H28", published)


def organic(
    name: str, symbol: str, laue: str, cell: UnitCell, count: int, *, d_min: float, noise: float, completeness: float,
    flatten: float = 1.0, seed: int = 0,
) -> Simulated:  # fmt: skip
    """Return a random molecular crystal."""
    published = molecules(symbol, cell, count, seed=seed)
    merged = simulate(
        published, cell, laue, d_min=d_min, noise=noise, completeness=completeness, flatten=flatten, seed=seed
    )
    numbers = {name: published.elements.count(name) for name in sorted(set(published.elements))}
    formula = " ".join(f"{element}{number}" for element, number in numbers.items()) + f" H{count}"
    return Simulated(name, merged, cell, laue, formula, published)


MONOCLINIC = UnitCell.of((14.2, 11.6, 15.9, 90, 103.0, 90))
ORGANIC: dict[str, tuple[str, str, UnitCell, int, dict[str, float]]] = {
    "p21c-100": ("P 1 21/c 1", "P 1 2/m 1", UnitCell.of((17.4, 14.6, 28.4, 90, 99.0, 90)), 100,
                 {"d_min": 0.9, "noise": 0.1, "completeness": 1.0}),
    "p21n-35": ("P 1 21/n 1", "P 1 2/m 1", MONOCLINIC, 35,
                {"d_min": 1.0, "noise": 0.2, "completeness": 0.75, "flatten": 0.8}),
    "p-1-30": ("P -1", "P -1", UnitCell.of((8.1, 9.4, 8.9, 81, 97, 103)), 18,
               {"d_min": 0.9, "noise": 0.15, "completeness": 0.65, "flatten": 0.85}),
    "p1-20": ("P 1", "P -1", UnitCell.of((6.3, 8.4, 8.1, 95, 97, 103)), 22,
              {"d_min": 0.9, "noise": 0.15, "completeness": 0.7}),
    "pbca-20": ("P b c a", "P m m m", UnitCell.of((9.8, 14.1, 20.4, 90, 90, 90)), 20,
                {"d_min": 0.95, "noise": 0.2, "completeness": 0.8, "flatten": 0.85}),
    "c2-25": ("C 1 2 1", "C 1 2/m 1", UnitCell.of((19.8, 7.1, 14.4, 90, 107, 90)), 26,
              {"d_min": 0.95, "noise": 0.15, "completeness": 0.8}),
    "p212121-25": ("P 21 21 21", "P m m m", UnitCell.of((7.9, 12.6, 18.4, 90, 90, 90)), 25,
                   {"d_min": 0.95, "noise": 0.2, "completeness": 0.7, "flatten": 0.8}),
}  # fmt: skip
NAMES = ("uio66", *ORGANIC)


def simulated(name: str, folder: Path, seed: int = 0) -> Simulated:
    """Return one set of the simulated benchmark; `folder` is that of the real data sets."""
    if name == "uio66":
        return uio66(folder, seed=seed)
    symbol, laue, cell, count, quality = ORGANIC[name]
    return organic(name, symbol, laue, cell, count, seed=seed, **quality)
