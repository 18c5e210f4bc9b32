"""Refinement by smtbx in the cctbx worker."""

import logging
from pathlib import Path
from typing import Literal

import gemmi
import numpy as np
from pydantic import Field

from adapters.cctbx.client import ask
from adapters.cctbx.messages import FitRequest, Fitted, Prepared, PrepareRequest
from adapters.formats.cif_writer import fcf_text, refinement_cif
from adapters.formats.shelx_writer import ins_text, res_text
from tasks.crystal.scattering import d_star_squared
from tasks.integrate.hklf4 import hklf4_text, scale_for
from tasks.integrate.models import Reflections
from tasks.model import Composition, Document, FileRef, ProgramFailedError, UnitCell
from tasks.model.provenance import Provenance
from tasks.refine.checks import warnings_of
from tasks.refine.completion import fitting_composition
from tasks.refine.draft import Draft, DraftAtom, Fit, Observations
from tasks.refine.element_odds import ElementOdds, element_odds, unsettled
from tasks.refine.models import RefinedAtom, Refinement
from tasks.refine.observed import draft_labels, intensities_for, useful_limit
from tasks.refine.progress import Progress
from tasks.refine.strategy import Strategy, refined
from tasks.refine.structure import RefinedStructure, formula_of
from tasks.refine.validation import Recovery, recovery
from tasks.refine.verdict import judge
from tasks.solve.models import Solution

log = logging.getLogger("apertura.refine")


