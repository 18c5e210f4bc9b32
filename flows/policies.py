"""Engines that choose among engines: `auto` takes what is installed, `all` runs everything and compares."""

import json
import logging
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Literal, TypeVar

import numpy as np
from pydantic import Field

from adapters.cctbx.refine_engine import SmtbxRefiner
from adapters.programs.dials.engine import DialsIntegrator
from adapters.programs.probe import DIALS, SHELXD, SHELXL, SHELXS, SHELXT, XDS, Program, require
from adapters.programs.shelx.refine_engine import ShelxlRefiner
from adapters.programs.shelx.solve_engine import ShelxdSolver, ShelxsSolver, ShelxtSolver
from adapters.programs.xds.engine import XdsIntegrator
from tasks.crystal.correlation import correlation
from tasks.crystal.scattering import d_star_squared
from tasks.frames import FrameSeries
from tasks.integrate import (
    BuiltinIntegrator,
    Integrator,
    Reflections,
    amplitudes,
    averaged,
    match_crystals,
    reduced_crystal,
    row_keys,
)
from tasks.model import ApertureError, Composition, Document, ProgramNotFoundError
from tasks.model.provenance import Attempt
from tasks.model.verdict import standing
from tasks.refine import Refinement, Refiner
from tasks.solve import ChargeFlipping, DirectMethods, Solution, Solutions, Solver

log = logging.getLogger("apertura.policies")

E = TypeVar("E")
D = TypeVar("D", Reflections, Solutions, Refinement)

SHELLS = 5
"""Of resolution: enough to tell where engines part, few enough that each is well filled."""
VOLUME_TOLERANCE = 0.05
"""Relative; cells of electron diffraction are a per cent or two off along each edge."""
LOW_CORRELATION = 0.5
"""Of |E| in a shell, below which it is named; by judgement."""


class AutoIntegrator(Document):
    """Integrate with the first of XDS, DIALS and the built-in integrator that is installed and succeeds."""

    engine: Literal["auto"] = "auto"
    d_min_angstrom: float | None = Field(default=None, gt=0, le=20, description="high-resolution limit; None = found")

    def integrate(self, frames: FrameSeries, workdir: Path) -> Reflections:
        """Return the first result; see `tasks.integrate.ports.Integrator`."""
        return first_success(
            integrators(self.d_min_angstrom), lambda engine, folder: engine.integrate(frames, folder), workdir
        )


class AllIntegrators(Document):
    """Integrate with every installed engine, report how they agree, and go on with the best."""

    engine: Literal["all"] = "all"
    d_min_angstrom: float | None = Field(default=None, gt=0, le=20, description="high-resolution limit; None = found")

    def integrate(self, frames: FrameSeries, workdir: Path) -> Reflections:
        """Return the result with the highest CC1/2; the comparison is in its provenance and in consensus.json."""
        results, attempts = every_success(
            integrators(self.d_min_angstrom), lambda engine, folder: engine.integrate(frames, folder), workdir
        )
        best = max(results, key=lambda name: results[name].overall.cc_half or -1.0)
        rows = [agreement(results[best], other) for other in results.values()]
        return with_attempts(results[best], [*attempts, *consensus(rows, workdir)])


class AutoSolver(Document):
    """Solve with SHELXT if it is installed, else, or if that fails, with the embedded direct methods."""

    engine: Literal["auto"] = "auto"

    def solve(self, data: Reflections, composition: Composition | None, workdir: Path) -> Solutions:
        """Return the first result; see `tasks.solve.ports.Solver`."""
        engines: list[tuple[Solver, Program | None]] = [(ShelxtSolver(), SHELXT), (DirectMethods(), None)]
        return first_success(engines, lambda engine, folder: engine.solve(data, composition, folder), workdir)


