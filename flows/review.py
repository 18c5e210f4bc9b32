"""Where a person may have a say: which apertures are used, which space group is refined."""

from typing import Protocol

from tasks.apertures import ApertureSet
from tasks.solve import Solution, Solutions


class Review(Protocol):
    """Asked between the stages; may end the process, if asking again on the next start is answered."""

    def apertures(self, proposed: ApertureSet) -> ApertureSet:
        """Return the apertures to use."""
        ...

    def solution(self, crystal: str, solutions: Solutions) -> Solution:
        """Return the candidate to refine."""
        ...


class NoReview:
    """Takes what the programs propose."""

    def apertures(self, proposed: ApertureSet) -> ApertureSet:
        """Return all apertures."""
        return proposed

    def solution(self, crystal: str, solutions: Solutions) -> Solution:  # noqa: ARG002 the port's signature
        """Return the best candidate."""
        return solutions.best
