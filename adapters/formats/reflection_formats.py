"""The formats of reflections, in the order in which they are asked: one list for `apertura solve` and `inspect`."""

from collections.abc import Callable
from pathlib import Path

import numpy as np

from adapters.formats.cif_reflections import has_reflections, is_cif, read_cif, read_cif_reflections
from adapters.formats.describe_reflections import describe_reflections
from adapters.formats.dials_refl import describe_refl, is_refl, read_refl
from adapters.formats.file_format import Choice, FileFormat, Inspection, text_of
from adapters.formats.hklf4 import looks_like_hklf, read_hklf
from adapters.formats.intensity_table import IntensityTable
from adapters.formats.mtz import read_mtz
from adapters.formats.shelx_source import (
    SUFFIXES,
    described_by,
    holds_reflections,
    instructions_beside,
    read_shelx_source,
)
from adapters.formats.structure_formats import describe_cif_structure, describe_shelx_structure
from adapters.formats.text_table import has_named_columns, read_text_table
from adapters.formats.xds_ascii import read_xds_ascii, read_xds_integrate
from tasks.model import SourceError

Recognise = Callable[[Path, bytes], bool]
Read = Callable[[Path, Choice], IntensityTable]
LARGEST_BYTES = 2**30
"""Of a file of reflections, read as a whole: 30 million lines of HKLF 4. Chosen, not measured: a file that is larger is
another thing, and is refused before it fills the memory."""
WAVELENGTHS_ANGSTROM = (1e-3, 1e2)
"""Between which a wavelength is one of diffraction: electrons of 10 MeV, very soft X-rays. Chosen, not measured."""
JANA_SUFFIXES = (".m90", ".m91", ".m95")


def _begins(*marks: bytes) -> Recognise:
    return lambda path, begin: path.is_file() and begin.startswith(marks)


def _text(recognises: Callable[[Path, str], bool]) -> Recognise:
    """Return a recogniser of text files."""

    def asked(path: Path, begin: bytes) -> bool:
        text = text_of(begin)
        return path.is_file() and text is not None and recognises(path, text)

    return asked


def _format(
    name: str, recognises: Recognise, read: Read, *, describe: Callable[[Path], Inspection] | None = None
) -> FileFormat:
    def checked(path: Path, choice: Choice) -> IntensityTable:
        return _sound(path, read(_bounded(path), choice))

    described = describe or (lambda path: describe_reflections(path, name, checked))
    return FileFormat(name, recognises, lambda path: described(_bounded(path)), checked)


def _bounded(path: Path) -> Path:
    if (size := path.stat().st_size) > LARGEST_BYTES:
        raise SourceError(f"{path}: {size} bytes are more than any file of reflections has ({LARGEST_BYTES})")
    return path


def _sound(path: Path, table: IntensityTable) -> IntensityTable:
    """Return the table without a wavelength that is none; refuse values that are not finite."""
    if not (np.isfinite(table.data.intensity).all() and np.isfinite(table.data.sigma).all()):
        raise SourceError(f"{path}: intensities or sigmas that are not finite numbers")
    wavelength = table.wavelength_angstrom
    if wavelength is None or WAVELENGTHS_ANGSTROM[0] <= wavelength <= WAVELENGTHS_ANGSTROM[1]:
        return table
    warning = f"the wavelength of the file, {wavelength:g} A, is none of diffraction and is not used"
    return table._replace(wavelength_angstrom=None, warnings=(*table.warnings, warning))


def _is_xscale(_: Path, begin: bytes) -> bool:
    return begin.startswith(b"!FORMAT=XDS_ASCII") and (b"!ITEM_ISET=" in begin or b"XSCALE" in begin)


def _is_shelx(path: Path, _: str) -> bool:
    return path.suffix.lower() in SUFFIXES


def _is_jana(path: Path, _: bytes) -> bool:
    return path.is_file() and path.suffix.lower() in JANA_SUFFIXES


def _refuse_jana(path: Path, _: Choice) -> IntensityTable:
    raise SourceError(
        f"{path}: Jana's own reflection files are not read",
        "export the reflections from Jana as SHELX HKLF 4, or give the CIF that holds them",
    )


def _is_hklf(path: Path, text: str) -> bool:
    return path.suffix.lower() == ".hkl" or looks_like_hklf(text)


def _read_hklf(path: Path, choice: Choice) -> IntensityTable:
    """Read a list with the instructions of the same name beside it, unless it is wanted alone."""
    first, *others = read_with(path, alone=choice.alone)
    return described_by(others[0], first) if others else read_hklf(first)


def _describe_shelx(path: Path) -> Inspection:
    if not holds_reflections(path):
        return describe_shelx_structure(path)
    return describe_reflections(path, "SHELX instructions", _read_shelx)


def _describe_cif(path: Path) -> Inspection:
    if not any(map(has_reflections, read_cif(path))):
        return describe_cif_structure(path)
    return describe_reflections(path, "CIF", _read_cif)


def _read_shelx(path: Path, _: Choice) -> IntensityTable:
    return _sound(path, read_shelx_source(path))


def _read_cif(path: Path, choice: Choice) -> IntensityTable:
    return _sound(path, read_cif_reflections(path, choice.block))


def read_with(path: Path, *, alone: bool = False) -> tuple[Path, ...]:
    """Return the files that are read when this one is given, it the first: whose change makes another run."""
    suffix = path.suffix.lower()
    beside: list[Path] = []
    if suffix in SUFFIXES:
        beside = [path.with_suffix(end) for end in (".hkl", ".HKL")]
    elif suffix == ".refl":
        beside = [path.with_suffix(".expt")]
    elif suffix == ".hkl" and not alone and (instructions := instructions_beside(path)) is not None:
        beside = [instructions]
    return path, *[one for one in beside if one.is_file()][:1]


MARKED_FORMATS = (
    _format("MTZ", _begins(b"MTZ "), lambda path, choice: read_mtz(path, choice.block)),
    _format("XSCALE", _is_xscale, lambda path, _: read_xds_ascii(path)),
    _format("XDS_ASCII", _begins(b"!FORMAT=XDS_ASCII"), lambda path, _: read_xds_ascii(path)),
    _format("INTEGRATE.HKL", _begins(b"!OUTPUT_FILE=INTEGRATE.HKL"), lambda path, _: read_xds_integrate(path)),
    _format("DIALS reflection table", is_refl, lambda path, _: read_refl(path), describe=describe_refl),
    _format("Jana reflections", _is_jana, _refuse_jana),
)
"""Formats that are known by their first bytes or a suffix that nothing else has."""
TEXT_FORMATS = (
    _format("SHELX instructions", _text(_is_shelx), _read_shelx, describe=_describe_shelx),
    _format("CIF", _text(lambda _, text: is_cif(text)), _read_cif, describe=_describe_cif),
    _format(
        "table of reflections", _text(lambda _, text: has_named_columns(text)), lambda path, _: read_text_table(path)
    ),
    _format("HKLF", _text(_is_hklf), _read_hklf),
)
"""Formats of text, the least particular last: asked after all others."""
