"""Damage that a library of frames runs into becomes one typed error, whatever the library raises."""

import contextlib
import warnings
from collections.abc import Iterator
from pathlib import Path

from tasks.model import ApertureError, SourceError

REASON_CHARACTERS = 200
"""Of a library's message that are shown: a line or two. Chosen, not measured."""


@contextlib.contextmanager
def damage_named(path: Path) -> Iterator[None]:
    """Turn what is raised within into a SourceError that names the file; warnings of libraries are not shown.

    Raises
    ------
    SourceError
        For any error that is not apertura's own already.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # header oddities of old writers; shapes and sizes are checked by us
            yield
    except ApertureError:
        raise
    except Exception as error:  # many libraries, each with errors of its own, and no common base
        text = (str(error).splitlines() or [""])[0][:REASON_CHARACTERS]
        raise SourceError(
            f"{path.name}: cannot be read: {type(error).__name__}: {text}", "copy the file again"
        ) from error
