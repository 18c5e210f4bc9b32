"""Integration with the geometry known: other scan positions of a crystal whose lattice a run has found already.

Nothing is searched: axis, cell, orientation, Laue group and the shape of the rocking curve are those of the reference;
orientation, beam and the frames' own corrections are refined from there against the spots of these frames. So two
apertures of one crystal that are measured so differ in their positions only.
"""

from pathlib import Path
from typing import Literal, NamedTuple

import gemmi
import h5py
import numpy as np
from pydantic import Field
from scipy.spatial.transform import Rotation

from tasks.crystal.miller import centring_allows
from tasks.crystal.symmetry import space_group
from tasks.frames import FrameSeries
from tasks.integrate.assemble import Particulars, assemble_reflections
from tasks.integrate.counting_loss import counting_loss
from tasks.integrate.geometry.mapping import Crystal, Geometry, geometry_of, rotations
from tasks.integrate.geometry.prediction import Predictions
from tasks.integrate.geometry.refinement import Refined
from tasks.integrate.geometry.state import Freedom
from tasks.integrate.indexing.lattice_search import index_predicted, refine_lattice
from tasks.integrate.integration_run import find_spots, rows_of, scaled_in
from tasks.integrate.models import Reflections
from tasks.integrate.pictures import write_pictures
from tasks.integrate.profiles.pixels import REACH_FACTOR, Pixels, pixels_of, predicted_spots
from tasks.integrate.profiles.pooled_patches import over_pooled_background
from tasks.integrate.profiles.spot_profiles import Profiles
from tasks.integrate.rocking.model import RockingModel, normalised_shape
from tasks.integrate.rocking.scaling import first_model, illuminated, usable
from tasks.integrate.rocking.sparse import (
    FEW_ELECTRONS,
    electrons_per_spot,
    scaled_by_counts,
)
from tasks.integrate.settings import IntegrationSettings
from tasks.integrate.spots.images import Images, SpotSearch
from tasks.integrate.spots.spot_search import Spots
from tasks.integrate.symmetry.lattice_system import crystal_system
from tasks.integrate.traces import write_traces
from tasks.model import InputError, NotIndexedError, Vector
from tasks.model.arrays import Floats, Integers
from tasks.model.provenance import Provenance

FARTHEST_DEG = 0.5
"""Chosen, not measured: half of a step of tilt of 1 degree, so that no frame is taken for its neighbour. Of finer steps
the frame that lies nearest is taken, and a correction that is larger is left out."""

ENOUGH_PER_FRAME = 20.0
"""Spots, below which only a common turn and shift are refined, of parts of the reference always. With 2, 2 and 9 a
frame the correlation of intensities with the truth is 0.989, 0.993, 0.996 where axis, ellipse and frames move, too, and
0.994, 0.996, 0.9995 where they are the reference's (forsterite, 59 tilts, seeds 112 and 113 at 40 Bragg electrons a
frame, 112 at 400). Chosen beyond: four for each parameter of a frame."""
MEAN_LENGTH = 0.77
"""Of reflections to a limit of resolution, over that of the limit: the root of their mean square is that of 3 / 5."""


class KnownLattice(NamedTuple):
    """What the pictures of a reference tell: columns of `basis` are a*, b*, c* at goniometer zero.

    ``setting`` (frames, 3, 3) takes hkl to the laboratory, frame by frame, in the orientations that intensities gave.
    ``errors``: relative, of an intensity and of its place on the curve in widths; they, ``beam_px`` (frames, 2) and
    ``profiles`` are None of runs that did not keep them, profiles also where spots are discs.
    """

    basis: Floats
    axis: Floats
    setting: Floats
    width: float
    spread: float
    x: Floats
    density: Floats
    errors: tuple[float, float] | None = None
    profiles: Profiles | None = None
    ellipse: tuple[float, float] = (0.0, 0.0)
    beam_px: Floats | None = None

    def turned(self, basis: Floats) -> "KnownLattice":
        """Return the lattice in another orientation, its frames off by as much as they were."""
        return self._replace(basis=basis, setting=self.setting @ np.linalg.inv(self.basis) @ basis)


