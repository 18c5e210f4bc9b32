"""The logs and input files that state geometry: one table, asked in order."""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from adapters.formats.drafts.cred_log import FORMAT as CRED_LOG
from adapters.formats.drafts.cred_log import is_cred_log, read_cred_log
from adapters.formats.drafts.dxtbx_expt import FORMAT as EXPT
from adapters.formats.drafts.dxtbx_expt import is_expt, read_expt
from adapters.formats.drafts.manifest_file import FORMAT as MANIFEST_FORMAT
from adapters.formats.drafts.manifest_file import is_manifest, read_manifest_file
from adapters.formats.drafts.mdoc import FORMAT as MDOC
from adapters.formats.drafts.mdoc import is_mdoc, read_mdoc
from adapters.formats.drafts.pets_input import FORMAT as PETS
from adapters.formats.drafts.pets_input import is_pets, read_pets
from adapters.formats.drafts.statements import StatedFile
from adapters.formats.drafts.tilt_table import FORMAT as TILT_TABLE
from adapters.formats.drafts.tilt_table import is_tilt_table, read_tilt_table
from adapters.formats.drafts.xds_inp import FORMAT as XDS_INP
from adapters.formats.drafts.xds_inp import is_xds_inp, read_xds_inp
from adapters.formats.file_format import BEGIN_BYTES

SUFFIXES = {".txt", ".log", ".inp", ".pts", ".pts2", ".mdoc", ".idoc", ".expt", ".json", ".csv", ".tsv"}
"""Of files that are looked into."""


class GeometrySource(NamedTuple):
    """One format: how it is told, and read."""

    name: str
    recognises: Callable[[Path, bytes], bool]
    read: Callable[[Path], tuple[StatedFile, ...]]


def _one(read: Callable[[Path], StatedFile]) -> Callable[[Path], tuple[StatedFile, ...]]:
    return lambda path: (read(path),)


MANIFEST = GeometrySource(MANIFEST_FORMAT, is_manifest, _one(read_manifest_file))
SOURCES: tuple[GeometrySource, ...] = (
    MANIFEST,
    GeometrySource(CRED_LOG, is_cred_log, _one(read_cred_log)),
    GeometrySource(XDS_INP, is_xds_inp, _one(read_xds_inp)),
    GeometrySource(PETS, is_pets, _one(read_pets)),
    GeometrySource(MDOC, is_mdoc, _one(read_mdoc)),
    GeometrySource(EXPT, is_expt, read_expt),
    GeometrySource(TILT_TABLE, is_tilt_table, _one(read_tilt_table)),
)


def source_of(path: Path) -> GeometrySource | None:
    """Return the format of a file that states geometry; None if it is none of them, or cannot be opened."""
    if path.suffix.lower() not in SUFFIXES:
        return None
    try:
        with path.open("rb") as stream:
            begin = stream.read(BEGIN_BYTES)
    except OSError:
        return None
    return next((source for source in SOURCES if source.recognises(path, begin)), None)
