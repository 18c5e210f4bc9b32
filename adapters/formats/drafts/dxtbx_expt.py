"""Experiment lists of DIALS, ``.expt``: JSON of dxtbx models, read as data.

Source: the ``to_dict`` methods of dxtbx (3.12; `properties` of scans from 3.16 on). A beam's direction points to the
source. A panel's origin is the outer corner of its first pixel, in mm from the sample; where the detector has a
hierarchy, a panel lies in the frame of its group. The axis in the laboratory is the setting rotation times the rotation
axis. Image k of a scan begins at the oscillation's start + width * (k - first image). Gain 1 and pedestal 0 stand there
whether or not anybody knows them.
"""

import json
import math
from pathlib import Path
from typing import Any, TypeGuard

import numpy as np
from numpy.typing import NDArray

from adapters.formats.drafts.flat_geometry import FlatGeometry, flat_geometry, geometry_remarks
from adapters.formats.drafts.statements import (
    FieldStatement,
    StatedFile,
    beam_statements,
    possible,
    printed,
    read_text,
    significant,
    stated_number,
    unit_vector,
)
from tasks.model import SourceError

FORMAT = "DIALS experiments"
SAME_PLANE = 1e-6
"""By which directions of panels of one plane may differ: they are stored in double precision, 1e-16."""
EXPERIMENTS_MAX = 1000
"""Experiments read of one list. Chosen, not measured: more are serial snapshots, not series."""


def is_expt(path: Path, begin: bytes) -> bool:
    """Tell an experiment list by its name and its first words."""
    return path.suffix.lower() in {".expt", ".json"} and b'"ExperimentList"' in begin


def read_expt(path: Path) -> tuple[StatedFile, ...]:
    """Return what an experiment list states, one for each of its sequences of images.

    Raises
    ------
    SourceError
        If it cannot be read, or is no experiment list.
    """
    try:
        content = json.loads(read_text(path))
    except (ValueError, RecursionError) as error:
        raise SourceError(f"{path.name}: not valid JSON: {str(error)[:200]}", "copy the file again") from error
    experiments = content.get("experiment") if isinstance(content, dict) else None
    if not isinstance(experiments, list):
        raise SourceError(f"{path.name}: holds no list of experiments", "give what a DIALS program wrote")
    seen: dict[tuple[str, ...], StatedFile] = {}
    for number, experiment in enumerate(experiments[:EXPERIMENTS_MAX]):
        if isinstance(experiment, dict):
            stated = _experiment(path, content, experiment, f"experiment {number}")
            seen.setdefault(stated.frame_names or ("",), stated)  # several crystals of one sequence share its geometry
    return tuple(seen.values())


def _experiment(path: Path, content: dict[str, Any], experiment: dict[str, Any], place: str) -> StatedFile:
    statements: list[FieldStatement] = []
    remarks: list[str] = []
    beam, detector, goniometer, scan, images = (
        _model(content, experiment, kind) for kind in ("beam", "detector", "goniometer", "scan", "imageset")
    )
    if _is_number(beam.get("wavelength")):
        statements, remarks = beam_statements(stated_number(float(beam["wavelength"])), f"{place}, beam, wavelength")
    panels = _panels(detector)
    if len(panels) == 1:
        statements += _pixels(panels[0], f"{place}, detector")
        remarks += _defaults(panels[0], f"{place}, detector")
    source = _vector(beam.get("direction"))
    geometry = _geometry(panels, source)
    if geometry is None:
        remarks.append(
            f"{place}: its detector is no plane that the beam meets, or states no place; its geometry is left open"
        )
    else:
        remarks += [f"{place}: {remark}" for remark in geometry_remarks(geometry)]
        statements += _placed(panels, geometry, f"{place}, detector, origin")
        statements += _axis(goniometer, geometry, f"{place}, goniometer")
        if len(panels) > 1:
            remarks.append(
                f"{place}: a detector of {len(panels)} panels; shape and beam position are left open, as their images "
                "may be joined in several ways"
            )
    oscillation, said = _oscillation(scan, f"{place}, scan")
    return StatedFile(path, FORMAT, (*statements, *oscillation), (*remarks, *said), _image_names(images))


