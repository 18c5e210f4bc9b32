"""Electrons that no reflection holds: energy lost in the crystal, support film, debris."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import constants

from tasks.simulate.lattice import rotation_about
from tasks.simulate.models import ScatteringPlan, SimulationSettings
from tasks.simulate.shapes import ball_thickness

HALO_SHAPE = 2.0
"""Of the gamma distribution of 1/d: it rises as the area of a ring does, then decays exponentially."""
SIZE_SPREAD = 0.3
"""Relative sigma of the diameters of debris. Chosen, not measured: balls of one size would be told by it."""


class Debris(NamedTuple):
    """Amorphous balls at tilt 0: centres (n, 3) and diameters (n,) in nm."""

    centre: NDArray[np.float64]
    diameter_nm: NDArray[np.float64]

    def thickness_nm(
        self, rotation: NDArray[np.float64], shift_nm: NDArray[np.float64], places_nm: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """Return how much of it lies along the beam at each place (n, 2), (n,)."""
        total = np.zeros(len(places_nm))
        for centre, diameter in zip(self.centre @ rotation.T + shift_nm, self.diameter_nm, strict=True):
            total += ball_thickness(centre, float(diameter), places_nm)
        return total


def scatter_debris(settings: SimulationSettings) -> Debris:
    """Return debris anywhere in the scan, as high as the crystals are; a random stream of its own."""
    rng = np.random.default_rng([settings.seed, 4])
    plan, instrument = settings.cluster, settings.instrument
    half = np.array(instrument.scan_shape[::-1]) * instrument.step_nm / 2
    centre = rng.uniform(-1, 1, (plan.debris, 3)) * np.array([*half, plan.height_nm / 2])
    spread = np.clip(rng.normal(1.0, SIZE_SPREAD, plan.debris), 0.3, 2.0)
    turn = rotation_about((0.0, 0.0, 1.0), instrument.scan_rotation_deg)
    return Debris(centre @ turn.T, plan.debris_size_nm * spread)


def characteristic_angle(energy_kev: float, loss_ev: float) -> float:
    """Return theta_E in radians: loss / (gamma m v^2). Egerton, as `inelastic_deflections`."""
    rest = constants.physical_constants["electron mass energy equivalent in MeV"][0] * 1e3
    return float(loss_ev * 1e-3 / energy_kev * (energy_kev + rest) / (energy_kev + 2 * rest))


def inelastic_deflections(
    count: int, energy_kev: float, plan: ScatteringPlan, rng: np.random.Generator
) -> NDArray[np.float64]:
    """Return angles (count, 2) in radians: a Lorentzian of half width theta_E, cut at sqrt(2 theta_E).

    Egerton, Electron Energy-Loss Spectroscopy in the Electron Microscope, 3rd ed. (2011), equations 3.16 and 3.28 to
    3.31; one event for each electron, the loss its mean.
    """
    width = characteristic_angle(energy_kev, plan.energy_loss_ev)
    cut_sq = 2 * width
    angle = width * np.sqrt(np.expm1(rng.random(count) * np.log1p(cut_sq / width**2)))
    azimuth = rng.uniform(0, 2 * np.pi, count)
    return np.stack([angle * np.cos(azimuth), angle * np.sin(azimuth)], axis=1)


def diffuse_deflections(count: int, scale: float, rng: np.random.Generator) -> NDArray[np.float64]:
    """Return q_xy (count, 2) in 1/angstrom of film or debris: a gamma distribution of |q| with decay `scale`."""
    radius = rng.gamma(HALO_SHAPE, scale, count)
    azimuth = rng.uniform(0, 2 * np.pi, count)
    return np.stack([radius * np.cos(azimuth), radius * np.sin(azimuth)], axis=1)
