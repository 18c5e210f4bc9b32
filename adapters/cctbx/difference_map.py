"""Difference density and its peaks. Imported by the worker only, after cctbx."""

from typing import NamedTuple

import numpy as np
from cctbx import maptbx, miller, sgtbx
from cctbx.array_family import flex

from tasks.refine import DensityPeak

PEAK_SEPARATION_ANGSTROM = 0.4
"""Nearer ones are one peak: half of the resolution of good data (0.8 A), below which nothing is told apart. Chosen, not
measured: more would merge parts of disordered atoms, less lists ripples of one peak."""

HOLES = 3
"""That are listed: a hole is looked up for the atom near it, one or two of which are wrong. Chosen, not measured."""


class MapStatistics(NamedTuple):
    """Extremes and standard deviation of a map, per angstrom^3, and its holes, the deepest first."""

    maximum: float
    minimum: float
    rms: float
    holes: tuple[DensityPeak, ...] = ()


def difference_map(
    fo_sq: miller.array, f_calc: miller.array, fc_sq: miller.array, *, scale: float, peaks: int
) -> tuple[tuple[DensityPeak, ...], MapStatistics]:
    """Return the peaks, highest first, and the statistics of the (|Fo| - |Fc|) map.

    Parameters
    ----------
    fo_sq, fc_sq
        Intensities; ``fc_sq`` with extinction, so that it is not seen as density.
    scale
        Of fc_sq to fo_sq.
    """
    observed = np.sqrt(np.maximum(fo_sq.data().as_numpy_array() / scale, 0.0))
    calculated = np.sqrt(np.maximum(fc_sq.data().as_numpy_array(), 0.0))
    complex_f = f_calc.data().as_numpy_array()
    modulus = np.abs(complex_f)
    # Where extinction is refined, Fo is put on the scale of the uncorrected F(calc): the density is the crystal's.
    lift = modulus / np.maximum(calculated, 1e-12)
    difference = (observed - calculated) * lift * complex_f / np.maximum(modulus, 1e-12)
    coefficients = fo_sq.customized_copy(data=flex.complex_double(difference), sigmas=None)
    coefficients.set_observation_type(None)
    if coefficients.anomalous_flag():
        coefficients = coefficients.average_bijvoet_mates()
    if not coefficients.is_unique_set_under_symmetry():  # observations of a twin's domains are not merged
        coefficients = coefficients.map_to_asu().merge_equivalents().array()
    density = coefficients.fft_map(
        symmetry_flags=sgtbx.search_symmetry_flags(use_space_group_symmetry=True), resolution_factor=0.25
    )
    density.apply_volume_scaling()
    statistics = density.statistics()
    found = MapStatistics(float(statistics.max()), float(statistics.min()), float(statistics.sigma()))
    if peaks == 0 or not found.rms > 0:
        return (), found
    upside_down = coefficients.customized_copy(data=-coefficients.data()).fft_map(
        symmetry_flags=sgtbx.search_symmetry_flags(use_space_group_symmetry=True), resolution_factor=0.25
    )
    upside_down.apply_volume_scaling()
    found = found._replace(holes=_extremes(upside_down, found.rms, HOLES))
    return _extremes(density, found.rms, peaks), found


def _extremes(density: miller.fft_map, rms: float, count: int) -> tuple[DensityPeak, ...]:
    """Return the highest maxima of a map."""
    listed = density.peak_search(
        parameters=maptbx.peak_search_parameters(
            peak_search_level=1,
            interpolate=True,
            min_distance_sym_equiv=PEAK_SEPARATION_ANGSTROM,
            min_cross_distance=PEAK_SEPARATION_ANGSTROM,
            max_clusters=count,
        )
    ).all(max_clusters=count)
    rows = (
        DensityPeak(
            position=tuple(float(x) % 1.0 for x in site), height=float(height), height_sigma=float(height) / rms
        )
        for site, height in zip(listed.sites(), listed.heights())
        if height > 0
    )
    return tuple(rows)
