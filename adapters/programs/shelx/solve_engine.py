"""SHELXT, SHELXS and SHELXD as solving engines, when the user has them."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from pydantic import Field

from adapters.formats.shelx_ins import read_shelx
from adapters.host.runner import ProgramRun, run_program
from adapters.programs.probe import SHELXD, SHELXS, SHELXT, Program, require
from adapters.programs.shelx.input import shelxd_ins, shelxs_ins, shelxt_ins
from adapters.programs.shelx.model import solution_from_shelx
from adapters.programs.shelx.output import complaint_in, parse_lxt
from tasks.integrate import Reflections
from tasks.model import (
    Composition,
    Document,
    LicenceExpiredError,
    NoSolutionError,
    ProgramFailedError,
    SettingsError,
    SourceError,
)
from tasks.model.provenance import Attempt, Provenance
from tasks.model.verdict import standing
from tasks.solve import Solution, Solutions, SpaceGroupTrial

SHELXT_FALLBACKS: tuple[tuple[tuple[str, ...], str], ...] = (
    ((), "the program's defaults"),
    (("-y",), "all solutions of the phasing are tried for the space group"),
    (("-m1000",), "more iterations"),
    (("-a",), "all space groups of the Laue group, whatever the absences say"),
)
NEAR_SCORE = 6.0
"""Space groups whose score is this near to the best are tried by programs that need one."""

MAX_GROUPS = 4
"""Each takes a run; as many as the built-in solver builds in (`tasks.solve.search.candidates.GROUPS_TRIED`)."""


class ShelxtSolver(Document):
    """Solve with SHELXT (Sheldrick, Acta Cryst. A71, 3-8, 2015)."""

    engine: Literal["shelxt"] = "shelxt"
    timeout_s: float = Field(default=600.0, gt=0, description="wall time of each run")

    def solve(self, data: Reflections, composition: Composition | None, workdir: Path) -> Solutions:
        """Run with fallbacks until a candidate is solved; see `tasks.solve.ports.Solver`."""
        contents = _contents(composition)
        require(SHELXT)
        attempts: list[Attempt] = []
        found: list[Solution] = []
        version = "unknown"
        for options, reason in SHELXT_FALLBACKS:
            folder = _prepared(workdir / f"run{len(attempts) + 1}", data, shelxt_ins(data, contents))
            run = run_program(
                ["shelxt", *options, "job"], workdir=folder, timeout_s=self.timeout_s, install=SHELXT.install
            )
            listing = _listing(run, folder / "job.lxt", SHELXT)
            version = _version(listing) or version
            rows = parse_lxt(listing)
            new = _read_candidates(
                folder, data, contents, {row.file: {"r1_shelxt": row.r1, "alpha": row.alpha} for row in rows}
            )
            attempts.append(
                Attempt(change=" ".join(options) or "defaults", reason=reason, outcome=_outcome(new, len(rows)))
            )
            found += new
            if any(solution.verdict == "solved" for solution in found):
                break
        return _ranked(data, found, attempts, "shelxt", version)


class ShelxsSolver(Document):
    """Solve with SHELXS's direct methods (Sheldrick, Acta Cryst. A64, 112-122, 2008)."""

    engine: Literal["shelxs"] = "shelxs"
    timeout_s: float = Field(default=600.0, gt=0, description="wall time of each run")

    def solve(self, data: Reflections, composition: Composition | None, workdir: Path) -> Solutions:
        """Try the likeliest space groups; see `tasks.solve.ports.Solver`."""
        contents = _contents(composition)
        require(SHELXS)
        attempts: list[Attempt] = []
        found: list[Solution] = []
        for symbol, hall in _groups(data):
            folder = _prepared(workdir / f"run{len(attempts) + 1}", data, shelxs_ins(data, contents, hall=hall))
            run = run_program(["shelxs", "job"], workdir=folder, timeout_s=self.timeout_s, install=SHELXS.install)
            _listing(run, folder / "job.lst", SHELXS)
            new = _read_candidates(folder, data, contents, {})
            attempts.append(
                Attempt(change=symbol, reason="one of the likeliest groups", outcome=_outcome(new, len(new)))
            )
            found += new
        return _ranked(data, found, attempts, "shelxs", "unknown")


