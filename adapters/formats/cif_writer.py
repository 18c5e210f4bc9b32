"""CIF and FCF of a refined structure: names of the core dictionary, and of that for electron diffraction."""

import math
from collections.abc import Iterable, Sequence

import gemmi
import numpy as np
from gemmi import cif

from adapters.formats.cif_alerts import alert_lines, responses
from adapters.formats.cif_disorder import disorder_cells, disorder_tags
from adapters.formats.cif_electrons import potential_items
from adapters.formats.cif_geometry import bond_rows
from adapters.formats.cif_restraints import restraint_loops
from adapters.formats.solvent_files import MASK_TAGS, mask_pairs, mask_rows
from adapters.formats.twin_text import TWIN_ITEMS, twin_rows
from tasks.crystal.scattering_tables import SOURCES
from tasks.crystal.symmetry import laue_group_of
from tasks.crystal.twin_laws import is_merohedral
from tasks.model import Composition
from tasks.model.experiment import wavelength_text
from tasks.refine import AtomFit, Draft, DraftAtom, RefinedStructure

NO_ABSOLUTE_STRUCTURE = (
    "The absolute structure was not determined: Friedel mates were merged, kinematical electron intensities do not "
    "distinguish them."
)
TREATMENT = {(True, False): "constr", (False, False): "undef", (False, True): "refall", (True, True): "mixed"}
"""Of hydrogen, by whether some ride and whether some are refined."""


def number(value: float, esd: float | None = None, *, decimals: int = 5) -> str:
    """Return a number with its standard uncertainty in brackets (two digits up to 19), or plain.

    >>> number(1.23456, 0.0012)
    '1.2346(12)'
    """
    if esd is None or not math.isfinite(esd) or esd <= 0:
        return _rounded(value, decimals)
    digits = max(0, 1 - math.floor(math.log10(esd)))
    shown = round(esd * 10**digits)
    if shown > 19:
        digits -= 1
        shown = round(esd * 10 ** max(digits, 0))
    if digits < 0:
        digits, shown = 0, round(esd)
    return f"{_rounded(value, digits)}({max(1, shown)})"


def _rounded(value: float, digits: int) -> str:
    """Return a number with so many decimals; a zero has no sign."""
    text = f"{value:.{digits}f}"
    return text if text.strip("-0.") else text.lstrip("-")


def refinement_cif(structure: RefinedStructure) -> str:
    """Return the CIF of a refinement: cell, symmetry, data, refinement, atoms, bonds. Raises nothing of its own."""
    document = cif.Document()
    block = document.add_new_block(_block_name(structure.id))
    for pairs in (_chemistry(structure), _cell(structure), _data(structure), _refinement(structure)):
        for tag, value in pairs:
            block.set_pair(tag, value)
    _loop(
        block,
        "_space_group_symop_",
        ("id", "operation_xyz"),
        (
            [str(number), cif.quote(operation.triplet())]
            for number, operation in enumerate(gemmi.symops_from_hall(structure.hall), 1)
        ),
    )
    _loop(block, "_twin_individual_", TWIN_ITEMS, _twin_rows(structure))
    _atom_loops(block, structure)
    for loop in restraint_loops(structure):
        _loop(block, loop.prefix, loop.tags, loop.rows)
    for tag, value in mask_pairs(structure):
        block.set_pair(tag, value)
    _loop(block, "_smtbx_masks_void_", MASK_TAGS, mask_rows(structure))
    for tag, text in responses(structure.alerts, block.name):
        block.set_pair(tag, cif.quote("\n".join(["", *_folded(text.split("\n"))])))
    return str(document.as_string(_layout()))


def _layout() -> cif.WriteOptions:
    options = cif.WriteOptions()
    options.align_pairs = 36
    return options


def _block_name(text: str) -> str:
    return "".join(char if char.isalnum() or char in "-_." else "_" for char in text)[:70] or "apertura"