class KnownGeometryIntegrator(IntegrationSettings):
    """Integrate in the lattice, the geometry and the symmetry that a run of the built-in engine has found."""

    engine: Literal["known-geometry"] = "known-geometry"
    reference: Reflections
    turn_deg: Vector = Field(
        default=(0.0, 0.0, 0.0),
        description="rotation vector at goniometer zero, by which the positions lie off the reference's orientation",
    )
    few_spots: Literal["refuse", "hold"] = Field(
        default="refuse", description="what to do where too few are found to refine the geometry: hold the reference's"
    )
    few_electrons: Literal["refine", "hold"] = Field(
        default="refine",
        description="what to do with the orientations where few electrons make a spot: refine them against the spots, "
        "or hold the reference's, which is for parts of a crystal that lie as the whole does",
    )
    statistics: Literal["auto", "counts", "sums"] = Field(
        default="auto",
        description="how intensities follow from pixels: counts = a Poisson likelihood of all tilts in the curve of "
        "the reference, sums = profile fits less the background, auto = counts of parts and of few electrons a spot",
    )
    part_of_reference: bool = Field(
        default=False,
        description="whether the frames are of a part of the reference's own positions, so that weights and sigmas of "
        "few counts follow from its intensities",
    )

    def integrate(self, frames: FrameSeries, workdir: Path) -> Reflections:
        """Return merged intensities to the resolution of the reference, in its axes; files go into `workdir`.

        Raises
        ------
        InputError
            If the reference keeps no geometry: it is of another engine.
        NotIndexedError
            If too few spots are found, or too few lie on the lattice.
        """
        known = known_lattice(self.reference)
        if any(self.turn_deg):
            known = known.turned(Rotation.from_rotvec(self.turn_deg, degrees=True).as_matrix() @ known.basis)
        return self.measured(frames, known, *find_spots(frames, self), workdir=workdir)

    def measured(
        self, frames: FrameSeries, known: KnownLattice, images: Images, search: SpotSearch, *, workdir: Path
    ) -> Reflections:
        """Return the intensities of frames whose spots are found, of a crystal that lies as `known` says."""
        few = len(search.spots.frame) < self.min_spots
        if few and self.few_spots == "refuse":
            raise NotIndexedError(
                f"{len(search.spots.frame)} spots were found, {self.min_spots} are needed", "draw more positions"
            )
        laue = space_group(self.reference.laue_group)
        refined, fraction = self._held(frames, known) if few else self._refined(frames, known, laue, search.spots)
        every, pixels = self._pixels(frames, images, search, refined, laue)
        if not few and self.few_electrons == "hold" and electrons_per_spot(pixels) < FEW_ELECTRONS:
            refined, _ = self._held(frames, known)
            every, pixels = self._pixels(frames, images, search, refined, laue)
        model = _start_model(known, frames, refined)
        by_counts = self._counts_are_few(pixels)
        if by_counts:
            pixels = self._in_known_profile(frames, images, (search, refined), known, every)
            whole = self.reference.unique_reflections if self.part_of_reference else None
            scaled = scaled_by_counts(pixels, refined, laue, model, whole=whole)
        else:
            scaled = scaled_in(frames, pixels, refined, laue, final=True, model=model)
        kept, _ = usable(scaled, laue, np.linalg.norm(scaled.data.hkl @ refined.crystal.basis.T, axis=1))
        traces = write_traces(frames, pixels, scaled, kept=kept, refined=refined, path=workdir / "traces.h5")
        particulars = Particulars(
            wavelength_angstrom=frames.beam.wavelength_angstrom,
            provenance=self._provenance(frames, "counts" if by_counts else "sums"),
            members=(frames.id,),
            cell_scale=self.reference.cell_scale,
            indexed_fraction=fraction,
            spots=len(search.spots.frame),
            pictures=write_pictures(pixels, scaled, refined, workdir / "pictures.h5"),
            traces=traces,
            counting=counting_loss(
                frames,
                pixels.loss,
                scaled.fit,
                near=pixels.patches.near,
                rows=scaled.rows,
                group=scaled.group,
                intensity=pixels.measured.intensity[scaled.rows],
            ),
            damage=scaled.damage,
        )
        return assemble_reflections(
            frames.id,
            rows_of(scaled.data, kept),
            self.reference.unit_cell,
            particulars,
            laue=laue,
            workdir=workdir,
            space_group=self.reference.space_group,
            halves=None if scaled.halves is None else (scaled.halves[0][kept], scaled.halves[1][kept]),
            # of few counts the median is zero, and what lies far from it is the signal
            consistent=np.ones(int(kept.sum()), dtype=bool) if by_counts else None,
        )

    def _pixels(
        self, frames: FrameSeries, images: Images, search: SpotSearch, refined: Refined, laue: gemmi.SpaceGroup
    ) -> tuple[Predictions, Pixels]:
        """Return the reflections that the centring allows where they are predicted, and their pixels."""
        d_min = self.d_min_angstrom or self.reference.d_min_angstrom
        every = predicted_spots(frames, images, search, refined, d_min=d_min, d_max=self.d_max_angstrom)
        allowed = every.where(np.flatnonzero(centring_allows(every.hkl, laue.operations())))
        return allowed, pixels_of(frames, images, search, refined, allowed)

    def _counts_are_few(self, pixels: Pixels) -> bool:
        if pixels.disc is not None:
            return False
        if self.statistics == "auto":  # parts are merged: what sums take from the weak ones of each adds up
            return self.part_of_reference or electrons_per_spot(pixels) < FEW_ELECTRONS
        return self.statistics == "counts"

    def _in_known_profile(
        self,
        frames: FrameSeries,
        images: Images,
        found: tuple[SpotSearch, Refined],
        known: KnownLattice,
        predictions: Predictions,
    ) -> Pixels:
        """Return the pixels in the spot profiles of the reference, over the background of all frames."""
        search, refined = found
        if known.profiles is not None:
            search = search._replace(spot_radius_px=known.profiles.reach_px / REACH_FACTOR)
        pixels = pixels_of(frames, images, search, refined, predictions, profiles=known.profiles)
        beam_px = np.array(frames.direct_beam_px)
        return over_pooled_background(images, pixels, beam_px, search.beam_radius_px)

    def _refined(
        self, frames: FrameSeries, known: KnownLattice, laue: gemmi.SpaceGroup, spots: Spots
    ) -> tuple[Refined, float]:
        """Return the lattice refined against the spots, its cell held, and the share of the spots that lie on it."""
        geometry, system = self._geometry(frames, known), crystal_system(laue)
        if self.part_of_reference or len(spots.frame) < ENOUGH_PER_FRAME * len(frames.frames):
            still = Freedom(system=system, cell=False, axis=False, frames=False)
            refined = _held_back(refine_lattice(*_as_it_lay(geometry, known), spots, still), known)
        else:
            free = Freedom(system=system, cell=False, axis=self.refine_axis, ellipse=self.refine_ellipse)
            lying = Crystal(known.basis, np.zeros((len(frames.frames), 3)))
            refined = refine_lattice(geometry, lying, spots, free)
        fraction = float(index_predicted(refined, spots)[1].mean())
        if fraction < self.min_indexed_fraction:
            raise NotIndexedError(
                f"{fraction:.0%} of {len(spots.frame)} spots lie on the lattice of {self.reference.id}",
                "the positions may be those of another crystal",
            )
        return refined, fraction

    def _held(self, frames: FrameSeries, known: KnownLattice) -> tuple[Refined, None]:
        """Return the lattice as the reference has it, each frame in the orientation of the reference's at that tilt."""
        geometry, crystal = _as_it_lay(self._geometry(frames, known), known)
        d_min = self.d_min_angstrom or self.reference.d_min_angstrom
        cell = np.array(self.reference.unit_cell.parameters)
        return Refined(
            geometry=geometry,
            crystal=crystal,
            cell=cell,
            cell_esd=np.array(self.reference.unit_cell_esd or np.zeros(6)),
            rmsd_px=0.0,
            rms_excitation=float(np.hypot(known.width, known.spread * MEAN_LENGTH / d_min)),
            rotation_spread_deg=0.0,
            shift_spread_px=0.0,
        ), None

    def _geometry(self, frames: FrameSeries, known: KnownLattice) -> Geometry:
        geometry = geometry_of(frames)._replace(axis=known.axis, ellipse=known.ellipse)
        if (scale := self.reference.cell_scale) is None:
            return geometry
        return geometry._replace(distance_px=scale.camera_length_mm / frames.detector.pixel_size_mm)

    def _provenance(self, frames: FrameSeries, statistics: str) -> Provenance:
        turn = {"turn_deg": " ".join(f"{angle:.6g}" for angle in self.turn_deg)} if any(self.turn_deg) else {}
        return Provenance(
            engine=self.engine,
            version=self.reference.provenance.version,
            parameters={
                "reference": self.reference.id,
                "d_min_angstrom": self.reference.d_min_angstrom,
                "statistics": statistics,
                **turn,
            },
            inputs={"stack": frames.stack.sha256, "reference": self.reference.unmerged.sha256},
            seed=self.seed,
        )


