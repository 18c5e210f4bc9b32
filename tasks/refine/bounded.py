"""Least squares with an end: so many fits for the changes of one refinement, and none after one ran out of time."""

from tasks.integrate import Reflections
from tasks.model import DivergedError, ProgramTimeoutError
from tasks.refine.draft import Draft, DraftFit, UniqueIntensities
from tasks.refine.observed import ReindexedIntensities
from tasks.refine.ports import LeastSquares
from tasks.refine.solvent_mask import SolventMask
from tasks.solve import Solution


class BoundedLeastSquares:
    """Passes requests on until its fits are used up; then, and after a fit that timed out, each is refused.

    Implements `tasks.refine.ports.LeastSquares`. A refused fit diverges for the caller, who undoes the change that
    asked for it: the refinement goes on to its end with the model that it has. Counted in fits, not in seconds, so
    that the same input ends in the same model on any machine.
    """

    def __init__(self, engine: LeastSquares, *, most: int) -> None:
        self._engine = engine
        self._left = most

    @property
    def program(self) -> str:
        """Name and version of what computes."""
        return self._engine.program

    def merged(
        self, data: Reflections, solution: Solution, table: ReindexedIntensities, d_min_angstrom: float | None
    ) -> UniqueIntensities:
        """Return the unique intensities of the solution's space group; see the port."""
        return self._engine.merged(data, solution, table, d_min_angstrom)

    def fit(
        self,
        draft: Draft,
        intensities: UniqueIntensities,
        *,
        cycles: int,
        update_weights: bool = False,
        held_out: float = 0.0,
        seed: int = 0,
    ) -> DraftFit:
        """Return the draft after at most so many cycles.

        Raises
        ------
        DivergedError
            If the fits are used up, or a fit before this one ran out of time.
        """
        if self._left <= 0:
            raise DivergedError("the fits of this refinement are used up", "give more by refine.fits")
        self._left -= 1
        try:
            return self._engine.fit(
                draft, intensities, cycles=cycles, update_weights=update_weights, held_out=held_out, seed=seed
            )
        except ProgramTimeoutError:
            self._left = 0
            raise

    def solvent(self, draft: Draft, intensities: UniqueIntensities) -> SolventMask | None:
        """Return what fills the pores; see the port."""
        return self._engine.solvent(draft, intensities)
