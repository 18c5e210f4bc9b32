"""Observations of several twin domains at once in least squares. Imported by the worker only, after cctbx."""

from typing import Any, NamedTuple

import numpy as np
from cctbx import miller, xray
from cctbx.array_family import flex
from numpy.typing import NDArray

from adapters.cctbx.structure import crystal_symmetry, miller_indices
from tasks.integrate import DomainOverlaps, read_overlaps
from tasks.refine import Draft, UniqueIntensities

LEAST_DOMAIN = 0.001
"""Least fraction of a domain: none has no meaning, and with nothing of the first there is no scale. Chosen, not
measured."""
ROUNDS_OF_DOMAINS = 4
"""Most times that fractions and structure are fitted in turn. Chosen, not measured: one hardly depends on the other."""
SETTLED = 1e-3
"""Change of a fraction that no longer matters: a tenth of what simulated lists give as its error."""


class Parts(NamedTuple):
    """Observations to fit, and those left out of it."""

    fitted: DomainOverlaps
    free: DomainOverlaps


def parts_of(data: UniqueIntensities, draft: Draft, share: float, seed: int) -> Parts | None:
    """Return the observations of a non-merohedral twin, a share of its reflections left out; None of other data.

    A reflection that is left out takes no part in the fit: observations that it shares with others are in neither part.
    """
    if data.overlaps is None or len(draft.domains) < 2:
        return None
    overlaps = read_overlaps(data.overlaps)
    unique = _unique_number(overlaps, draft)
    out = (np.random.default_rng(seed).random(int(unique.max()) + 1) < share)[unique]
    count = np.bincount(overlaps.observation, minlength=len(overlaps.intensity))
    left_out = np.bincount(overlaps.observation, out, len(count))
    return Parts(overlaps.chosen(left_out == 0), overlaps.chosen(left_out == count))


def _unique_number(overlaps: DomainOverlaps, draft: Draft) -> NDArray[np.int64]:
    """Return a number (n,) that symmetry-equivalent reflections share, Friedel mates included."""
    reflections = miller.set(_symmetry(draft), miller_indices(overlaps.hkl), anomalous_flag=False).map_to_asu()
    rows = np.array(list(reflections.indices()), dtype=np.int32).reshape(-1, 3)
    return np.unique(rows, axis=0, return_inverse=True)[1].ravel()


def observed_array(overlaps: DomainOverlaps, draft: Draft) -> miller.array:
    """Return one row for each observation: that of the reflection that stands for it, the last of its own."""
    last = _last(overlaps)
    return _array(draft, overlaps.hkl[last], overlaps.intensity, overlaps.sigma)


def refined_domains(
    part: DomainOverlaps,
    draft: Draft,
    structure: xray.structure,
    weights: NDArray[np.float64],
) -> tuple[float, ...]:
    """Return the fractions of all domains that fit the observations best with the structure as it is.

    They are linear in the intensities: weighted least squares, none below zero. smtbx has no derivatives by them for
    reflections that one domain alone has (`least_squares.h`, `process_twinning`: 2025.11).

    Parameters
    ----------
    weights
        (g,) of the observations, of least squares.
    """
    from scipy.optimize import nnls  # 0.25 s of every fit's process, which few need

    f_sq = every_f_sq(part, draft, structure)
    design = np.zeros((len(part.intensity), len(draft.domains)))
    np.add.at(design, (part.observation, part.domain - 1), f_sq)
    root = np.sqrt(weights)
    found, _ = nnls(design * root[:, None], part.intensity * root)
    found = np.clip(found / max(float(found.sum()), 1e-30), LEAST_DOMAIN, 1.0)
    return tuple((found / found.sum()).tolist())


def observations(overlaps: DomainOverlaps, draft: Draft, domains: tuple[float, ...]) -> Any:
    """Return cctbx's observations: rows of one have negative numbers of their domains but for the last."""
    fractions = tuple(xray.twin_fraction(value, False) for value in domains[1:])
    rows = overlaps.observation
    every = _array(draft, overlaps.hkl, overlaps.intensity[rows], overlaps.sigma[rows])
    batch = np.where(_last(overlaps), overlaps.domain, -overlaps.domain)
    return every.as_xray_observations(scale_indices=flex.int(batch.tolist()), twin_fractions=fractions)


def intensities(
    overlaps: DomainOverlaps, draft: Draft, structure: xray.structure, domains: tuple[float, ...]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return |F|^2 of the reflection that stands for each observation, and of all with their fractions, (g,) each."""
    f_sq = every_f_sq(overlaps, draft, structure)
    parts = np.array(domains)[overlaps.domain - 1] * f_sq
    whole = np.bincount(overlaps.observation, parts, len(overlaps.intensity)).astype(np.float64)
    return f_sq[_last(overlaps)], whole


def every_f_sq(overlaps: DomainOverlaps, draft: Draft, structure: xray.structure) -> NDArray[np.float64]:
    """Return |F|^2 of every reflection, (n,), no extinction."""
    zeros = np.zeros(len(overlaps.hkl))
    every = _array(draft, overlaps.hkl, zeros, zeros + 1.0)
    f_calc = every.structure_factors_from_scatterers(structure, algorithm="direct").f_calc()
    return np.asarray(np.abs(f_calc.data().as_numpy_array()) ** 2)


def merged_table(
    array: miller.array, structure: xray.structure, part: NDArray[np.float64], scale: float
) -> dict[str, NDArray[Any]]:
    """Return the table of a fit (see `DraftFit`) with one row for each unique reflection.

    Parameters
    ----------
    part
        (g,) |F|^2 of the reflection that stands for an observation over what that is the sum of.
    scale
        Of the observed to the calculated.
    """
    shares = array.customized_copy(
        data=array.data() * flex.double(part / scale), sigmas=flex.abs(array.sigmas() * flex.double(part / scale))
    ).set_observation_type_xray_intensity()
    usable = shares.sigmas() > 0
    unique = shares.select(usable).map_to_asu().merge_equivalents(algorithm="gaussian").array()
    f_calc = unique.structure_factors_from_scatterers(structure, algorithm="direct").f_calc()
    return {
        "hkl": np.array(list(unique.indices()), dtype=np.int32),
        "f_sq_obs": unique.data().as_numpy_array(),
        "sigma": unique.sigmas().as_numpy_array(),
        "f_sq_calc": np.abs(f_calc.data().as_numpy_array()) ** 2,
        "phase_deg": f_calc.phases(deg=True).data().as_numpy_array(),
    }


def _last(overlaps: DomainOverlaps) -> NDArray[np.bool_]:
    ends = np.ones(len(overlaps.observation), dtype=np.bool_)
    ends[:-1] = overlaps.observation[1:] != overlaps.observation[:-1]
    return ends


def _symmetry(draft: Draft) -> Any:
    return crystal_symmetry(draft.hall, draft.unit_cell.parameters)


def _array(
    draft: Draft, hkl: NDArray[np.int32], intensity: NDArray[np.float64], sigma: NDArray[np.float64]
) -> miller.array:
    reflections = miller.set(_symmetry(draft), miller_indices(hkl), anomalous_flag=True)
    return miller.array(reflections, flex.double(intensity), flex.double(sigma)).set_observation_type_xray_intensity()
