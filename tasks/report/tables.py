"""Tables of the report as rows of text."""

import gemmi

from tasks.integrate import CellEsd, CellScale, Reflections, ShellStatistics, volume_esd, whole_esd
from tasks.model import UnitCell
from tasks.model.experiment import wavelength_text
from tasks.refine import Refinement
from tasks.report.disorder_entries import contents_text, occupancy_text
from tasks.report.models import ApertureQuality, CrystalOutcome
from tasks.report.wording import DASH, fixed, number, percent, with_esd

Row = tuple[str, ...]

SHELL_HEADER: Row = (
    "d (Å)", "observations", "unique", "complete", "mult.", "I/σ(I)", "R meas", "R pim", "CC½", "CC½ events",
)  # fmt: skip

DENSITY_NAME = {
    "A/A^3": "Residual potential (Å of scattering length / Å³), max, min",
    "e/A^3": "Residual density (e/Å³), max, min",
    None: "Residual density, max, min",
}
"""By `Refinement.density_unit`."""


def shell_rows(data: Reflections) -> tuple[Row, ...]:
    """Return one row per shell and the overall row last."""
    return tuple(_shell_row(shell) for shell in (*data.shells, data.overall))


def gain_rows(crystal: CrystalOutcome) -> tuple[Row, ...]:
    """Return the chosen aperture beside the one of all positions of the crystal, a header first.

    Bragg electrons, their purity and their signal to noise are of the half of the events that did not choose.
    """
    rows: list[Row] = [("", "chosen positions", "all positions")]
    scores = None if crystal.aperture is None else crystal.aperture.scores
    if scores is not None:
        one, other = scores.clean, scores.all_positions
        rows += [
            ("Bragg electrons (held-out half)", number(one.bragg_electrons, 4), number(other.bragg_electrons, 4)),
            ("of them of this crystal", percent(one.purity), percent(other.purity)),
            ("Bragg signal to noise per tilt", number(one.signal_to_noise, 3), number(other.signal_to_noise, 3)),
        ]
    if crystal.gain is None:
        return tuple(rows)
    chosen, everything = (_quality_column(one) for one in (crystal.gain.chosen, crystal.gain.all_positions))
    resolution = f"to {fixed(crystal.gain.d_min_angstrom, 2)} Å"
    names = ("Scan positions", f"Completeness {resolution}", "I/σ(I)", "CC½", "R meas", "R1 [I > 2σ(I)]", "R1 (all)")
    return (*rows, *zip(names, chosen, everything, strict=True))


def _quality_column(quality: ApertureQuality | None) -> Row:
    if quality is None:
        return (DASH,) * 7
    return (
        str(quality.positions),
        percent(quality.completeness),
        fixed(quality.i_over_sigma, 1),
        fixed(quality.cc_half, 4),
        fixed(quality.r_meas, 3),
        fixed(quality.r1, 4),
        fixed(quality.r1_all, 4),
    )


def refinement_rows(model: Refinement, data: Reflections | None) -> tuple[Row, ...]:
    """Return the table of a publication: (what, value)."""
    cell, own = model.unit_cell, model.unit_cell_esd
    esd = whole_esd(cell, own, model.cell_scale) or (None,) * 6
    a, b, c, alpha, beta, gamma = (with_esd(value, sigma) for value, sigma in zip(cell.parameters, esd, strict=True))
    crystal: list[Row] = [
        ("Formula", model.formula),
        ("Crystal system, space group", f"{_system(model.hall)}, {model.space_group}"),
        ("a, b, c (Å)", f"{a}, {b}, {c}"),
        *scale_rows(cell, own, model.cell_scale),
        ("α, β, γ (°)", f"{alpha}, {beta}, {gamma}"),
        ("Volume (Å³)", with_esd(cell.volume_angstrom3, volume_esd(cell, own, model.cell_scale))),
    ]
    return (*crystal, *_data_rows(model, data), *_fit_rows(model))


def scale_rows(cell: UnitCell, own: CellEsd | None, scale: CellScale | None) -> tuple[Row, ...]:
    """Return which part of the uncertainty of the lengths is scale, and what they are relative to each other."""
    if scale is None:
        return ()
    sources = {"stated": "as stated", "assumed": "assumed, none was stated", "known cell": "calibrated by a known cell"}
    length = f"camera length {scale.camera_length_mm:.5g} mm ± {scale.relative_esd:.2g} of itself"
    rows: list[Row] = [("of which scale, common to all", f"{length} ({sources[scale.source]})")]
    if own is not None and any(own[:3]):
        lengths = ", ".join(with_esd(value, sigma) for value, sigma in zip(cell.parameters[:3], own[:3], strict=True))
        rows.append(("relative to each other", lengths))
    if scale.curvature_ratio is not None and scale.curvature_relative_esd is not None:
        asked, esd = (scale.camera_length_mm * x for x in (scale.curvature_ratio, scale.curvature_relative_esd))
        rows.append(("camera length by the curvature of the Ewald sphere", f"{with_esd(asked, esd)} mm"))
    return tuple(rows)


