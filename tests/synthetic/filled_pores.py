"""A framework whose pores hold solvent: intensities of a crystal, and what its pores hold in truth."""

from typing import NamedTuple

import gemmi
import numpy as np
from numpy.typing import NDArray

from tasks.crystal.scattering import Radiation, structure_factors
from tasks.integrate.reflection_file import Merged
from tasks.refine.geometry import contacts
from tests.synthetic.known_structures import KnownStructure
from tests.synthetic.solve_cases import representatives

GUESTS = ("C", "O", "N", "C")
"""Elements of the solvent, in turn: as much carbon as nitrogen and oxygen, about what DMF and alcohols hold."""
GUEST_SITES = 60
"""Random places in the asymmetric unit: enough that the density in the pores has no peak like an atom's."""
LEAST_ANGSTROM = 2.9
"""Of a guest from the framework, where packed atoms touch."""


class FilledPores(NamedTuple):
    """Intensities, and the integral of the density of the guests in the cell: electrons, or angstrom for electrons."""

    merged: Merged
    content: float


def filled_pores(
    model: KnownStructure,
    laue: str,
    *,
    atoms: float,
    radiation: Radiation,
    d_min: float = 0.8,
    noise: float = 0.05,
    u_guest: float = 0.35,
    lowest_angstrom: float = 1e9,
    seed: int = 0,
) -> FilledPores:
    """Return a crystal whose pores hold so many atoms a cell at random places, smeared by large displacements.

    ``lowest_angstrom`` leaves out reflections of a larger spacing, as a beam stop does.
    """
    rng = np.random.default_rng(seed)
    group = gemmi.SpaceGroup(model.space_group)
    places = _places(model, group.hall, rng)
    names = [GUESTS[i % len(GUESTS)] for i in range(len(places))]
    share = atoms / (len(places) * len(list(group.operations())))
    hkl = gemmi.make_miller_array(model.cell.gemmi(), group, d_min).astype(np.int32)
    hkl = hkl[model.cell.gemmi().calculate_d_array(hkl) <= lowest_angstrom]
    hkl = representatives(hkl, laue)
    # the first row is F(000); guests at random places near a symmetry element count as often as they stand there
    guests = structure_factors(
        np.vstack([np.zeros((1, 3), np.int32), hkl]), model.cell, group.operations(), elements=names, positions=places,
        u_iso_angstrom2=np.full(len(places), u_guest), occupancies=np.full(len(places), share), radiation=radiation,
    )  # fmt: skip
    f = model.structure_factors(hkl, radiation) + guests[1:]
    intensity = np.abs(f) ** 2
    sigma = noise * intensity + 0.01 * np.median(intensity)
    measured = intensity + sigma * rng.normal(size=len(hkl))
    merged = Merged(hkl, measured, sigma, np.full(len(hkl), 4, dtype=np.int32))
    return FilledPores(merged, float(guests[0].real))


def _places(model: KnownStructure, hall: str, rng: np.random.Generator) -> NDArray[np.float64]:
    found: list[NDArray[np.float64]] = []
    while len(found) < GUEST_SITES:
        trial = rng.random((1, 3))
        if not contacts(trial, model.positions, hall, model.cell, cutoff=LEAST_ANGSTROM):
            found.append(trial[0])
    return np.array(found)
