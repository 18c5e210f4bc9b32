"""All formats of scans in one table: how each is known and opened, and what `apertura inspect` says of it."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import lru_cache, partial
from pathlib import Path
from typing import NamedTuple

import h5py
from pydantic import JsonValue

from adapters.formats.file_format import FileFormat, Inspection
from adapters.formats.scans.arina_scan import is_arina, open_arina
from adapters.formats.scans.blockfile_scan import is_blockfile, open_blockfile
from adapters.formats.scans.dense_scan import DenseScan
from adapters.formats.scans.empad_scan import is_empad, open_empad
from adapters.formats.scans.hdf5_cubes import is_emd_scan, is_hyperspy_scan, open_emd, open_hyperspy
from adapters.formats.scans.hdf5_safety import SIGNATURE, is_hdf5, own
from adapters.formats.scans.merlin_scan import open_merlin
from adapters.formats.stempy_hdf5 import describe_stempy
from adapters.formats.vendors.apart import apart
from adapters.formats.vendors.merlin_mib import is_mib
from tasks.model import SourceError

NEEDED = (
    "beam.energy_kev",
    "detector.pixel_size_mm",
    "detector.camera_length_mm",
    "scan.step_nm",
    "scan.rotation_deg",
    "tilt_axis",
    "scans[].tilt_deg",
)
"""Fields that tilt_series.json must hold (tasks/ingest/README.md), beside what every file tells."""
DAMAGE = (OSError, RuntimeError, KeyError, ValueError, TypeError, IndexError, EOFError)
"""Libraries report damage as any of these, depending on the byte that is wrong."""


STEMPY = "stempy HDF5"
"""As `apertura inspect` prints it."""
EMD = "EMD (py4DSTEM)"
"""As `apertura inspect` prints it."""
KINDS_KEPT = 256
"""Files of which is remembered what they are, so that a table of formats asks once. Chosen, not measured."""


class DenseFormat(NamedTuple):
    """A format of scans of whole frames."""

    name: str
    recognises: Callable[[Path, bytes], bool]
    open: Callable[[Path], AbstractContextManager[DenseScan]]


DENSE_FORMATS: tuple[DenseFormat, ...] = (
    DenseFormat("Merlin MIB", is_mib, open_merlin),
    DenseFormat("NanoMEGAS block file", is_blockfile, open_blockfile),
    DenseFormat("DECTRIS Arina master", is_arina, open_arina),
    DenseFormat("HyperSpy", is_hyperspy_scan, open_hyperspy),
    DenseFormat(EMD, is_emd_scan, open_emd),
    DenseFormat("EMPAD", is_empad, open_empad),
)
"""Asked in order."""


TIMEPIX3 = "Timepix3 list of hits (.tpx3)"
"""Read by itself: it holds no frames."""


def dense_format(path: Path, begin: bytes) -> DenseFormat | None:
    """Return the format of a scan of whole frames; None if it is none of them."""
    return next((known for known in DENSE_FORMATS if known.recognises(path, begin)), None)


def is_stempy(path: Path, begin: bytes) -> bool:
    """Tell stempy's HDF5 by its group of events."""
    if not is_hdf5(begin):
        return False
    try:
        with h5py.File(path, "r") as file:
            return own(file, "electron_events") is not None
    except DAMAGE:
        return False


def is_timepix3(_: Path, begin: bytes) -> bool:
    """Tell a list of hits of a Timepix3 detector by the mark with which each of its chunks begins."""
    return begin.startswith(b"TPX3")


def describe_timepix3(path: Path) -> Inspection:
    """Return what a list of hits is; none of it is read, and it states neither shapes nor units."""
    return Inspection(
        file=path.name,
        format=TIMEPIX3,
        kind="scan",
        metadata={"values": "hits", "bytes": path.stat().st_size},
        lacks=(*NEEDED, "scan.shape", "detector.shape_px", "detector.event_clock"),
    )


def describe_dense(known: DenseFormat, path: Path) -> Inspection:
    """Return what a scan of whole frames is.

    Raises
    ------
    SourceError
        If it is damaged.
    """
    try:
        with known.open(path) as scan:
            stated: dict[str, JsonValue] = {"values": scan.nature, **scan.metadata}
            if scan.beside:
                stated["beside"] = [other.name for other in scan.beside]
            convert = () if scan.nature == "counts" else ("detector.conversion",)
            return Inspection(
                file=path.name,
                format=known.name,
                kind="scan",
                shape=(*(scan.scan_shape or (scan.positions,)), *scan.frame_shape),
                dtype=scan.dtype.newbyteorder("=").name,
                metadata=stated,
                lacks=(*NEEDED, *(() if scan.scan_shape else ("scan.shape",)), *convert),
            )
    except DAMAGE as error:
        raise damaged(known.name, error) from error


def damaged(name: str, error: Exception) -> SourceError:
    """Return the error for a file that a library cannot read."""
    said = (str(error).splitlines() or [type(error).__name__])[0][:200]
    return SourceError(f"not a readable file of {name}: {said}", "copy the file again")


def hdf5_scan(path: Path) -> str | None:
    """Return the name of the format of a scan in HDF5, None if it is none. Called in the other process."""
    if is_stempy(path, SIGNATURE):
        return STEMPY
    return next(
        (known.name for known in DENSE_FORMATS if known.name == EMD and known.recognises(path, SIGNATURE)), None
    )


@lru_cache(maxsize=KINDS_KEPT)
def _kind(path: Path, _size: int, _modified: int) -> str | None:
    try:
        return apart(hdf5_scan, path)
    except SourceError:  # it hangs the library, or crashes it: whoever reads it says so
        return None


def _holds(name: str) -> Callable[[Path, bytes], bool]:
    """Return the test for one kind of HDF5, which only another process opens."""

    def holds(path: Path, begin: bytes) -> bool:
        if not is_hdf5(begin):
            return False
        status = path.stat()
        return _kind(path.resolve(), status.st_size, status.st_mtime_ns) == name

    return holds


def _dense(name: str) -> DenseFormat:
    return next(one for one in DENSE_FORMATS if one.name == name)


SCAN_FORMATS: tuple[FileFormat, ...] = (
    FileFormat(STEMPY, _holds(STEMPY), partial(apart, partial(describe_stempy, lacks=NEEDED))),
    FileFormat(TIMEPIX3, is_timepix3, describe_timepix3),
    FileFormat(EMD, _holds(EMD), partial(apart, partial(describe_dense, _dense(EMD)))),
    FileFormat("EMPAD", is_empad, partial(describe_dense, _dense("EMPAD"))),
)
"""For `apertura inspect`: formats that hold scans only. What may hold frames of a rotation too (.mib, .blo, masters of
DECTRIS, HyperSpy) is listed with the formats of frames."""
