"""What one file states of a series: values by the manifest's names, each with its place and how far it is rounded."""

import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from tasks.model import SourceError
from tasks.model.experiment import energy_of_wavelength_kev

Value = float | int | str | tuple[float, ...]

LARGEST_TEXT_BYTES = 32 * 2**20
"""Of one log or input file, read as a whole. The longest are lists of experiments: an orientation for each of 3600
images is 3600 times nine numbers of 35 characters with their indentation, 1.1 MB. Chosen, not measured: thirty such."""
CONTROLS = dict.fromkeys((*range(9), 11, 12, *range(14, 32), *range(127, 160)), "?")
"""Control characters but tab and the ends of lines: what a log says is printed, escapes would command a terminal."""
NUMBER = r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?"
LONGEST_LINE = 4096
"""Characters. XDS reads 50 numbers of 80 characters at most; what is longer is no line of an input, and patterns would
take the square of its length."""
LONGEST_NUMBER = 40
"""Characters of a written number: doubles have 25."""
LARGEST_NUMBER = 1e10
"""Counts in 32 bits are 4.3e9, the largest that a manifest may hold. What is above comes from a damaged file, and
overflows when it is squared."""
WAVELENGTHS_ANGSTROM = (1e-4, 1.0)
"""Electrons of 3 MeV, the most that `Beam` takes, have 0.0036 A; of 1 keV, the least, 0.39 A. What lies outside is
no wavelength of electrons in angstrom."""
SCALE = "angstrom_inverse_per_px"
"""Not a field of a manifest: with pixel size and wavelength it gives the camera length."""
FRAME_COUNT = "number of frames"
"""Not a field of a manifest: compared with the files that are there."""


class StatedWord(NamedTuple):
    """A keyword of an input file, and the text behind it."""

    line: int
    name: str
    text: str

    @property
    def place(self) -> str:
        """Where it stands."""
        return f"line {self.line}, {self.name}"


class FieldStatement(NamedTuple):
    """One value that a file states."""

    field: str
    """Name in the manifest, ``detector.pixel_size_mm``; or `SCALE` or `FRAME_COUNT`."""
    value: Value
    place: str
    """Where in the file: ``line 13, Wavelength``."""
    rounding: float = 0.0
    """Half a unit of the last digit that is written, in the unit of the field; of a vector's components."""
    how: str = ""
    """What was done to what is written, if anything."""
    of_frame: int | None = None
    """The number of the frame that begins at this angle; None: the first of the series."""
    images: frozenset[str] = frozenset()
    """Suffixes of the image files of which it is true; empty: of all."""


class StatedFile(NamedTuple):
    """What one file states, and what it says that is no field or cannot be taken."""

    path: Path
    format: str
    statements: tuple[FieldStatement, ...]
    remarks: tuple[str, ...] = ()
    frame_names: tuple[str, ...] = ()
    """Patterns or names of the frames that the file speaks of, without folders."""
    tilts: tuple["ListedTilt", ...] = ()
    of_rotation: tuple[str, ...] = ()
    """Remarks that only matter where the frames are of one rotation."""


class ListedTilt(NamedTuple):
    """The stage tilt at which one image was taken, as a log lists it."""

    file: str
    """Name of the image's own file, without folders; empty if the log names none."""
    tilt_deg: float
    place: str
    dose_e_per_A2: float | None = None  # noqa: N815 - the name of the contract


def read_text(path: Path) -> str:
    """Return the text of a log or input file, printable; bytes that are no UTF-8 are read as Latin-1.

    Raises
    ------
    SourceError
        If it cannot be read, is larger than any such file, or is binary.
    """
    try:
        if path.stat().st_size > LARGEST_TEXT_BYTES:
            raise SourceError(f"{path.name}: larger than {LARGEST_TEXT_BYTES} bytes", "this is not a log or input file")
        content = path.read_bytes()
    except OSError as error:
        raise SourceError(f"{path.name}: cannot be read: {error.strerror}", "check its permissions") from error
    if b"\0" in content:
        raise SourceError(f"{path.name}: holds binary data, not text", "copy the file again")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = content.decode("latin-1")
    return text.translate(CONTROLS)


def lines_of(text: str) -> list[str]:
    """Return the lines of a text, cut where they are longer than any that a person or program writes."""
    return [line[:LONGEST_LINE] for line in text.splitlines()]


def numbers(text: str) -> list[tuple[float, float]]:
    """Return the possible numbers at the beginning of a text, separated by blanks or commas, each with its rounding."""
    found = []
    for part in re.split(r"[\s,]+", text.strip()):
        if len(part) > LONGEST_NUMBER or not re.fullmatch(NUMBER, part) or not possible(float(part)):
            break
        found.append((float(part), rounding_of(part)))
    return found


def possible(value: float) -> bool:
    """Tell whether a number may be one of an instrument's."""
    return abs(value) <= LARGEST_NUMBER


def rounding_of(text: str) -> float:
    """Return half a unit of the last digit of a written number: 0.005 of ``443.00``."""
    mantissa, _, exponent = text.lower().partition("e")
    decimals = len(mantissa.partition(".")[2])
    return 0.5 * 10.0 ** min(300, max(-300, int(exponent or 0) - decimals))


def stated_number(value: float) -> tuple[float, float]:
    """Return a number of a file that keeps floats, with the rounding of the shortest text that gives it."""
    return value, rounding_of(repr(value))


def beam_statements(wavelength: tuple[float, float], place: str) -> tuple[list[FieldStatement], list[str]]:
    """Return the energy that belongs to a wavelength in angstrom, and a remark if it is none of electrons."""
    value, rounding = wavelength
    if not WAVELENGTHS_ANGSTROM[0] < value < WAVELENGTHS_ANGSTROM[1]:
        return [], [f"{place}: {value:g} A is no wavelength of electrons; left open"]
    energy = energy_of_wavelength_kev(value)
    lowest = energy_of_wavelength_kev(value + rounding)
    how = f"from the wavelength {value:.9g} A"
    return [FieldStatement("beam.energy_kev", significant(energy), place, energy - lowest, how)], []


def significant(value: float) -> float:
    """Return a derived number with nine digits, as files state it."""
    return float(f"{value:.9g}")


def unit_vector(vector: Sequence[float]) -> tuple[float, float, float] | None:
    """Return a vector scaled to length 1; None if it has no direction."""
    x, y, z = vector
    length = math.hypot(x, y, z)
    if not 0 < length < math.inf:
        return None
    return (x / length + 0.0, y / length + 0.0, z / length + 0.0)


def printed(vector: Sequence[float]) -> tuple[float, ...]:
    """Return a derived vector with nine decimals."""
    return tuple(round(part, 9) + 0.0 for part in vector)
