"""Electrons of one tilt: Poisson counts per scan position, each electron drawn on its own.

Every position's pattern is an independent Poisson process. Of its electrons the support film's halo and the diffuse
background take fixed parts. Of the elastic rest the reflections of each crystal along the beam take x: thickness times
the sum of |F|^2 p(s), scaled so that a crystal of mean size has `bragg_fraction` in the median of random orientations
(zone axes diffract several times more). What is left, at least `DIRECT_LEFT`, stays in the direct beam: kinematical
theory does not conserve electrons, so a zone axis comes out with more of them. `depletion` goes over to
1 - exp(-x) instead of x, which conserves them and makes strong reflections weaker than |F|^2, as extinction does.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from tasks.crystal.lattice import reciprocal_matrix
from tasks.model.experiment import Beam
from tasks.simulate.arrived import Arrived, Expected
from tasks.simulate.camera import Camera, Recorded, prepare_camera, record
from tasks.simulate.cluster import Domain, build_cluster
from tasks.simulate.diffraction import Excited, Projection, Rocking, elliptical, excited_reflections
from tasks.simulate.lattice import ReflectionTable, flattened, reflection_table, rotation_about
from tasks.simulate.models import ANGSTROM_PER_NM, Instrument, SimulationSettings, Structure
from tasks.simulate.shapes import scan_points_nm, thickness, turned
from tasks.simulate.tilts import TiltTable, tilt_table

ORIENTATIONS = 64
"""Random ones, the same in every series, whose median strength sets the scale. Such a median scatters by 5 % for UiO-66
and by 10 % for natrolite (500 draws of 64 out of 1200 orientations): so well is `bragg_fraction` met."""
DIRECT_LEFT = 0.05
"""Of the elastic electrons. Chosen, not measured: with none, positions at a zone axis would have no direct beam to be
centred by; the more there is, the more electrons a pattern holds beyond its dose."""
HALO_SHAPE = 2.0  # gamma distribution of 1/d: linear rise from the area of a ring, then exponential decay


class Specimen(NamedTuple):
    """All that stays the same over the tilts, and the plan of the tilts."""

    settings: SimulationSettings
    reflections: ReflectionTable
    intensity: NDArray[np.float64]
    domains: tuple[Domain, ...]
    tilts: TiltTable
    projection: Projection
    positions_nm: NDArray[np.float64]
    scale: float
    camera: Camera


class Exposure(NamedTuple):
    """One scan: events in compressed sparse rows, flyback columns included, with the truth.

    ``thickness_nm`` and ``bragg_fraction`` are (n_domains, rows, columns) without flyback; ``expected`` where the model
    of scattering is absolute.
    """

    offsets: NDArray[np.int64]
    events: NDArray[np.uint32]
    thickness_nm: NDArray[np.float64]
    bragg_fraction: NDArray[np.float64]
    recorded: Recorded
    expected: Expected | None = None


def prepare_specimen(structure: Structure, settings: SimulationSettings) -> Specimen:
    """Return the specimen: reflections, crystals and the plan of the tilts, all decided by the seed."""
    cluster_seed, tilt_seed = np.random.SeedSequence([settings.seed, 1]).spawn(2)
    plan, instrument = settings.scattering, settings.instrument
    table = reflection_table(structure, plan.d_min_angstrom)
    intensity = flattened(table.f_squared, plan.flattening)
    wavelength = Beam(energy_kev=instrument.energy_kev).wavelength_angstrom
    strength = _median_strength(structure, table, intensity, wavelength, settings) * settings.cluster.size_nm
    return Specimen(
        settings=settings,
        reflections=table,
        intensity=intensity,
        domains=build_cluster(structure.cell, settings, np.random.default_rng(cluster_seed)),
        tilts=tilt_table(settings, np.random.default_rng(tilt_seed)),
        projection=Projection(
            wavelength_angstrom=wavelength,
            camera_length_px=instrument.camera_length_mm / instrument.pixel_size_mm,
            distortion=elliptical(instrument.ellipticity, instrument.ellipse_angle_deg),
        ),
        positions_nm=scan_points_nm(instrument.scan_shape, instrument.step_nm, instrument.scan_rotation_deg),
        scale=-np.log1p(-plan.bragg_fraction) / strength,
        camera=prepare_camera(instrument, settings.seed),
    )


def _median_strength(
    structure: Structure,
    table: ReflectionTable,
    intensity: NDArray[np.float64],
    wavelength: float,
    settings: SimulationSettings,
) -> float:
    """Return the median over random orientations of the sum of |F|^2 p(s)."""
    rocking = _rocking(settings, settings.cluster.size_nm)
    matrix = reciprocal_matrix(structure.cell)
    turns = Rotation.random(ORIENTATIONS, rng=np.random.default_rng(0)).as_matrix()
    sums = [
        excited_reflections(table.hkl @ (turn @ matrix).T, intensity, wavelength, rocking).strength.sum()
        for turn in turns
    ]
    return float(np.median(sums)) or float(np.mean(sums)) or 1.0


def _rocking(settings: SimulationSettings, thickness_nm: float) -> Rocking:
    return Rocking(
        thickness_angstrom=max(thickness_nm, 1.0) * ANGSTROM_PER_NM,
        mosaic_rad=float(np.radians(settings.cluster.mosaic_deg)),
        convergence_rad=settings.instrument.convergence_mrad * 1e-3,
    )


def expose(specimen: Specimen, index: int) -> Exposure:
    """Return the scan at tilt number `index`; each tilt has a random stream of its own."""
    rng = np.random.default_rng([specimen.settings.seed, 2, index])
    shape = specimen.settings.instrument.scan_shape
    depth = _thickness_maps(specimen, index)
    excited = [_excited(specimen, domain, index, depth[number]) for number, domain in enumerate(specimen.domains)]
    total = np.array([seen.strength.sum() for seen in excited])
    extinction = specimen.scale * depth * total[:, None]
    share = extinction * _depleted(extinction.sum(axis=0), specimen.settings.scattering.depletion)
    arrived = _electrons(specimen, index, excited, share, rng)
    recorded = record(arrived, specimen.camera, index)
    whole = (len(specimen.domains), *shape)
    return Exposure(recorded.offsets, recorded.events, depth.reshape(whole), share.reshape(whole), recorded)


def _depleted(extinction: NDArray[np.float64], depletion: float) -> NDArray[np.float64]:
    """Return the factor that brings x, (n,), towards 1 - exp(-x)."""
    conserving = -np.expm1(-extinction) / np.maximum(extinction, 1e-12)
    return 1 - depletion + depletion * np.where(extinction > 1e-12, conserving, 1.0)


def _thickness_maps(specimen: Specimen, index: int) -> NDArray[np.float64]:
    instrument = specimen.settings.instrument
    rotation = rotation_about(instrument.tilt_axis, float(specimen.tilts.true_deg[index]))
    shift = np.append(specimen.tilts.drift_nm[index], 0.0)
    maps = [thickness(turned(domain.body, rotation, shift), specimen.positions_nm) for domain in specimen.domains]
    return np.array(maps).reshape(len(specimen.domains), len(specimen.positions_nm))


def _excited(specimen: Specimen, domain: Domain, index: int, depth: NDArray[np.float64]) -> Excited:
    """Return what one domain diffracts; its width is that of its mean thickness along the beam."""
    settings = specimen.settings
    rotation = rotation_about(settings.instrument.tilt_axis, float(specimen.tilts.true_deg[index]))
    lit = depth[depth > 0]
    mean_nm = float(lit.mean()) if len(lit) else float(2 * domain.body.distances.min())
    q = specimen.reflections.hkl @ (rotation @ domain.ub).T
    return excited_reflections(
        q, specimen.intensity, specimen.projection.wavelength_angstrom, _rocking(settings, mean_nm)
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
    rows, columns = instrument.scan_shape
    grid = np.arange(rows)[:, None] * (columns + instrument.flyback_columns) + np.arange(columns)[None, :]
    everywhere = np.arange(rows * (columns + instrument.flyback_columns))
    elastic = 1 - plan.halo_fraction - plan.background_fraction
    left = np.ones(len(everywhere))
    left[grid.ravel()] = np.maximum(1 - share.sum(axis=0), DIRECT_LEFT)
    dose = plan.electrons_per_pattern
    drawn = [
        (_repeat(everywhere, dose * elastic * left, rng), None),
        (_repeat(everywhere, np.full(len(everywhere), dose * plan.halo_fraction), rng), plan.halo_scale),
        (_repeat(everywhere, np.full(len(everywhere), dose * plan.background_fraction), rng), plan.background_scale),
    ]
    positions = [position for position, _ in drawn]
    places = [_diffuse(specimen, len(position), scale, rng) for position, scale in drawn]
    for seen, part in zip(excited, share, strict=True):
        position = _repeat(grid.ravel(), dose * elastic * part, rng)
        positions.append(position)
        places.append(_bragg(specimen, seen, len(position), rng))
    return _arriving(specimen, index, np.concatenate(positions), np.concatenate(places), rng)


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
    radius = rng.gamma(HALO_SHAPE, scale, count)
    azimuth = rng.uniform(0, 2 * np.pi, count)
    return specimen.projection.offsets(np.stack([radius * np.cos(azimuth), radius * np.sin(azimuth)], axis=1))


def _arriving(
    specimen: Specimen,
    index: int,
    position: NDArray[np.int64],
    place: NDArray[np.float64],
    rng: np.random.Generator,
) -> Arrived:
    """Add the disc of the beam, the detector's blur and the direct beam."""
    instrument = specimen.settings.instrument
    columns = instrument.scan_shape[1] + instrument.flyback_columns
    disc = (
        np.sqrt(rng.random(len(position))) * instrument.convergence_mrad * 1e-3 * specimen.projection.camera_length_px
    )
    azimuth = rng.uniform(0, 2 * np.pi, len(position))
    blur = rng.normal(0.0, instrument.point_spread_px, (len(position), 2))
    row, column = np.divmod(position, columns)
    swing = np.stack([row / max(instrument.scan_shape[0] - 1, 1), column / max(columns - 1, 1)], axis=1) - 0.5
    spot = place + blur + np.stack([disc * np.sin(azimuth), disc * np.cos(azimuth)], axis=1)
    return Arrived(position, spot + specimen.tilts.beam_px[index] + swing * np.array(instrument.descan_px))
