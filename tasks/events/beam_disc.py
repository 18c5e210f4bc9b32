"""The disc of a series' spots as a document: reading it imports nothing that measures discs."""

from typing import Self

from pydantic import Field

from tasks.model.document import Document

LEAST_RADIUS_PX = 2.0
"""Smaller discs are points: the detector's blur (0.5 px and more) has made most of such a disc its edge, and a Gaussian
is as good a model. Chosen, not measured; 0.18 mrad at 110 mm with pixels of 10 um."""
EDGE_OF_RADIUS = 0.25
"""A softer edge, over the radius, is that of a spot, not of a disc: a normal spot of a deviation of 4 px fits as 0.30
(tests/unit/events/test_disc.py), a disc of 5.5 px behind the blur of half a pixel as 0.11."""
EDGE_UNSEEN_PX = 0.6
"""Of a disc that only the manifest states: the point spread of a counting camera, half a pixel, and the pixel itself
(1 / sqrt(12))."""


class BeamDisc(Document):
    """The disc of the direct beam and of every reflection; ``edge_px``: standard deviation of its blurred edge."""

    radius_px: float = Field(gt=0)
    edge_px: float = Field(gt=0)
    scatter_px: float = Field(default=0.0, ge=0, description="of the radius from scan to scan, standard deviation")
    scans: int = Field(default=0, ge=0, description="in which it was measured; 0 = the manifest's")
    stated_px: float | None = Field(default=None, description="radius that the manifest's convergence makes")

    @property
    def reach_px(self) -> float:
        """The radius beyond which nothing of the disc lies."""
        return self.radius_px + 3.0 * self.edge_px

    @property
    def is_point(self) -> bool:
        """Whether spots are as good as points."""
        return self.radius_px < LEAST_RADIUS_PX or self.edge_px > EDGE_OF_RADIUS * self.radius_px

    @classmethod
    def stated(cls, radius_px: float) -> Self:
        """Return the disc of a manifest's convergence where no beam is seen."""
        return cls(radius_px=radius_px, edge_px=EDGE_UNSEEN_PX, stated_px=radius_px)
