"""A molecule with an end in two orientations: intensities of a crystal that holds both, and what is there."""

from pathlib import Path
from typing import NamedTuple

import gemmi
import numpy as np
from numpy.typing import NDArray

from tasks.crystal.scattering import structure_factors
from tasks.integrate.reflection_file import Merged
from tasks.refine.geometry import contacts
from tests.synthetic.known_structures import SETS, KnownStructure, load_model
from tests.synthetic.solve_cases import representatives

SPACE_GROUP = gemmi.SpaceGroup("F d d 2")
FLUORINE_ANGSTROM = 1.33
"""C-F of a CF3 group."""


class Disordered(NamedTuple):
    """The whole model with occupancies, the atoms of either part by number, and its intensities."""

    model: KnownStructure
    first: tuple[int, ...]
    second: tuple[int, ...]
    merged: Merged
    formula: str


def trifluoromethyl(folder: Path, *, share: float = 0.6, noise: float = 0.05, turn_deg: float = 60.0) -> Disordered:
    """Return cinchonine (real positions; hydrogen left out) whose vinyl is a CF3 in two orientations.

    `folder` is that of the real data sets.
    """
    model = load_model("cinchonine-xds", folder)
    heavy = [i for i, element in enumerate(model.elements) if element != "H"]
    orthogonal = np.array(model.cell.gemmi().orth.mat.tolist())
    # the last two of the published list are the vinyl: its far end goes, its near end carries the fluorines
    places = model.positions[heavy]
    lengths = np.linalg.norm((places[:, None] - places[None]) @ orthogonal.T, axis=2)
    (far,) = [i for i in range(len(heavy)) if ((lengths[i] > 0.1) & (lengths[i] < 1.7)).sum() == 1
              and model.elements[heavy[i]] == "C"]  # fmt: skip
    near = int(np.argsort(lengths[far])[1])
    back = next(i for i in np.argsort(lengths[near]) if i not in {near, far})
    axis = orthogonal @ (places[near] - places[back])
    parts = [_ends(axis, np.radians(angle)) for angle in (0.0, turn_deg)]
    ends = np.concatenate([places[near] + np.linalg.solve(orthogonal, part.T).T for part in parts])
    kept = [i for i in range(len(heavy)) if i != far]
    elements = (*(model.elements[heavy[i]] for i in kept), *("F",) * 6)
    n = len(kept)
    known = model._replace(
        elements=elements,
        positions=np.concatenate([places[kept], ends]),
        u_iso_angstrom2=np.concatenate([np.full(n, 0.03), np.full(6, 0.045)]),
        occupancies=np.concatenate([np.ones(n), np.full(3, share), np.full(3, 1.0 - share)]),
    )
    merged = _intensities(known, SETS["cinchonine-xds"].laue, noise)
    counts = {e: elements[:n].count(e) for e in ("C", "N", "O")}
    formula = "".join(f"{e}{k}" for e, k in counts.items()) + "F3"
    return Disordered(known, (n, n + 1, n + 2), (n + 3, n + 4, n + 5), merged, formula)


def partial_water(folder: Path, *, share: float, noise: float = 0.05) -> Disordered:
    """Return natrolite (real positions; hydrogen left out) with a part of its water; its number is in `first`."""
    model = load_model("natrolite", folder)
    heavy = [i for i, element in enumerate(model.elements) if element != "H"]
    elements, places = tuple(model.elements[i] for i in heavy), model.positions[heavy]
    # the oxygen of water is the one that neither silicon nor aluminium holds
    tetrahedral = places[[element in {"Si", "Al"} for element in elements]]
    held = {pair.first for pair in contacts(places, tetrahedral, SPACE_GROUP.hall, model.cell, cutoff=1.9)}
    (water,) = [i for i, element in enumerate(elements) if element == "O" and i not in held]
    alone = np.arange(len(elements)) == water
    known = model._replace(
        elements=elements,
        positions=places,
        u_iso_angstrom2=np.where(alone, 0.025, 0.012),
        occupancies=np.where(alone, share, 1.0),
    )
    return Disordered(known, (water,), (), _intensities(known, SETS["natrolite"].laue, noise), "Na2Al2Si3O12")


def _ends(axis: NDArray[np.float64], turn: float) -> NDArray[np.float64]:
    along = axis / np.linalg.norm(axis)
    side = np.cross(along, [0.0, 0.0, 1.0] if abs(along[2]) < 0.9 else [1.0, 0.0, 0.0])
    side = side / np.linalg.norm(side)
    third = np.cross(along, side)
    rise, out = 1.0 / 3.0, np.sqrt(8.0) / 3.0
    angles = [turn + k * 2.0 * np.pi / 3.0 for k in range(3)]
    return FLUORINE_ANGSTROM * np.array([rise * along + out * (np.cos(a) * side + np.sin(a) * third) for a in angles])


def _intensities(known: KnownStructure, laue: str, noise: float) -> Merged:
    rng = np.random.default_rng(0)
    group = gemmi.SpaceGroup(known.space_group).operations()
    hkl = gemmi.make_miller_array(known.cell.gemmi(), gemmi.SpaceGroup(laue), 0.8).astype(np.int32)
    hkl = representatives(hkl, laue)
    f = structure_factors(
        hkl, known.cell, group, elements=known.elements, positions=known.positions,
        u_iso_angstrom2=known.u_iso_angstrom2, occupancies=known.occupancies, radiation="electron",
    )  # fmt: skip
    intensity = np.abs(f) ** 2
    sigma = noise * intensity + 0.01 * intensity.mean()
    return Merged(hkl, intensity + sigma * rng.normal(size=len(hkl)), sigma, np.full(len(hkl), 4, dtype=np.int32))
