"""The strength of a crystal in the median orientation, which the rescaled model needs."""

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from tasks.crystal.lattice import reciprocal_matrix
from tasks.model.experiment import Beam
from tasks.simulate.diffraction import Rocking, excited_reflections
from tasks.simulate.lattice import ReflectionTable
from tasks.simulate.models import ANGSTROM_PER_NM, SimulationSettings, Structure

ORIENTATIONS = 64
"""Random ones, the same in every series, whose median strength sets the scale. Such a median scatters by 5 % for UiO-66
and by 10 % for natrolite (500 draws of 64 out of 1200 orientations): so well is `bragg_fraction` met."""


def median_strength(
    structure: Structure, table: ReflectionTable, intensity: NDArray[np.float64], settings: SimulationSettings
) -> float:
    """Return the median over random orientations of the sum of |F|^2 p(s)."""
    wavelength = Beam(energy_kev=settings.instrument.energy_kev).wavelength_angstrom
    rocking = rocking_of(settings, settings.cluster.size_nm)
    matrix = reciprocal_matrix(structure.cell)
    turns = Rotation.random(ORIENTATIONS, rng=np.random.default_rng(0)).as_matrix()
    sums = [
        excited_reflections(table.hkl @ (turn @ matrix).T, intensity, wavelength, rocking).strength.sum()
        for turn in turns
    ]
    return float(np.median(sums)) or float(np.mean(sums)) or 1.0


def rocking_of(settings: SimulationSettings, thickness_nm: float) -> Rocking:
    """Return what widens the reflections of a crystal of this thickness."""
    return Rocking(
        thickness_angstrom=max(thickness_nm, 1.0) * ANGSTROM_PER_NM,
        mosaic_rad=float(np.radians(settings.cluster.mosaic_deg)),
        convergence_rad=settings.instrument.convergence_mrad * 1e-3,
    )
