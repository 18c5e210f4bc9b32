"""Molecule-like structures made at random, and their intensities with the faults of electron diffraction."""

import gemmi
import numpy as np
from numpy.typing import NDArray

from tasks.crystal.miller import sphere
from tasks.crystal.scattering import Radiation, d_star_squared
from tasks.crystal.symmetry import laue_operations
from tasks.integrate.reflection_file import Merged
from tasks.model import UnitCell
from tests.synthetic.known_structures import KnownStructure

BOND_ANGSTROM = 1.45
CONTACT_ANGSTROM = 2.3
ORGANIC = (("C", 0.75), ("N", 0.1), ("O", 0.15))
SHAPES = {"triclinic": (84.0, 97.0, 102.0), "monoclinic": (90.0, 103.0, 90.0), "orthorhombic": (90.0, 90.0, 90.0)}


def random_molecule(
    atoms: int, space_group: str, *, seed: int, heavy: tuple[str, ...] = (), volume_per_atom: float = 18.0
) -> KnownStructure:
    """Return a crystal of one tree of atoms, bonds of 1.45 A, nothing else nearer than 2.3 A; `heavy` go first."""
    rng = np.random.default_rng(seed)
    group = gemmi.SpaceGroup(space_group)
    operations = list(group.operations())
    angles = SHAPES.get(group.crystal_system_str(), SHAPES["orthorhombic"])
    unit = gemmi.UnitCell(1.0, 0.8, 1.3, *angles)
    scale = (atoms * len(operations) * volume_per_atom / unit.volume) ** (1 / 3)
    cell = UnitCell.of((scale, 0.8 * scale, 1.3 * scale, *angles))
    positions = _grow(cell, operations, atoms, rng)
    symbols, shares = zip(*ORGANIC, strict=True)
    elements = [*heavy, *rng.choice(symbols, size=atoms - len(heavy), p=shares)]
    u_iso = rng.uniform(0.02, 0.05, atoms)
    return KnownStructure(cell, space_group, tuple(elements), positions, u_iso, np.ones(atoms))


def _grow(cell: UnitCell, operations: list[gemmi.Op], atoms: int, rng: np.random.Generator) -> NDArray[np.float64]:
    orthogonal = np.array(cell.gemmi().orth.mat.tolist())
    fractional = np.array(cell.gemmi().frac.mat.tolist())
    rotations = np.array([operation.rot for operation in operations]) / gemmi.Op.DEN
    translations = np.array([operation.tran for operation in operations]) / gemmi.Op.DEN

    def distances(new: NDArray[np.float64], placed: NDArray[np.float64]) -> NDArray[np.float64]:
        images = np.einsum("kij,nj->nki", rotations, placed) + translations
        delta = images - new
        delta -= np.round(delta)
        return np.linalg.norm(delta @ orthogonal.T, axis=2)

    placed = [rng.random(3)]
    while True:
        own = distances(placed[0], np.array(placed))[0]
        if np.sort(own)[1:].min(initial=9.0) > CONTACT_ANGSTROM:
            break
        placed = [rng.random(3)]
    for _ in range(200000):
        if len(placed) == atoms:
            return np.array(placed) % 1.0
        base = placed[rng.integers(len(placed))]
        direction = rng.normal(size=3)
        new = base + fractional @ (BOND_ANGSTROM * direction / np.linalg.norm(direction))
        table = distances(new, np.array([*placed, new]))
        table[-1, np.argmin(table[-1])] = 9.0  # itself
        near = table < CONTACT_ANGSTROM
        if near.sum() == 1 and np.linalg.norm(orthogonal @ (new - base)) < 1.5:
            placed.append(new)
    raise ValueError(f"no room for {atoms} atoms")


def simulated_intensities(
    structure: KnownStructure,
    *,
    d_min_angstrom: float,
    seed: int,
    noise: float = 0.1,
    completeness: float = 1.0,
    flattening: float = 0.0,
    radiation: Radiation = "electron",
) -> Merged:
    """Return merged intensities of a structure.

    Parameters
    ----------
    noise
        Relative error of the intensities, plus a tenth of it times the mean intensity of the shell.
    completeness
        The rest is missing in a cone about c* and at random, half and half.
    flattening
        How far intensities are drawn to their mean by dynamical scattering: I becomes I^(1 - flattening) in units of
        the mean at that resolution.
    """
    rng = np.random.default_rng(seed)
    group = gemmi.SpaceGroup(structure.space_group)
    laue = laue_operations(structure.space_group)
    everything = sphere(structure.cell, laue, d_min_angstrom)
    asu = gemmi.ReciprocalAsu(group)
    unique = np.unique(
        np.array([asu.to_asu(list(map(int, row)), laue)[0] for row in everything], dtype=np.int32), axis=0
    )
    intensity = np.abs(structure.structure_factors(unique, radiation)) ** 2
    d_star_sq = d_star_squared(unique, structure.cell)
    mean = _local_mean(intensity, d_star_sq)
    intensity = mean * (intensity / mean) ** (1.0 - flattening)
    sigma = noise * (intensity + 0.1 * mean)
    noisy = intensity + sigma * rng.normal(size=len(sigma))
    keep = _measured(unique, structure.cell, completeness, rng)
    return Merged(unique[keep], noisy[keep], sigma[keep], np.ones(int(keep.sum()), dtype=np.int32))


def shuffled_in_shells(merged: Merged, cell: UnitCell, *, seed: int) -> Merged:
    """Return data without a structure: intensities exchanged within 15 shells, so that the Wilson plot stays right."""
    rng = np.random.default_rng(seed)
    row = np.arange(len(merged.hkl))
    for shell in np.array_split(np.argsort(d_star_squared(merged.hkl, cell)), 15):
        row[shell] = rng.permutation(shell)
    return merged._replace(intensity=merged.intensity[row], sigma=merged.sigma[row])


def _local_mean(intensity: NDArray[np.float64], d_star_sq: NDArray[np.float64]) -> NDArray[np.float64]:
    order = np.argsort(d_star_sq)
    mean = np.empty_like(intensity)
    for shell in np.array_split(order, max(2, len(order) // 60)):
        mean[shell] = intensity[shell].mean()
    return mean


def _measured(
    hkl: NDArray[np.int32], cell: UnitCell, completeness: float, rng: np.random.Generator
) -> NDArray[np.bool_]:
    reciprocal = hkl @ np.array(cell.gemmi().frac.mat.tolist())
    axis = np.abs(reciprocal[:, 2]) / np.linalg.norm(reciprocal, axis=1)
    in_cone = axis > np.quantile(axis, 1.0 - (1.0 - completeness) / 2) if completeness < 1 else np.zeros(len(hkl), bool)
    return ~in_cone & (rng.random(len(hkl)) < completeness / max(1e-9, 1 - (1 - completeness) / 2))
