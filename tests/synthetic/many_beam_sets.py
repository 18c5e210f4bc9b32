"""Unmerged data of real structures as continuous-rotation electron diffraction gives them: many-beam, in HKLF 4."""

from pathlib import Path
from typing import NamedTuple
from zlib import crc32

import gemmi
import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from tasks.model import UnitCell
from tests.synthetic.many_beam import Rocked, Rotated, Structure, rock
from tests.synthetic.solve_cases import Published

ALBITE = """
Si 0.00887 0.16835 0.20845 Si 0.00370 0.82030 0.23700 Si 0.69183 0.11022 0.31493 Al 0.68131 0.88190 0.36068
O 0.00498 0.13140 0.96733 O 0.59203 0.99704 0.28059 O 0.81250 0.11018 0.19025 O 0.81990 0.85100 0.25868
O 0.01370 0.30254 0.26958 O 0.02336 0.69370 0.22938 O 0.20709 0.10889 0.38915 O 0.18346 0.86810 0.43549
Na 0.26835 0.98889 0.14600"""
"""Low albite: Harlow & Brown, Am. Mineral. 65, 986-995 (1980); Al is in one site of T1, it does not matter here."""
LIGHT = frozenset({"H", "D"})
COUNTS, BACKGROUND = 400.0, 60.0
"""Mean counts of a reflection, and those under it."""


class Guest(NamedTuple):
    """Atoms in the voids of a framework: element, how many sites, how full, nearest to the framework in angstrom."""

    element: str
    sites: int
    occupancy: float
    distance: float


class Made(NamedTuple):
    """A set to be made: the structure's CIF (its name without .cif), and how it is measured."""

    source: str
    how: Rotated
    crystals: int = 1
    guests: tuple[Guest, ...] = ()
    counts: float = COUNTS


def structure_of(path: Path, rng: np.random.Generator) -> Structure:
    """Return the structure in a CIF with displacements of its own or such as are usual."""
    blocks = [block for block in gemmi.cif.read(str(path)) if block.find_values("_atom_site_fract_x")]
    small = gemmi.make_small_structure_from_block(blocks[0])
    sites = [site for site in small.sites if site.element.name != "X"]
    elements = tuple("H" if site.element.name == "D" else site.element.name for site in sites)
    usual = rng.uniform(0.008, 0.02, len(sites)) + 0.015 * np.isin(elements, list("CNOF"))
    usual[np.isin(elements, list(LIGHT))] = 0.05
    return Structure(
        UnitCell.of(small.cell.parameters), small.spacegroup, elements, np.array([s.fract.tolist() for s in sites]),
        usual, np.array([site.occ for site in sites]),
    )  # fmt: skip


def albite() -> Structure:
    """Return low albite in its customary C-1."""
    words = ALBITE.split()
    elements = tuple(words[::4])
    positions = np.array([[float(x) for x in words[i + 1 : i + 4]] for i in range(0, len(words), 4)])
    u_iso = np.where(np.array(elements) == "O", 0.011, 0.007)
    u_iso[-1] = 0.03
    cell = UnitCell.of((8.142, 12.785, 7.159, 94.19, 116.61, 87.68))
    return Structure(cell, gemmi.SpaceGroup("C -1"), elements, positions, u_iso, np.ones(len(elements)))


def filled(structure: Structure, guests: tuple[Guest, ...], rng: np.random.Generator) -> Structure:
    """Return a framework with guests at random places of its voids, disordered where they come near each other."""
    orthogonal = np.array(structure.cell.gemmi().orth.mat.tolist())
    operations = list(structure.group.operations())

    def images(positions: NDArray[np.float64]) -> NDArray[np.float64]:
        placed = np.array([op.apply_to_xyz(list(x)) for x in positions for op in operations]) % 1.0
        steps = np.stack(np.meshgrid(*[[-1, 0, 1]] * 3), axis=-1).reshape(-1, 3)
        return np.asarray((placed[:, None] + steps).reshape(-1, 3) @ orthogonal.T)

    tree, found = cKDTree(images(structure.positions)), structure
    for guest in guests:
        trial = rng.random((4000, 3))
        distance, _ = tree.query(trial @ orthogonal.T)
        good = trial[(distance > guest.distance) & (distance < guest.distance + 1.0)]
        for place in good[: guest.sites]:
            found = found._replace(
                elements=(*found.elements, guest.element), positions=np.vstack([found.positions, place]),
                u_iso=np.append(found.u_iso, 0.06), occupancies=np.append(found.occupancies, guest.occupancy),
            )  # fmt: skip
    return found


def measured(
    structure: Structure, made: Made, seed: int
) -> tuple[NDArray[np.int32], NDArray[np.float64], NDArray[np.float64]]:
    """Return indices, intensities and sigmas of all observations of all crystals: counted, drifting, absorbed."""
    rng = np.random.default_rng([seed, 1])
    parts: list[Rocked] = []
    for number in range(made.crystals):
        part = rock(structure, made.how, seed + number)
        drift = 1 + 0.08 * np.sin(np.radians(part.angle_deg) * 1.7 + rng.uniform(0, 6)) + 0.03 * rng.normal(
            size=len(part.intensity)
        )  # fmt: skip
        parts.append(part._replace(intensity=part.intensity * drift))
    hkl, true = np.concatenate([p.hkl for p in parts]), np.concatenate([p.intensity for p in parts])
    true *= made.counts / true.mean()
    counted = rng.poisson(np.maximum(true, 0) + BACKGROUND) - BACKGROUND
    return hkl, counted.astype(float), np.sqrt(np.maximum(counted, 0) + 2 * BACKGROUND + (0.03 * counted) ** 2)


def hklf4_text(hkl: NDArray[np.int32], intensity: NDArray[np.float64], sigma: NDArray[np.float64]) -> str:
    """Return the text of unmerged intensities."""
    scale = min(1.0, 9e4 / intensity.max())
    rows = [
        f"{h:4d}{k:4d}{m:4d}{i * scale:8.2f}{max(s * scale, 0.01):8.2f}"
        for (h, k, m), i, s in zip(hkl, intensity, sigma)
    ]
    return "\n".join([*rows, "   0   0   0    0.00    0.00", ""])


def structure_for(made: Made, name: str, paths: dict[str, Path]) -> Structure:
    """Return the structure that is to be found, guests included."""
    rng = np.random.default_rng(crc32(name.encode()))
    structure = albite() if made.source == "albite" else structure_of(paths[made.source], rng)
    return filled(structure, made.guests, rng)


def published(structure: Structure) -> Published:
    """Return what must be found: atoms other than hydrogen whose sites are at least half full."""
    rows = [i for i, e in enumerate(structure.elements) if e not in LIGHT and structure.occupancies[i] >= 0.5]
    return Published(tuple(structure.elements[i] for i in rows), structure.positions[rows], structure.group)
