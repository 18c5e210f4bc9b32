"""SHELXL's INS and RES of a refined structure: pure text."""

import textwrap

import gemmi
import numpy as np

from adapters.formats.shelx_disorder import free_variables, instructions, occupancy_code, variable_values
from adapters.formats.shelx_restraints import restraint_lines
from adapters.formats.twin_text import twin_lines
from tasks.crystal.scattering import Radiation
from tasks.crystal.scattering_tables import DEFAULT, SOURCES
from tasks.model.experiment import wavelength_text
from tasks.refine import Draft, DraftAtom, RefinedStructure, RidingGroup, RidingKind, four_gaussians_of

LATTICES = {"P": 1, "I": 2, "R": 3, "F": 4, "A": 5, "B": 6, "C": 7}
"""LATT of the SHELX manual; negative where there is no centre."""
AFIX: dict[RidingKind, int] = {
    "tertiary-xh": 13,
    "secondary-xh2": 23,
    "planar-xh": 43,
    "methyl": 33,
    "terminal-planar-xh2": 93,
    "linear-xh": 163,
    "hydroxyl": 83,
}
"""AFIX of the SHELX manual: geometry m and riding 3."""
LINE = 79
"""Characters: SHELX reads 80 columns, and more are continued after "="."""


def ins_text(structure: RefinedStructure, *, intensity_scale: float) -> str:
    """Return the instruction file that continues the refinement in SHELXL.

    ``intensity_scale`` is what the intensities of the HKL file were multiplied by.
    """
    return "\n".join([*_head(structure, intensity_scale), *_atoms(structure), hklf_line(structure), "END", ""])


def res_text(structure: RefinedStructure, *, intensity_scale: float) -> str:
    """Return the same with the figures of merit and the peaks of the difference density, as SHELXL writes RES."""
    fit = structure.fit
    strong = f"REM R1 = {fit.r1:.4f} for {fit.reflections_observed} Fo > 4sig(Fo)"
    extremes = f"REM Highest difference peak {fit.density_max:.3f}, deepest hole {fit.density_min:.3f}"
    restrained = fit.goof_restrained or fit.goof
    figures = [
        hklf_line(structure),
        f"REM  {structure.id[:60]} in {structure.space_group}",
        f"REM wR2 = {fit.wr2:.4f}, GooF = S = {fit.goof:.3f}, Restrained GooF = {restrained:.3f} for all data",
        f"{strong} and {fit.r1_all:.4f} for all {fit.reflections} data",
        f"REM {fit.parameters} parameters refined using {fit.restraints} restraints",
        "END",
        "",
        f"{extremes}, 1-sigma level {fit.density_rms:.3f}",
    ]
    peaks = [
        f"Q{number:<3d} 1 {_place(peak.position)} 11.00000  0.05 {peak.height:7.2f}"
        for number, peak in enumerate(fit.peaks[:20], 1)
    ]
    return "\n".join([*_head(structure, intensity_scale), *_atoms(structure), *figures, *peaks, ""])


def _head(structure: RefinedStructure, intensity_scale: float) -> list[str]:
    fit, cell = structure.fit, structure.unit_cell
    esd = structure.whole_cell_esd or (0.0,) * 6
    a, b = fit.draft.weights
    contents = {element: count * structure.formula_units for element, count in structure.formula.items()}
    lines = [
        f"TITL {structure.id[:50]} in {structure.space_group}",
        f"CELL {wavelength_text(structure.intensities.wavelength_angstrom)} "
        + " ".join(f"{x:.5g}" if x >= 1e4 else f"{x:.4f}" for x in cell.parameters),
        f"ZERR {max(1, round(structure.formula_units))} " + " ".join(f"{x:.4f}" for x in esd),
        *symmetry_lines(structure.hall),
        *_scattering(sorted(contents), fit.draft, structure.intensities.radiation),
        "UNIT " + " ".join(f"{contents[element]:g}" for element in sorted(contents)),
        "L.S. 10",
        "FMAP 2",
        "PLAN 20",
        "BOND",
        "LIST 4",
        "ACTA",
    ]
    if fit.draft.extinction is not None:
        lines.append(f"EXTI {fit.draft.extinction:.6g}")
    lines += twin_lines(fit.draft.twin)
    if structure.intensities.overlaps is not None:
        lines.append("BASF " + " ".join(f"{fraction:.5f}" for fraction in fit.draft.domains[1:]))
    names = shelx_names([atom.label for atom in fit.draft.atoms])
    for text in restraint_lines(fit.draft.restraints, names):
        lines += _wrapped(text)
    lines.extend(instructions(fit.draft, names))
    scale = float(np.sqrt((fit.draft.scale or 1.0) * intensity_scale))
    variables = "".join(f" {value:.5f}" for value in (scale, *variable_values(fit.draft)))
    return [*lines, f"WGHT {a:.6f} {b:.6f}", *_wrapped(f"FVAR{variables}")]