def _loop(block: cif.Block, prefix: str, tags: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    table = list(rows)
    if table:
        loop = block.init_loop(prefix, list(tags))
        for row in table:
            loop.add_row(list(row))


def _chemistry(structure: RefinedStructure) -> list[tuple[str, str]]:
    weight = structure.formula_weight
    volume = structure.unit_cell.volume_angstrom3
    return [
        ("_audit_creation_method", cif.quote(f"apertura, refined by {structure.program}")),
        ("_chemical_formula_sum", cif.quote(Composition(counts=structure.formula).formula())),
        ("_chemical_formula_weight", f"{weight:.2f}"),
        ("_exptl_crystal_density_diffrn", f"{weight * structure.formula_units * 1.66053907 / volume:.3f}"),
        ("_exptl_crystal_F_000", f"{_f_000(structure):.2f}"),
    ]


def _f_000(structure: RefinedStructure) -> float:
    """Return F(000) in electrons; for electrons too, as the dictionary defines it."""
    return structure.formula_units * sum(
        count * gemmi.Element(element).atomic_number for element, count in structure.formula.items()
    )


def _cell(structure: RefinedStructure) -> list[tuple[str, str]]:
    names = ("length_a", "length_b", "length_c", "angle_alpha", "angle_beta", "angle_gamma")
    esds: Sequence[float | None] = structure.whole_cell_esd or (None,) * 6
    own: Sequence[float | None] = structure.unit_cell_esd or (None,) * 6
    pairs = [
        (f"_cell_{name}", scaled_number(value, esd, fit))
        for name, value, esd, fit in zip(names, structure.unit_cell.parameters, esds, own, strict=True)
    ]
    group = gemmi.find_spacegroup_by_ops(gemmi.symops_from_hall(structure.hall))
    pairs += [
        ("_cell_volume", scaled_number(structure.unit_cell.volume_angstrom3, structure.volume_esd_angstrom3, None, 2)),
        *_about_scale(structure),
        ("_cell_formula_units_Z", f"{max(1, round(structure.formula_units))}"),
        ("_space_group_name_H-M_alt", cif.quote(structure.space_group)),
        ("_space_group_name_Hall", cif.quote(structure.hall)),
    ]
    if group is not None:
        pairs += [
            ("_space_group_IT_number", str(group.number)),
            ("_space_group_crystal_system", group.crystal_system_str()),
        ]
    return pairs


def scaled_number(value: float, esd: float | None, fit_esd: float | None, decimals: int = 4) -> str:
    """Return a number with its whole standard uncertainty, to the digits that the fit alone would give it.

    The ratios of the edges are known far better than the scale of all: 20.7012(2070), not 20.7(2). To be short in
    digits would put other ratios, and other bond lengths, into the file than were refined.
    """
    if esd is None or not math.isfinite(esd) or esd <= 0:
        return number(value, None, decimals=decimals)
    text = number(value, fit_esd, decimals=decimals).split("(")[0]
    digits = len(text.partition(".")[2])
    return f"{text}({max(1, round(esd * 10**digits))})"


def _about_scale(structure: RefinedStructure) -> list[tuple[str, str]]:
    """Return what the uncertainties of the cell are made of."""
    scale = structure.cell_scale
    if scale is None:
        return []
    sources = {
        "stated": "as stated with the data",
        "assumed": "assumed, none was stated",
        "known cell": "from the fit of the camera length to a known cell",
    }
    share = f"{scale.relative_esd:.2%}"
    length = f"the relative uncertainty of the camera length of {scale.camera_length_mm:.6g} mm"
    whole = f"Standard uncertainties of lengths and volume include a scale common to all lengths, {share}"
    text = [f"{whole}: {length}, {sources[scale.source]}. Angles are free of it."]
    if structure.unit_cell_esd is not None and any(structure.unit_cell_esd[:3]):
        own = ", ".join(f"{name} {esd:.2g} A" for name, esd in zip("abc", structure.unit_cell_esd, strict=False))
        text.append(f"Of the lengths relative to each other they are {own}.")
    return [("_cell_special_details", cif.quote("\n".join(_folded(text))))]


def _data(structure: RefinedStructure) -> list[tuple[str, str]]:
    data, fit = structure.intensities, structure.fit
    with np.load(data.table.path, allow_pickle=False) as file:
        hkl = file["hkl"]
    d_star = [1.0 / d for d in structure.unit_cell.gemmi().calculate_d_array(hkl)] if len(hkl) else [0.0]
    theta = [math.degrees(math.asin(min(1.0, data.wavelength_angstrom * x / 2.0))) for x in (min(d_star), max(d_star))]
    pairs = [
        ("_diffrn_radiation_probe", "electron" if data.radiation == "electron" else "x-ray"),
        ("_diffrn_radiation_wavelength", wavelength_text(data.wavelength_angstrom)),
        ("_diffrn_reflns_number", str(data.measured)),
        ("_diffrn_reflns_av_R_equivalents", "?" if data.r_int is None else f"{data.r_int:.4f}"),
        ("_diffrn_reflns_theta_min", f"{theta[0]:.4f}"),
        ("_diffrn_reflns_theta_max", f"{theta[1]:.4f}"),
        ("_diffrn_reflns_theta_full", f"{theta[1]:.4f}"),
        ("_diffrn_measured_fraction_theta_full", f"{data.completeness:.3f}"),
        ("_diffrn_measured_fraction_theta_max", f"{data.completeness:.3f}"),
        ("_reflns_number_total", str(fit.reflections)),
        ("_reflns_number_gt", str(fit.reflections_observed)),
        ("_reflns_threshold_expression", cif.quote("I>2\\s(I)")),
        ("_reflns_d_resolution_high", f"{data.d_min_angstrom:.3f}"),
        ("_reflns_d_resolution_low", f"{1.0 / min(d_star):.3f}" if min(d_star) > 0 else "?"),
    ]
    for axis, column in zip("hkl", hkl.T, strict=False):
        pairs += [
            (f"_diffrn_reflns_limit_{axis}_min", str(column.min())),
            (f"_diffrn_reflns_limit_{axis}_max", str(column.max())),
        ]
    if data.radiation == "electron":
        pairs += [
            ("_diffrn_source", cif.quote("transmission electron microscope")),
            ("_diffrn_source_voltage", f"{voltage_kv(data.wavelength_angstrom):.0f}"),
            ("_diffrn_measurement_method", cif.quote("three-dimensional electron diffraction")),
        ]
    return pairs


def voltage_kv(wavelength_angstrom: float) -> float:
    """Return the accelerating voltage in kV of electrons of this relativistic wavelength."""
    momentum = 12.39841984 / wavelength_angstrom
    rest = 510.99895
    return math.sqrt(momentum**2 + rest**2) - rest


def _refinement(structure: RefinedStructure) -> list[tuple[str, str]]:
    fit, data = structure.fit, structure.intensities
    a, b = fit.draft.weights
    weighting = f"w=1/[\\s^2^(Fo^2^)+({a:.4f}P)^2^+{b:.4f}P] where P=(Fo^2^+2Fc^2^)/3"
    electron = data.radiation == "electron"
    pairs = [
        ("_computing_structure_refinement", cif.quote(structure.program)),
        ("_refine_ls_structure_factor_coef", "Fsqd"),
        ("_refine_ls_matrix_type", "full"),
        ("_refine_ls_weighting_scheme", "calc"),
        ("_refine_ls_weighting_details", cif.quote(weighting)),
        ("_refine_ls_hydrogen_treatment", TREATMENT[bool(fit.draft.riding), _hydrogen_refined(fit.draft)]),
        ("_refine_ls_number_reflns", str(fit.reflections)),
        ("_refine_ls_number_parameters", str(fit.parameters)),
        ("_refine_ls_number_restraints", str(fit.restraints)),
        ("_refine_ls_R_factor_all", f"{fit.r1_all:.4f}"),
        ("_refine_ls_R_factor_gt", f"{fit.r1:.4f}"),
        ("_refine_ls_wR_factor_ref", f"{fit.wr2:.4f}"),
        ("_refine_ls_goodness_of_fit_ref", f"{fit.goof:.3f}"),
        ("_refine_ls_restrained_S_all", f"{fit.goof_restrained or fit.goof:.3f}"),
        ("_refine_ls_shift/su_max", f"{fit.shift_over_esd_max:.3f}"),
        ("_refine_ls_extinction_method", cif.quote("SHELXL" if fit.draft.extinction is not None else "none")),
    ]
    if fit.draft.extinction is not None:
        pairs.append(("_refine_ls_extinction_coef", number(fit.draft.extinction, fit.extinction_esd, decimals=4)))
        pairs.append(("_refine_ls_extinction_expression", cif.quote("Fc^*^=kFc[1+0.001xFc^2^\\l^3^/sin(2\\q)]^-1/4^")))
    if not electron:
        pairs += [
            ("_refine_diff_density_max", f"{fit.density_max:.3f}"),
            ("_refine_diff_density_min", f"{fit.density_min:.3f}"),
            ("_refine_diff_density_rms", f"{fit.density_rms:.3f}"),
        ]
    if electron:
        pairs += potential_items(fit)
    details = []
    source = SOURCES[fit.draft.table(data.radiation)]
    if not electron and source is not SOURCES["it1992"]:
        details.append(f"Refined with {source.in_words}.")
    if electron:
        details.append(
            f"Kinematical refinement against three-dimensional electron diffraction data with {source.in_words}. "
            "Residual electrostatic potential, as scattering length per volume: "
            f"{fit.density_max:.3f} and {fit.density_min:.3f} A A^-3, r.m.s. {fit.density_rms:.3f}."
        )
        if not gemmi.symops_from_hall(structure.hall).is_centrosymmetric():
            details.append(NO_ABSOLUTE_STRUCTURE)
    if fit.pulls:
        details.append(f"Restraints: {'; '.join(str(pull) for pull in fit.pulls)}.")
    details += [f"Warning: {warning}." for warning in structure.warnings]
    details += alert_lines(structure.alerts)
    if details:
        pairs.append(("_refine_special_details", cif.quote("\n".join(_folded(details)))))
    return pairs


def _twin_rows(structure: RefinedStructure) -> list[list[str]]:
    twin, esds = structure.fit.draft.twin, structure.fit.twin_esd
    whole = math.hypot(*esds) if esds else None
    texts = [number(part.fraction, esd, decimals=3) for part, esd in zip(twin, (whole, *esds), strict=False)]
    group: gemmi.SpaceGroup | None = gemmi.find_spacegroup_by_ops(gemmi.symops_from_hall(structure.hall))
    laue = None if group is None else laue_group_of(group.xhm())
    merohedral = laue is not None and all(is_merohedral(part.law, laue) for part in twin)
    return twin_rows(twin, texts, merohedral=merohedral)


def _hydrogen_refined(draft: Draft) -> bool:
    riding = {label for group in draft.riding for label in group.hydrogens}
    return any(atom.element in {"H", "D"} and atom.refine_u and atom.label not in riding for atom in draft.atoms)


def _folded(paragraphs: Sequence[str]) -> list[str]:
    import textwrap

    return [line for paragraph in paragraphs for line in textwrap.wrap(paragraph, 78)]


def _atom_loops(block: cif.Block, structure: RefinedStructure) -> None:
    draft, fits = structure.fit.draft, structure.fit.atoms
    _loop(block, "_atom_type_", ("symbol", "scat_source"), _scattering_sources(structure))
    riding = {label for group in draft.riding for label in group.hydrogens}
    position = ("label", "type_symbol", "fract_x", "fract_y", "fract_z", "U_iso_or_equiv", "adp_type", "occupancy")
    tags = (*position, "site_symmetry_order", "calc_flag", "refinement_flags_posn", "refinement_flags_adp")
    order = len(list(gemmi.symops_from_hall(structure.hall)))
    _loop(
        block,
        "_atom_site_",
        (*tags, *disorder_tags(draft)),
        (
            [*_atom_row(atom, row, order, atom.label in riding), *disorder_cells(draft, atom)]
            for atom, row in zip(draft.atoms, fits, strict=True)
        ),
    )
    _loop(
        block,
        "_atom_site_aniso_",
        ("label", "U_11", "U_22", "U_33", "U_12", "U_13", "U_23"),
        (
            [
                atom.label,
                *(number(u, esd) for u, esd in zip(atom.u_aniso_angstrom2, row.u_esd or (None,) * 6, strict=True)),
            ]
            for atom, row in zip(draft.atoms, fits, strict=True)
            if atom.u_aniso_angstrom2 is not None
        ),
    )
    if structure.cell_scale is not None:
        share = f"{structure.cell_scale.relative_esd:.2%}"
        details = f"Standard uncertainties are without that of the scale of the cell, {share}."
        block.set_pair("_geom_special_details", cif.quote(details))
    _loop(
        block,
        "_geom_bond_",
        ("atom_site_label_1", "atom_site_label_2", "distance", "site_symmetry_1", "site_symmetry_2", "publ_flag"),
        (
            [b.first, b.second, number(b.distance, b.esd, decimals=3), ".", b.symmetry, "?"]
            for b in bond_rows(structure)
        ),
    )


def _scattering_sources(structure: RefinedStructure) -> Iterable[list[str]]:
    """Return each element with the source of its scattering factor, and which ion it is taken for."""
    draft = structure.fit.draft
    table = draft.table(structure.intensities.radiation)
    for element in draft.elements:
        ion = draft.scatterer(element)
        # elements that are not among the ions are neutral atoms
        source = SOURCES["peng-1996" if table == "peng-1998-ions" and ion == element else table].citation
        yield [element, cif.quote(source if ion == element else f"{source}, {ion}")]


def _atom_row(atom: DraftAtom, row: AtomFit, order: int, riding: bool) -> list[str]:
    esds: Sequence[float | None] = (None,) * 3 if riding or row.position_esd is None else row.position_esd
    isotropic = atom.u_aniso_angstrom2 is None
    u_esd = row.u_esd[0] if row.u_esd is not None and len(row.u_esd) == 1 and not riding else None
    if not isotropic and row.u_esd is not None:
        u_esd = math.sqrt(sum(esd**2 for esd in row.u_esd[:3])) / 3.0
    site_order = max(1, round(order / row.multiplicity))
    flags = ("R" if riding else "") + ("S" if site_order > 1 else "")  # the dictionary lists them in this order
    return [
        atom.label,
        atom.element,
        *(number(x, esd, decimals=6) for x, esd in zip(atom.position, esds, strict=True)),
        number(row.u_equivalent, u_esd),
        "Uiso" if isotropic else "Uani",
        f"{atom.occupancy:g}" if row.occupancy_esd is None else number(atom.occupancy, row.occupancy_esd),
        str(site_order),
        "calc" if riding else "d",
        flags or ".",
        "T" if not isotropic and site_order > 1 else ("U" if riding else "."),
    ]


def fcf_text(structure: RefinedStructure) -> str:
    """Return observed and calculated F^2 as SHELXL's LIST 4 does, on the absolute scale.

    Numbers have six significant digits, not two decimals: F^2 by electrons is often below one.
    """
    document = cif.Document()
    block = document.add_new_block(_block_name(structure.id))
    block.set_pair("_shelx_refln_list_code", "4")
    block.set_pair("_space_group_name_H-M_alt", cif.quote(structure.space_group))
    for name, value in zip(
        ("length_a", "length_b", "length_c", "angle_alpha", "angle_beta", "angle_gamma"),
        structure.unit_cell.parameters,
        strict=True,
    ):
        block.set_pair(f"_cell_{name}", f"{value:.9g}")
    operations = ([cif.quote(operation.triplet())] for operation in gemmi.symops_from_hall(structure.hall))
    _loop(block, "_space_group_symop_", ("operation_xyz",), operations)
    with np.load(structure.fit.table.path, allow_pickle=False) as file:
        columns = [file[name] for name in ("hkl", "f_sq_calc", "f_sq_obs", "sigma")]
    rows = (
        [str(h), str(k), str(l), f"{calc:.6g}", f"{obs:.6g}", f"{sigma:.6g}", "o" if obs >= 2 * sigma else "<"]
        for (h, k, l), calc, obs, sigma in zip(*columns, strict=True)
    )
    tags = ("index_h", "index_k", "index_l", "F_squared_calc", "F_squared_meas", "F_squared_sigma", "observed_status")
    _loop(block, "_refln_", tags, rows)
    return str(document.as_string(_layout()))
