"""SHELXL as a refinement engine, when the user has it."""

import re
from pathlib import Path
from typing import Literal, NamedTuple

import gemmi
import numpy as np
from pydantic import Field

from adapters.cctbx.numerics import WorkerLeastSquares
from adapters.formats.shelx_ins import ShelxFile, read_shelx
from adapters.host.runner import run_program
from adapters.programs.probe import SHELXL, require
from adapters.programs.shelx.hydrogens import count_riding, riding_draft, with_afix
from adapters.programs.shelx.input import elements_of, shelxl_ins, site_shares
from adapters.programs.shelx.output import Lst, complaint_in, parse_lst, suggested_weights
from tasks.integrate import Reflections, hklf4_text, read_unmerged
from tasks.model import (
    Composition,
    DivergedError,
    Document,
    FileRef,
    LicenceExpiredError,
    ProgramFailedError,
    SettingsError,
    SourceError,
    UnitCell,
    Vector,
)
from tasks.model.provenance import Attempt, Provenance
from tasks.refine import (
    AtomFit,
    Draft,
    DraftAtom,
    ModelFit,
    Refinement,
    StructureFiles,
    Tensor,
    principal_displacements,
    refined_elsewhere,
    twin_components,
)
from tasks.solve import Atom, Solution

U_DEFAULT_ANGSTROM2 = 0.05
"""Of an atom whose U is given as a multiple of another's, where that is not needed: what SHELX itself starts from."""
CONVERGED_SHIFT = 0.01
"""Of an esd; as our own least squares asks (`FitRequest.shift_over_esd`)."""


class _Round(NamedTuple):
    folder: Path
    figures: Lst
    result: ShelxFile


