"""NXmx: masters of DECTRIS' Eiger and Arina with their data files, and what else is written after the definition.

Sources: the NXmx definition of the NeXus manual, for the bits of the pixel mask too; DECTRIS' Simplon API for what its
FileWriter stores (bit depths, count cutoff, goniometer).
"""

import re
from contextlib import ExitStack
from pathlib import Path

import h5py
import numpy as np
from numpy.typing import NDArray
from pydantic import JsonValue

from adapters.formats.frame_header import FrameHeader, checked_shape, statements
from adapters.formats.vendors.confined_hdf5 import follow, present, stack_dataset
from adapters.formats.vendors.hdf5_stack import Hdf5Stack
from adapters.formats.vendors.hdf5_values import (
    ANGLES_DEG,
    ENERGIES_KEV,
    LENGTHS_MM,
    PIXELS,
    WAVELENGTHS_ANGSTROM,
    attribute_vector,
    number,
    numbers,
    text,
)
from tasks.model import SourceError
from tasks.model.experiment import energy_of_wavelength_kev

DETECTOR = "entry/instrument/detector"
SPECIFIC = f"{DETECTOR}/detectorSpecific"
PART = re.compile(r"data_\d+")
PARTS_MOST = 20000
"""Data files of a master: as many as frames. Chosen, not measured."""
VIRTUAL_PIXEL = 31
"""Bit of the pixel mask for pixels between chips whose value is shared out: they count. All others mark bad ones."""
DEPTHS = (1, 8, 16, 32)
"""Bits of an image; its largest value marks what was not measured."""
PERPENDICULAR = 1e-3
"""Cosine between rows and columns: 0.06 degrees. Chosen, not measured: what is further off is no detector."""
AXIS_DIGITS = 7
"""Decimals of the parts of an axis: 6e-6 degrees."""
OMEGA = ("entry/sample/goniometer/omega", "entry/sample/transformations/omega")


def is_nexus(file: h5py.File, opened: ExitStack) -> bool:
    """Tell whether a file holds frames as NXmx lays them out."""
    return bool(_names(file, opened)) and text(file, "entry/definition", opened) in ("NXmx", None)


def nexus_stack(file: h5py.File, opened: ExitStack) -> Hdf5Stack:
    """Return the frames of a master in the order of its data files, and what it states.

    Raises
    ------
    SourceError
        If data files are missing (they are named), lie outside the folder, or differ in their images.
    """
    path = Path(file.filename)
    parts = _parts(file, path, opened)
    first = parts[0]
    slow, fast = first.shape[-2:]
    if any(part.shape[-2:] != (slow, fast) or part.dtype != first.dtype for part in parts):
        raise SourceError(f"{path.name}: its data files hold images of different shapes or types", "copy them again")
    count = sum(int(np.prod(part.shape[:-2], dtype=np.int64)) for part in parts)
    bad = _bad(file, (slow, fast), opened)
    depth = number(file, f"{DETECTOR}/bit_depth_image", PIXELS, opened)
    marked = depth is not None and depth in DEPTHS and first.dtype.kind == "u"
    angles = _angles(file, count, opened)
    axis = _axis(file, opened) if angles else None  # a goniometer that nobody turned has the axis that it came with
    header = FrameHeader(
        format="NXmx (Eiger, Arina)" if follow(file, SPECIFIC, opened) is not None else "NXmx",
        shape=checked_shape(path, count, slow, fast),
        dtype=first.dtype,
        stated=_stated(file, opened),
        angles_deg=angles,
        scan=(first.shape[0], first.shape[1]) if first.ndim == 4 and len(parts) == 1 else None,
        words=_words(file, opened) | ({} if axis is None else {"rotation_axis": axis}),
        notes=() if bad is None or not bad.any() else (f"{int(bad.sum())} pixels are masked by the file's pixel_mask",),
        bad=bad if bad is not None and bad.any() else None,
        mark=float(2 ** int(depth) - 1) if marked and depth is not None else None,
    )
    return Hdf5Stack(header, tuple(parts))


def _names(file: h5py.File, opened: ExitStack) -> list[str]:
    """Return the places of the images: numbered parts, or the one dataset that is called data."""
    for place in ("entry/data", "entry"):
        group = follow(file, place, opened)
        names = list(group)[: PARTS_MOST + 1] if isinstance(group, h5py.Group) else []
        numbered = sorted((name for name in names if PART.fullmatch(name)), key=lambda name: (int(name[5:]), name))
        if numbered:
            return [f"{place}/{name}" for name in numbered]
    single = follow(file, "entry/data", opened)
    return ["entry/data/data"] if isinstance(single, h5py.Group) and "data" in single else []


def _parts(file: h5py.File, path: Path, opened: ExitStack) -> list[h5py.Dataset]:
    places = _names(file, opened)
    links = [file.get(place, getlink=True) for place in places]
    present(path, [link.filename for link in links if isinstance(link, h5py.ExternalLink)])
    found = [stack_dataset(follow(file, place, opened), opened) for place in places]
    wrong = next((place for place, part in zip(places, found, strict=True) if part is None), None)
    if wrong is not None or not found:
        raise SourceError(f"{path.name}: {wrong or 'entry/data'} holds no images", "copy the files again")
    return [part for part in found if part is not None]