def keeps_geometry(reference: Reflections) -> bool:
    """Tell whether a result says how its crystal lay: those of the built-in engine do."""
    if reference.pictures is None or not reference.pictures.path.is_file():
        return False
    with h5py.File(reference.pictures.path, "r") as file:
        return "geometry" in file and "rocking" in file


def known_lattice(reference: Reflections) -> KnownLattice:
    """Return the lattice of a result in its orientation, and its rocking curve.

    Raises
    ------
    InputError
        If it is not kept.
    """
    if reference.pictures is None or not keeps_geometry(reference):
        raise InputError(f"{reference.id}: the integration keeps no geometry", "integrate with the built-in engine")
    with h5py.File(reference.pictures.path, "r") as file:
        geometry, rocking = file["geometry"], file["rocking"]
        return KnownLattice(
            basis=np.asarray(geometry["basis"]),
            axis=np.asarray(geometry.attrs["axis"]),
            setting=np.asarray(geometry["setting"]),
            width=float(rocking.attrs["width_per_angstrom"]),
            spread=float(np.radians(rocking.attrs["spread_deg"])),
            x=np.asarray(rocking["x"]),
            density=np.asarray(rocking["density"]),
            errors=_errors(rocking),
            profiles=_profiles(file),
            ellipse=_ellipse(geometry),
            beam_px=np.asarray(geometry["beam_px"]) if "beam_px" in geometry else None,
        )


def _ellipse(geometry: h5py.Group) -> tuple[float, float]:
    first, second = geometry.attrs.get("ellipse", (0.0, 0.0))
    return float(first), float(second)


def _errors(rocking: h5py.Group) -> tuple[float, float] | None:
    if "error_scale" not in rocking.attrs:
        return None
    return float(rocking.attrs["error_scale"]), float(rocking.attrs["error_excitation"])


def _profiles(file: h5py.File) -> Profiles | None:
    if "profile" not in file:
        return None
    profile = file["profile"]
    return Profiles(np.asarray(profile["shape"]), np.asarray(profile["edges"]), int(profile.attrs["spots"]))


def _held_back(refined: Refined, known: KnownLattice) -> Refined:
    """Return the lattice turned from the reference's as far as few spots can tell.

    By how much crystals turn is learned from the turn itself, less what its esds explain; of each component that share
    is left which so large a spread would have beside its esd (an estimate shrunk as by James & Stein).
    """
    turn = Rotation.from_matrix(refined.crystal.basis @ np.linalg.inv(known.basis)).as_rotvec()
    variance = np.array(refined.turn_esd) ** 2
    spread = max(float((turn**2 - variance).mean()), 0.0)
    left = np.asarray(Rotation.from_rotvec(turn * spread / (spread + variance)).as_matrix())
    return refined._replace(crystal=refined.crystal._replace(basis=left @ known.basis))


def _as_it_lay(geometry: Geometry, known: KnownLattice) -> tuple[Geometry, Crystal]:
    """Return geometry and crystal with each frame turned, and its beam where, the reference's was at that tilt."""
    row, turn = frames_at(known, geometry.angle_deg)
    there = (row >= 0)[:, None]
    crystal = Crystal(known.basis, np.where(there, turn, 0.0))
    if known.beam_px is None:
        return geometry, crystal
    return geometry._replace(beam_px=np.where(there, known.beam_px[row], geometry.beam_px)), crystal


def frames_at(known: KnownLattice, angle_deg: Floats) -> tuple[Integers, Floats]:
    """Return which frame (n,) of the reference was taken at each angle, and how (n, 3), in radians, it is turned.

    Turned from where the axis brings it. Which frame it is is told by the orientations themselves: that of least turn;
    -1 where none is nearer than FARTHEST_DEG: the reference has no frame there.
    """
    turned = known.setting @ np.linalg.inv(known.basis)
    row, turn = np.full(len(angle_deg), -1), np.zeros((len(angle_deg), 3))
    for number, tilt in enumerate(rotations(known.axis, angle_deg)):
        vectors = Rotation.from_matrix(turned @ tilt.T).as_rotvec()
        size = np.linalg.norm(vectors, axis=1)
        nearest = int(np.argmin(size))
        if np.degrees(size[nearest]) < FARTHEST_DEG:
            row[number], turn[number] = nearest, vectors[nearest]
    return row, turn


def _start_model(known: KnownLattice, frames: FrameSeries, refined: Refined) -> RockingModel:
    """Return the rocking curve of the reference with frames of scales as their positions let expect."""
    model = first_model(refined.rms_excitation, len(frames.frames), illuminated(frames))
    if known.errors is not None:
        model = model._replace(error_scale=known.errors[0], error_excitation=known.errors[1])
    return model._replace(width=known.width, spread=known.spread, shape=normalised_shape(known.x, known.density))