def _model(content: dict[str, Any], experiment: dict[str, Any], kind: str) -> dict[str, Any]:
    """Return the model that an experiment points to by its index; empty if it has none."""
    models, index = content.get(kind), experiment.get(kind)
    if isinstance(models, list) and isinstance(index, int) and 0 <= index < len(models):
        found = models[index]
        return found if isinstance(found, dict) else {}
    return {}


def _is_number(value: object) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool) and possible(value)


def _vector(value: object, length: int = 3) -> NDArray[np.float64] | None:
    """Return a list of so many finite numbers as an array; None if it is none."""
    if isinstance(value, list) and len(value) == length and all(_is_number(part) for part in value):
        return np.array(value, dtype=np.float64)
    return None


def _panels(detector: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the panels with fast axis, slow axis and origin in the laboratory; empty if one of them has none."""
    panels, root = detector.get("panels"), detector.get("hierarchy")
    if not isinstance(panels, list) or not panels:
        return []
    frame, origin = np.eye(3), np.zeros(3)
    if isinstance(root, dict):
        children = root.get("children")
        if isinstance(children, list) and any("panel" not in child for child in children if isinstance(child, dict)):
            return []  # groups within groups: the place of a panel would need all of them
        placed = _frame(root)
        if placed is not None:
            frame, origin = placed
    found = []
    for panel in panels:
        placed = _frame(panel) if isinstance(panel, dict) else None
        if placed is None:
            return []
        axes, corner = placed
        found.append({**panel, "lab": (frame @ axes[:, 0], frame @ axes[:, 1], origin + frame @ corner)})
    return found


def _frame(panel: dict[str, Any]) -> tuple[NDArray[np.float64], NDArray[np.float64]] | None:
    """Return the axes fast, slow and normal as columns, and the origin."""
    fast, slow, origin = (_vector(panel.get(name)) for name in ("fast_axis", "slow_axis", "origin"))
    if fast is None or slow is None or origin is None:
        return None
    return np.column_stack([fast, slow, np.cross(fast, slow)]), origin


def _geometry(panels: list[dict[str, Any]], source: NDArray[np.float64] | None) -> FlatGeometry | None:
    if not panels or source is None:
        return None
    fast, slow, origin = panels[0]["lab"]
    for panel in panels[1:]:
        other_fast, other_slow, other = panel["lab"]
        off = abs(np.cross(fast, slow) @ (other - origin))
        if np.abs(other_fast - fast).max() > SAME_PLANE or np.abs(other_slow - slow).max() > SAME_PLANE or off > 1e-3:
            return None
    return flat_geometry(fast=fast, slow=slow, corner_mm=origin, beam_towards_detector=-source)


def _pixels(panel: dict[str, Any], place: str) -> list[FieldStatement]:
    statements = []
    size, pixel, trusted = (_vector(panel.get(name), 2) for name in ("image_size", "pixel_size", "trusted_range"))
    if size is not None and (size >= 1).all():
        statements.append(FieldStatement("detector.shape_px", (int(size[1]), int(size[0])), f"{place}, image_size"))
    if pixel is not None and pixel[0] > 0 and pixel[0] == pixel[1]:
        value, rounding = stated_number(float(pixel[0]))
        statements.append(FieldStatement("detector.pixel_size_mm", value, f"{place}, pixel_size", rounding))
    if trusted is not None and trusted[1] > 0:
        statements.append(FieldStatement("detector.saturation", float(trusted[1]), f"{place}, trusted_range"))
    for name, default in (("gain", 1.0), ("pedestal", 0.0)):
        stated = panel.get(name)
        if _is_number(stated) and stated != default:
            value, rounding = stated_number(float(stated))
            statements.append(FieldStatement(f"detector.{name}", value, f"{place}, {name}", rounding))
    return statements


def _defaults(panel: dict[str, Any], place: str) -> list[str]:
    unset = [name for name, default in (("gain", 1.0), ("pedestal", 0.0)) if panel.get(name) == default]
    if not unset:
        return []
    values = " and ".join(f"{name} {panel[name]:g}" for name in unset)
    return [f"{place}: {values}: what DIALS writes where nothing is known; not taken"]


def _placed(panels: list[dict[str, Any]], geometry: FlatGeometry, place: str) -> list[FieldStatement]:
    statements = []
    _, rounding = stated_number(geometry.distance_mm)
    statements.append(FieldStatement("detector.camera_length_mm", significant(geometry.distance_mm), place, rounding))
    pixel = _vector(panels[0].get("pixel_size"), 2)
    if len(panels) == 1 and pixel is not None and (pixel > 0).all():
        slow, fast = geometry.beam_mm
        beam = (significant(slow / pixel[1] - 0.5), significant(fast / pixel[0] - 0.5))
        how = "from the outer corner of the first pixel to its centre"
        statements.append(FieldStatement("detector.direct_beam_px", beam, place, 0.0, how))
    return statements


def _axis(goniometer: dict[str, Any], geometry: FlatGeometry, place: str) -> list[FieldStatement]:
    axis = laboratory_axis(goniometer)
    if axis is None or geometry.mirrored:
        return []
    turned = unit_vector(geometry.turned(axis).tolist())
    return (
        []
        if turned is None
        else [FieldStatement("rotation_axis", printed(turned), place, 0.0, "in the manifest's frame")]
    )


def laboratory_axis(goniometer: dict[str, Any]) -> NDArray[np.float64] | None:
    """Return the rotation axis of a goniometer in the laboratory; None if it states none."""
    axes, angles, scan_axis = goniometer.get("axes"), goniometer.get("angles"), goniometer.get("scan_axis")
    if isinstance(axes, list) and isinstance(angles, list) and isinstance(scan_axis, int):
        vectors = [_vector(axis) for axis in axes]
        if not 0 <= scan_axis < len(vectors) == len(angles) or not all(_is_number(angle) for angle in angles):
            return None
        found = vectors[scan_axis]
        for vector, angle in zip(vectors[scan_axis + 1 :], angles[scan_axis + 1 :], strict=True):
            if found is None or vector is None:
                return None
            found = _turn(found, vector, math.radians(angle))
        return found
    axis = _vector(goniometer.get("rotation_axis"))
    setting = _vector(goniometer.get("setting_rotation"), 9)
    return axis if axis is None or setting is None else setting.reshape(3, 3) @ axis


def _turn(vector: NDArray[np.float64], axis: NDArray[np.float64], angle: float) -> NDArray[np.float64]:
    """Return a vector turned about an axis, by Rodrigues' formula; unchanged if the axis has no direction."""
    length = float(np.linalg.norm(axis))
    if not length > 0:
        return vector
    unit = axis / length
    turned = vector * math.cos(angle) + np.cross(unit, vector) * math.sin(angle)
    return np.asarray(turned + unit * (unit @ vector) * (1 - math.cos(angle)))


def _oscillation(scan: dict[str, Any], place: str) -> tuple[list[FieldStatement], list[str]]:
    images = _vector(scan.get("image_range"), 2)
    found = _vector(scan.get("oscillation"), 2)
    properties = scan.get("properties")
    if found is None and isinstance(properties, dict):
        starts = properties.get("oscillation")
        if isinstance(starts, list) and starts and all(_is_number(start) for start in starts):
            step = properties.get("oscillation_width")
            step = step[0] if isinstance(step, list) and step else step
            if len(starts) > 1:
                step = (starts[-1] - starts[0]) / (len(starts) - 1)
            if _is_number(step):
                found = np.array([starts[0], step], dtype=np.float64)
    if images is None or found is None:
        return [], []
    start, width = found.tolist()
    if not width:
        return [], [f"{place}: the oscillation is 0 wide: stills, not a rotation series"]
    place = f"{place}, oscillation"
    return [
        FieldStatement(
            "oscillation.start_deg", significant(start), place, stated_number(start)[1], of_frame=int(images[0])
        ),
        FieldStatement("oscillation.width_deg", significant(width), place, stated_number(width)[1]),
    ], []


def _image_names(images: dict[str, Any]) -> tuple[str, ...]:
    template, listed = images.get("template"), images.get("images")
    names = [template] if isinstance(template, str) else listed if isinstance(listed, list) else []
    return tuple(name.replace("\\", "/").rpartition("/")[2] for name in names if isinstance(name, str) and name)
