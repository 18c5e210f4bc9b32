"""Electrons of one tilt by the rescaled model: Poisson counts per position, each electron drawn on its own.

Every position's pattern is an independent Poisson process. Of its electrons the support film's halo and the diffuse
background take fixed parts. Of the elastic rest the reflections of each crystal along the beam take x: thickness times
the sum of |F|^2 p(s), scaled so that a crystal of mean size has `bragg_fraction` in the median of random orientations
(zone axes diffract several times more). What is left, at least `DIRECT_LEFT`, stays in the direct beam: kinematical
theory does not conserve electrons, so a zone axis comes out with more of them. `depletion` goes over to
1 - exp(-x) instead of x, which conserves them and makes strong reflections weaker than |F|^2, as extinction does.
"""

import numpy as np
from numpy.typing import NDArray

from tasks.simulate.arrived import Arrived, Passage
from tasks.simulate.cluster import Domain
from tasks.simulate.detector_plane import arriving, widened
from tasks.simulate.diffraction import Excited, excited_reflections
from tasks.simulate.diffuse import diffuse_deflections
from tasks.simulate.rescaled_strength import rocking_of
from tasks.simulate.shapes import thickness
from tasks.simulate.specimen import Rescaled, Specimen

DIRECT_LEFT = 0.05
"""Of the elastic electrons. Chosen, not measured: with none, positions at a zone axis would have no direct beam to be
centred by; the more there is, the more electrons a pattern holds beyond its dose."""


def pass_rescaled(specimen: Specimen, model: Rescaled, index: int) -> Passage:
    """Return the electrons of one scan; each tilt has a random stream of its own."""
    rng = np.random.default_rng([specimen.settings.seed, 2, index])
    depth = _thickness_maps(specimen, index)
    excited = [_excited(specimen, domain, index, depth[number]) for number, domain in enumerate(specimen.domains)]
    total = np.array([seen.strength.sum() for seen in excited])
    extinction = model.scale * depth * total[:, None]
    share = extinction * _depleted(extinction.sum(axis=0), specimen.settings.scattering.depletion)
    return Passage(_electrons(specimen, index, excited, share, rng), depth, share)


def _depleted(extinction: NDArray[np.float64], depletion: float) -> NDArray[np.float64]:
    """Return the factor that brings x, (n,), towards 1 - exp(-x)."""
    conserving = -np.expm1(-extinction) / np.maximum(extinction, 1e-12)
    return 1 - depletion + depletion * np.where(extinction > 1e-12, conserving, 1.0)


def _thickness_maps(specimen: Specimen, index: int) -> NDArray[np.float64]:
    maps = [thickness(specimen.body(domain, index), specimen.positions_nm) for domain in specimen.domains]
    return np.array(maps).reshape(len(specimen.domains), len(specimen.positions_nm))


def _excited(specimen: Specimen, domain: Domain, index: int, depth: NDArray[np.float64]) -> Excited:
    """Return what one domain diffracts; its width is that of its mean thickness along the beam."""
    lit = depth[depth > 0]
    mean_nm = float(lit.mean()) if len(lit) else float(2 * domain.body.distances.min())
    q = specimen.reflections.hkl @ (specimen.rotation(index) @ domain.ub).T
    return excited_reflections(
        q, specimen.intensity, specimen.projection.wavelength_angstrom, rocking_of(specimen.settings, mean_nm)
    )


def _electrons(
    specimen: Specimen,
    index: int,
    excited: list[Excited],
    share: NDArray[np.float64],
    rng: np.random.Generator,
) -> Arrived:
    """Draw all electrons that come to the plane of the detector."""
    plan, instrument = specimen.settings.scattering, specimen.settings.instrument
    grid, everywhere = widened(instrument)
    elastic = 1 - plan.halo_fraction - plan.background_fraction
    left = np.ones(len(everywhere))
    left[grid] = np.maximum(1 - share.sum(axis=0), DIRECT_LEFT)
    dose = plan.electrons_per_pattern
    drawn = [
        (_repeat(everywhere, dose * elastic * left, rng), None),
        (_repeat(everywhere, np.full(len(everywhere), dose * plan.halo_fraction), rng), plan.halo_scale),
        (_repeat(everywhere, np.full(len(everywhere), dose * plan.background_fraction), rng), plan.background_scale),
    ]
    positions = [position for position, _ in drawn]
    places = [_diffuse(specimen, len(position), scale, rng) for position, scale in drawn]
    for seen, part in zip(excited, share, strict=True):
        position = _repeat(grid, dose * elastic * part, rng)
        positions.append(position)
        places.append(_bragg(specimen, seen, len(position), rng))
    position = np.concatenate(positions)
    radius = instrument.convergence_mrad * 1e-3 * specimen.projection.camera_length_px
    disc = np.sqrt(rng.random(len(position))) * radius
    azimuth = rng.uniform(0, 2 * np.pi, len(position))
    within = np.stack([disc * np.sin(azimuth), disc * np.cos(azimuth)], axis=1)
    return arriving(specimen, index, position, np.concatenate(places), within=within, rng=rng)


def _repeat(positions: NDArray[np.int64], expected: NDArray[np.float64], rng: np.random.Generator) -> NDArray[np.int64]:
    return np.repeat(positions, rng.poisson(np.maximum(expected, 0.0)))


def _bragg(specimen: Specimen, seen: Excited, count: int, rng: np.random.Generator) -> NDArray[np.float64]:
    if count == 0:
        return np.zeros((0, 2))
    running = np.cumsum(seen.strength)
    chosen = np.searchsorted(running, rng.random(count) * running[-1], side="right")
    return specimen.projection.offsets(seen.q_xy)[np.minimum(chosen, len(running) - 1)]


def _diffuse(specimen: Specimen, count: int, scale: float | None, rng: np.random.Generator) -> NDArray[np.float64]:
    if scale is None:
        return np.zeros((count, 2))
    return specimen.projection.offsets(diffuse_deflections(count, scale, rng))
