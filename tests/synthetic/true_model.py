"""A structure with its intensities and itself as the solution: for tests of what comes after the search."""

from pathlib import Path
from typing import NamedTuple

import gemmi
import numpy as np

from tasks.crystal.scattering import structure_factors
from tasks.crystal.symmetry import laue_group_of
from tasks.integrate.models import Reflections
from tasks.simulate.models import Structure
from tasks.solve.models import Atom, Solution
from tests.synthetic.reflections_from_hkl import reflections_from_hkl


class TrueModel(NamedTuple):
    """Electron intensities, and the structure they are of."""

    data: Reflections
    solution: Solution


def true_model(
    structure: Structure,
    folder: Path,
    *,
    u_iso: float = 0.006,
    flattening: float = 0.0,
    d_min_angstrom: float = 0.7,
    called: dict[str, str] | None = None,
) -> TrueModel:
    """Return the intensities of a structure, noise of 4 %, and its atoms.

    Parameters
    ----------
    flattening
        Intensities are taken to the power of 1 - flattening, as dynamical scattering does it.
    called
        Elements by the name that the solution gives them in place of their own.
    """
    group = gemmi.find_spacegroup_by_ops(gemmi.symops_from_hall(structure.hall))
    laue = laue_group_of(group.xhm()).xhm()
    hkl = gemmi.make_miller_array(structure.cell.gemmi(), group, d_min_angstrom).astype(np.int32)
    count = len(structure.atoms)
    f = structure_factors(
        hkl, structure.cell, group.operations(), elements=[atom.element for atom in structure.atoms],
        positions=np.array([atom.position for atom in structure.atoms]), u_iso_angstrom2=np.full(count, u_iso),
        occupancies=np.ones(count), radiation="electron",
    )  # fmt: skip
    intensity = np.abs(f) ** (2.0 * (1.0 - flattening))
    sigma = 0.04 * intensity + 0.01 * intensity.mean()
    observed = intensity + sigma * np.random.default_rng(0).normal(size=len(hkl))
    scale = 1000.0 / intensity.mean()
    data = reflections_from_hkl(
        folder, structure.name, hkl=hkl, intensity=scale * observed, sigma=scale * sigma, cell=structure.cell,
        laue_group=laue, space_group=group.xhm(),
    )  # fmt: skip
    names = called or {}
    atoms = tuple(
        Atom(
            label=atom.label,
            element=names.get(atom.element, atom.element),
            position=atom.position,
            u_iso_angstrom2=max(u_iso, 0.005),
        )
        for atom in structure.atoms
    )
    solution = Solution(
        space_group=group.xhm(), hall=structure.hall, unit_cell=structure.cell, atoms=atoms, r1=0.1, verdict="solved"
    )
    return TrueModel(data, solution)
