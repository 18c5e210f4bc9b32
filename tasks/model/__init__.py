"""The vocabulary that all stages share."""

from tasks.model.document import Document, FileRef
from tasks.model.errors import (
    ApertureError,
    ChangedSourceError,
    DamagedStoreError,
    DivergedError,
    InputError,
    LicenceExpiredError,
    NoCrystalsError,
    NoSolutionError,
    NotIndexedError,
    ProgramFailedError,
    ProgramNotFoundError,
    ProgramTimeoutError,
    ScienceError,
    SettingsError,
    SourceError,
    is_retryable,
)
from tasks.model.experiment import Beam, Composition, Counting, Detector, UnitCell, Vector
from tasks.model.markdown import fenced, plain, visible, visible_lines

__all__ = [
    "ApertureError",
    "Beam",
    "ChangedSourceError",
    "Composition",
    "Counting",
    "DamagedStoreError",
    "Detector",
    "DivergedError",
    "Document",
    "FileRef",
    "InputError",
    "LicenceExpiredError",
    "NoCrystalsError",
    "NoSolutionError",
    "NotIndexedError",
    "ProgramFailedError",
    "ProgramNotFoundError",
    "ProgramTimeoutError",
    "ScienceError",
    "SettingsError",
    "SourceError",
    "UnitCell",
    "Vector",
    "fenced",
    "is_retryable",
    "plain",
    "visible",
    "visible_lines",
]
