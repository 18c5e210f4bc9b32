"""Twins by merohedry and pseudo-merohedry, simulated: single observations of a hemisphere, each with its own error."""

from typing import NamedTuple

import gemmi
import numpy as np
from numpy.typing import NDArray

from tasks.crystal.miller import sphere
from tasks.crystal.scattering import structure_factors
from tasks.crystal.symmetry import laue_operations
from tasks.model import UnitCell

Site = tuple[str, tuple[float, float, float], float]


class TwinCase(NamedTuple):
    """A structure and the law by which it is twinned, h' = law @ h; sites with their isotropic U."""

    name: str
    space_group: str
    cell: UnitCell
    formula: str
    sites: tuple[Site, ...]
    law: tuple[tuple[int, int, int], ...]


class TwinObservations(NamedTuple):
    """Observations (n,) of a hemisphere of P1."""

    hkl: NDArray[np.int32]
    intensity: NDArray[np.float64]
    sigma: NDArray[np.float64]


QUARTZ = TwinCase(
    "quartz", "P 32 2 1", UnitCell.of((4.9137, 4.9137, 5.4047, 90, 90, 120)), "Si O2",
    (("Si", (0.4697, 0.0, 2 / 3), 0.007), ("O", (0.4135, 0.2669, 0.7858), 0.013)),
    ((-1, 0, 0), (0, -1, 0), (0, 0, 1)),
)  # fmt: skip
"""Dauphine twin. Kihara, Eur. J. Mineral. 2, 63-77 (1990), at 298 K, in the other hand."""
SCHEELITE = TwinCase(
    "scheelite", "I 41/a :2", UnitCell.of((5.2429, 5.2429, 11.3737, 90, 90, 90)), "Ca W O4",
    (("Ca", (0.0, 0.25, 0.625), 0.008), ("W", (0.0, 0.25, 0.125), 0.005), ("O", (0.1507, 0.0086, 0.2106), 0.012)),
    ((0, 1, 0), (1, 0, 0), (0, 0, -1)),
)  # fmt: skip
"""Hazen, Finger & Mariathasan, J. Phys. Chem. Solids 46, 253-263 (1985)."""
CRYOLITE = TwinCase(
    "cryolite", "P 1 21/n 1", UnitCell.of((5.4024, 5.5959, 7.7564, 90, 90.278, 90)), "Na3 Al F6",
    (
        ("Na", (0.0, 0.0, 0.5), 0.019), ("Na", (0.5133, -0.0519, 0.2474), 0.028), ("Al", (0.0, 0.0, 0.0), 0.009),
        ("F", (0.1026, 0.0451, 0.2194), 0.018), ("F", (-0.2737, 0.1734, 0.0462), 0.018),
        ("F", (0.1626, 0.2695, -0.0629), 0.018),
    ),
    ((1, 0, 0), (0, -1, 0), (0, 0, -1)),
)  # fmt: skip
"""Hawthorne & Ferguson, Can. Mineral. 13, 377-382 (1975)."""
APATITE = TwinCase(
    "apatite", "P 63/m", UnitCell.of((9.397, 9.397, 6.878, 90, 90, 120)), "Ca5 P3 O12 F",
    (
        ("Ca", (2 / 3, 1 / 3, 0.0010), 0.012), ("Ca", (-0.00712, 0.24227, 0.25), 0.010),
        ("P", (0.36895, 0.39850, 0.25), 0.008), ("O", (0.4849, 0.3273, 0.25), 0.013),
        ("O", (0.4667, 0.5875, 0.25), 0.015), ("O", (0.2575, 0.3421, 0.0705), 0.018), ("F", (0.0, 0.0, 0.25), 0.025),
    ),
    ((0, 1, 0), (1, 0, 0), (0, 0, -1)),
)  # fmt: skip
"""Hughes, Cameron & Crowley, Am. Mineral. 74, 870-876 (1989)."""
CASES = (QUARTZ, SCHEELITE, CRYOLITE, APATITE)


def intensities_of(case: TwinCase, hkl: NDArray[np.int32]) -> NDArray[np.float64]:
    """Return |F|^2 of one crystal for electrons, (n,)."""
    elements, positions, u_iso = zip(*case.sites, strict=True)
    f = structure_factors(
        hkl, case.cell, gemmi.SpaceGroup(case.space_group).operations(), elements=elements,
        positions=np.array(positions), u_iso_angstrom2=np.array(u_iso), occupancies=np.ones(len(elements)),
        radiation="electron",
    )  # fmt: skip
    return np.asarray(np.abs(f) ** 2)


def observe_twin(
    case: TwinCase, fraction: float, *, d_min: float = 0.8, noise: float = 0.05, repeats: int = 2, seed: int = 0
) -> TwinObservations:
    """Return observations of all reflections of a hemisphere that the lattice allows, each so often, with errors.

    ``noise`` is that of an intensity, relative; beside it each has one of 1 % of the mean. The scale is such that the
    mean is 1000.
    """
    rng = np.random.default_rng(seed)
    hkl = np.repeat(sphere(case.cell, laue_operations(case.space_group), d_min), repeats, axis=0)
    twin = np.rint(hkl @ np.array(case.law).T).astype(np.int32)
    true = (1.0 - fraction) * intensities_of(case, hkl) + fraction * intensities_of(case, twin)
    true *= 1000.0 / true.mean()
    sigma = noise * true + 0.01 * true.mean()
    return TwinObservations(hkl, true + sigma * rng.normal(size=len(hkl)), sigma)


def hklf4(observations: TwinObservations) -> str:
    """Return the text of an HKLF 4 file."""
    rows = zip(observations.hkl, observations.intensity, observations.sigma, strict=True)
    lines = [f"{h:4d}{k:4d}{l:4d}{value:8.2f}{sigma:8.2f}" for (h, k, l), value, sigma in rows]
    return "\n".join([*lines, "   0   0   0    0.00    0.00", ""])
