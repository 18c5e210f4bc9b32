"""Requests to the cctbx worker and its replies: documents, arrays in .npz files beside them."""

import os
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, PlainSerializer, SerializationInfo

from tasks.crystal.scattering import Radiation
from tasks.model import Document, UnitCell
from tasks.refine import Draft, DraftFit, SolventMask, UniqueIntensities


def _from_workdir(path: Path, info: SerializationInfo) -> str:
    root = info.context.get("root") if isinstance(info.context, dict) else None
    return str(path) if root is None else os.path.relpath(path, root)


WorkFile = Annotated[Path, PlainSerializer(_from_workdir)]
"""A file that the worker reads or writes: in a request from its working folder, so that equal work has equal bytes."""


class MergeRequest(Document):
    """Merge intensities under a space group and leave out its absences.

    ``table`` is an .npz file with ``hkl`` (n, 3) int32, ``intensity`` and ``sigma`` (n,).
    """

    verb: Literal["merge"] = "merge"
    hall: str
    unit_cell: UnitCell
    radiation: Radiation
    wavelength_angstrom: float = Field(gt=0)
    merge_friedel: bool
    d_min_angstrom: float | None = None
    table: WorkFile
    output: WorkFile


class FitRequest(Document):
    """Refine a draft by full-matrix least squares on F^2."""

    verb: Literal["fit"] = "fit"
    draft: Draft
    intensities: UniqueIntensities
    cycles: int = Field(default=10, ge=0, le=500, description="at most")
    update_weights: bool = False
    shift_over_esd: float = Field(default=0.01, gt=0, description="stop when no shift is larger")
    held_out: float = Field(default=0.0, ge=0, le=0.5, description="part of the reflections kept from the fit")
    seed: int = Field(default=0, ge=0, description="chooses the reflections that are held out")
    peaks: int = Field(default=40, ge=0, le=1000, description="how many difference peaks to list")
    output: WorkFile


class MaskRequest(Document):
    """Find what fills the pores of a draft, as it stands."""

    verb: Literal["mask"] = "mask"
    draft: Draft
    intensities: UniqueIntensities
    output: WorkFile


Request = Annotated[MergeRequest | FitRequest | MaskRequest, Field(discriminator="verb")]


class Batch(Document):
    """What one worker process is asked to do, in order."""

    requests: tuple[Request, ...]


class WorkerFailure(Document):
    """Why a request could not be answered: the science, not a crash."""

    verb: Literal["failure"] = "failure"
    kind: Literal["diverged", "input"]
    message: str


class MergedReply(Document):
    """Reply to `MergeRequest`."""

    verb: Literal["merged"] = "merged"
    intensities: UniqueIntensities


class Fitted(Document):
    """Reply to `FitRequest`."""

    verb: Literal["fitted"] = "fitted"
    fit: DraftFit


class Masked(Document):
    """Reply to `MaskRequest`; None without a pore that holds something."""

    verb: Literal["masked"] = "masked"
    solvent: SolventMask | None


Reply = Annotated[WorkerFailure | MergedReply | Fitted | Masked, Field(discriminator="verb")]


class Replies(Document):
    """What the worker answers: one reply for each request; after a failure, none."""

    replies: tuple[Reply, ...]
    cctbx_version: str