def _stated(file: h5py.File, opened: ExitStack) -> dict[str, float]:
    def first(units: dict[str, float], *places: str) -> float | None:
        values = (number(file, place, units, opened) for place in places)
        return next((value for value in values if value is not None and value > 0), None)

    x, y = (first(LENGTHS_MM, f"{DETECTOR}/{axis}_pixel_size") for axis in "xy")
    cutoffs = (f"{SPECIFIC}/countrate_correction_count_cutoff", f"{DETECTOR}/saturation_value")
    limits = [limit for place in cutoffs if (limit := first(PIXELS, place)) is not None]
    found = statements(
        energy_kev=_energy(file, opened),
        pixel_size_mm=x if x == y else None,
        camera_length_mm=first(LENGTHS_MM, f"{DETECTOR}/distance", f"{DETECTOR}/detector_distance"),
        saturation=min(limits, default=None),
    )
    beam = [first(PIXELS, f"{DETECTOR}/beam_center_{axis}") for axis in "yx"]
    if None not in beam:
        # counted from the detector's corner, as dxtbx takes it; the manifest's integers are pixel centres
        found |= {
            f"detector.direct_beam_px[{axis}]": value - 0.5 for axis, value in enumerate(beam) if value is not None
        }
    width = first(
        ANGLES_DEG, *(f"{place}_range_average" for place in OMEGA), *(f"{place}_increment_set" for place in OMEGA)
    )
    return found | ({} if width is None else {"oscillation.width_deg": width})


def _energy(file: h5py.File, opened: ExitStack) -> float | None:
    """Return the energy in keV: by the wavelength where the probe is said to be electrons, else as it is stated.

    DECTRIS' field photon_energy holds the electrons' energy at a microscope; a wavelength beside it is a photon's.
    """
    probes = [text(file, place, opened) for place in ("entry/instrument/source/probe", "entry/source/probe")]
    if any("electron" in (probe or "").lower() for probe in probes):
        wavelength = number(file, "entry/instrument/beam/incident_wavelength", WAVELENGTHS_ANGSTROM, opened)
        if wavelength is not None and wavelength > 0:
            return energy_of_wavelength_kev(wavelength)
    places = ("entry/instrument/beam/incident_energy", f"{SPECIFIC}/photon_energy", f"{DETECTOR}/photon_energy")
    values = (number(file, place, ENERGIES_KEV, opened) for place in places)
    return next((value for value in values if value is not None and value > 0), None)


def _angles(file: h5py.File, count: int, opened: ExitStack) -> tuple[float, ...]:
    """Return the angle at which each frame begins; one for all frames is a field that nobody filled in."""
    for place in OMEGA:
        found = numbers(file, place, ANGLES_DEG, opened)
        if found is not None and len(found) == count and (count == 1 or np.ptp(found) > 0):
            return tuple(float(f"{angle:.9g}") for angle in found.tolist())
    return ()


def _axis(file: h5py.File, opened: ExitStack) -> list[JsonValue] | None:
    """Return the axis of the goniometer in the manifest's frame, told by the directions of the detector's pixels."""
    module = f"{DETECTOR}/module"
    places = (f"{module}/fast_pixel_direction", f"{module}/slow_pixel_direction")
    pixels = [follow(file, place, opened) for place in places]
    fast, slow = (None if item is None else attribute_vector(item, "vector") for item in pixels)
    omega = next((item for place in OMEGA if (item := follow(file, place, opened)) is not None), None)
    turned = None if omega is None else attribute_vector(omega, "vector")
    if fast is None or slow is None or turned is None or abs(float(fast @ slow)) > PERPENDICULAR:
        return None
    up = -slow
    parts = (turned @ fast, turned @ up, turned @ np.cross(fast, up))
    return [round(float(part), AXIS_DIGITS) + 0.0 for part in parts]


def _bad(file: h5py.File, shape: tuple[int, int], opened: ExitStack) -> NDArray[np.bool_] | None:
    for place in (f"{DETECTOR}/pixel_mask", f"{SPECIFIC}/pixel_mask"):
        mask = stack_dataset(follow(file, place, opened), opened)
        if (
            mask is not None
            and mask.dtype.kind in "ui"
            and mask.shape[-2:] == shape
            and mask.size == shape[0] * shape[1]
        ):
            values = np.asarray(mask[()]).reshape(shape)
            others = min(2**VIRTUAL_PIXEL - 1, int(np.iinfo(values.dtype).max))
            return np.asarray(values & values.dtype.type(others) != 0)
    return None


def _words(file: h5py.File, opened: ExitStack) -> dict[str, JsonValue]:
    places = {"detector": f"{DETECTOR}/description", "detector_number": f"{DETECTOR}/detector_number"}
    return {name: found for name, place in places.items() if (found := text(file, place, opened))}
