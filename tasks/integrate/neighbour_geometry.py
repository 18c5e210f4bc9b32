"""Integration of a crystal that does not index alone: in the cell of others, in an orientation of its own."""

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import Field

from tasks.frames import FrameSeries
from tasks.integrate.crystals.crystal_match import reduced_crystal
from tasks.integrate.crystals.orientation import in_reduced_axes
from tasks.integrate.geometry.mapping import geometry_of
from tasks.integrate.indexing.axis_search import cloud_of
from tasks.integrate.indexing.known_orientation import orient
from tasks.integrate.integration_run import find_spots
from tasks.integrate.known_geometry import KnownGeometryIntegrator, known_lattice
from tasks.integrate.models import NeighbourIndexing, Reflections
from tasks.integrate.settings import IntegrationSettings
from tasks.model import Document, NotIndexedError, Vector
from tasks.model.arrays import Floats

ACROSS_PX = 2.0
"""How far across the beam a spot may lie from its lattice point: the geometry is known, so less than the 3 px of the
search for a cell. Chosen, not measured: a weak spot's centre is off by half a pixel, the beam by one."""
MOST_BY_CHANCE = 1e-3
"""Expected number of orientations that would do as well by chance: one foreign aperture in a thousand is taken for a
crystal of this lattice, and its intensities must agree with those of the others then. Chosen, not measured."""


class Neighbour(Document):
    """A crystal of the same form whose orientation is known."""

    reflections: Reflections
    reindex: tuple[Vector, Vector, Vector] = Field(
        description="hkl in the reference's primitive reduced cell = hkl of this crystal @ matrix"
    )


class NeighbourGeometryIntegrator(IntegrationSettings):
    """Integrate in the cell, the symmetry and the geometry of others, in the orientation that the spots speak for."""

    engine: Literal["neighbour-geometry"] = "neighbour-geometry"
    reference: Reflections
    neighbours: tuple[Neighbour, ...] = Field(default=(), description="whose orientations are started from, too")

    def integrate(self, frames: FrameSeries, workdir: Path) -> Reflections:
        """Return merged intensities to the resolution of the reference, in its axes; files go into `workdir`.

        Raises
        ------
        InputError
            If the reference keeps no geometry: it is of another engine.
        NotIndexedError
            If no orientation of the lattice explains the spots better than chance would.
        """
        known = known_lattice(self.reference)
        engine = KnownGeometryIntegrator(
            reference=self.reference,
            few_spots="hold",
            statistics="sums",  # counts would take the rocking curve of the reference for its own
            **{name: getattr(self, name) for name in IntegrationSettings.model_fields},
        )
        images, search = find_spots(frames, self)
        geometry = geometry_of(frames)._replace(axis=known.axis)
        if (scale := self.reference.cell_scale) is not None:
            geometry = geometry._replace(distance_px=scale.camera_length_mm / frames.detector.pixel_size_mm)
        if not len(search.spots.frame):
            raise NotIndexedError("no spots were found", "draw more positions")
        change = reduced_crystal(self.reference).basis
        primitive = in_reduced_axes(known.basis, change)
        per_px = 1.0 / (geometry.distance_px * geometry.wavelength)
        found = orient(primitive, cloud_of(geometry, search.spots), ACROSS_PX * per_px, self._orientations())
        if found is None or found.chance > MOST_BY_CHANCE or found.indexed < self.min_indexed_fraction * found.spots:
            explained = f"the best explains {found.indexed} of {found.spots}" if found else "none was to be tried"
            raise NotIndexedError(
                f"no orientation of the lattice of {self.reference.id} explains the spots better than chance: "
                f"{explained}",
                "it may be another crystal, or too faint",
            )
        lain = known.turned(found.basis @ change.T)
        data = engine.measured(frames, lain, images, search, workdir=workdir)
        said = NeighbourIndexing(
            reference=self.reference.id,
            start=found.start,
            turn_deg=None if found.turn_deg is None else round(found.turn_deg, 3),
            spots=found.spots,
            indexed=found.indexed,
            chance=found.chance,
        )
        provenance = data.provenance.model_copy(update={"engine": self.engine})
        return data.model_copy(update={"neighbour": said, "provenance": provenance})

    def _orientations(self) -> Mapping[str, Floats]:
        """Return the primitive reciprocal axes (3, 3), columns, of the neighbours, in the reference's setting."""
        return {
            one.reflections.id: in_reduced_axes(known_lattice(one.reflections).basis, np.array(one.reindex))
            for one in self.neighbours
        }