class ShelxdSolver(Document):
    """Solve with SHELXD's dual-space recycling (Sheldrick, Acta Cryst. A64, 112-122, 2008)."""

    engine: Literal["shelxd"] = "shelxd"
    tries: int = Field(default=100, ge=1, le=100000, description="random starts; ten times as many if none is good")
    seed: int = Field(default=1, ge=1, description="of the random starts")
    timeout_s: float = Field(default=1800.0, gt=0, description="wall time of each run")

    def solve(self, data: Reflections, composition: Composition | None, workdir: Path) -> Solutions:
        """Try the likeliest space groups, then more starts; see `tasks.solve.ports.Solver`."""
        contents = _contents(composition)
        require(SHELXD)
        attempts: list[Attempt] = []
        found: list[Solution] = []
        for tries in (self.tries, 10 * self.tries):
            for symbol, hall in _groups(data):
                text = shelxd_ins(data, contents, hall=hall, tries=tries, seed=self.seed)
                folder = _prepared(workdir / f"run{len(attempts) + 1}", data, text)
                run = run_program(["shelxd", "job"], workdir=folder, timeout_s=self.timeout_s, install=SHELXD.install)
                _listing(run, folder / "job.lst", SHELXD)
                new = _read_candidates(folder, data, contents, {})
                reason = f"{tries} random starts"
                attempts.append(Attempt(change=symbol, reason=reason, outcome=_outcome(new, len(new))))
                found += new
            if any(solution.verdict == "solved" for solution in found):
                break
        return _ranked(data, found, attempts, "shelxd", "unknown", seed=self.seed)


def _contents(composition: Composition | None) -> Composition:
    if composition is None:
        raise SettingsError("SHELX needs the elements present", "give the composition")
    return composition


def _prepared(folder: Path, data: Reflections, instructions: str) -> Path:
    folder.mkdir(parents=True)
    (folder / "job.ins").write_text(instructions, encoding="ascii")
    (folder / "job.hkl").write_bytes(data.hklf4.path.read_bytes())
    return folder


def _listing(run: ProgramRun, path: Path, program: Program) -> str:
    """Return the listing; judge by it first, as the SHELX programs may exit 0 without having read their input.

    Raises
    ------
    LicenceExpiredError, ProgramFailedError
    """
    said = run.stdout.read_text(errors="replace") + run.stderr.read_text(errors="replace")
    text = path.read_text(errors="replace") if path.is_file() else ""
    if re.search(r"expired", said + text, re.IGNORECASE):
        raise LicenceExpiredError(f"{program.name} has expired", program.install)
    if run.returncode < 0:
        raise ProgramFailedError(f"{program.name} was killed by signal {-run.returncode}", run.tail())
    complaint = complaint_in(said) or complaint_in(text)
    if not text:
        raise ProgramFailedError(
            f"{program.name} ended with {run.returncode} and without {path.name}: {complaint or 'no reason given'}",
            run.tail(),
        )
    if complaint and not list(path.parent.glob("job*.res")):
        raise ProgramFailedError(f"{program.name}: {complaint}", run.tail())
    return text


def _read_candidates(
    folder: Path, data: Reflections, composition: Composition, figures: dict[str, dict[str, float]]
) -> list[Solution]:
    found = []
    for path in sorted(folder.glob("job*.res")):
        if path.stat().st_size == 0:
            continue
        try:
            result = read_shelx(path)
        except SourceError:
            continue  # half a file: the run was cut off while writing; the others count
        solution = solution_from_shelx(result, data, composition, figures.get(path.stem, {}))
        found += [] if solution is None else [solution]
    return found


def _groups(data: Reflections) -> Sequence[tuple[str, str]]:
    best = data.candidates[0].score
    near = [c for c in data.candidates if c.score >= best - NEAR_SCORE]
    return [(c.symbol, c.hall) for c in near[:MAX_GROUPS]]


def _outcome(solutions: list[Solution], listed: int) -> str:
    if not solutions:
        return f"{listed} listed, none usable"
    best = min(solutions, key=lambda s: (standing(s.verdict), s.r1))
    return f"{len(solutions)} candidates, best {best.verdict} with R1 {best.r1:.3f} in {best.space_group}"


def _version(text: str) -> str | None:
    found = re.search(r"VERSION\s+(\d+/\d+)", text)
    return found.group(1) if found else None


def _ranked(
    data: Reflections,
    found: list[Solution],
    attempts: list[Attempt],
    engine: str,
    version: str,
    seed: int | None = None,
) -> Solutions:
    if not found:
        raise NoSolutionError(
            f"{data.id}: {engine} found no structure", "; ".join(f"{a.change}: {a.outcome}" for a in attempts)
        )
    ranked = sorted(found, key=lambda s: (standing(s.verdict), s.r1))
    best = ranked[0]
    others = [s for s in ranked if s.space_group != best.space_group]
    margin = (
        "the only group" if not others else f"R1 {best.r1:.3f} against {others[0].r1:.3f} in {others[0].space_group}"
    )
    lowest: dict[str, Solution] = {}
    for solution in ranked:
        lowest.setdefault(solution.space_group, solution)
    return Solutions(
        id=data.id,
        candidates=tuple(ranked),
        space_groups=tuple(
            SpaceGroupTrial(symbol=s.space_group, hall=s.hall, score=1.0 - s.r1, r1=s.r1) for s in lowest.values()
        ),
        trials=len(attempts),
        verdict=best.verdict,
        margin=margin,
        provenance=Provenance(
            engine=engine,
            version=version,
            inputs={"hkl": data.hklf4.sha256},
            seed=seed,
            attempts=tuple(attempts),
        ),
    )
