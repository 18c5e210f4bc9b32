"""The built-in solvers: direct methods and charge flipping in P1, the space group from the phases."""

from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import Field

from tasks.crystal.contents import room_for_units
from tasks.crystal.symmetry import (
    Symmetry,
    compatible_groups,
    same_group,
    space_group,
    symmetry_from_symbol,
    symmetry_of,
)
from tasks.integrate import Reflections, read_merged, read_unmerged
from tasks.model import Composition, InputError, NoSolutionError
from tasks.model.provenance import Provenance
from tasks.model.verdict import LEFT_OUT_FIRST
from tasks.solve.data.diagnosis import suspicions
from tasks.solve.data.prepared import NormalisedHemisphere, normalised_to_find_atoms
from tasks.solve.data.repeated import measurements_disagree
from tasks.solve.groups.symmetry_from_phases import GroupFit
from tasks.solve.models import Solutions
from tasks.solve.phasing.methods import DualSpace, FlippingMethod
from tasks.solve.search.campaign import Methods, blank_phases, search
from tasks.solve.search.candidates import Candidate, Workshop, open_workshop, solution_of, table_of
from tasks.solve.search.enumeration import LEAST_SEARCHED, enumerated
from tasks.solve.search.group_evidence import group_evidence
from tasks.solve.search.progress import SearchProgress
from tasks.solve.search.pseudo_symmetry import higher_symmetry, lower_symmetry
from tasks.solve.search.repair import repair
from tasks.solve.settings import SolveSettings
from tasks.solve.solution_file import write_solution
from tasks.solve.twinning.beside import solved_with_twins
from tasks.stage import code_version

TABLE_ROWS = 12
"""Of space groups in the document: what a person reads at a glance. Chosen, not measured."""
CANDIDATES_KEPT = 5
"""Structures in the document, one of each group, for a person to choose from. Chosen, not measured."""


class DirectMethods(SolveSettings):
    """Dual-space direct methods in P1, then the space group from the phases (Sheldrick, Acta Cryst. A71, 3, 2015)."""

    engine: Literal["direct-methods"] = "direct-methods"

    def solve(self, data: Reflections, composition: Composition | None, workdir: Path) -> Solutions:
        """Return ranked candidates."""
        methods = (FlippingMethod(), DualSpace())
        return _written(_solve(self, methods, data, composition, engine=self.engine), workdir)


class ChargeFlipping(SolveSettings):
    """Charge flipping on E in P1 (Oszlanyi & Suto, Acta Cryst. A64, 123, 2008), then as direct methods."""

    engine: Literal["charge-flipping"] = "charge-flipping"
    turns_in_group: int = Field(default=0, ge=0, le=100000, description="dual-space turns in a space group; 0 = none")
    flips: int = Field(default=300, ge=10, le=100000, description="flipping cycles of one trial")

    def solve(self, data: Reflections, composition: Composition | None, workdir: Path) -> Solutions:
        """Return ranked candidates."""
        methods = (FlippingMethod(cycles=self.flips),)
        return _written(_solve(self, methods, data, composition, engine=self.engine), workdir)


def _written(solutions: Solutions, workdir: Path) -> Solutions:
    for number, candidate in enumerate(solutions.candidates, start=1):
        write_solution(candidate, workdir / f"solution-{number}.cif")
    return solutions


def _solve(
    settings: SolveSettings, methods: Methods, data: Reflections, composition: Composition | None, *, engine: str
) -> Solutions:
    return solved_with_twins(
        lambda told: _solve_alone(told, methods, data, composition, engine=engine), settings, data, composition
    )


def _solve_alone(
    settings: SolveSettings, methods: Methods, data: Reflections, composition: Composition | None, *, engine: str
) -> Solutions:
    prepared = normalised_to_find_atoms(
        read_merged(data.merged),
        cell=data.unit_cell,
        laue_group=data.laue_group,
        radiation=data.radiation,
        composition=composition,
        d_min_angstrom=settings.d_min_angstrom,
    )
    workshop = open_workshop(
        prepared.unique,
        _groups(settings, data),
        cell=data.unit_cell,
        radiation=data.radiation,
        composition=composition,
        d_min_angstrom=prepared.d_min_angstrom,
    )
    progress = _progress(settings, methods, prepared, workshop, name=data.id)
    best = progress.best()
    if best is None:
        raise NoSolutionError(
            f"{data.id}: no map of {progress.trials} trials had peaks to build from",
            "; ".join((*prepared.diagnosis.trouble, *([progress.cut_short] if progress.cut_short else []))),
        )
    fits, blank = progress.fits[id(best)], blank_phases(settings, prepared, 0)
    notes: list[str] = []
    if (rival := higher_symmetry(best, progress.candidates, fits, workshop, blank)) is not None:
        best = progress.settle(rival.candidate if rival.taken else best, rival.reason, settled=rival.taken)
        notes.append(rival.reason)
    if best.judgement.verdict == "solved" and (remark := lower_symmetry(best, progress.candidates)) is not None:
        best = progress.settle(best, remark, settled=True)
        notes.append(remark)
    best = repair(best, progress, notes, seed=settings.seed)
    return _document(settings, data, prepared, progress, best, engine=engine)


