"""The way of a refinement: intensities chosen, a model grown and refined, shaken, named, judged, written."""

import logging
from pathlib import Path

import numpy as np

from tasks.crystal.scattering import d_star_squared
from tasks.integrate import Reflections
from tasks.model import Composition, InputError, ProgramFailedError, ProgramTimeoutError
from tasks.model.provenance import Provenance
from tasks.model.verdict import UNTESTED
from tasks.refine.cell_check import cell_doubts
from tasks.refine.checks import warnings_of
from tasks.refine.completion import fitting_composition
from tasks.refine.conclusion import Concluded, concluded
from tasks.refine.draft import ModelFit, UniqueIntensities
from tasks.refine.element_odds import element_odds
from tasks.refine.models import Refinement, StructureFiles
from tasks.refine.observed import reindexed, useful_limit
from tasks.refine.ports import LeastSquares, StructureWriter
from tasks.refine.settings import RefineSettings
from tasks.refine.strategy import first_draft, refined
from tasks.refine.structure import electron_wavelength, esd_in_axes_of, formula_of, structure_of
from tasks.refine.validation import recovery
from tasks.refine.verdict import NOT_RECOVERED, Grounds, hides_extinction
from tasks.solve import Solution

log = logging.getLogger("apertura.refine")


def refinement(
    data: Reflections,
    solution: Solution,
    composition: Composition | None,
    *,
    engine: str,
    settings: RefineSettings,
    numerics: LeastSquares,
    write: StructureWriter,
    workdir: Path,
) -> Refinement:
    """Return the completed, refined and judged model of a solution.

    Raises
    ------
    DivergedError
        If the model itself, before any change, has no atoms or cannot be refined.
    InputError
        If there is nothing to refine against.
    """
    composition = fitting_composition(composition, solution.unit_cell)
    intensities = unique_intensities(numerics, data, solution, settings.d_min_angstrom)
    allowed = settings.model_copy(update={"extinction": settings.extinction and not hides_extinction(data.counting)})
    progress = refined(numerics, first_draft(solution), intensities, composition=composition, settings=allowed)
    structure = structure_of(data, solution, progress.fit, intensities, composition, program=numerics.program)
    grounds = Grounds(
        radiation=intensities.radiation,
        formula=structure.formula,
        composition=composition,
        recovery=recovery(numerics, progress.fit, intensities),
        counting=data.counting,
        cell_scale=data.cell_scale,
        wavelength_angstrom=electron_wavelength(data),
        search=solution.figures,
    )
    made = Concluded(
        id=data.id,
        solution=solution,
        warnings=structure.warnings,
        odds=element_odds(progress.fit, intensities, composition),
        files=write(structure, workdir),
        provenance=Provenance(
            engine=engine,
            version=structure.program,
            parameters=settings.model_dump(exclude={"engine"}),
            inputs={"merged": data.merged.sha256, "unmerged": data.unmerged.sha256},
            attempts=progress.attempts,
        ),
        unit_cell_esd=structure.unit_cell_esd,
    )
    return concluded(progress.fit, grounds, made)


def refined_elsewhere(
    fit: ModelFit,
    data: Reflections,
    solution: Solution,
    composition: Composition | None,
    *,
    numerics: LeastSquares,
    restraints: int,
    files: StructureFiles,
    provenance: Provenance,
) -> Refinement:
    """Return the judged model that another program refined.

    It is shaken and refined again by our least squares as ours are, without a part of the reflections. Where that
    cannot be done the model is doubtful at most.
    """
    composition = fitting_composition(composition, solution.unit_cell)
    formula, _ = formula_of(fit, composition)
    intensities, found, untested = None, None, UNTESTED
    try:
        intensities = unique_intensities(numerics, data, solution, None)
        found, untested = recovery(numerics, fit, intensities), NOT_RECOVERED
    except (InputError, ProgramFailedError, ProgramTimeoutError) as error:
        log.warning("%s: no reflections were left out of the fit: %s", data.id, error.message)
    wavelength = electron_wavelength(data)
    grounds = Grounds(data.radiation, formula, composition, found, untested, data.cell_scale, wavelength)
    grounds = grounds._replace(counting=data.counting)
    doubts = cell_doubts(fit, data.cell_scale, wavelength, composition)
    warnings = warnings_of(fit, intensities, formula=formula, composition=composition, doubts=doubts)
    esd = esd_in_axes_of(solution, data)
    made = Concluded(data.id, solution, warnings, files, provenance, restraints=restraints, unit_cell_esd=esd)
    return concluded(fit, grounds, made)


def unique_intensities(
    numerics: LeastSquares, data: Reflections, solution: Solution, d_min_angstrom: float | None
) -> UniqueIntensities:
    """Return what a solution is refined against: to a limit, or to where the data fade."""
    table = reindexed(data, solution)
    found = numerics.merged(data, solution, table, d_min_angstrom)
    if d_min_angstrom is not None:
        return found
    with np.load(found.table.path, allow_pickle=False) as file:
        d_angstrom = 1.0 / np.sqrt(d_star_squared(file["hkl"], solution.unit_cell))
        limit = useful_limit(d_angstrom, file["intensity"], file["sigma"])
    return found if limit is None else numerics.merged(data, solution, table, limit)
