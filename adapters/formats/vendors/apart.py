"""Calling a function of a library on a file of unknown origin in another process, which may hang or crash."""

import importlib
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any, TypeVar, cast

from adapters.formats.scan_worker import BYTES_PER_SECOND_LEAST, ReadFunction, ScanWorker
from tasks.model import ProgramNotFoundError, SourceError

T = TypeVar("T")
TIMEOUT_S = 30.0
"""For opening a file and looking at its headers, which takes a tenth of a second. Chosen, not measured: half of what a
bad file may cost, the rest is for slow storage."""


def apart(function: Callable[..., T], path: Path, *, beside_bytes: int = 0, **arguments: Any) -> T:
    """Return what `function(path, **arguments)` returns in another process; errors name the file.

    Parameters
    ----------
    beside_bytes
        Of files that are read along with this one: more bytes may take longer.

    Raises
    ------
    SourceError
        What the function raised; or that the file hangs or crashes the library.
    """
    limit = TIMEOUT_S + beside_bytes / BYTES_PER_SECOND_LEAST
    with ScanWorker(cast("ReadFunction", function), timeout_s=limit) as worker:
        try:
            return cast("T", worker.read(path, **arguments))
        except SourceError as error:
            named = error.message if error.message.startswith(path.name) else f"{path.name}: {error.message}"
            raise SourceError(named, error.advice) from None


def optional(name: str, what: str) -> ModuleType:
    """Return a module of the optional libraries of formats.

    Raises
    ------
    ProgramNotFoundError
        If it is not installed, saying how to install it.
    """
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise ProgramNotFoundError(
            f"{what} need the library {name.partition('.')[0]}, which is not installed",
            "pip install 'apertura[formats]'",
        ) from error
