"""The radiation and energy of a file of intensities: the user's, else the file's, else those of most microscopes."""

from pathlib import Path
from typing import Literal, NamedTuple

from scipy import constants

from adapters.formats.intensity_table import IntensityTable
from tasks.model import Beam, SettingsError
from tasks.model.experiment import energy_of_wavelength_kev

DEFAULT_ENERGY_KEV = 200.0
"""Of electrons that neither the user nor the file tells: the commonest microscopes of the field."""


class StatedBeam(NamedTuple):
    """What was diffracted, its wavelength in angstrom and energy in keV."""

    radiation: Literal["electron", "xray"]
    wavelength_angstrom: float
    energy_kev: float


def stated_beam(
    path: Path, table: IntensityTable, radiation: Literal["electron", "xray"] | None, energy_kev: float | None
) -> StatedBeam:
    """Return the radiation and energy that the user gave, else those of the file, else 200 keV electrons.

    Raises
    ------
    SettingsError
        If it is X-rays and neither tells the energy.
    """
    probe = radiation or table.probe or "electron"
    if energy_kev is not None:
        return StatedBeam(probe, wavelength_of(energy_kev, probe), energy_kev)
    if table.wavelength_angstrom is not None and table.probe == probe:
        stated = table.wavelength_angstrom
        return StatedBeam(probe, stated, energy_of(stated, probe))
    if probe == "xray" and radiation is None:
        raise SettingsError(f"{path}: the file has no wavelength", "give the energy of the photons: --energy-kev")
    return StatedBeam(probe, wavelength_of(DEFAULT_ENERGY_KEV, probe), DEFAULT_ENERGY_KEV)


def wavelength_of(energy_kev: float, radiation: Literal["electron", "xray"]) -> float:
    """Return the wavelength in angstrom of electrons or photons of this energy."""
    if radiation == "electron":
        return Beam(energy_kev=energy_kev).wavelength_angstrom
    return constants.h * constants.c / (energy_kev * 1e3 * constants.e) * 1e10


def energy_of(wavelength_angstrom: float, radiation: Literal["electron", "xray"]) -> float:
    """Return the energy in keV of electrons or photons of this wavelength."""
    if radiation == "electron":
        return energy_of_wavelength_kev(wavelength_angstrom)
    return constants.h * constants.c / (wavelength_angstrom * 1e-10 * constants.e) / 1e3
