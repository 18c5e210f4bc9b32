"""A virtual detector: the part of the detector whose electrons make an image of the scan."""

from typing import Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from tasks.model import Document


class VirtualDetector(Document):
    """A disc, ring or rectangle on the detector; it does not follow the direct beam from tilt to tilt.

    A pixel belongs to it if its centre does, rims included.
    """

    shape: Literal["disc", "ring", "rectangle"]
    centre_px: tuple[float, float] = Field(description="(slow, fast)")
    inner_px: float = Field(default=0.0, ge=0, description="ring: radius of its hole")
    outer_px: float = Field(default=1.0, gt=0, description="disc, ring: radius")
    size_px: tuple[float, float] | None = Field(default=None, description="rectangle: full (slow, fast) sides")

    @model_validator(mode="after")
    def _has_an_area(self) -> Self:
        if self.shape == "ring" and not self.inner_px < self.outer_px:
            raise ValueError(f"inner_px {self.inner_px:g} is not less than outer_px {self.outer_px:g}")
        if self.shape == "rectangle" and (self.size_px is None or min(self.size_px) <= 0):
            raise ValueError("size_px: a rectangle needs two sides greater than 0")
        return self

    def region(self, detector_shape: tuple[int, int]) -> NDArray[np.bool_]:
        """Return its pixels, (slow, fast)."""
        slow, fast = np.ogrid[: detector_shape[0], : detector_shape[1]]
        down, right = slow - self.centre_px[0], fast - self.centre_px[1]
        if self.size_px is not None and self.shape == "rectangle":
            return np.asarray((abs(down) <= self.size_px[0] / 2) & (abs(right) <= self.size_px[1] / 2))
        radius_sq = down**2 + right**2
        inner = self.inner_px if self.shape == "ring" else 0.0
        return np.asarray((radius_sq <= self.outer_px**2) & (radius_sq >= inner**2))
