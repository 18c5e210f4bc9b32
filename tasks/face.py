"""Faces of stages: the names that a stage's ``__init__.py`` offers, their modules imported when first asked for.

A face imports its names under ``if TYPE_CHECKING:``, where type checkers and readers see them, and lists them in
``__all__``; `open_face` reads the same lines at run time. Importing a module of a stage therefore imports none of the
others, and the command line starts without numba, scikit-image or matplotlib.
"""

import ast
import functools
import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path


def open_face(package: str) -> Callable[[str], object]:
    """Return the ``__getattr__`` of a package: a name that its face imports for type checkers is imported now."""

    def attribute(name: str) -> object:
        module = _offers(package).get(name)
        if module is None:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        value = getattr(import_module(module), name)
        setattr(sys.modules[package], name, value)
        return value

    return attribute


@functools.cache
def _offers(package: str) -> dict[str, str]:
    """Return the module of every name that a package's ``__init__.py`` imports from its own modules."""
    tree = ast.parse(Path(str(sys.modules[package].__file__)).read_text(encoding="utf-8"))
    return {
        alias.name: node.module
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.module is not None and node.module.startswith(f"{package}.")
        for alias in node.names
    }
