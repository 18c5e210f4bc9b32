"""What the files of a series state of its geometry against the manifest, which is believed; differences in size."""

from collections.abc import Mapping, Sequence

import numpy as np

from tasks.ingest import Oscillation, RotationSeriesManifest

SAME_VALUE = 0.002
"""Relative, between a header and the manifest: headers round to three or four digits; above it, cells differ by what
refinement shows."""
SAME_BEAM_PX = 5.0
"""The stated beam is where the search begins, and headers keep the nominal centre. Chosen, not measured: nearer than
that the beam is found from either, further away one of them may be of another camera or another binning."""
SAME_WIDTH = 0.01
"""Relative, between the turn for each frame by the files' angles and the manifest's: goniometers are read to a
hundredth of a degree, a percent of a series of one degree. Chosen, not measured."""
FIELDS_PLACE = "[]"
"""What encloses the place in a pair: ``detector.direct_beam_px[0]``."""


def contradictions(stated: Mapping[str, Sequence[float]], manifest: RotationSeriesManifest) -> tuple[str, ...]:
    """Return in words where the headers of files say other than the manifest.

    `stated` holds the values of all files by the dotted name of the field.
    """
    found = []
    for field, values in stated.items():
        theirs, mine = float(np.median(values)), _stated_by(manifest, field)
        if mine is None:
            if field == "detector.saturation":
                found.append(f"{field} is null in the manifest, the files say {theirs:g}: state it")
            continue
        if field == "oscillation.width_deg":
            mine, theirs = abs(mine), abs(theirs)  # which way it turns is a matter of the axis
        if _differ(field, mine, theirs):
            found.append(f"{field} is {mine:g} in the manifest, the files say {theirs:g}{_size(field, mine, theirs)}")
    return tuple(line if line.endswith("it") else f"{line}: which is right?" for line in found)


def _stated_by(manifest: RotationSeriesManifest, field: str) -> float | None:
    """Return the value of the field in the manifest; None where it states none."""
    path, _, place = field.rstrip(FIELDS_PLACE[1]).partition(FIELDS_PLACE[0])
    value: object = manifest
    for name in path.split("."):
        value = getattr(value, name)
    if isinstance(value, tuple):
        return float(value[int(place)])
    return float(value) if isinstance(value, int | float) else None


def _differ(field: str, mine: float, theirs: float) -> bool:
    if field.startswith("detector.direct_beam_px"):
        return abs(theirs - mine) > SAME_BEAM_PX
    return abs(theirs - mine) > SAME_VALUE * max(abs(mine), abs(theirs))


def _size(field: str, mine: float, theirs: float) -> str:
    if field.startswith("detector.direct_beam_px"):
        return f" ({theirs - mine:+.1f} px)"
    return f" ({theirs / mine - 1.0:+.1%})" if mine else ""


def angle_contradictions(angles: Mapping[int, float], first: int, oscillation: Oscillation) -> tuple[str, ...]:
    """Return in words where the angles of the frames, by their numbers, are others than the oscillation gives.

    `first` is the number of the frame at which the oscillation starts. A file may state the angle at which an exposure
    begins, is half done or ends: up to the width of a frame is no difference. A goniometer that counts the other way
    than the manifest's axis is none either. One angle for all frames is a field that nobody filled in.
    """
    numbers = np.array(sorted(angles), dtype=np.float64)
    stated = np.array([angles[int(number)] for number in numbers])
    if len(numbers) < 2 or np.ptp(stated) == 0.0:
        return ()
    start, width = oscillation.start_deg, oscillation.width_deg
    theirs = float(np.polyfit(numbers - numbers.mean(), stated, 1)[0])
    if theirs * width < 0:
        start, width = -start, -width
    found = []
    if abs(theirs - width) > SAME_WIDTH * max(abs(theirs), abs(width)):
        found.append(
            f"oscillation.width_deg is {oscillation.width_deg:g} in the manifest, the files' angles turn by "
            f"{abs(theirs):.4g} deg for each frame ({abs(theirs) / abs(width) - 1.0:+.1%}): which is right?"
        )
    away = float(np.median(stated - (start + (numbers - first) * width)))
    if not found and abs(away) > abs(width):
        found.append(
            f"oscillation.start_deg is {oscillation.start_deg:g} in the manifest, the files' angles are "
            f"{away:+.2f} deg away from it: which is right?"
        )
    return tuple(found)
