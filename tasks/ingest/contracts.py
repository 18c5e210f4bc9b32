"""The two source contracts of README.md as closed models; `load_manifest` reads them in strict mode."""

import math
from collections import Counter
from pathlib import PurePosixPath
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, JsonValue, field_validator, model_validator

from tasks.model import Beam, Composition, Detector, Document, InputError, Vector

UNIT_TOLERANCE = 0.01
"""Of an axis's length: components rounded to two decimals change it by 0.005 * sqrt(3) = 0.009 at most."""
BEAM_COSINE_MAX = 0.98
"""Of the angle to the beam, 11.5 degrees: half a turn about an axis nearer to it tilts the sample by less than 23.
Chosen, not measured: axes of goniometers lie across the beam; what this refuses is a component in the wrong place."""


def _unit(vector: Vector) -> Vector:
    """Return an axis scaled to length 1; one that is off by more than 1 % is a mistake, not round-off."""
    length = math.sqrt(sum(x * x for x in vector))
    if not abs(length - 1.0) <= UNIT_TOLERANCE:
        raise ValueError(f"must be a unit vector (within 1 %), its length is {length:.4g}")
    if abs(vector[2]) / length > BEAM_COSINE_MAX:
        raise ValueError("lies along the beam: turning about it does not tilt the sample")
    return (vector[0] / length, vector[1] / length, vector[2] / length)


def _inside(name: str) -> str:
    """Return a relative path that stays in its folder."""
    path = PurePosixPath(name)
    if "\\" in name or "\0" in name or path.is_absolute() or ".." in path.parts or not path.parts:
        raise ValueError("must be a name within the source folder")
    return name


def _formula(text: str | None) -> str | None:
    if text is not None:
        try:
            Composition.parse(text)
        except InputError as error:
            raise ValueError(f"{error.message}; {error.advice}") from error
    return text


def _number(value: object) -> object:
    if isinstance(value, bool):
        raise ValueError("must be a number")  # true equals 1 for Literal[1]  # noqa: TRY004 - pydantic wants ValueError
    return value


Version = Annotated[Literal[1], BeforeValidator(_number)]
UnitVector = Annotated[Vector, AfterValidator(_unit)]
InnerPath = Annotated[str, Field(min_length=1, max_length=1000), AfterValidator(_inside)]
Formula = Annotated[str | None, Field(max_length=1000), AfterValidator(_formula)]
Extent = Annotated[int, Field(gt=0, le=8192)]


class ScanManifest(Document):
    """The raster of probe positions; see README.md."""

    shape: tuple[Extent, Extent] = Field(description="(rows, columns) without flyback")
    step_nm: float = Field(gt=0, le=1e6)
    flyback_columns: int = Field(ge=0, le=8192)
    rotation_deg: float = Field(ge=-360, le=360)


class ScanFile(Document):
    """One listed scan."""

    file: InnerPath
    tilt_deg: float = Field(ge=-180, le=180)
    bytes: int = Field(gt=0)


class Manifest(Document):
    """What both manifests say about the sample and the instrument."""

    sample: str = Field(min_length=1, max_length=200)
    composition: Formula = None
    beam: Beam
    notes: dict[str, JsonValue] = {}


class TiltSeriesManifest(Manifest):
    """``tilt_series.json``: a tilt series of 4D-STEM scans."""

    format: Literal["4D-STEM tilt series"]
    version: Version
    detector: Detector
    scan: ScanManifest
    tilt_axis: UnitVector
    scans: tuple[ScanFile, ...] = Field(min_length=1, max_length=20000)

    @field_validator("detector")
    @classmethod
    def _beam_on_detector(cls, detector: Detector) -> Detector:
        return _with_beam_on_it(detector)

    @field_validator("scans")
    @classmethod
    def _once(cls, scans: tuple[ScanFile, ...]) -> tuple[ScanFile, ...]:
        tilt, tilts = Counter(scan.tilt_deg for scan in scans).most_common(1)[0]
        if tilts > 1:
            names = ", ".join(scan.file for scan in scans if scan.tilt_deg == tilt)
            raise ValueError(f"several scans at tilt {tilt:g} deg: {names}")
        name, names_equal = Counter(str(PurePosixPath(scan.file)) for scan in scans).most_common(1)[0]
        if names_equal > 1:
            raise ValueError(f"{name} is listed {names_equal} times")
        return scans


class RotationDetector(Detector):
    """A detector whose pixels are not electrons yet."""

    gain: float = Field(gt=0, le=1e6, description="detector units per electron")
    pedestal: float = Field(ge=-1e6, le=1e6, description="value of a pixel without electrons")
    saturation: float | None = Field(description="largest valid pixel value; null = none")

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.saturation is not None and not self.saturation > self.pedestal:
            raise ValueError("saturation must exceed the pedestal")
        return self


class Oscillation(Document):
    """Where the rotation starts, and by how much each frame turns; negative turns the other way."""

    start_deg: float = Field(ge=-720, le=720)
    width_deg: float = Field(ge=-45, le=45)

    @field_validator("width_deg")
    @classmethod
    def _turns(cls, width: float) -> float:
        if abs(width) < 1e-6:
            raise ValueError("a rotation series turns during its exposures: must not be 0")
        return width


class RotationSeriesManifest(Manifest):
    """``rotation_series.json``: frames of one crystal, taken while it turned."""

    format: Literal["rotation series"]
    version: Version
    detector: RotationDetector
    rotation_axis: UnitVector
    oscillation: Oscillation
    files: InnerPath = Field(description="glob in the folder")

    @field_validator("detector")
    @classmethod
    def _beam_on_detector(cls, detector: RotationDetector) -> RotationDetector:
        _with_beam_on_it(detector)
        return detector


def _with_beam_on_it(detector: Detector) -> Detector:
    if detector.direct_beam_px is not None:
        for position, extent in zip(detector.direct_beam_px, detector.shape_px, strict=True):
            if not -0.5 <= position <= extent - 0.5:
                raise ValueError(
                    f"direct_beam_px {detector.direct_beam_px} lies outside the detector {detector.shape_px}"
                )
    return detector
