"""The two source contracts of README.md as closed models; `load_manifest` reads them in strict mode."""

import math
from collections import Counter
from pathlib import PurePosixPath
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, JsonValue, field_validator, model_validator

from tasks.ingest.electrons import Conversion, EventClock
from tasks.model import Beam, Composition, Counting, Detector, Document, InputError, Vector

AXIS = (
    "a unit vector [x, y, z] with x along the detector's fast axis, y opposite to its slow axis (up, with row 0 at the "
    "top), z from the sample towards the source"
)
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


def _mask_name(name: str) -> str:
    """Return the name of a mask that can be read: its kind is told by its suffix."""
    file, colon, dataset = name.partition(":")
    kind = PurePosixPath(file).suffix.lower()
    if kind in {".h5", ".hdf5"}:
        if not colon or not dataset.startswith("/") or len(dataset) < 2:
            raise ValueError("an HDF5 mask is written as file.h5:/dataset")
    elif colon or kind not in {".npy", ".tif", ".tiff"}:
        raise ValueError("must be a .npy file, file.h5:/dataset or a TIFF")
    _inside(file)
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
Edge = Annotated[int, Field(ge=0, lt=65536)]
Rectangle = tuple[Edge, Edge, Edge, Edge]


class ScanManifest(Document):
    """The raster of probe positions."""

    shape: tuple[Extent, Extent] = Field(description="probe positions, [rows, columns], without flyback")
    step_nm: float = Field(gt=0, le=1e6, description="distance of neighbouring positions in nm")
    flyback_columns: int = Field(
        ge=0, le=8192, description="columns at the end of each row of the file that are dropped, beside those of shape"
    )
    rotation_deg: float = Field(
        ge=-360,
        le=360,
        description="degrees from the detector's fast axis to the scan's fast axis, counter-clockwise as displayed "
        "with row 0 at the top",
    )


class SideFile(Document):
    """A file that holds a part of a scan, or tells about it, beside the listed one."""

    file: InnerPath = Field(description="name within the folder")
    bytes: int = Field(gt=0, description="size of the file in bytes: a file of another size is not complete")


class ScanFile(Document):
    """One listed scan."""

    file: InnerPath = Field(description="name within the folder")
    tilt_deg: float = Field(
        ge=-180, le=180, description="degrees of the right-handed rotation about tilt_axis at which it was taken"
    )
    bytes: int = Field(gt=0, description="size of the file in bytes: a file of another size is not complete")
    order: int | None = Field(
        default=None, ge=0, le=10**6, description="0, 1, 2, ... as the scans were measured; of all or of none"
    )
    dose_e_per_A2: float | None = Field(  # noqa: N815 - the name of the contract
        default=None, gt=0, le=1e9, description="electrons per square angstrom of this scan; needs order"
    )
    repeat: int | None = Field(default=None, ge=0, le=10**6, description="which of several scans at one tilt")
    beside: tuple[SideFile, ...] = Field(
        default=(), max_length=10000, description="files that hold a part of the scan: waited for, and hashed with it"
    )

    @property
    def every_file(self) -> tuple[SideFile, ...]:
        """The scan's own file, and those beside it."""
        return (SideFile(file=self.file, bytes=self.bytes), *self.beside)


class Manifest(Document):
    """What both manifests say about the sample and the instrument."""

    sample: str = Field(min_length=1, max_length=200, description="name of the sample, for people")
    composition: Formula = Field(
        default=None, description='empirical contents in any multiple, "C19 H22 N2 O"; null: not stated'
    )
    compositions: tuple[Annotated[str, Field(max_length=1000), AfterValidator(_formula)], ...] = Field(
        default=(), max_length=20, description="contents of the phases that a cluster may hold, in place of composition"
    )
    beam: Beam = Field(description="the electron beam")
    notes: dict[str, JsonValue] = Field(
        default={}, description="anything, kept with the provenance and never interpreted"
    )

    @model_validator(mode="after")
    def _composed_once(self) -> Self:
        if self.composition is not None and self.compositions:
            raise ValueError("composition and compositions: give one of them")
        return self

    @property
    def contents(self) -> tuple[str, ...]:
        """The compositions of the phases that may be there; none if not stated."""
        return self.compositions or ((self.composition,) if self.composition is not None else ())

    @property
    def single_composition(self) -> str | None:
        """The contents of all crystals; None if they are not stated, or if there are several phases."""
        return self.compositions[0] if len(self.compositions) == 1 else self.composition


class SourceDetector(Detector):
    """A detector as a manifest describes it: with what is not to be used of it."""

    mask: str | None = Field(
        default=None,
        max_length=1000,
        description=".npy, file.h5:/dataset or TIFF in the folder, (slow, fast); non-zero pixels are not to be used",
    )
    bad_rectangles_px: tuple[Rectangle, ...] = Field(
        default=(),
        max_length=10000,
        description="not to be used, in px: [first row, first column, last row, last column], inclusive, from 0",
    )

    @field_validator("mask")
    @classmethod
    def _mask_inside(cls, mask: str | None) -> str | None:
        return None if mask is None else _mask_name(mask)

    @model_validator(mode="after")
    def _on_detector(self) -> Self:
        for rectangle in self.bad_rectangles_px:
            top, left, bottom, right = rectangle
            if not (top <= bottom < self.shape_px[0] and left <= right < self.shape_px[1]):
                raise ValueError(
                    f"bad_rectangles_px {list(rectangle)}: must be first row, first column, last row, last column "
                    f"within the detector {list(self.shape_px)}"
                )
        return self

    def described(self) -> Detector:
        """Return the detector without what is not to be used of it."""
        return Detector(**{name: getattr(self, name) for name in Detector.model_fields})