class ShelxlRefiner(Document):
    """Refine with SHELXL (Sheldrick, Acta Cryst. C71, 3-8, 2015).

    SHELXL leaves no reflections out here: its model is shaken and refined without a part of them by the embedded least
    squares, as those of the embedded engine are, before it is judged.
    """

    engine: Literal["shelxl"] = "shelxl"
    rounds: int = Field(default=6, ge=1, le=50, description="runs to convergence of model and weights")
    cycles: int = Field(default=10, ge=1, le=200, description="cycles of least squares in a run")
    data_per_parameter: float = Field(default=8.0, gt=0, description="needed for anisotropic displacements")
    timeout_s: float = Field(default=600.0, gt=0, description="wall time of each run")

    def refine(
        self, data: Reflections, solution: Solution, composition: Composition | None, workdir: Path
    ) -> Refinement:
        """Refine isotropically to convergence, then anisotropically where the data allow; see the port."""
        if composition is None:
            raise SettingsError("SHELXL needs the composition", "give it")
        require(SHELXL)
        moved = data.model_copy(update={"unit_cell": solution.unit_cell})
        attempts: list[Attempt] = []
        text = self._first_ins(moved, solution.atoms, solution, composition, anisotropic=False)
        best = self._converge(data, text, solution, workdir / "isotropic", attempts)
        heavy = [atom for atom in best.result.atoms if atom.element not in {"H", "D"}]
        if best.figures.data / (best.figures.parameters + 5 * len(heavy)) >= self.data_per_parameter:
            atoms = tuple(_atoms(best.result, solution.unit_cell, solution.hall))
            text = self._first_ins(moved, atoms, solution, composition, anisotropic=True)
            better = self._converge(data, text, solution, workdir / "anisotropic", attempts)
            if better.figures.r1 < best.figures.r1:
                best = better
        else:
            needed = f"{self.data_per_parameter:g} data for each parameter"
            attempts.append(Attempt(change="ANIS", reason=f"needs {needed}", outcome="kept isotropic"))
        best = self._with_hydrogens(best, moved, solution, composition, workdir / "hydrogens", attempts)
        left_out = workdir / "left-out"
        left_out.mkdir()
        return refined_elsewhere(
            _model_fit(best, solution),
            data,
            solution,
            composition,
            numerics=WorkerLeastSquares(left_out, self.timeout_s),
            restraints=best.figures.restraints,
            files=_files(best.folder),
            provenance=Provenance(
                engine=self.engine,
                version="unknown",
                parameters={"elements": " ".join(elements_of(composition))},
                inputs={"hkl": data.hklf4.sha256},
                attempts=tuple(attempts),
            ),
        )

    def _first_ins(
        self,
        data: Reflections,
        atoms: tuple[Atom, ...],
        solution: Solution,
        composition: Composition,
        *,
        anisotropic: bool,
    ) -> str:
        return shelxl_ins(
            data,
            composition,
            atoms,
            hall=solution.hall,
            weights=(0.1, 0.0),
            cycles=self.cycles,
            anisotropic=anisotropic,
            twin=solution.twin,
        )

    def _with_hydrogens(
        self,
        best: _Round,
        data: Reflections,
        solution: Solution,
        composition: Composition,
        folder: Path,
        attempts: list[Attempt],
    ) -> _Round:
        """Add riding hydrogen atoms where the geometry demands them; kept if R1 does not rise."""
        draft = riding_draft(
            best.result,
            hall=solution.hall,
            cell=solution.unit_cell,
            radiation=data.radiation,
            composition=composition,
        )
        if draft is None:
            attempts.append(Attempt(change="hydrogen", reason="where the geometry demands it", outcome="none placed"))
            return best
        result = (best.folder / "job.res").read_text(errors="replace")
        text = with_afix(result, draft, best.result.elements)
        try:
            better = self._converge(data, text, solution, folder, attempts)
        except (DivergedError, ProgramFailedError) as error:
            attempts.append(
                Attempt(change="hydrogen", reason="where the geometry demands it", outcome=f"undone: {error.message}")
            )
            return best
        kept = better.figures.r1 <= best.figures.r1
        change = f"R1 {best.figures.r1:.4f} -> {better.figures.r1:.4f}: {'kept' if kept else 'undone'}"
        attempts.append(
            Attempt(change=f"{count_riding(text)} groups of hydrogen", reason="of the geometry", outcome=change)
        )
        return better if kept else best

    def _converge(
        self, data: Reflections, text: str, solution: Solution, folder: Path, attempts: list[Attempt]
    ) -> _Round:
        """Run until shifts and weights stand still; the weighting scheme is the one SHELXL suggests."""
        folder.mkdir(parents=True)
        (folder / "job.ins").write_text(text, encoding="ascii")
        _write_hkl(data, solution, folder / "job.hkl")
        for number in range(1, self.rounds + 1):
            done = self._run(folder)
            weights = suggested_weights((folder / "job.res").read_text(errors="replace"))
            outcome = (
                f"R1 {done.figures.r1:.4f}, wR2 {done.figures.wr2:.4f}, shift {done.figures.max_shift_over_esd:.3f}"
            )
            attempts.append(Attempt(change=f"{folder.name}, run {number}", reason="to convergence", outcome=outcome))
            current = done.result.weights
            still = weights is None or np.allclose(weights, (*current, 0.0, 0.0)[:2], atol=2e-3)
            if done.figures.max_shift_over_esd < CONVERGED_SHIFT and still:
                break
            if number < self.rounds:
                (folder / "job.ins").write_text(_next_ins((folder / "job.res").read_text(errors="replace"), weights))
        return done

    def _run(self, folder: Path) -> _Round:
        for name in ("job.res", "job.lst", "job.cif", "job.fcf"):
            (folder / name).unlink(missing_ok=True)
        run = run_program(["shelxl", "job"], workdir=folder, timeout_s=self.timeout_s, install=SHELXL.install)
        said = run.stdout.read_text(errors="replace")
        listing = folder / "job.lst"
        text = listing.read_text(errors="replace") if listing.is_file() else ""
        if re.search(r"expired", said, re.IGNORECASE):
            raise LicenceExpiredError("SHELXL has expired", SHELXL.install)
        if run.returncode < 0:
            raise ProgramFailedError(f"SHELXL was killed by signal {-run.returncode}", run.tail())
        if re.search(r"REFINEMENT UNSTABLE|SINGULAR|DIVERG", said + text, re.IGNORECASE):
            raise DivergedError("SHELXL says the refinement is unstable", run.tail())
        result = folder / "job.res"
        if not text or not result.is_file() or result.stat().st_size == 0:
            reason = complaint_in(said) or complaint_in(text) or "no reason given"
            raise ProgramFailedError(f"SHELXL ended with {run.returncode} and without a result: {reason}", run.tail())
        try:
            return _Round(folder, parse_lst(text), read_shelx(result))
        except SourceError as error:
            raise ProgramFailedError(f"SHELXL left no whole result: {error.message}", run.tail()) from error


def _next_ins(result: str, weights: tuple[float, float] | None) -> str:
    """Return the next instructions: the result up to END, with the suggested weights."""
    body = result[: result.upper().rfind("\nEND")] + "\nEND\n"
    if weights is None:
        return body
    return re.sub(r"(?m)^WGHT.*$", f"WGHT {weights[0]:.6f} {weights[1]:.6f}", body, count=1)


def _write_hkl(data: Reflections, solution: Solution, path: Path) -> None:
    """Write the observations, in the solution's cell."""
    table = read_unmerged(data.unmerged)
    hkl = np.rint(table.hkl @ np.array(solution.to_solution_cell).T).astype(np.int32)
    path.write_text(hklf4_text(hkl, table.intensity, table.sigma), encoding="ascii")