def _progress(
    settings: SolveSettings, methods: Methods, prepared: NormalisedHemisphere, workshop: Workshop, *, name: str
) -> SearchProgress:
    """Return the arrangement that few reflections leave no choice but, else what the search finds.

    Raises
    ------
    InputError
        If there are too few reflections to search, and no arrangement could be tried.
    """
    tried = enumerated(workshop, blank_phases(settings, prepared, 0))
    few = len(prepared.unique.hkl) < LEAST_SEARCHED
    if few and tried is None:
        raise InputError(
            f"{len(prepared.unique.hkl)} unique reflections are too few to find atoms in a map, and no arrangement of "
            + ("atoms can be tried without a composition" if workshop.composition is None else "these atoms fits"),
            "give the composition" if workshop.composition is None else "check composition, cell and Laue group",
        )
    best = None if tried is None else tried.best()
    if tried is not None and best is not None and (few or best.judgement.verdict != "not-solved"):
        return tried
    found = search(settings, methods, prepared, workshop, name=name)
    return found if tried is None or found.best() is not None else tried


def _groups(settings: SolveSettings, data: Reflections) -> list[Symmetry]:
    compatible = [symmetry_of(group) for group in compatible_groups(space_group(data.laue_group))]
    if settings.space_group is None:
        return compatible
    wanted = symmetry_from_symbol(settings.space_group)
    probe = np.stack(np.meshgrid(*[np.arange(-6, 7)] * 3), axis=-1).reshape(-1, 3).astype(np.int32)
    same = [group for group in compatible if same_group(group, wanted, probe)]
    if not same:
        raise InputError(
            f"space group {settings.space_group!r} does not belong to the Laue class {data.laue_group!r} of {data.id}",
            "give a group of this class, in the axes of the data",
        )
    return same[:1]


def _document(
    settings: SolveSettings,
    data: Reflections,
    prepared: NormalisedHemisphere,
    progress: SearchProgress,
    best: Candidate,
    *,
    engine: str,
) -> Solutions:
    mixed = measurements_disagree(read_unmerged(data.unmerged))
    trouble = (*(() if mixed is None else (mixed,)), *prepared.diagnosis.trouble)
    unexplained = best.judgement.figures["r_free"] > LEFT_OUT_FIRST[data.radiation].doubtful
    if unexplained and best.judgement.verdict != "solved":
        units = room_for_units(prepared.composition, prepared.cell.volume_angstrom3)
        trouble = (*trouble, *suspicions(trouble, units))
    if progress.cut_short is not None:
        trouble = (*trouble, progress.cut_short)
    ranked = _one_per_group(progress.ranked())[:CANDIDATES_KEPT]
    groups = group_evidence(best, progress.candidates, progress.fits[id(best)])
    kept = [solution_of(candidate) for candidate in ranked]
    return Solutions(
        id=data.id,
        candidates=(kept[0].model_copy(update={"groups": groups}), *kept[1:]),
        space_groups=table_of(progress.fits[id(best)], progress.candidates, rows=TABLE_ROWS),
        trials=progress.trials,
        verdict=best.judgement.verdict,
        margin=_margin(ranked, progress.fits[id(best)]),
        diagnosis=trouble,
        provenance=Provenance(
            engine=engine,
            version=code_version(),
            parameters=settings.model_dump(),
            inputs={"merged": data.merged.sha256},
            seed=settings.seed,
        ),
    )


def _one_per_group(ranked: list[Candidate]) -> list[Candidate]:
    seen: set[str] = set()
    kept = []
    for candidate in ranked:
        if candidate.task.symmetry.hall not in seen:
            seen.add(candidate.task.symmetry.hall)
            kept.append(candidate)
    return kept


def _margin(ranked: list[Candidate], fits: list[GroupFit]) -> str:
    best = ranked[0]
    others = [fit for fit in fits if fit.symmetry.hall != best.task.symmetry.hall]
    left_out = best.judgement.figures["r_free"]
    text = f"{best.task.symmetry.symbol}: R1 {best.built.fit.r1:.3f}, of left-out reflections {left_out:.3f}"
    if others:
        text += f", phase score {best.fit.score:.2f} against {others[0].score:.2f} of {others[0].symmetry.symbol}"
    if len(ranked) > 1:
        second = ranked[1]
        text += f"; next model {second.task.symmetry.symbol} with R1 {second.built.fit.r1:.3f}"
    return text
