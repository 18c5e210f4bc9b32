"""The way of a refinement: intensities chosen, a model grown and refined, shaken, named, judged, written."""

import logging
from pathlib import Path

import numpy as np

from tasks.crystal.scattering import d_star_squared
from tasks.integrate import Reflections
from tasks.model import Composition, InputError, ProgramFailedError, ProgramTimeoutError
from tasks.model.provenance import Provenance
from tasks.model.verdict import UNTESTED
from tasks.refine.alerts.subject import validated_fit
from tasks.refine.alerts.validate import alerts_of
from tasks.refine.cell_check import cell_doubts
from tasks.refine.checks import warnings_of
from tasks.refine.completion import fitting_composition
from tasks.refine.conclusion import Concluded, concluded
from tasks.refine.disorder import odds_of_places
from tasks.refine.draft import DraftFit, ModelFit, UniqueIntensities
from tasks.refine.element_odds import ElementOdds, element_odds
from tasks.refine.element_rivals import ElementRival, element_rivals
from tasks.refine.measured_exchanges import MeasuredExchange, exchanged_names, measured_exchanges, undecided
from tasks.refine.missed_symmetry import Standing, in_its_symmetry
from tasks.refine.models import Refinement, StructureFiles
from tasks.refine.observed import reindexed, useful_limit
from tasks.refine.outliers import Outliers, outliers_of
from tasks.refine.overlapped import with_overlaps
from tasks.refine.ports import LeastSquares, StructureWriter
from tasks.refine.refuted_centre import centre_doubts
from tasks.refine.rival_trials import tried_rivals
from tasks.refine.settings import RefineSettings
from tasks.refine.strategy import refined, scaled_by_direction, start_of
from tasks.refine.structure import RefinedStructure, electron_wavelength, esd_in_axes_of, formula_of, structure_of
from tasks.refine.validation import recovery
from tasks.refine.verdict import NOT_RECOVERED, Grounds, hides_extinction, r1_by_chance
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
    progress = refined(
        numerics, start_of(solution, intensities, settings), intensities, composition=composition, settings=allowed
    )
    if settings.direction_scale and intensities.overlaps is None:
        progress, intensities = scaled_by_direction(numerics, progress, intensities, workdir)
    standing = Standing(solution, intensities, progress, recovery(numerics, progress.fit, intensities))
    (solution, intensities, progress, found), remarks, doubts = in_its_symmetry(
        numerics, data, standing, composition=composition, settings=allowed
    )
    structure = structure_of(data, solution, progress.fit, intensities, composition, program=numerics.program)
    refuted = centre_doubts(numerics, progress.fit, intensities) if settings.missed_symmetry else ()
    structure = structure.model_copy(update={"warnings": (*structure.warnings, *remarks, *refuted)})
    measured = measured_exchanges(numerics, progress.fit, intensities, composition)
    odds = _odds(progress.fit, intensities, composition, measured)
    structure = validated(structure, composition, odds, remarks)
    grounds = Grounds(
        radiation=intensities.radiation,
        formula=structure.formula,
        composition=composition,
        recovery=found,
        counting=data.counting,
        cell_scale=data.cell_scale,
        wavelength_angstrom=electron_wavelength(data),
        rivals=_rivals(numerics, progress.fit, intensities, composition),
        search=solution.figures,
        undecided=undecided(measured, progress.fit),
        outliers=_outliers(progress.fit),
    )
    made = Concluded(
        data=data,
        solution=solution,
        intensities=intensities,
        warnings=structure.warnings,
        odds=odds,
        files=write(structure, workdir),
        provenance=Provenance(
            engine=engine,
            version=structure.program,
            parameters=settings.model_dump(exclude={"engine"}),
            inputs={"merged": data.merged.sha256, "unmerged": data.unmerged.sha256},
            attempts=progress.attempts,
        ),
        unit_cell_esd=structure.unit_cell_esd,
        restraints=progress.fit.restraints,
        pulls=progress.fit.pulls,
        alerts=structure.alerts,
        symmetry_doubts=(*doubts, *refuted),
    )
    return concluded(progress.fit, grounds, made)


def _outliers(fit: DraftFit) -> Outliers | None:
    with np.load(fit.table.path, allow_pickle=False) as file:
        return outliers_of(file)


def _odds(
    fit: DraftFit,
    intensities: UniqueIntensities,
    composition: Composition | None,
    measured: tuple[MeasuredExchange, ...],
) -> tuple[ElementOdds, ...]:
    found = element_odds(
        fit,
        intensities,
        composition,
        exchanged=exchanged_names(fit, measured),
        unexplained=(fit.r1 / max(r1_by_chance(fit), fit.r1)) ** 2,
    )
    return odds_of_places(fit, found)


def _rivals(
    numerics: LeastSquares, fit: DraftFit, intensities: UniqueIntensities, composition: Composition | None
) -> tuple[ElementRival, ...]:
    return tried_rivals(numerics, fit, intensities, element_rivals(fit, intensities, composition))


def validated(
    structure: RefinedStructure,
    composition: Composition | None,
    odds: tuple[ElementOdds, ...],
    remarks: tuple[str, ...] = (),
) -> RefinedStructure:
    """Return a refined structure with the alerts that its validation raises."""
    subject = validated_fit(structure.fit, structure.formula, structure.formula_units)._replace(
        composition=composition, intensities=structure.intensities, odds=odds, remarks=remarks
    )
    return structure.model_copy(update={"alerts": alerts_of(subject)})


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
    formula, units = formula_of(fit, composition)
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
    alerts = alerts_of(validated_fit(fit, formula, units)._replace(composition=composition, intensities=intensities))
    made = Concluded(data, solution, warnings, files, provenance, restraints=restraints, unit_cell_esd=esd)
    made = made._replace(intensities=intensities, alerts=alerts)
    return concluded(fit, grounds, made)


def unique_intensities(
    numerics: LeastSquares, data: Reflections, solution: Solution, d_min_angstrom: float | None
) -> UniqueIntensities:
    """Return what a solution is refined against: to a limit, or to where the data fade."""
    table = reindexed(data, solution)
    found = numerics.merged(data, solution, table, d_min_angstrom)
    if d_min_angstrom is not None:
        return with_overlaps(found, data, solution)
    with np.load(found.table.path, allow_pickle=False) as file:
        d_angstrom = 1.0 / np.sqrt(d_star_squared(file["hkl"], solution.unit_cell))
        limit = useful_limit(d_angstrom, file["intensity"], file["sigma"])
    found = found if limit is None else numerics.merged(data, solution, table, limit)
    return with_overlaps(found, data, solution)
