"""Where a person may have a say: which apertures are used, which space group is refined."""

from collections.abc import Callable
from typing import Protocol

from tasks.apertures import ApertureSet
from tasks.model import FileRef
from tasks.solve import Solution, Solutions

Redraw = Callable[[FileRef], ApertureSet]
"""Makes the apertures that an aperture file holds, as a step of the run."""


class Review(Protocol):
    """Asked between the stages; may end the process, if asking again on the next start is answered."""

    def apertures(self, proposed: ApertureSet, redraw: Redraw) -> ApertureSet:
        """Return the apertures to use: of the proposed ones, or those that `redraw` makes of a corrected file."""
        ...

    def solution(self, crystal: str, solutions: Solutions) -> Solution:
        """Return the candidate to refine."""
        ...


class NoReview:
    """Takes what the programs propose."""

    def apertures(self, proposed: ApertureSet, redraw: Redraw) -> ApertureSet:  # noqa: ARG002 the port's signature
        """Return all apertures."""
        return proposed

    def solution(self, crystal: str, solutions: Solutions) -> Solution:  # noqa: ARG002 the port's signature
        """Return the best candidate."""
        return solutions.best
