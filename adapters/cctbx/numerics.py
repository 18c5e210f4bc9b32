"""Least squares in the cctbx worker: the numerics that a refinement asks for, one process a step."""

from pathlib import Path

import numpy as np

from adapters.cctbx.client import ask
from adapters.cctbx.messages import FitRequest, Fitted, Masked, MaskRequest, MergedReply, MergeRequest
from tasks.integrate import Reflections
from tasks.model import ProgramFailedError
from tasks.refine import Draft, DraftFit, ReindexedIntensities, SolventMask, UniqueIntensities
from tasks.solve import Solution


class WorkerLeastSquares:
    """Implements `tasks.refine.ports.LeastSquares`; remembers the worker's version."""

    def __init__(self, workdir: Path, timeout_s: float) -> None:
        self.workdir = workdir
        self.timeout_s = timeout_s
        self.steps = 0
        self.version = ""

    @property
    def program(self) -> str:
        """Name and version, known after the first answer."""
        return f"smtbx of cctbx-base {self.version}"

    def merged(
        self, data: Reflections, solution: Solution, table: ReindexedIntensities, d_min_angstrom: float | None
    ) -> UniqueIntensities:
        """Return the unique intensities of the solution's space group; see the port."""
        source = self.workdir / "reindexed.npz"
        with source.open("wb") as stream:
            np.savez(stream, **table._asdict())
        request = MergeRequest(
            hall=solution.hall,
            unit_cell=solution.unit_cell,
            radiation=data.radiation,
            wavelength_angstrom=data.wavelength_angstrom,
            merge_friedel=data.radiation == "electron",
            d_min_angstrom=d_min_angstrom,
            table=source,
            output=self.workdir / "unique.npz",
        )
        replies = ask([request], self.workdir, timeout_s=self.timeout_s)
        self.version = replies.cctbx_version
        match replies.replies[0]:
            case MergedReply(intensities=intensities):
                return intensities
            case other:
                raise ProgramFailedError(f"the cctbx worker answered {other.verb} to a request to merge")

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
        """Return the draft after at most so many cycles."""
        self.steps += 1
        request = FitRequest(
            draft=draft,
            intensities=intensities,
            cycles=cycles,
            update_weights=update_weights,
            held_out=held_out,
            seed=seed,
            output=self.workdir / f"fit-{self.steps:02d}.npz",
        )
        replies = ask([request], self.workdir, timeout_s=self.timeout_s)
        match replies.replies[0]:
            case Fitted(fit=fit):
                return fit
            case other:
                raise ProgramFailedError(f"the cctbx worker answered {other.verb} to a request to fit")

    def solvent(self, draft: Draft, intensities: UniqueIntensities) -> SolventMask | None:
        """Return what fills the pores of a draft; see the port."""
        self.steps += 1
        request = MaskRequest(draft=draft, intensities=intensities, output=self.workdir / f"mask-{self.steps:02d}.npz")
        replies = ask([request], self.workdir, timeout_s=self.timeout_s)
        match replies.replies[0]:
            case Masked(solvent=solvent):
                return solvent
            case other:
                raise ProgramFailedError(f"the cctbx worker answered {other.verb} to a request for a mask")
