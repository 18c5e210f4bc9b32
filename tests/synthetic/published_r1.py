"""R1 of a published structure, not refined, against intensities: electron scattering factors, one scale factor.

R1 = sum ||Fo| - k |Fc|| / sum |Fo| with |Fo| = sqrt(max(I, 0)) and the k that makes it smallest. Fc are gemmi's,
with the electron scattering factors of International Tables C, 4.3.2.2, hydrogen and displacements as published.
"""

from pathlib import Path

import gemmi
import numpy as np
from numpy.typing import NDArray

from tasks.integrate.models import Reflections
from tasks.integrate.reflection_file import read_merged

Index = tuple[int, int, int]


def intensities_of(reflections: Reflections, laue: str) -> dict[Index, tuple[float, float]]:
    """Return intensity and sigma by index in gemmi's asymmetric unit of a Laue group."""
    merged = read_merged(reflections.merged)
    hkl = np.array(merged.hkl, dtype=np.int32, order="C")
    gemmi.SpaceGroup(laue).switch_to_asu(hkl)
    rows = zip(hkl.tolist(), merged.intensity.tolist(), merged.sigma.tolist(), strict=True)
    return {tuple(index): (intensity, sigma) for index, intensity, sigma in rows}


def amplitudes_of(cif: Path, indices: list[Index]) -> NDArray[np.float64]:
    """Return |Fc| of a published structure."""
    structure = gemmi.read_small_structure(str(cif))
    calculator = gemmi.StructureFactorCalculatorE(structure.cell)
    return np.array([abs(calculator.calculate_sf_from_small_structure(structure, list(index))) for index in indices])


def r1_of(intensity: NDArray[np.float64], calculated: NDArray[np.float64]) -> float:
    """Return R1 with the best scale factor, found by weights that make least squares least absolutes."""
    observed = np.sqrt(np.maximum(intensity, 0.0))
    scale = float(observed @ calculated / (calculated @ calculated))
    for _ in range(30):
        weight = 1.0 / np.maximum(np.abs(observed - scale * calculated), 1e-3 * observed.mean())
        scale = float((weight * observed) @ calculated / ((weight * calculated) @ calculated))
    return float(np.abs(observed - scale * calculated).sum() / observed.sum())


def common_r1(sets: list[Reflections], cif: Path, *, laue: str, d_min: float) -> tuple[list[float], list[float], int]:
    """Return the R1 of each set on the reflections that all have, of all and of those above 2 sigma in all sets."""
    tables = [intensities_of(each, laue) for each in sets]
    cell = gemmi.read_small_structure(str(cif)).cell
    indices = sorted(set.intersection(*(set(table) for table in tables)))
    indices = [index for index in indices if cell.calculate_d(list(index)) >= d_min]
    calculated = amplitudes_of(cif, indices)
    allowed = calculated > 0.03
    strong = allowed & np.array([all(table[index][0] > 2 * table[index][1] for table in tables) for index in indices])
    values = [np.array([table[index][0] for index in indices]) for table in tables]
    every = [r1_of(each[allowed], calculated[allowed]) for each in values]
    return every, [r1_of(each[strong], calculated[strong]) for each in values], int(allowed.sum())
