"""All of a simulated series that is decided before the first scan."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tasks.crystal.scattering import Table
from tasks.model.experiment import Beam
from tasks.simulate.bending import Bend, bend_of
from tasks.simulate.blocks import Blocks, blocks_of
from tasks.simulate.camera import Camera, prepare_camera
from tasks.simulate.cluster import Domain, build_cluster
from tasks.simulate.diffraction import Projection, elliptical
from tasks.simulate.diffuse import Debris, scatter_debris
from tasks.simulate.lattice import ReflectionTable, flattened, reflection_table, rotation_about
from tasks.simulate.models import SimulationSettings, Structure
from tasks.simulate.potential import Potential, potential, relativistic_factor
from tasks.simulate.probe import places_met_nm
from tasks.simulate.rescaled_strength import median_strength
from tasks.simulate.shapes import Polyhedron, turned
from tasks.simulate.tilts import TiltTable, tilt_table

TABLES: dict[str, Table] = {"peng-1996": "electron", "mott-bethe": "electron-mott-bethe"}


class Rescaled(NamedTuple):
    """The model that scales a crystal of mean size to a stated part: ``scale`` times thickness in nm times strength."""

    scale: float


class Absolute(NamedTuple):
    """What an absolute model needs: ``cross_section`` is (gamma lambda / V)^2 in angstrom^-4.

    ``potential`` and ``blocks``, one for each domain, are there for the many-beam model.
    """

    cross_section: float
    potential: Potential | None
    blocks: tuple[Blocks, ...]
    bends: tuple[Bend, ...]
    debris: Debris


class Specimen(NamedTuple):
    """All that stays the same over the tilts, and the plan of the tilts.

    ``positions_nm`` (rows * columns, 2) is where in the specimen each scan position lies, drift and shear included.
    """

    settings: SimulationSettings
    reflections: ReflectionTable
    intensity: NDArray[np.float64]
    domains: tuple[Domain, ...]
    tilts: TiltTable
    projection: Projection
    positions_nm: NDArray[np.float64]
    model: Rescaled | Absolute
    camera: Camera

    def rotation(self, index: int) -> NDArray[np.float64]:
        """Return the rotation (3, 3) by the true tilt of a scan."""
        return rotation_about(self.settings.instrument.tilt_axis, float(self.tilts.true_deg[index]))

    def shift_nm(self, index: int) -> NDArray[np.float64]:
        """Return how far the specimen has drifted by a scan, (3,)."""
        return np.append(self.tilts.drift_nm[index], 0.0)

    def body(self, domain: Domain, index: int) -> Polyhedron:
        """Return a domain's body as it stands in a scan."""
        return turned(domain.body, self.rotation(index), self.shift_nm(index))


def prepare_specimen(structure: Structure, settings: SimulationSettings) -> Specimen:
    """Return the specimen: reflections, crystals and the plan of the tilts, all decided by the seed."""
    cluster_seed, tilt_seed = np.random.SeedSequence([settings.seed, 1]).spawn(2)
    plan, instrument = settings.scattering, settings.instrument
    table = reflection_table(structure, plan.d_min_angstrom, TABLES[plan.table])
    intensity = flattened(table.f_squared, plan.flattening)
    domains = build_cluster(structure.cell, settings, np.random.default_rng(cluster_seed))
    wavelength = Beam(energy_kev=instrument.energy_kev).wavelength_angstrom
    return Specimen(
        settings=settings,
        reflections=table,
        intensity=intensity,
        domains=domains,
        tilts=tilt_table(settings, np.random.default_rng(tilt_seed)),
        projection=Projection(
            wavelength_angstrom=wavelength,
            camera_length_px=instrument.camera_length_mm / instrument.pixel_size_mm,
            distortion=elliptical(instrument.ellipticity, instrument.ellipse_angle_deg),
        ),
        positions_nm=places_met_nm(instrument),
        model=_rescaled(structure, table, intensity, settings)
        if plan.model == "rescaled"
        else _absolute(structure, domains, settings),
        camera=prepare_camera(instrument, settings.seed),
    )


def _rescaled(
    structure: Structure, table: ReflectionTable, intensity: NDArray[np.float64], settings: SimulationSettings
) -> Rescaled:
    strength = median_strength(structure, table, intensity, settings) * settings.cluster.size_nm
    return Rescaled(float(-np.log1p(-settings.scattering.bragg_fraction) / strength))


def _absolute(structure: Structure, domains: tuple[Domain, ...], settings: SimulationSettings) -> Absolute:
    plan, energy_kev = settings.scattering, settings.instrument.energy_kev
    wavelength = Beam(energy_kev=energy_kev).wavelength_angstrom
    many = plan.model == "many-beam"
    bends = tuple(bend_of(settings, domain) for domain in domains)
    return Absolute(
        cross_section=(relativistic_factor(energy_kev) * wavelength / structure.cell.volume_angstrom3) ** 2,
        potential=potential(
            structure, d_min_angstrom=plan.d_min_angstrom, energy_kev=energy_kev, table=TABLES[plan.table]
        )
        if many
        else None,
        blocks=tuple(blocks_of(settings, number, bend.nodes) for number, bend in enumerate(bends)) if many else (),
        bends=bends,
        debris=scatter_debris(settings),
    )
