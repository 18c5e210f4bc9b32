"""Published structures as subjects of validation: model, uncertainties and figures as their files state them."""

import math
import re
from pathlib import Path

import gemmi
import numpy as np
from shelxfile import Shelxfile

from tasks.model import Composition, FileRef, UnitCell
from tasks.refine.alerts.subject import Subject, atoms_in_cell
from tasks.refine.displacement import principal_displacements
from tasks.refine.draft import AtomFit, Draft, DraftAtom, ModelFit, UniqueIntensities

PUBLISHED = {
    "natrolite": ("natrolite/ccdc_natrolite.cif", "natrolite", "Na2 Al2 Si3 O12 H4", 8.0),
    "natrolite-kinematical": ("natrolite/jana2006_natrolite.cif", "natrolite_kinematical", "", 0.0),
    "albite": ("dynamical/jana2006_albite.cif", "albite_dynamical", "", 0.0),
    "luag": ("luag/jana2020_LuAG.cif", "I", "", 0.0),
    "l-alanine": ("l-alanine/iam.cif", "", "", 0.0),
    "sucrose": ("sucrose/DK_Zucker2_0m.cif", "", "", 0.0),
    "uio-66": ("uio66/UiO-66.cif", "", "", 0.0),
    "cinchonine": ("cinchonine/DemoData/Cinchonine/shelxl/shelxl.cif", "", "", 0.0),
}
"""File, data block, formula and Z where the file states none."""


def published_subject(name: str, folder: Path) -> Subject:
    """Return a published structure; the table of its intensities is empty."""
    if name == "tyrosine":
        return _tyrosine(folder / "tyrosine/2.ins")
    path, wanted, formula, units = PUBLISHED[name]
    document = gemmi.cif.read(str(folder / path))
    blocks = [block for block in document if len(block.find_values("_atom_site_label"))]
    block = next((one for one in blocks if one.name == wanted), blocks[0])
    return subject_of_block(block, folder / path, formula=formula, units=units)


def subject_of_file(path: Path) -> Subject:
    """Return the model of any CIF, its contents as the formula; nothing of data or fit.

    Raises
    ------
    ValueError
        If no space group is known.
    """
    document = gemmi.cif.read(str(path))
    block = max(document, key=lambda one: len(one.find_values("_atom_site_label")))
    small = gemmi.make_small_structure_from_block(block)
    small.determine_and_set_spacegroup("s.h2n")
    if small.spacegroup is None:
        raise ValueError("no space group")
    atoms = tuple(_atom(site) for site in small.sites if site.element.atomic_number > 0)
    draft = Draft(hall=small.spacegroup.hall, unit_cell=UnitCell.of(tuple(small.cell.parameters)), atoms=atoms)
    return Subject(draft, atoms_in_cell(draft), 1.0)


def subject_of_block(block: gemmi.cif.Block, path: Path, *, formula: str = "", units: float = 0.0) -> Subject:
    """Return what a data block of a CIF states."""
    small = gemmi.make_small_structure_from_block(block)
    operations = [str(x).strip("'\" ") for x in block.find_values("_space_group_symop_operation_xyz")]
    operations = operations or [str(x).strip("'\" ") for x in block.find_values("_symmetry_equiv_pos_as_xyz")]
    group = gemmi.find_spacegroup_by_ops(gemmi.GroupOps([gemmi.Op(x.replace(" ", "")) for x in operations]))
    small.determine_and_set_spacegroup("s.h2n")
    group = group or small.spacegroup
    atoms = tuple(_atom(site) for site in small.sites if site.element.atomic_number > 0)
    draft = Draft(hall=group.hall, unit_cell=UnitCell.of(tuple(small.cell.parameters)), atoms=atoms)
    positions = {
        row[0]: tuple(map(_esd, list(row)[1:]))
        for row in block.find("_atom_site_", ["label", "fract_x", "fract_y", "fract_z"])
    }
    tensors = {
        row[0]: tuple(map(_esd, list(row)[1:]))
        for row in block.find("_atom_site_aniso_", ["label", "U_11", "U_22", "U_33", "U_12", "U_13", "U_23"])
    }
    fits = tuple(_atom_fit(atom, draft.unit_cell, positions.get(atom.label), tensors.get(atom.label)) for atom in atoms)
    stated = formula or gemmi.cif.as_string(block.find_value("_chemical_formula_sum") or "")
    counts = Composition.parse(stated).counts
    subject = Subject(
        draft,
        dict(counts),
        units or _number(block, "_cell_formula_units_Z"),
        fits,
        composition=Composition.parse(stated),
    )
    if block.find_value("_refine_ls_number_parameters") in {None, "?", "."}:
        return subject
    flack = block.find_value("_refine_ls_abs_structure_Flack")
    fit = _fit(block, draft, fits)
    return subject._replace(
        draft=fit.draft,
        fit=fit,
        intensities=_intensities(block, path),
        flack=None if flack in {None, "?", "."} else (gemmi.cif.as_number(flack), _esd(flack)),
    )


def _number(block: gemmi.cif.Block, *tags: str, default: float = math.nan) -> float:
    for tag in tags:
        if (text := block.find_value(tag)) not in {None, "?", "."}:
            return float(gemmi.cif.as_number(text))
    return default


