"""Reading what XDS writes beside its listings: XPARM.XDS (and GXPARM.XDS) and SPOT.XDS."""

from typing import NamedTuple

from adapters.programs.xds.output import six, three
from tasks.model import ProgramFailedError, UnitCell, Vector


class Xparm(NamedTuple):
    """XPARM.XDS or GXPARM.XDS."""

    starting_frame: int
    starting_angle_deg: float
    width_deg: float
    rotation_axis: Vector
    wavelength_angstrom: float
    beam: Vector
    space_group_number: int
    unit_cell: UnitCell
    axes: tuple[Vector, Vector, Vector]
    shape_px: tuple[int, int]
    """(slow, fast)"""
    pixel_mm: tuple[float, float]
    origin_px: tuple[float, float]
    """(ORGX, ORGY): fast, slow; the first pixel's centre is 1."""
    distance_mm: float


class Spot(NamedTuple):
    """One line of SPOT.XDS; indices are None before IDXREF."""

    x_px: float
    y_px: float
    frame: float
    counts: float
    hkl: tuple[int, int, int] | None


def parse_xparm(text: str) -> Xparm:
    """Read XPARM.XDS or GXPARM.XDS (format since 2012).

    Raises
    ------
    ProgramFailedError
        If it is none.
    """
    lines = text.splitlines()
    try:
        first = [float(x) for x in lines[1].split()]
        beam = [float(x) for x in lines[2].split()]
        cell = [float(x) for x in lines[3].split()]
        axes = tuple(three([float(x) for x in line.split()]) for line in lines[4:7])
        detector = [float(x) for x in lines[7].split()]
        origin = [float(x) for x in lines[8].split()]
        return Xparm(
            starting_frame=int(first[0]),
            starting_angle_deg=first[1],
            width_deg=first[2],
            rotation_axis=three(first[3:6]),
            wavelength_angstrom=beam[0],
            beam=three(beam[1:4]),
            space_group_number=int(cell[0]),
            unit_cell=UnitCell.of(six(cell[1:7])),
            axes=(axes[0], axes[1], axes[2]),
            shape_px=(int(detector[2]), int(detector[1])),
            pixel_mm=(detector[3], detector[4]),
            origin_px=(origin[0], origin[1]),
            distance_mm=origin[2],
        )
    except (IndexError, ValueError) as error:
        raise ProgramFailedError("XPARM.XDS is cut off or of another format", str(error)) from error


def parse_spots(text: str) -> tuple[Spot, ...]:
    """Read SPOT.XDS, before or after IDXREF.

    Raises
    ------
    ProgramFailedError
        Naming the line that is no spot.
    """
    spots = []
    for number, line in enumerate(text.splitlines(), 1):
        words = line.split()
        if not words:
            continue
        try:
            x, y, z, counts = (float(word) for word in words[:4])
            hkl = (int(words[-3]), int(words[-2]), int(words[-1])) if len(words) >= 7 else None
        except ValueError as error:
            raise ProgramFailedError(f"SPOT.XDS, line {number}: {line!r} is no spot") from error
        spots.append(Spot(x, y, z, counts, hkl if hkl is None or any(hkl) else None))
    return tuple(spots)
