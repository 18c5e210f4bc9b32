"""The CIFs of a deposit: the refined structure with its instructions and data inside, and the frames in imgCIF's items.

Sources: SHELXL's items `_shelx_res_file`, `_shelx_hkl_file` and their checksums, which CCDC, COD and IUCr read;
imgCIF dictionary 1.8 (International Tables for Crystallography G, chapter 4.6), by whose definitions a frame's angle
is that at the start of its exposure. Departure: the laboratory's x lies along the detector's fast axis, not along the
goniometer, as everywhere in this project.
"""

import numpy as np
from gemmi import cif

from tasks.frames import FrameSeries
from tasks.model import SourceError
from tasks.model.experiment import wavelength_text

CHECKSUM = (714025, 1366, 150889, 100000)
"""Modulus, factor, addend and last modulus of SHELXL's checksum, as its own CIFs show (tests/unit/formats)."""


def cif_with_data(text: str, *, instructions: str, reflections: str, name: str) -> str:
    """Return a CIF with the files .res and .hkl inside, in SHELXL's items.

    Parameters
    ----------
    text
        Of one data block.
    name
        Of the structure, for errors.

    Raises
    ------
    SourceError
        If the CIF is damaged.
    """
    try:
        document = cif.read_string(text)
        block = document.sole_block()
    except (ValueError, RuntimeError) as error:
        raise SourceError(f"{name}: the CIF of the refinement is damaged: {error}", "refine it again") from error
    for kind, content in (("res", instructions), ("hkl", reflections)):
        kept = content.rstrip("\n").replace("\n;", "\n ;")  # a semicolon that begins a line would end the text
        block.set_pair(f"_shelx_{kind}_file", f";\n{kept}\n;")
        block.set_pair(f"_shelx_{kind}_checksum", str(shelx_checksum(kept)))
    return str(document.as_string())


def shelx_checksum(text: str) -> int:
    """Return SHELXL's checksum of an embedded file; blanks and ends of lines do not count."""
    modulus, factor, addend, last = CHECKSUM
    total = sum(byte for byte in text.encode("cp1250", "ignore") if byte > ord(" ")) % modulus
    return (total * factor + addend) % modulus % last


def frames_cif(series: FrameSeries) -> str:
    """Return what the frames are, in imgCIF's items: beam, axes, detector, and the angle and turn of every frame."""
    document = cif.Document()
    block = document.add_new_block(f"{series.id}_frames")
    slow, fast = series.direct_beam_px
    camera, size = series.detector, series.detector.pixel_size_mm
    pairs = (
        ("_diffrn.id", series.id),
        ("_diffrn_radiation.diffrn_id", series.id),
        ("_diffrn_radiation.probe", "electron"),
        ("_diffrn_radiation_wavelength.id", "1"),
        ("_diffrn_radiation_wavelength.value", wavelength_text(series.beam.wavelength_angstrom)),
        ("_diffrn_source.voltage", f"{series.beam.energy_kev:.9g}"),
        ("_diffrn_measurement.diffrn_id", series.id),
        ("_diffrn_measurement.rotation_mode", "stepwise" if series.is_still else "rotation"),
        ("_diffrn_measurement.details", cif.quote(DETAILS)),
        ("_diffrn_detector.id", "camera"),
        ("_diffrn_detector.diffrn_id", series.id),
        ("_diffrn_detector.details", cif.quote(camera.name)),
        ("_array_intensities.array_id", "camera"),
        ("_array_intensities.binary_id", "1"),
        ("_array_intensities.linearity", "linear"),
        ("_array_intensities.gain", f"{series.gain:.9g}"),
        ("_array_intensities.offset", f"{series.pedestal:.9g}"),
        ("_array_intensities.overload", "." if series.saturation is None else f"{series.saturation:.9g}"),
        ("_diffrn_scan.id", "scan"),
        ("_diffrn_scan.frame_id_start", "1"),
        ("_diffrn_scan.frame_id_end", str(len(series.frames))),
        ("_diffrn_scan.frames", str(len(series.frames))),
    )
    for tag, value in pairs:
        block.set_pair(tag, value)
    _axes(block, series, (-fast * size, slow * size))
    columns = ["array_id", "index", "dimension", "precedence", "direction", "axis_set_id"]
    shape = camera.shape_px[::-1]
    rows = [["camera", str(i), str(n), str(i), "increasing", f"ELEMENT_{i}"] for i, n in enumerate(shape, 1)]
    _loop(block, "_array_structure_list.", columns, rows)
    columns = ["axis_set_id", "axis_id", "displacement", "displacement_increment"]
    rows = [[f"ELEMENT_{i}", f"ELEMENT_{i}", "0", f"{size:.9g}"] for i in (1, 2)]
    _loop(block, "_array_structure_list_axis.", columns, rows)
    numbers = [(str(k), frame) for k, frame in enumerate(series.frames, 1)]
    columns = ["frame_id", "scan_id", "frame_number"]
    _loop(block, "_diffrn_scan_frame.", columns, [[k, "scan", str(frame.number)] for k, frame in numbers])
    columns = ["frame_id", "axis_id", "angle", "angle_increment"]
    rows = [[k, "OMEGA", f"{frame.angle_deg:.9g}", f"{frame.width_deg:.9g}"] for k, frame in numbers]
    _loop(block, "_diffrn_scan_frame_axis.", columns, rows)
    return str(document.as_string())


DETAILS = "x along the detector's fast axis, y opposite to its slow axis, z towards the source; frames are centred"
"""Of the laboratory's axes and of the frames."""


def _axes(block: cif.Block, series: FrameSeries, corner_mm: tuple[float, float]) -> None:
    """Write the axes; `corner_mm` is the centre of the first pixel, (x, y) from the direct beam."""
    axis = np.array(series.rotation_axis) / np.linalg.norm(series.rotation_axis)
    x, y = corner_mm
    length = -series.detector.camera_length_mm
    columns = ["id", "type", "equipment", "depends_on", *(f"{v}[{i}]" for v in ("vector", "offset") for i in (1, 2, 3))]
    rows = [
        ["SOURCE", "general", "source", ".", *_three((0, 0, 1)), *_three((0, 0, 0))],
        ["OMEGA", "rotation", "goniometer", ".", *_three(axis), *_three((0, 0, 0))],
        ["ELEMENT_1", "translation", "detector", ".", *_three((1, 0, 0)), *_three((x, y, length))],
        ["ELEMENT_2", "translation", "detector", "ELEMENT_1", *_three((0, -1, 0)), *_three((0, 0, 0))],
    ]
    _loop(block, "_axis.", columns, rows)


def _three(vector: "np.ndarray | tuple[float, float, float]") -> list[str]:
    return [f"{float(value) + 0.0:.9g}" for value in vector]


def _loop(block: cif.Block, prefix: str, columns: list[str], rows: list[list[str]]) -> None:
    loop = block.init_loop(prefix, columns)
    for row in rows:
        loop.add_row(row)