def hklf_line(structure: RefinedStructure) -> str:
    """Return the HKLF instruction: 5 where reflections of several domains were measured as one."""
    return "HKLF 4" if structure.intensities.overlaps is None else "HKLF 5"


def symmetry_lines(hall: str) -> list[str]:
    """Return the LATT and SYMM lines of a space group."""
    operations = gemmi.symops_from_hall(hall)
    centring = operations.find_centering()
    inversion = gemmi.Op("-x,-y,-z")
    centric = inversion in list(operations)
    lines = [f"LATT {LATTICES.get(centring, 1) * (1 if centric else -1)}"]
    seen: set[str] = set()
    for operation in operations.sym_ops:
        if operation == gemmi.Op("x,y,z") or (centric and operation == inversion):
            continue
        if centric and (inversion * operation).wrap().triplet() in seen:
            continue
        seen.add(operation.wrap().triplet())
        lines.append(f"SYMM {operation.triplet().upper()}")
    return lines


def _scattering(elements: list[str], draft: Draft, radiation: Radiation) -> list[str]:
    table = draft.table(radiation)
    remark = [] if table in DEFAULT.values() else [f"REM {SOURCES[table].citation}"]
    if radiation == "xray":
        return [*remark, "SFAC " + " ".join(elements)]
    lines = []
    for element in elements:
        scatterer = draft.scatterer(element)
        a, b, off = four_gaussians_of(scatterer, table)
        terms = " ".join(f"{x:.4f} {y:.4f}" for x, y in zip(a, b, strict=True))
        entry = gemmi.Element(element)
        if table not in DEFAULT.values():
            remark.append(f"REM {scatterer}: four Gaussians, within {off:.1%} of the table")
        text = f"SFAC {element} {terms} 0 0 0 0 {entry.covalent_r:.2f} {entry.weight:.3f}"
        lines.extend(_wrapped(text))
    return [*remark, *lines]


def _wrapped(text: str) -> list[str]:
    parts = textwrap.wrap(text, LINE - 3, subsequent_indent=" ")
    return [*(f"{part} =" for part in parts[:-1]), parts[-1]]


def _place(position: tuple[float, float, float]) -> str:
    return " ".join(f"{x:10.6f}" for x in position)


def _atoms(structure: RefinedStructure) -> list[str]:
    draft = structure.fit.draft
    kinds = {element: number for number, element in enumerate(sorted(structure.formula), 1)}
    order = len(list(gemmi.symops_from_hall(structure.hall)))
    multiplicity = {row.label: row.multiplicity for row in structure.fit.atoms}
    atoms = {atom.label: atom for atom in draft.atoms}
    names = shelx_names([atom.label for atom in draft.atoms])
    riding = {label for group in draft.riding for label in group.hydrogens}
    carried = {group.pivot: group for group in draft.riding}
    variables = free_variables(draft)
    lines: list[str] = []
    part = 0

    def line(atom: DraftAtom, ratio: float | None) -> list[str]:
        occupancy = occupancy_code(atom, multiplicity[atom.label] / order, variables)
        u = atom.u_aniso_angstrom2
        if ratio is not None:
            displacement = f"{-ratio:.5f}"
        elif u is None:
            displacement = f"{atom.u_iso_angstrom2 if atom.refine_u else 10 + atom.u_iso_angstrom2:.5f}"
        else:  # SHELX lists U11 U22 U33 U23 U13 U12
            displacement = " ".join(f"{x:.5f}" for x in (u[0], u[1], u[2], u[5], u[4], u[3]))
        text = f"{names[atom.label]:4s} {kinds[atom.element]:2d} {_place(atom.position)} {occupancy} {displacement}"
        return _wrapped(text)

    def group_lines(group: RidingGroup) -> list[str]:
        rows = [f"AFIX {AFIX[group.kind]} {group.bond_length_angstrom:.3f}"]
        for label in group.hydrogens:
            rows.extend(line(atoms[label], group.u_ratio))
        return [*rows, "AFIX 0"]

    for atom in draft.atoms:
        if atom.label not in riding:
            if atom.part != part:
                part = atom.part
                lines.append(f"PART {part}")
            lines.extend(line(atom, None))
            if atom.label in carried:
                lines.extend(group_lines(carried[atom.label]))
    return [*lines, "PART 0"] if part else lines


def shelx_names(labels: list[str]) -> dict[str, str]:
    """Return names of at most four characters, each once; labels that are short enough stay."""
    names: dict[str, str] = {}
    used = {label for label in labels if len(label) <= 4}
    number = 0
    for label in labels:
        name = label
        while len(name) > 4 or (name != label and name in used):
            name, number = f"H{number:03X}"[:4] if label.startswith("H") else f"X{number:03X}"[:4], number + 1
        used.add(name)
        names[label] = name
    return names
