"""Crystals of so few unique reflections that no phases are needed: published prototypes, and their intensities."""

from typing import NamedTuple

import gemmi
import numpy as np

from tasks.crystal.scattering import Radiation, structure_factors
from tasks.integrate.reflection_file import Merged
from tasks.model import UnitCell
from tests.synthetic.solve_cases import Published, representatives
from tests.synthetic.solve_dynamical import laue_class

Site = tuple[str, tuple[float, float, float], float]


class Prototype(NamedTuple):
    """A structure of few parameters: cell, group, sites with U (A^2), formula, and the resolution that leaves few."""

    cell: UnitCell
    group: str
    sites: tuple[Site, ...]
    formula: str
    d_min: float


def _cubic(a: float, group: str, sites: tuple[Site, ...], formula: str, d_min: float) -> Prototype:
    return Prototype(UnitCell.of((a, a, a, 90, 90, 90)), group, sites, formula, d_min)


H, Q, E = 0.5, 0.25, 0.125
PROTOTYPES = {
    # Wyckoff, Crystal Structures 1 and 2 (1963, 1964); origins of two choices are the second
    "halite": _cubic(5.6402, "F m -3 m", (("Na", (0, 0, 0), 0.022), ("Cl", (H, H, H), 0.019)), "Na Cl", 0.81),
    "periclase": _cubic(4.2117, "F m -3 m", (("Mg", (0, 0, 0), 0.004), ("O", (H, H, H), 0.005)), "Mg O", 0.65),
    "fluorite": _cubic(5.4631, "F m -3 m", (("Ca", (0, 0, 0), 0.006), ("F", (Q, Q, Q), 0.009)), "Ca F2", 0.81),
    "diamond": _cubic(3.5667, "F d -3 m:2", (("C", (E, E, E), 0.0018),), "C", 0.45),
    "silicon": _cubic(5.4310, "F d -3 m:2", (("Si", (E, E, E), 0.006),), "Si", 0.65),
    "copper": _cubic(3.6149, "F m -3 m", (("Cu", (0, 0, 0), 0.007),), "Cu", 0.55),
    "iron": _cubic(2.8665, "I m -3 m", (("Fe", (0, 0, 0), 0.005),), "Fe", 0.5),
    "caesium-chloride": _cubic(4.123, "P m -3 m", (("Cs", (0, 0, 0), 0.021), ("Cl", (H, H, H), 0.02)), "Cs Cl", 0.8),
    "sphalerite": _cubic(5.4093, "F -4 3 m", (("Zn", (0, 0, 0), 0.009), ("S", (Q, Q, Q), 0.008)), "Zn S", 0.75),
    "perovskite": _cubic(
        3.905, "P m -3 m", (("Sr", (H, H, H), 0.008), ("Ti", (0, 0, 0), 0.006), ("O", (H, 0, 0), 0.01)), "Sr Ti O3",
        0.75,
    ),
    "cuprite": _cubic(4.2696, "P n -3 m:2", (("O", (Q, Q, Q), 0.015), ("Cu", (0, 0, 0), 0.017)), "Cu2 O", 0.75),
    "spinel": _cubic(
        8.0806, "F d -3 m:2",
        (("Mg", (E, E, E), 0.005), ("Al", (H, H, H), 0.005), ("O", (0.2624, 0.2624, 0.2624), 0.007)), "Mg Al2 O4", 0.95,
    ),
    "rutile": Prototype(
        UnitCell.of((4.5937, 4.5937, 2.9587, 90, 90, 90)), "P 42/m n m",
        (("Ti", (0, 0, 0), 0.006), ("O", (0.3048, 0.3048, 0), 0.006)), "Ti O2", 0.85,
    ),
    "magnesium": Prototype(
        UnitCell.of((3.2094, 3.2094, 5.2105, 90, 90, 120)), "P 63/m m c", (("Mg", (1 / 3, 2 / 3, Q), 0.02),), "Mg",
        0.85,
    ),
}  # fmt: skip


class Tiny(NamedTuple):
    """Few intensities, and the structure that they are of."""

    merged: Merged
    cell: UnitCell
    laue: str
    formula: str
    published: Published


def tiny(name: str, *, noise: float, radiation: Radiation, seed: int) -> Tiny:
    """Return the intensities of a prototype with a relative error, and one of 1 % of their mean."""
    made = PROTOTYPES[name]
    rng = np.random.default_rng([seed, *name.encode()])
    group = gemmi.SpaceGroup(made.group)
    laue = laue_class(group)
    hkl = gemmi.make_miller_array(made.cell.gemmi(), laue, made.d_min).astype(np.int32)
    hkl = representatives(hkl, laue.xhm())
    elements = tuple(site[0] for site in made.sites)
    position = np.array([site[1] for site in made.sites], dtype=np.float64)
    f = structure_factors(
        hkl, made.cell, group.operations(), elements=elements, positions=position,
        u_iso_angstrom2=np.array([site[2] for site in made.sites]), occupancies=np.ones(len(elements)),
        radiation=radiation,
    )  # fmt: skip
    intensity = np.abs(f) ** 2
    sigma = noise * intensity + 0.01 * intensity.mean()
    measured = intensity + sigma * rng.normal(size=len(hkl))
    scale = 1000.0 / intensity.mean()
    merged = Merged(hkl, measured * scale, sigma * scale, np.full(len(hkl), 8, dtype=np.int32))
    return Tiny(merged, made.cell, laue.xhm(), made.formula, Published(elements, position, group))


def reshuffled(merged: Merged, seed: int) -> Merged:
    """Return the intensities with their sigmas dealt out anew among all indices."""
    rows = np.random.default_rng([seed, 19]).permutation(len(merged.hkl))
    return merged._replace(intensity=merged.intensity[rows], sigma=merged.sigma[rows])
