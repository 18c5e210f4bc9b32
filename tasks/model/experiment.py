"""Beam, detector, unit cell and composition: what describes an experiment and its sample."""

import math
from typing import Annotated, Literal, Self

import gemmi
from pydantic import Field, model_validator

from tasks.model.document import Document
from tasks.model.formula import read_formula

Vector = tuple[float, float, float]
PixelPosition = tuple[float, float]
"""(slow, fast); integers are pixel centres."""


class Beam(Document):
    """The electron beam."""

    energy_kev: float = Field(
        gt=1, le=3000, description="kinetic energy of the electrons in keV: 300 for 0.019687 angstrom"
    )
    convergence_mrad: float | None = Field(
        default=None, gt=0, le=100, description="semi-angle of the probe in mrad; null: not stated"
    )

    @property
    def wavelength_angstrom(self) -> float:
        """The relativistic de Broglie wavelength: 0.019687 A at 300 keV."""
        from scipy import constants  # a fifth of the start of the command line

        energy = self.energy_kev * 1e3 * constants.e
        rest = constants.m_e * constants.c**2
        return constants.h * constants.c / math.sqrt(energy * (energy + 2 * rest)) * 1e10


class Detector(Document):
    """A flat detector normal to the beam.

    Laboratory frame: x along the fast axis, y opposite to the slow axis, z towards the source.
    """

    name: str = Field(min_length=1, max_length=200, description="of the camera, for people")
    shape_px: tuple[Annotated[int, Field(gt=0, le=65536)], Annotated[int, Field(gt=0, le=65536)]] = Field(
        description="pixels of a frame, [slow, fast]: rows first"
    )
    pixel_size_mm: float = Field(gt=0, le=10, description="edge of a square pixel in mm")
    camera_length_mm: float = Field(
        gt=0,
        le=1e6,
        description="effective distance from sample to detector in mm, as calibrated: pixel_size_mm / (reciprocal "
        "angstrom per pixel * wavelength in angstrom); not the nominal one that the microscope shows",
    )
    direct_beam_px: PixelPosition | None = Field(
        default=None,
        description="where the direct beam falls, [slow, fast] in px, integers are pixel centres; null: is looked for",
    )
    camera_length_relative_error: float | None = Field(
        default=None,
        gt=0,
        le=0.5,
        description="sigma of camera_length_mm over itself, a fraction; null: not stated, 0.01 is assumed and said",
    )


class Counting(Document):
    """How the camera turned electrons into counts."""

    method: Literal["local-maxima-3x3", "ideal"] = Field(
        description="local-maxima-3x3: of electrons within one pixel of each other, also diagonally, in one camera "
        "frame one is counted; ideal: all are"
    )
    frames_per_position: int = Field(ge=1, le=10**6, description="camera frames that a scan position was exposed for")


class UnitCell(Document):
    """Unit cell: lengths in angstrom, angles in degrees."""

    a: float = Field(gt=0)
    b: float = Field(gt=0)
    c: float = Field(gt=0)
    alpha: float = Field(gt=0, lt=180)
    beta: float = Field(gt=0, lt=180)
    gamma: float = Field(gt=0, lt=180)

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if not self.gemmi().volume > 0:
            raise ValueError(f"the angles of {self.parameters} enclose no volume")
        return self

    @classmethod
    def of(cls, parameters: tuple[float, float, float, float, float, float]) -> Self:
        """Return the cell with these six parameters."""
        a, b, c, alpha, beta, gamma = parameters
        return cls(a=a, b=b, c=c, alpha=alpha, beta=beta, gamma=gamma)

    @property
    def parameters(self) -> tuple[float, float, float, float, float, float]:
        """(a, b, c, alpha, beta, gamma)."""
        return (self.a, self.b, self.c, self.alpha, self.beta, self.gamma)

    @property
    def volume_angstrom3(self) -> float:
        """The volume of the cell."""
        return float(self.gemmi().volume)

    def gemmi(self) -> gemmi.UnitCell:
        """Return gemmi's object of this cell."""
        return gemmi.UnitCell(*self.parameters)


class Composition(Document):
    """Empirical contents, in any multiple: how many atoms of each element."""

    counts: dict[str, Annotated[float, Field(gt=0)]] = Field(min_length=1)

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a formula as people write it: see `tasks.model.formula.read_formula`.

        Raises
        ------
        InputError
            Naming the part that is not understood, or that can be read in two ways.
        """
        return cls(counts=read_formula(text))

    def formula(self) -> str:
        """Return the formula in Hill order: C and H first, then alphabetical."""
        first = [symbol for symbol in ("C", "H") if symbol in self.counts and "C" in self.counts]
        rest = sorted(symbol for symbol in self.counts if symbol not in first)
        return " ".join(f"{symbol}{self.counts[symbol]:g}" for symbol in [*first, *rest])


def energy_of_wavelength_kev(wavelength_angstrom: float) -> float:
    """Return the kinetic energy of electrons of this relativistic wavelength: 300 keV at 0.019687 A."""
    from scipy import constants

    rest_kev = constants.m_e * constants.c**2 / constants.e / 1e3
    momentum_kev = constants.h * constants.c / constants.e / 1e3 / (wavelength_angstrom * 1e-10)
    return float(math.hypot(momentum_kev, rest_kev) - rest_kev)


def wavelength_text(wavelength_angstrom: float) -> str:
    """Return a wavelength as files state it: nine significant digits, as a cell must not change by being written."""
    return f"{wavelength_angstrom:.9g}"
