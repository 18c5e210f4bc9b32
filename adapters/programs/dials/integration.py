"""From an indexed lattice to scaled observations: setting, refinement, integration, symmetry, scaling."""

from typing import NamedTuple

import gemmi
import numpy as np
from numpy.typing import NDArray

from adapters.formats.mtz import read_mtz
from adapters.programs.dials.commands import (
    MIN_SCAN_VARYING_FRAMES,
    SCAN_VARYING_REFINEMENT,
    STATIC_REFINEMENT,
    basis_change,
    bravais_argv,
    export_argv,
    integrate_argv,
    refine_argv,
    reindex_argv,
    scale_argv,
    symmetry_argv,
)
from adapters.programs.dials.output import (
    bravais_settings,
    choose_setting,
    crystal_cells,
    recommended_space_group,
    refined_cell_esd,
    scaled_statistics,
)
from adapters.programs.dials.session import Session
from tasks.crystal.lattice import rotation_group, symmetrised_cell
from tasks.crystal.symmetry import laue_group_of
from tasks.integrate import LaueChoice, Unmerged, determine_laue_group
from tasks.model import ProgramFailedError, UnitCell

FEW_SPOTS = "profile.gaussian_rs.min_spots.per_degree=1 profile.gaussian_rs.min_spots.overall=3"
INTEGRATE_TRIALS: tuple[tuple[str, str], ...] = (
    ("", "the program's defaults"),
    (FEW_SPOTS, "too few strong reflections in one sweep: the profile's widths from what there is"),
    (f"{FEW_SPOTS} profile.fitting=False", "too few strong reflections for a reference profile"),
)
SCALE_TRIALS: tuple[tuple[str, str], ...] = (
    ("", "the program's defaults"),
    ("model=KB", "too few equivalents for the physical model: one scale and one B factor"),
)


class Scaled(NamedTuple):
    """Scaled observations in the conventional cell, and how the symmetry was found."""

    data: Unmerged
    laue: gemmi.SpaceGroup
    cell: UnitCell
    choice: LaueChoice | None
    basis: NDArray[np.float64]
    """Indices of the scaled data = indices of integrated.mtz @ basis."""


def refine_in_setting(session: Session, *, known: bool, frames: int, nproc: int) -> tuple[str, str]:
    """Choose the Bravais setting and refine, static and then scan-varying; return the last good pair of files."""
    source = ("indexed.expt", "indexed.refl")
    if not known:
        source = choose_bravais_setting(session, nproc)
    for name, recipe, reason in (
        ("static", STATIC_REFINEMENT, "one orientation and cell for all frames"),
        ("varying", SCAN_VARYING_REFINEMENT, "orientation, cell and beam may drift through the scan"),
    ):
        if name == "varying" and frames < MIN_SCAN_VARYING_FRAMES:
            session.record("scan_varying=False", f"{frames} frames are too few to see a drift", "kept static")
            continue
        complaint = session.attempt(
            refine_argv(source=source, name=name, recipe=recipe),
            outputs=[f"{name}.expt", f"{name}.refl"],
            log_name=f"refine_{name}",
        )
        session.record(f"refine {name}", reason, complaint or "refined")
        if complaint is None:
            source = (f"{name}.expt", f"{name}.refl")
    return source


def choose_bravais_setting(session: Session, nproc: int) -> tuple[str, str]:
    """Refine indexed.* in every Bravais setting and return the pair of files of the highest symmetry that fits."""
    source = ("indexed.expt", "indexed.refl")
    complaint = session.attempt(bravais_argv(nproc), outputs=["bravais_summary.json"])
    if complaint is not None:
        session.record("refine in Bravais settings", "find the lattice symmetry", f"{complaint}: triclinic")
        return source
    rows = bravais_settings(session.text("bravais_summary.json"))
    chosen = choose_setting(rows)
    shown = [*rows[:6], *rows[6:][-1:]]
    listed = ", ".join(f"{row.bravais} {row.rmsd:.3f} ({row.max_angle_deg:.2f} deg)" for row in shown)
    session.record(
        f"lattice {chosen.bravais}", "the highest symmetry that fits as the triclinic lattice", f"rmsd mm: {listed}"
    )
    experiments = f"bravais_setting_{chosen.number}.expt"
    if chosen.change != "a,b,c":
        # The settings come with their own experiments: only the indices are left to change.
        argv = [
            "dials.reindex",
            "indexed.refl",
            f"change_of_basis_op={chosen.change}",
            "output.reflections=setting.refl",
        ]
        session.run(argv, outputs=["setting.refl"], log_name="reindex_setting")
        return experiments, "setting.refl"
    return experiments, "indexed.refl"


