"""What engines of computing are given, and what they give."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from adapters.compute.clusters import ClusterSection
from tasks.model import Document


class ComputePlace(NamedTuple):
    """The run folder that work is done for, and the clusters that the site knows."""

    run: Path
    clusters: Mapping[str, ClusterSection] = {}


class Workforce(Protocol):
    """Does units of work (`tasks.stage.Hands`), so many at once."""

    at_once: int
    apart: bool
    """Whether that is outside this process."""

    def do(self, call: Callable[..., Document], arguments: Mapping[str, Any]) -> str:
        """Do a unit of work; return the text of the document that it left."""
        ...

    def stop(self) -> None:
        """End what is being done; who waits for it gets a `CancelledError`."""
        ...