def _data_rows(model: Refinement, data: Reflections | None) -> list[Row]:
    if data is None:
        return [("Unique reflections, I > 2σ(I)", f"{model.reflections}, {model.reflections_observed}")]
    kind = "Electrons" if data.radiation == "electron" else "X-rays"
    overall = data.overall
    return [
        ("Radiation, λ (Å)", f"{kind}, {wavelength_text(data.wavelength_angstrom)}"),
        ("Resolution (Å)", f"{overall.d_max_angstrom:.2f} – {overall.d_min_angstrom:.2f}"),
        (
            "Reflections measured, unique, I > 2σ(I)",
            f"{overall.observations}, {model.reflections}, {model.reflections_observed}",
        ),
        *_counting_rows(data),
        ("Completeness, multiplicity", f"{percent(overall.completeness)}, {fixed(overall.multiplicity, 1)}"),
        ("R meas, R pim, CC½", f"{fixed(overall.r_meas, 3)}, {fixed(overall.r_pim, 3)}, {fixed(overall.cc_half, 3)}"),
    ]


def _counting_rows(data: Reflections) -> list[Row]:
    counting = data.counting
    if counting is None or not (counting.corrected or counting.set_aside or counting.uncorrected):
        return []
    told = f"{counting.found}, {counting.frames_per_position:g} camera frames per position"
    cost = (
        f"up to {percent(counting.worst_loss)} of a spot; {counting.corrected} measurements corrected, "
        f"{counting.set_aside} set aside, {len(counting.missing)} reflections missing"
    )
    return [("Counting", told), ("Electrons not counted", cost)]


def _fit_rows(model: Refinement) -> list[Row]:
    ratio = model.reflections / model.parameters if model.parameters else None
    return [
        ("Data, restraints, parameters", f"{model.reflections}, {model.restraints}, {model.parameters}"),
        ("Data per parameter", fixed(ratio, 1)),
        *(("Restraints", str(pull)) for pull in model.pulls),
        ("R1 [I > 2σ(I)], R1 (all)", f"{fixed(model.r1, 4)}, {fixed(model.r1_all, 4)}"),
        ("wR2 (all)", fixed(model.wr2, 4)),
        ("Goodness of fit on F²", fixed(model.goof, 3)),
        ("Largest shift/esd", f"{model.shift_over_esd_max:.3f}" + ("" if model.converged else " (not converged)")),
        (DENSITY_NAME[model.density_unit], f"{model.density_max:.2f}, {model.density_min:.2f}"),
        ("Twin law, fraction", DASH if model.twin is None else f"{model.twin.law}, {model.twin.fraction:.3f}"),
        ("Extinction", DASH if model.extinction is None else f"{model.extinction:.3g}"),
        *(() if model.solvent is None else [("In pores, as a mask", contents_text(model))]),
    ]


def atom_rows(model: Refinement) -> tuple[Row, ...]:
    """Return label, element, x, y, z, U, occupancy per atom."""
    rows = []
    for atom in model.atoms:
        esds = atom.position_esd or (None, None, None)
        places = [with_esd(value, esd) for value, esd in zip(atom.position, esds, strict=True)]
        kind = "riding" if atom.riding else "Uani" if atom.u_aniso_angstrom2 else "Uiso"
        rows.append((atom.label, atom.element, *places, f"{atom.u_iso_angstrom2:.4f}", kind, occupancy_text(atom)))
    return tuple(rows)


def alert_rows(model: Refinement) -> tuple[Row, ...]:
    """Return level, code, what was found and what to do or why it may be so, the worst first."""
    return tuple(
        (alert.level, alert.code, alert.text, alert.explanation or f"{alert.advice[:1].upper()}{alert.advice[1:]}.")
        for alert in model.alerts
    )


def alert_summary(model: Refinement) -> str:
    """Return how many alerts there are of each level, in words."""
    counts = [(level, sum(alert.level == level for alert in model.alerts)) for level in "ABC"]
    return ", ".join(f"{count} {level}" for level, count in counts if count) or "none"


def may_be_chiral(hall: str) -> bool:
    """Tell whether the space group holds rotations only, so that a structure has a hand."""
    return gemmi.symops_from_hall(hall) is not None and all(
        operation.det_rot() > 0 for operation in gemmi.symops_from_hall(hall)
    )


def _shell_row(shell: ShellStatistics) -> Row:
    return (
        f"{fixed(shell.d_max_angstrom)} – {fixed(shell.d_min_angstrom)}",
        number(shell.observations, 9) if shell.observations else "0",
        number(shell.unique, 9) if shell.unique else "0",
        percent(shell.completeness),
        fixed(shell.multiplicity, 1),
        fixed(shell.i_over_sigma, 1),
        fixed(shell.r_meas, 3),
        fixed(shell.r_pim, 3),
        fixed(shell.cc_half, 3),
        fixed(shell.cc_half_events, 3),
    )


def _system(hall: str) -> str:
    group = gemmi.find_spacegroup_by_ops(gemmi.symops_from_hall(hall))
    return group.crystal_system_str().capitalize() if group is not None else DASH