class AllSolvers(Document):
    """Solve with every installed engine, report how they agree, and go on with the best."""

    engine: Literal["all"] = "all"

    def solve(self, data: Reflections, composition: Composition | None, workdir: Path) -> Solutions:
        """Return the result with the best verdict, then R1; the comparison is in its provenance and consensus.json."""
        engines: list[tuple[Solver, Program | None]] = [
            (ShelxtSolver(), SHELXT),
            (ShelxsSolver(), SHELXS),
            (ShelxdSolver(), SHELXD),
            (ChargeFlipping(), None),
            (DirectMethods(), None),
        ]
        results, attempts = every_success(
            engines, lambda engine, folder: engine.solve(data, composition, folder), workdir
        )
        best = min(results, key=lambda name: (standing(results[name].verdict), results[name].best.r1))
        rows: list[dict[str, object]] = [
            {
                "engine": name,
                "space_group": found.best.space_group,
                "verdict": found.verdict,
                "r1": round(found.best.r1, 4),
                "atoms": len(found.best.atoms),
                "disagrees": "" if found.best.space_group == results[best].best.space_group else "space group",
            }
            for name, found in results.items()
        ]
        return with_attempts(results[best], [*attempts, *consensus(rows, workdir)])


class AutoRefiner(Document):
    """Refine with SHELXL if it is installed, else, or if that fails, with the embedded least squares."""

    engine: Literal["auto"] = "auto"

    def refine(
        self, data: Reflections, solution: Solution, composition: Composition | None, workdir: Path
    ) -> Refinement:
        """Return the first result; see `tasks.refine.ports.Refiner`."""
        engines: list[tuple[Refiner, Program | None]] = [(ShelxlRefiner(), SHELXL), (SmtbxRefiner(), None)]
        return first_success(
            engines, lambda engine, folder: engine.refine(data, solution, composition, folder), workdir
        )


class AllRefiners(Document):
    """Refine with every installed engine, report how they agree, and go on with the best."""

    engine: Literal["all"] = "all"

    def refine(
        self, data: Reflections, solution: Solution, composition: Composition | None, workdir: Path
    ) -> Refinement:
        """Return the preferred result; the comparison is in its provenance and consensus.json."""
        engines: list[tuple[Refiner, Program | None]] = [(ShelxlRefiner(), SHELXL), (SmtbxRefiner(), None)]
        results, attempts = every_success(
            engines, lambda engine, folder: engine.refine(data, solution, composition, folder), workdir
        )
        best = min(results, key=lambda name: preference(results[name]))
        rows: list[dict[str, object]] = [
            {
                "engine": name,
                "space_group": model.space_group,
                "verdict": model.verdict,
                "r1": round(model.r1, 4),
                "r1_left_out": None if model.r1_free is None else round(model.r1_free, 4),
                "wr2": round(model.wr2, 4),
                "formula": model.formula,
                "disagrees": "" if model.formula == results[best].formula else "formula",
            }
            for name, model in results.items()
        ]
        return with_attempts(results[best], [*attempts, *consensus(rows, workdir)])


def preference(model: Refinement) -> tuple[int, float, float]:
    """Return what refinements by several engines are ranked by, the least first.

    The verdict, then R1 of reflections that were left out, which is measured alike for all; only then R1, which is of
    each engine's own data and parameters.
    """
    return standing(model.verdict), 1.0 if model.r1_free is None else model.r1_free, model.r1


def integrators(d_min_angstrom: float | None) -> list[tuple[Integrator, Program | None]]:
    """Return the integrators in the order in which `auto` takes them, with the program that each needs."""
    xds = XdsIntegrator() if d_min_angstrom is None else XdsIntegrator(d_min_angstrom=d_min_angstrom)
    return [
        (xds, XDS),
        (DialsIntegrator(d_min_angstrom=d_min_angstrom), DIALS),
        (BuiltinIntegrator(d_min_angstrom=d_min_angstrom), None),
    ]


def first_success(engines: Sequence[tuple[E, Program | None]], run: Callable[[E, Path], D], workdir: Path) -> D:
    """Return the first result, with a record of the engines that were tried before; raise the last error."""
    attempts: list[Attempt] = []
    error: ApertureError = ProgramNotFoundError("no engine to choose from", "")
    for name, outcome in _tried(engines, run, workdir):
        if not isinstance(outcome, ApertureError):
            return with_attempts(outcome, attempts)
        error = outcome
        log.info("%s: %s; the next engine is tried", name, error.message)
        attempts.append(Attempt(change=f"engine {name}", reason="first in the order", outcome=error.message))
    raise error


def every_success(
    engines: Sequence[tuple[E, Program | None]], run: Callable[[E, Path], D], workdir: Path
) -> tuple[dict[str, D], list[Attempt]]:
    """Return the results by engine and a record of those that failed; raise the last error if all did."""
    results: dict[str, D] = {}
    attempts: list[Attempt] = []
    error: ApertureError = ProgramNotFoundError("no engine to choose from", "")
    for name, outcome in _tried(engines, run, workdir):
        if isinstance(outcome, ApertureError):
            error = outcome
            attempts.append(Attempt(change=f"engine {name}", reason="all engines", outcome=error.message))
        else:
            results[name] = outcome
    if not results:
        raise error
    return results, attempts