class WorkerLeastSquares:
    """Least squares in the cctbx worker, one process a step; remembers the worker's version."""

    def __init__(self, workdir: Path, timeout_s: float) -> None:
        self.workdir = workdir
        self.timeout_s = timeout_s
        self.steps = 0
        self.version = ""

    def prepare(self, data: Reflections, solution: Solution, d_min_angstrom: float | None) -> Observations:
        """Return the unique intensities of the solution's space group."""
        table = intensities_for(data, solution)
        source = self.workdir / "intensities.npz"
        with source.open("wb") as stream:
            np.savez(stream, **table._asdict())
        request = PrepareRequest(
            hall=solution.hall,
            unit_cell=solution.unit_cell,
            radiation=data.radiation,
            wavelength_angstrom=data.wavelength_angstrom,
            merge_friedel=data.radiation == "electron",
            d_min_angstrom=d_min_angstrom,
            table=source,
            output=self.workdir / "observations.npz",
        )
        observations = self._prepared(request)
        if d_min_angstrom is None and (limit := _limit_of(observations, solution.unit_cell)) is not None:
            return self._prepared(request.model_copy(update={"d_min_angstrom": limit}))
        return observations

    def _prepared(self, request: PrepareRequest) -> Observations:
        replies = ask([request], self.workdir, timeout_s=self.timeout_s)
        self.version = replies.cctbx_version
        match replies.replies[0]:
            case Prepared(observations=observations):
                return observations
            case other:
                raise ProgramFailedError(f"the cctbx worker answered {other.verb} to a request to prepare")

    def fit(
        self,
        draft: Draft,
        observations: Observations,
        *,
        cycles: int,
        update_weights: bool = False,
        held_out: float = 0.0,
        seed: int = 0,
    ) -> Fit:
        """Return the draft after at most so many cycles."""
        self.steps += 1
        request = FitRequest(
            draft=draft,
            observations=observations,
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


def _limit_of(observations: Observations, cell: UnitCell) -> float | None:
    with np.load(observations.table.path, allow_pickle=False) as file:
        d = 1.0 / np.sqrt(d_star_squared(file["hkl"], cell))
        return useful_limit(d, file["intensity"], file["sigma"])


class SmtbxRefiner(Document):
    """Complete and refine by full-matrix least squares on F^2 with smtbx.

    Source: Bourhis et al., Acta Cryst. A71, 59-75 (2015), the engine of olex2.refine.
    """

    engine: Literal["smtbx"] = "smtbx"
    d_min_angstrom: float | None = Field(
        default=None, gt=0.1, le=5, description="leave out data beyond; None = beyond where they fade"
    )
    completion_rounds: int = Field(default=8, ge=0, le=50, description="rounds of dropping, assigning, adding atoms")
    reassign: bool = Field(default=True, description="choose elements anew by fit and composition")
    anisotropic: bool = Field(default=True, description="anisotropic displacements where the data allow")
    hydrogens: bool = Field(default=True, description="riding hydrogen atoms where the geometry is clear")
    extinction: bool = Field(default=True, description="refine extinction where it pays")
    timeout_s: float = Field(default=600.0, gt=0, le=86400, description="wall time of one step of least squares")

    def refine(
        self, data: Reflections, solution: Solution, composition: Composition | None, workdir: Path
    ) -> Refinement:
        """Return the refined model; files go into `workdir`."""
        composition = fitting_composition(composition, solution.unit_cell)
        numerics = WorkerLeastSquares(workdir, self.timeout_s)
        observations = numerics.prepare(data, solution, self.d_min_angstrom)
        strategy = Strategy(
            completion_rounds=self.completion_rounds,
            reassign=self.reassign,
            anisotropic=self.anisotropic,
            hydrogens=self.hydrogens,
            extinction=self.extinction,
        )
        draft = draft_of(solution)
        progress = refined(numerics, draft, observations, composition=composition, strategy=strategy)
        structure = _structure(data, solution, progress.fit, observations, composition, numerics.version)
        found = recovery(numerics, progress.fit, observations)
        odds = element_odds(progress.fit, observations, composition)
        return self._document(data, structure, progress, found, composition, workdir, odds)

    def _document(
        self,
        data: Reflections,
        structure: RefinedStructure,
        progress: Progress,
        found: Recovery | None,
        composition: Composition | None,
        workdir: Path,
        odds: tuple[ElementOdds, ...],
    ) -> Refinement:
        fit = structure.fit
        centric = gemmi.symops_from_hall(structure.hall).is_centrosymmetric()
        verdict, reasons = judge(
            fit, structure.observations, found, centric=centric, formula=structure.formula, composition=composition
        )
        if (doubt := unsettled(odds)) is not None:
            reasons = (*reasons, doubt)
        files = write_files(structure, workdir)
        parameters = {name: getattr(self, name) for name in type(self).model_fields if name != "engine"}
        return Refinement(
            id=data.id,
            space_group=structure.space_group,
            hall=structure.hall,
            unit_cell=structure.unit_cell,
            formula=Composition(counts=structure.formula).formula(),
            atoms=refined_atoms(fit, odds),
            r1=fit.r1,
            r1_all=fit.r1_all,
            wr2=fit.wr2,
            goof=fit.goof,
            reflections=fit.reflections,
            reflections_observed=fit.reflections_observed,
            parameters=fit.parameters,
            shift_over_esd_max=fit.shift_over_esd_max,
            density_max=fit.density_max,
            density_min=fit.density_min,
            r1_free=None if found is None else found.r1_free,
            recovery_angstrom=None if found is None else found.displacement_angstrom,
            extinction=fit.draft.extinction,
            weights=fit.draft.weights,
            converged=fit.converged,
            verdict=verdict,
            reasons=reasons,
            warnings=structure.warnings,
            provenance=Provenance(
                engine=self.engine,
                version=structure.program,
                parameters=parameters,
                inputs={"merged": data.merged.sha256, "unmerged": data.unmerged.sha256},
                attempts=progress.attempts,
            ),
            **files,
        )


def draft_of(solution: Solution) -> Draft:
    """Return the first model of a solution; its hydrogen atoms are left to the geometry."""
    atoms = [atom for atom in solution.atoms if atom.element not in {"H", "D"}]
    labels = draft_labels([atom.element for atom in atoms])
    return Draft(
        hall=solution.hall,
        unit_cell=solution.unit_cell,
        atoms=tuple(
            DraftAtom(
                label=label,
                element=atom.element,
                position=atom.position,
                u_iso_angstrom2=min(max(atom.u_iso_angstrom2, 0.005), 0.1),
                occupancy=atom.occupancy,
            )
            for atom, label in zip(atoms, labels, strict=True)
        ),
    )


def cell_esd(data: Reflections, solution: Solution) -> tuple[float, float, float, float, float, float] | None:
    """Return the esds of the cell in the solution's axes; None if they are not the measured ones in another order."""
    change = np.abs(np.array(solution.to_solution_cell))
    if data.unit_cell_esd is None or not np.array_equal(np.sort(change, axis=1), np.tile([0.0, 0.0, 1.0], (3, 1))):
        return None
    order = change.argmax(axis=1)
    if not np.allclose(np.array(data.unit_cell.parameters[:3])[order], solution.unit_cell.parameters[:3]):
        return None
    a, b, c = (data.unit_cell_esd[axis] for axis in order)
    alpha, beta, gamma = (data.unit_cell_esd[3 + axis] for axis in order)
    return (a, b, c, alpha, beta, gamma)


def _structure(
    data: Reflections,
    solution: Solution,
    fit: Fit,
    observations: Observations,
    composition: Composition | None,
    version: str,
) -> RefinedStructure:
    formula, units = formula_of(fit, composition)
    return RefinedStructure(
        id=data.id,
        space_group=solution.space_group,
        hall=solution.hall,
        unit_cell_esd=cell_esd(data, solution),
        fit=fit,
        observations=observations,
        formula=formula,
        formula_units=units,
        warnings=(
            *_about_limit(data, observations),
            *warnings_of(fit, observations, formula=formula, composition=composition),
        ),
        program=f"smtbx of cctbx-base {version}",
    )


def _about_limit(data: Reflections, observations: Observations) -> tuple[str, ...]:
    if observations.d_min_angstrom < 1.02 * data.d_min_angstrom:
        return ()
    used, given = observations.d_min_angstrom, data.d_min_angstrom
    return (f"data from {used:.2f} to {given:.2f} A were left out",)


def refined_atoms(fit: Fit, odds: tuple[ElementOdds, ...] = ()) -> tuple[RefinedAtom, ...]:
    """Return the atoms with their standard uncertainties and the odds of their elements."""
    sure = {item.label: item.odds for item in odds}
    riding = {label for group in fit.draft.riding for label in group.hydrogens}
    return tuple(
        RefinedAtom(
            label=atom.label,
            element=atom.element,
            position=atom.position,
            position_esd=None if atom.label in riding else row.position_esd,
            u_iso_angstrom2=row.u_equivalent,
            u_aniso_angstrom2=atom.u_aniso_angstrom2,
            occupancy=atom.occupancy,
            riding=atom.label in riding,
            element_odds=sure.get(atom.label),
        )
        for atom, row in zip(fit.draft.atoms, fit.atoms, strict=True)
    )


def write_files(structure: RefinedStructure, workdir: Path) -> dict[str, FileRef]:
    """Write CIF, RES, INS, HKL and FCF; the reflections are the unique ones that were refined against."""
    with np.load(structure.observations.table.path, allow_pickle=False) as file:
        hkl, intensity, sigma = file["hkl"], file["intensity"], file["sigma"]
    scale = scale_for(intensity, sigma)
    texts = {
        "cif": refinement_cif(structure),
        "res": res_text(structure, intensity_scale=scale),
        "ins": ins_text(structure, intensity_scale=scale),
        "hkl": hklf4_text(hkl, intensity, sigma),
        "fcf": fcf_text(structure),
    }
    files = {}
    for kind, text in texts.items():
        path = workdir / f"refined.{kind}"
        path.write_text(text, encoding="utf-8")
        files[kind] = FileRef.of(path)
    return files
