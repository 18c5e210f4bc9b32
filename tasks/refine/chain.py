"""The way of a refinement: intensities chosen, a model grown and refined, shaken, named, judged, written."""

from pathlib import Path

import numpy as np

from tasks.integrate.models import Reflections
from tasks.model import Composition
from tasks.model.provenance import Provenance
from tasks.model.scattering import d_star_squared
from tasks.refine.completion import fitting_composition
from tasks.refine.conclusion import Concluded, concluded
from tasks.refine.draft import UniqueIntensities
from tasks.refine.element_odds import element_odds
from tasks.refine.models import Refinement
from tasks.refine.observed import reindexed, useful_limit
from tasks.refine.ports import LeastSquares, StructureWriter
from tasks.refine.settings import RefineSettings
from tasks.refine.strategy import first_draft, refined
from tasks.refine.structure import structure_of
from tasks.refine.validation import recovery
from tasks.refine.verdict import Evidence
from tasks.solve.models import Solution


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
    progress = refined(numerics, first_draft(solution), intensities, composition=composition, settings=settings)
    structure = structure_of(data, solution, progress.fit, intensities, composition, program=numerics.program)
    evidence = Evidence(
        radiation=intensities.radiation,
        formula=structure.formula,
        composition=composition,
        recovery=recovery(numerics, progress.fit, intensities),
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
    )
    return concluded(progress.fit, evidence, made)


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
