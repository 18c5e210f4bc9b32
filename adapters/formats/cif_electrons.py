"""Items of COMCIFS's dictionary for electron diffraction, cif_ed.dic (a draft of 2025): names with a point."""

from tasks.refine import DraftFit

VOLT_ANGSTROM2 = 47.878
"""h^2 / (2 pi m e): potential of a scattering length density, V for angstrom of scattering length per angstrom^3."""
VOLT_ANGSTROM_PER_ELECTRON = 14.3996
"""e / (4 pi epsilon_0): potential one angstrom from a charge e, in V; the dictionary wants charges per angstrom."""


def potential_items(fit: DraftFit) -> list[tuple[str, str]]:
    """Return the theory and the residual electrostatic potential, in e/angstrom as the dictionary asks.

    The map of a refinement by electrons is a density of scattering length, A/A^3; ours times 47.878 V A^2 is a
    potential in volts, and over 14.3996 V A/e that is charges per angstrom.
    """
    factor = VOLT_ANGSTROM2 / VOLT_ANGSTROM_PER_ELECTRON
    return [
        ("_refine.diffraction_theory", "kinematical"),
        ("_refine_diff.potential_max", f"{factor * fit.density_max:.3f}"),
        ("_refine_diff.potential_min", f"{factor * fit.density_min:.3f}"),
        ("_refine_diff.potential_RMS", f"{factor * fit.density_rms:.3f}"),
    ]