def _atoms(result: ShelxFile, cell: UnitCell, hall: str) -> list[Atom]:
    shares = site_shares(result.atoms, hall, cell)
    return [
        Atom(
            label=atom.name,
            element=atom.element,
            position=atom.position,
            u_iso_angstrom2=_u_iso(atom.u),
            occupancy=min(1.0, max(0.01, atom.occupancy / share)),
        )
        for atom, share in zip(result.atoms, shares, strict=True)
    ]


def _u_iso(u: tuple[float, ...]) -> float:
    value = u[0] if len(u) == 1 else float(np.mean(u[:3]))
    return value if value > 0 else U_DEFAULT_ANGSTROM2


def _tensor(u: tuple[float, ...]) -> Tensor | None:
    """Return U11 U22 U33 U12 U13 U23; SHELX lists the last three the other way round."""
    return (u[0], u[1], u[2], u[5], u[4], u[3]) if len(u) == 6 else None


def _esds(path: Path) -> dict[str, Vector]:
    """Return the standard uncertainties of the coordinates from SHELXL's CIF, by label."""
    if not path.is_file():
        return {}
    try:
        block = gemmi.cif.read(str(path)).sole_block()
    except (ValueError, RuntimeError) as error:
        raise ProgramFailedError("SHELXL left a damaged job.cif", str(error)) from error
    table = block.find("_atom_site_", ["label", "fract_x", "fract_y", "fract_z"])
    return {row[0]: (_esd(row[1]), _esd(row[2]), _esd(row[3])) for row in table}


def _esd(text: str) -> float:
    found = re.fullmatch(r"-?\d*\.?(\d*)\((\d+)\)", text)
    return 0.0 if found is None else int(found.group(2)) * 10.0 ** -len(found.group(1))


def _model_fit(done: _Round, solution: Solution) -> ModelFit:
    """Return SHELXL's model and figures as a fit of ours."""
    figures, result, cell = done.figures, done.result, solution.unit_cell
    esds = _esds(done.folder / "job.cif")
    operations = len(list(gemmi.symops_from_hall(solution.hall)))
    atoms, rows = [], []
    carrier_u = U_DEFAULT_ANGSTROM2
    for atom, share in zip(result.atoms, site_shares(result.atoms, solution.hall, cell), strict=True):
        riding = len(atom.u) == 1 and atom.u[0] < 0
        u_iso = -atom.u[0] * carrier_u if riding else _u_iso(atom.u)
        aniso = _tensor(atom.u)
        low, high, equivalent = (u_iso,) * 3 if aniso is None else principal_displacements(aniso, cell)
        carrier_u = carrier_u if riding else equivalent
        atoms.append(
            DraftAtom(
                label=atom.name,
                element=atom.element,
                position=atom.position,
                u_iso_angstrom2=equivalent,
                u_aniso_angstrom2=aniso,
                occupancy=atom.occupancy / share,
                part=atom.part,
            )
        )
        rows.append(
            AtomFit(
                label=atom.name,
                position_esd=esds.get(atom.name),
                u_min_eigenvalue=low,
                u_max_eigenvalue=high,
                u_equivalent=equivalent,
                multiplicity=round(share * operations),
                riding=riding,
            )
        )
    a, b = (*result.weights, 0.0, 0.0)[:2]
    twin = solution.twin
    if twin is not None and result.basf:
        twin = twin.model_copy(update={"fraction": min(max(result.basf[0], 0.0), 1.0)})
    twins = twin_components(twin)
    return ModelFit(
        draft=Draft(hall=solution.hall, unit_cell=cell, atoms=tuple(atoms), weights=(a, b), twin=twins),
        atoms=tuple(rows),
        r1=figures.r1,
        r1_all=figures.r1_all,
        wr2=figures.wr2,
        goof=figures.goof,
        reflections=figures.data,
        reflections_observed=figures.observed,
        parameters=max(1, figures.parameters),
        shift_over_esd_max=figures.max_shift_over_esd,
        converged=figures.max_shift_over_esd < CONVERGED_SHIFT,
        density_max=figures.highest_peak or 0.0,
        density_min=figures.deepest_hole or 0.0,
    )


def _files(folder: Path) -> StructureFiles:
    missing = [name for name in ("job.cif", "job.fcf") if not (folder / name).is_file()]
    if missing:
        raise ProgramFailedError(f"SHELXL wrote no {missing[0]}", "the ACTA instruction should make it")
    found = {name: folder / f"job.{name}" for name in StructureFiles._fields}
    return StructureFiles(**{name: FileRef.of(path) for name, path in found.items() if name != "fab" or path.is_file()})
