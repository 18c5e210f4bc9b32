"""A Reflections document from lists of intensities: for tests of the stages behind integration."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tasks.crystal.scattering import Radiation, d_star_squared
from tasks.integrate.models import Reflections, ShellStatistics
from tasks.integrate.reflection_file import Unmerged, write_reflections
from tasks.model import FileRef, UnitCell
from tasks.model.provenance import Provenance
from tests.synthetic.known_structures import merge


def reflections_from_hkl(
    folder: Path,
    name: str,
    *,
    hkl: NDArray[np.int32],
    intensity: NDArray[np.float64],
    sigma: NDArray[np.float64],
    cell: UnitCell,
    laue_group: str,
    space_group: str,
    radiation: Radiation = "electron",
    wavelength_angstrom: float = 0.0251,
) -> Reflections:
    """Return the document of these observations, (n, 3), (n,), (n,); files go into `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    merged = merge(hkl, intensity, sigma, laue_group)
    d = 1.0 / np.sqrt(d_star_squared(merged.hkl, cell))
    shell = ShellStatistics(
        d_max_angstrom=float(d.max()),
        d_min_angstrom=float(d.min()),
        observations=len(hkl),
        unique=len(merged.hkl),
        completeness=1.0,
        multiplicity=len(hkl) / len(merged.hkl),
        i_over_sigma=float(np.mean(merged.intensity / merged.sigma)),
        r_meas=None,
        r_pim=None,
        cc_half=None,
    )
    zero = np.zeros(len(hkl))
    text = folder / f"{name}.hkl"
    text.write_text("   0   0   0    0.00    0.00\n")
    return Reflections(
        id=name,
        members=(name,),
        radiation=radiation,
        wavelength_angstrom=wavelength_angstrom,
        unit_cell=cell,
        laue_group=laue_group,
        space_group=space_group,
        candidates=(),
        overall=shell,
        shells=(shell,),
        unmerged=write_reflections(
            Unmerged(hkl, intensity, sigma, zero, zero.astype(np.int32)), folder / f"{name}-unmerged.npz"
        ),
        merged=write_reflections(merged, folder / f"{name}-merged.npz"),
        hklf4=FileRef.of(text),
        provenance=Provenance(engine="test", version="1"),
    )