def _esd(text: str) -> float:
    number, bracket, esd = text.partition("(")
    return float(esd.rstrip(")")) / 10 ** len(number.partition(".")[2]) if bracket else 0.0


def _atom(site: gemmi.SmallStructure.Site) -> DraftAtom:
    u = site.aniso
    tensor = (u.u11, u.u22, u.u33, u.u12, u.u13, u.u23) if u.nonzero() else None
    return DraftAtom(
        label=site.label,
        element="H" if site.element.name == "D" else site.element.name,
        position=tuple(site.fract.tolist()),
        u_iso_angstrom2=site.u_iso if site.u_iso > 0 else 0.02,
        u_aniso_angstrom2=tensor,
        occupancy=site.occ,
    )


def _atom_fit(
    atom: DraftAtom, cell: UnitCell, position: tuple[float, ...] | None, tensor: tuple[float, ...] | None
) -> AtomFit:
    least = most = mean = atom.u_iso_angstrom2
    if atom.u_aniso_angstrom2 is not None:
        least, most, mean = principal_displacements(atom.u_aniso_angstrom2, cell)
    return AtomFit(
        label=atom.label,
        position_esd=position if position and any(position) else None,
        u_esd=tensor if tensor and any(tensor) else None,
        u_min_eigenvalue=least,
        u_max_eigenvalue=most,
        u_equivalent=mean,
        multiplicity=1,
        riding=atom.element == "H",
    )


def _fit(block: gemmi.cif.Block, draft: Draft, fits: tuple[AtomFit, ...]) -> ModelFit:
    scheme = gemmi.cif.as_string(block.find_value("_refine_ls_weighting_details") or "")
    weights = re.search(r"\(([\d.]+)P\)\^2\^(?:\+([\d.]+)P)?", scheme)
    a, b = (weights[1], weights[2] or "0") if weights else ("0", "0")
    return ModelFit(
        draft=draft.model_copy(update={"weights": (float(a), float(b))}),
        atoms=fits,
        r1=_number(block, "_refine_ls_R_factor_gt"),
        r1_all=_number(block, "_refine_ls_R_factor_all"),
        wr2=_number(block, "_refine_ls_wR_factor_ref", "_refine_ls_wR_factor_all", default=0.0),
        goof=_number(block, "_refine_ls_goodness_of_fit_ref", "_refine_ls_goodness_of_fit_all", default=1.0),
        reflections=int(_number(block, "_refine_ls_number_reflns", "_reflns_number_total")),
        reflections_observed=int(_number(block, "_reflns_number_gt")),
        parameters=int(_number(block, "_refine_ls_number_parameters")),
        shift_over_esd_max=_number(block, "_refine_ls_shift/su_max", "_refine_ls_shift/esd_max", default=0.0),
        converged=True,
        density_max=_number(block, "_refine_diff_density_max", default=0.0),
        density_min=_number(block, "_refine_diff_density_min", default=0.0),
    )


def _intensities(block: gemmi.cif.Block, path: Path) -> UniqueIntensities:
    wavelength = _number(block, "_diffrn_radiation_wavelength")
    theta = math.radians(_number(block, "_diffrn_reflns_theta_max", "_reflns_theta_max"))
    r_int = _number(block, "_diffrn_reflns_av_R_equivalents")
    return UniqueIntensities(
        table=FileRef.of(path),
        radiation="electron" if wavelength < 0.1 else "xray",
        wavelength_angstrom=wavelength,
        friedel_merged=True,
        unique=int(_number(block, "_reflns_number_total")),
        measured=int(_number(block, "_diffrn_reflns_number", default=0.0)),
        r_int=None if math.isnan(r_int) else r_int,
        completeness=_number(
            block, "_diffrn_measured_fraction_theta_full", "_diffrn_measured_fraction_theta_max", default=1.0
        ),
        d_min_angstrom=wavelength / 2 / math.sin(theta),
        absences=0,
        absences_violated=0,
    )


def _tyrosine(path: Path) -> Subject:
    """Return the model of L-tyrosine's .ins; it states no figures."""
    res = Shelxfile()
    res.read_file(str(path))
    cell = UnitCell.of(tuple(res.cell))
    atoms = tuple(
        DraftAtom(
            label=atom.name,
            element=atom.element,
            position=tuple(atom.frac_coords),
            u_iso_angstrom2=atom.uvals[0] if atom.uvals[0] > 0 else 0.05,
            u_aniso_angstrom2=tuple(np.array(atom.uvals)[[0, 1, 2, 5, 4, 3]]) if any(atom.uvals[1:]) else None,
        )
        for atom in res.atoms.all_atoms
        if not atom.qpeak
    )
    draft = Draft(hall=gemmi.SpaceGroup("P 21 21 21").hall, unit_cell=cell, atoms=atoms)
    fits = tuple(_atom_fit(atom, cell, None, None) for atom in atoms)
    composition = Composition.parse("C9 H11 N O3")
    return Subject(draft, dict(composition.counts), 4.0, fits, composition=composition)