def _tried(
    engines: Sequence[tuple[E, Program | None]], run: Callable[[E, Path], D], workdir: Path
) -> Iterator[tuple[str, D | ApertureError]]:
    """Run one engine after the other, each when it is asked for; yield its name and its result or error."""
    for engine, program in engines:
        name = str(getattr(engine, "engine", type(engine).__name__))
        try:
            if program is not None:
                require(program)
            outcome: D | ApertureError = run(engine, fresh(workdir, name))
        except ApertureError as error:
            outcome = error
        yield name, outcome


def consensus(rows: list[dict[str, object]], workdir: Path) -> list[Attempt]:
    """Write the table of agreement to consensus.json; return its rows for the provenance."""
    (workdir / "consensus.json").write_text(json.dumps(rows, indent=1), encoding="utf-8")
    reason = "compared with the best"
    return [Attempt(change=f"engine {row['engine']}", reason=reason, outcome=json.dumps(row)) for row in rows]


def agreement(best: Reflections, other: Reflections) -> dict[str, object]:
    """Return one row of the consensus table: cell, space group, and correlation with the best, shell by shell.

    Both are compared in the primitive reduced cell, in the best indexing that the lattice allows: engines may choose
    different settings or, where the lattice is more symmetric than the crystal, different indexings.
    """
    common, correlations = _correlations(best, other)
    return {
        "engine": other.provenance.engine,
        "unit_cell": [round(value, 4) for value in other.unit_cell.parameters],
        "space_group": other.space_group,
        "cc_half": other.overall.cc_half,
        "common_reflections": common,
        "cc_with_best_by_shell": correlations,
        "disagrees": _disagreements(best, other, correlations),
    }


def _correlations(best: Reflections, other: Reflections) -> tuple[int, list[float | None]]:
    """Return the number of common reflections and the correlation of |E| in shells of equal numbers."""
    reference, crystal = reduced_crystal(best), reduced_crystal(other)
    first, second = amplitudes(reference), amplitudes(crystal)
    found = match_crystals(crystal, first, reference.cell)
    if found is None:
        return 0, []
    moved = averaged(second.hkl @ found.basis, second.value)
    _, mine, theirs = np.intersect1d(row_keys(first.hkl), row_keys(moved.hkl), return_indices=True)
    if len(mine) < 10 * SHELLS:
        return len(mine), []
    order = np.argsort(d_star_squared(first.hkl[mine].astype(np.int32), reference.cell))
    shells = [(first.value[mine[part]], moved.value[theirs[part]]) for part in np.array_split(order, SHELLS)]
    return len(mine), [_rounded(correlation(x, y)) for x, y in shells]


def _disagreements(best: Reflections, other: Reflections, correlations: Sequence[float | None]) -> list[str]:
    """Return in words where a result departs from the best: the cell's volume, the symmetry, shells."""
    mine, theirs = reduced_crystal(best).cell.volume_angstrom3, reduced_crystal(other).cell.volume_angstrom3
    found = []
    if abs(theirs / mine - 1.0) > VOLUME_TOLERANCE:
        found.append(f"primitive cell of {theirs:.1f} against {mine:.1f} A^3")
    if other.laue_group != best.laue_group:
        found.append(f"Laue group {other.laue_group} against {best.laue_group}")
    if not correlations:
        found.append("too few common reflections to compare intensities")
    low = [str(number) for number, value in enumerate(correlations, 1) if value is None or value < LOW_CORRELATION]
    if low:
        found.append(f"intensities in shell {', '.join(low)} of {len(correlations)}")
    return found


def _rounded(value: float | None) -> float | None:
    return None if value is None or not np.isfinite(value) else round(float(value), 4)


def with_attempts(result: D, attempts: list[Attempt]) -> D:
    """Return the result with a record of what was tried besides."""
    provenance = result.provenance.model_copy(update={"attempts": (*attempts, *result.provenance.attempts)})
    return result.model_copy(update={"provenance": provenance})


def fresh(workdir: Path, name: str) -> Path:
    """Return a new, empty folder."""
    folder = workdir / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder
