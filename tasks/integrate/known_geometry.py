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
from tasks.integrate.rocking.scaling import FIRST_WIDTH, first_model, illuminated, usable
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
from tasks.model.arrays import Floats
from tasks.model.provenance import Provenance

FARTHEST_DEG = 0.5
"""Chosen, not measured: half of a step of tilt of 1 degree, so that no frame is taken for its neighbour. Of finer steps
the frame that lies nearest is taken, and a correction that is larger is left out."""


class KnownLattice(NamedTuple):
    """What the pictures of a reference tell: columns of `basis` are a*, b*, c* at goniometer zero.

    ``setting`` (frames, 3, 3) takes hkl to the laboratory, frame by frame, in the orientations that intensities gave.
    ``errors``: relative, of an intensity and of its place on the curve in widths; they and ``profiles`` are None of
    runs that did not keep them, profiles also where spots are discs.
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
        "the reference, sums = profile fits less the background, auto = counts where few electrons make a spot",
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
            scaled = scaled_by_counts(pixels, refined, laue, model)
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
        if self.statistics == "auto":
            return electrons_per_spot(pixels) < FEW_ELECTRONS
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
        crystal = Crystal(known.basis, np.zeros((len(frames.frames), 3)))
        free = Freedom(system=crystal_system(laue), cell=False, axis=self.refine_axis, ellipse=self.refine_ellipse)
        refined = refine_lattice(self._geometry(frames, known), crystal, spots, free)
        fraction = float(index_predicted(refined, spots)[1].mean())
        if fraction < self.min_indexed_fraction:
            raise NotIndexedError(
                f"{fraction:.0%} of {len(spots.frame)} spots lie on the lattice of {self.reference.id}",
                "the positions may be those of another crystal",
            )
        return refined, fraction

    def _held(self, frames: FrameSeries, known: KnownLattice) -> tuple[Refined, None]:
        """Return the lattice as the reference has it, each frame in the orientation of the reference's at that tilt."""
        crystal = Crystal(known.basis, corrections_at(known, np.array(frames.angle_deg)))
        cell = np.array(self.reference.unit_cell.parameters)
        return Refined(
            geometry=self._geometry(frames, known),
            crystal=crystal,
            cell=cell,
            cell_esd=np.array(self.reference.unit_cell_esd or np.zeros(6)),
            rmsd_px=0.0,
            rms_excitation=known.width / FIRST_WIDTH,
            rotation_spread_deg=0.0,
            shift_spread_px=0.0,
        ), None

    def _geometry(self, frames: FrameSeries, known: KnownLattice) -> Geometry:
        geometry = geometry_of(frames)._replace(axis=known.axis)
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
        )


def _errors(rocking: h5py.Group) -> tuple[float, float] | None:
    if "error_scale" not in rocking.attrs:
        return None
    return float(rocking.attrs["error_scale"]), float(rocking.attrs["error_excitation"])


def _profiles(file: h5py.File) -> Profiles | None:
    if "profile" not in file:
        return None
    profile = file["profile"]
    return Profiles(np.asarray(profile["shape"]), np.asarray(profile["edges"]), int(profile.attrs["spots"]))


def corrections_at(known: KnownLattice, angle_deg: Floats) -> Floats:
    """Return, (n, 3) in radians, how the reference's frame at each angle is turned from where the axis brings it.

    Which frame was taken at an angle is told by the orientations themselves: that of least turn. Zero where none is
    nearer than FARTHEST_DEG: the reference has no frame there.
    """
    tilts = rotations(known.axis, angle_deg)
    turned = known.setting @ np.linalg.inv(known.basis)
    found = np.zeros((len(angle_deg), 3))
    for number, tilt in enumerate(tilts):
        vectors = Rotation.from_matrix(turned @ tilt.T).as_rotvec()
        size = np.linalg.norm(vectors, axis=1)
        nearest = int(np.argmin(size))
        if np.degrees(size[nearest]) < FARTHEST_DEG:
            found[number] = vectors[nearest]
    return found


def _start_model(known: KnownLattice, frames: FrameSeries, refined: Refined) -> RockingModel:
    """Return the rocking curve of the reference with frames of scales as their positions let expect."""
    model = first_model(refined.rms_excitation, len(frames.frames), illuminated(frames))
    if known.errors is not None:
        model = model._replace(error_scale=known.errors[0], error_excitation=known.errors[1])
    return model._replace(width=known.width, spread=known.spread, shape=normalised_shape(known.x, known.density))
