"""Refinement by smtbx in the cctbx worker."""

from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import Field

from adapters.cctbx.numerics import WorkerLeastSquares
from adapters.formats.cif_writer import fcf_text, refinement_cif
from adapters.formats.hklf5 import hklf5_text
from adapters.formats.shelx_writer import ins_text, res_text
from adapters.formats.solvent_files import fab_text
from tasks.integrate import Reflections, hklf4_text, read_overlaps, scale_for
from tasks.model import Composition, FileRef
from tasks.refine import (
    RefinedStructure,
    Refinement,
    RefineSettings,
    StructureFiles,
    UniqueIntensities,
    refinement,
)
from tasks.solve import Solution


class SmtbxRefiner(RefineSettings):
    """Complete and refine by full-matrix least squares on F^2 with smtbx.

    Source: Bourhis et al., Acta Cryst. A71, 59-75 (2015), the engine of olex2.refine.
    """

    engine: Literal["smtbx"] = "smtbx"
    timeout_s: float = Field(default=600.0, gt=0, le=86400, description="wall time of one step of least squares")

    def refine(
        self, data: Reflections, solution: Solution, composition: Composition | None, workdir: Path
    ) -> Refinement:
        """Return the refined model; files go into `workdir`."""
        return refinement(
            data,
            solution,
            composition,
            engine=self.engine,
            settings=self,
            numerics=WorkerLeastSquares(workdir, self.timeout_s),
            write=write_structure,
            workdir=workdir,
        )


def write_structure(structure: RefinedStructure, workdir: Path) -> StructureFiles:
    """Write CIF, RES, INS, HKL and FCF; see `tasks.refine.ports.StructureWriter`."""
    text, scale = _reflections(structure.intensities)
    texts = {
        "cif": refinement_cif(structure),
        "res": res_text(structure, intensity_scale=scale),
        "ins": ins_text(structure, intensity_scale=scale),
        "hkl": text,
        "fcf": fcf_text(structure),
    }
    if structure.fit.draft.solvent is not None:
        texts["fab"] = fab_text(structure.fit.draft.solvent)
    files = {}
    for kind, text in texts.items():
        path = workdir / f"refined.{kind}"
        path.write_text(text, encoding="utf-8")
        files[kind] = FileRef.of(path)
    return StructureFiles(**files)


def _reflections(data: UniqueIntensities) -> tuple[str, float]:
    """Return what was refined against as HKLF 4 or 5, and what intensities were multiplied by in it."""
    if data.overlaps is not None:
        overlaps = read_overlaps(data.overlaps)
        return hklf5_text(overlaps), scale_for(overlaps.intensity, overlaps.sigma)
    with np.load(data.table.path, allow_pickle=False) as file:
        hkl, intensity, sigma = file["hkl"], file["intensity"], file["sigma"]
    return hklf4_text(hkl, intensity, sigma), scale_for(intensity, sigma)