def integrate(session: Session, source: tuple[str, str], *, d_min: float | None, nproc: int) -> None:
    """Integrate, without profile fitting if that fails; leave integrated.expt, .refl and .mtz.

    Raises
    ------
    ProgramFailedError
        If no way of integrating gives reflections.
    """
    complaint: str | None = ""
    for change, reason in INTEGRATE_TRIALS:
        argv = integrate_argv(source=source, d_min=d_min, change=change.split(), nproc=nproc)
        complaint = session.attempt(argv, outputs=["integrated.expt", "integrated.refl"])
        session.record(change or "integrate", reason, complaint or "integrated")
        if complaint is None:
            break
    if complaint is not None:
        raise ProgramFailedError("dials.integrate failed", complaint)
    exported = ("integrated.expt", "integrated.refl")
    session.run(export_argv(source=exported, intensity="auto", name="integrated"), outputs=["integrated.mtz"])


def scale_in_laue_group(session: Session, *, known: tuple[UnitCell, str] | None, d_min: float | None) -> Scaled:
    """Find the Laue group of the integrated intensities, reindex, scale, and read the result.

    dials.symmetry is asked as well; a different answer becomes a warning. With fewer equivalents than it needs,
    dials.scale falls back to a simpler model.
    """
    cell = crystal_cells(session.text("integrated.expt"))[0]
    choice: LaueChoice | None = None
    if known is None:
        choice = determine_laue_group(read_mtz(session.folder / "integrated.mtz").data, cell)
        laue, basis = choice.laue, choice.basis
        _cross_check(session, laue)
    else:
        laue, basis = laue_group_of(known[1]), np.eye(3)
    reindex_in_laue_group(session, laue, basis)
    _scale(session, d_min)
    session.run(
        export_argv(source=("scaled.expt", "scaled.refl"), intensity="scale", name="scaled"),
        outputs=["scaled.mtz"],
        log_name="export_scaled",
    )
    data = read_mtz(session.folder / "scaled.mtz").data
    data = data._replace(crystal=np.zeros_like(data.crystal))  # its batches are frames of one crystal
    final = symmetrised_cell(crystal_cells(session.text("scaled.expt"))[0], laue)
    return Scaled(data, laue, final, choice, basis)


def reindex_in_laue_group(session: Session, laue: gemmi.SpaceGroup, basis: NDArray[np.float64]) -> None:
    """Bring integrated.* to the conventional axes of a Laue group, in reindexed.expt and .refl.

    Parameters
    ----------
    basis
        (3, 3): new indices = old indices @ basis.
    """
    argv = reindex_argv(
        experiments="integrated.expt",
        reflections="integrated.refl",
        change=basis_change(basis),
        space_group=rotation_group(laue).hm.replace(" ", ""),
        name="reindexed",
    )
    session.run(argv, outputs=["reindexed.expt", "reindexed.refl"], log_name="reindex_laue")


def cell_esd(session: Session, basis: NDArray[np.float64]) -> tuple[float, float, float, float, float, float] | None:
    """Return the cell's standard uncertainties in the conventional setting; None if the axes were combined."""
    found = refined_cell_esd(session.text("refine_static.out"))
    order = np.argmax(np.abs(basis), axis=0)
    if found is None or not np.array_equal(np.abs(basis), np.eye(3)[:, order]):
        return None
    a, b, c = (found[i] for i in order)
    alpha, beta, gamma = (found[3 + i] for i in order)
    return (a, b, c, alpha, beta, gamma)


def _scale(session: Session, d_min: float | None) -> None:
    limit = [] if d_min is None else [f"cut_data.d_min={d_min:.9g}"]
    complaint: str | None = ""
    for change, reason in SCALE_TRIALS:
        argv = scale_argv(change=[*limit, *([change] if change else [])])
        complaint = session.attempt(argv, outputs=["scaled.expt", "scaled.refl"])
        own = scaled_statistics(session.text("dials.scale.out"))
        outcome = "scaled" if own is None else f"scaled: CC1/2 {own.cc_half:.3f}, Rmeas {own.r_meas:.3f} by DIALS"
        session.record(change or "scale", reason, complaint or outcome)
        if complaint is None:
            return
    raise ProgramFailedError("dials.scale failed", complaint or "")


def _cross_check(session: Session, laue: gemmi.SpaceGroup) -> None:
    complaint = session.attempt(symmetry_argv(), outputs=["symmetrized.expt"])
    symbol = recommended_space_group(session.text("dials.symmetry.out"))
    session.record("dials.symmetry", "a second opinion on the Laue group", complaint or f"recommends {symbol}")
    theirs = gemmi.find_spacegroup_by_name(symbol or "")
    if theirs is not None and theirs.laue_str() != laue.laue_str():
        session.warnings.append(f"dials.symmetry recommends {symbol}, the intensities give the Laue group {laue.xhm()}")