class CountingDetector(SourceDetector):
    """A detector that counted electrons, or whose values or times are turned into electrons as is stated."""

    counting: Counting | None = Field(default=None, description="how the camera counted electrons; null: not stated")
    conversion: Conversion | None = Field(
        default=None, description="how values that are not counted become electrons; null: the files hold electrons"
    )
    event_clock: EventClock | None = Field(
        default=None, description="how hits of a list of events become electrons; null: the files are no such lists"
    )


class TiltSeriesManifest(Manifest):
    """``tilt_series.json``: a tilt series of 4D-STEM scans."""

    format: Literal["4D-STEM tilt series"] = Field(description="what this file is")
    version: Version = Field(description="of the manifest's layout")
    detector: CountingDetector = Field(description="the camera that took the diffraction patterns")
    scan: ScanManifest = Field(description="the raster of probe positions")
    tilt_axis: UnitVector = Field(description=f"axis of the stage's tilt, {AXIS}")
    scans: tuple[ScanFile, ...] = Field(
        min_length=1, max_length=20000, description="the scans, one for each tilt, in any order"
    )
    complete: bool = Field(default=True, description="false: the series is still being measured")

    @field_validator("detector")
    @classmethod
    def _beam_on_detector(cls, detector: CountingDetector) -> CountingDetector:
        _with_beam_on_it(detector)
        return detector

    @field_validator("scans")
    @classmethod
    def _once(cls, scans: tuple[ScanFile, ...]) -> tuple[ScanFile, ...]:
        for tilt, tilts in Counter(scan.tilt_deg for scan in scans).items():
            repeats = [scan.repeat for scan in scans if scan.tilt_deg == tilt]
            if tilts > 1 and (None in repeats or len(set(repeats)) < tilts):
                names = ", ".join(scan.file for scan in scans if scan.tilt_deg == tilt)
                raise ValueError(f"several scans at tilt {tilt:g} deg: {names}; each must state its own repeat")
        _ordered(scans)
        name, names_equal = Counter(str(PurePosixPath(scan.file)) for scan in scans).most_common(1)[0]
        if names_equal > 1:
            raise ValueError(f"{name} is listed {names_equal} times")
        return scans


def _ordered(scans: tuple[ScanFile, ...]) -> None:
    """Check that the order of the scans is told of all or of none, and that a dose comes with an order."""
    orders = [scan.order for scan in scans if scan.order is not None]
    if orders and (len(orders) < len(scans) or len(set(orders)) < len(orders)):
        without = next((scan.file for scan in scans if scan.order is None), None)
        raise ValueError(f"order: {without} has none" if without else "order: two scans have the same")
    dosed = next((scan.file for scan in scans if scan.dose_e_per_A2 is not None), None)
    if dosed is not None and not orders:
        raise ValueError(f"dose_e_per_A2 of {dosed}: needs the order of all scans, as dose adds up over them")


class RotationDetector(SourceDetector):
    """A detector whose pixels are not electrons yet."""

    gain: float = Field(gt=0, le=1e6, description="detector units per electron")
    pedestal: float = Field(ge=-1e6, le=1e6, description="value of a pixel without electrons, in detector units")
    saturation: float | None = Field(
        description="largest valid pixel value in detector units, above the pedestal; null: there is none"
    )

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.saturation is not None and not self.saturation > self.pedestal:
            raise ValueError("saturation must exceed the pedestal")
        return self


class Oscillation(Document):
    """Where the rotation starts, and by how much each frame turns; negative turns the other way."""

    start_deg: float = Field(ge=-720, le=720, description="angle in degrees at which the first frame begins")
    width_deg: float = Field(
        ge=-45, le=45, description="turn in degrees for each frame number, right-handed about rotation_axis; not 0"
    )

    @field_validator("width_deg")
    @classmethod
    def _turns(cls, width: float) -> float:
        if abs(width) < 1e-6:
            raise ValueError("a rotation series turns during its exposures: must not be 0")
        return width


class RotationSeriesManifest(Manifest):
    """``rotation_series.json``: frames of one crystal, taken while it turned."""

    format: Literal["rotation series"] = Field(description="what this file is")
    version: Version = Field(description="of the manifest's layout")
    detector: RotationDetector = Field(description="the camera that took the frames")
    rotation_axis: UnitVector = Field(description=f"axis about which the sample turned, {AXIS}")
    oscillation: Oscillation = Field(description="where the rotation starts, and how far each frame turns")
    files: InnerPath = Field(
        description="glob in the folder, or the one file of a stack; frames are sorted by the number in their name"
    )

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
