"""Drafts to cctbx structures and back. Imported by the worker only, after cctbx."""

import numpy as np
from cctbx import adptbx, crystal, xray
from cctbx.array_family import flex
from cctbx.eltbx import e_scattering, xray_scattering
from cctbx.sgtbx import space_group, space_group_info
from numpy.typing import NDArray

from tasks.crystal.scattering import Radiation
from tasks.crystal.scattering_tables import electron_gaussians
from tasks.model import InputError
from tasks.refine import Draft, DraftAtom

MIN_DISTANCE_SYM_EQUIV_ANGSTROM = 0.35
"""An atom closer than this to its image is moved onto the symmetry element."""
DISPERSION_ANGSTROM = (0.1, 2.89)
"""Wavelengths of Sasaki's table; beyond it cctbx extrapolates to nonsense. Dispersion vanishes at shorter ones."""


def crystal_symmetry(hall: str, parameters: tuple[float, ...]) -> crystal.symmetry:
    """Return cctbx's symmetry of a Hall symbol and a cell.

    Raises
    ------
    InputError
        If the symbol is none, or the cell does not obey the group.
    """
    try:
        return crystal.symmetry(unit_cell=parameters, space_group_info=space_group_info(group=space_group(hall)))
    except (RuntimeError, ValueError, AssertionError) as error:
        raise InputError(f"space group {hall!r} with the cell {parameters}: {error}") from error


def xray_structure(draft: Draft, radiation: Radiation, wavelength_angstrom: float | None = None) -> xray.structure:
    """Return cctbx's structure of a draft, its gradients chosen as the draft says.

    Scattering factors are those of the draft's table; where it names none, for electrons those of Peng et al. (1996) as
    in International Tables C table 4.3.2.2, for X-rays those of table 6.1.1.4. X-rays come with anomalous dispersion
    after Sasaki when a wavelength of his table is given.
    """
    symmetry = crystal_symmetry(draft.hall, draft.unit_cell.parameters)
    structure = xray.structure(
        crystal.special_position_settings(symmetry, min_distance_sym_equiv=MIN_DISTANCE_SYM_EQUIV_ANGSTROM)
    )
    for atom in draft.atoms:
        structure.add_scatterer(_scatterer(atom, structure))
    structure.scattering_type_registry(
        custom_dict={element: _gaussian(element, draft, radiation) for element in draft.elements}
    )
    shortest, longest = DISPERSION_ANGSTROM
    if radiation == "xray" and wavelength_angstrom is not None and shortest <= wavelength_angstrom <= longest:
        structure.set_inelastic_form_factors(wavelength_angstrom, "sasaki")
    for scatterer, atom in zip(structure.scatterers(), draft.atoms):
        flags = scatterer.flags
        flags.set_grad_site(atom.refine_position)
        flags.set_grad_u_iso(atom.refine_u and flags.use_u_iso())
        flags.set_grad_u_aniso(atom.refine_u and flags.use_u_aniso())
    return structure


def _scatterer(atom: DraftAtom, structure: xray.structure) -> xray.scatterer:
    cell = structure.unit_cell()
    if atom.u_aniso_angstrom2 is None:
        displacement: dict[str, object] = {"u": atom.u_iso_angstrom2}
    else:
        displacement = {"u": adptbx.u_cif_as_u_star(cell, atom.u_aniso_angstrom2)}
    return xray.scatterer(
        label=atom.label,
        site=atom.position,
        occupancy=atom.occupancy,
        scattering_type="H" if atom.element == "D" else atom.element,
        **displacement,
    )


def _gaussian(element: str, draft: Draft, radiation: Radiation) -> xray_scattering.gaussian:
    symbol, table = "H" if element == "D" else element, draft.table(radiation)
    try:
        if table == "peng-1996":
            return e_scattering.ito_vol_c_2011_table_4_3_2_2_entry_as_gaussian(label=symbol, exact=True)
        if table == "it1992":
            return xray_scattering.it1992(symbol, True).fetch()
        if table == "wk1995":
            return xray_scattering.wk1995(symbol, True).fetch()
    except (RuntimeError, ValueError, KeyError, AssertionError) as error:
        raise InputError(f"no {radiation} scattering factor for the element {element!r}: {error}") from error
    fitted = electron_gaussians(draft.scatterer(symbol), table)
    return xray_scattering.gaussian(fitted.a, fitted.b, 0.0, False)


def atoms_of(structure: xray.structure, draft: Draft) -> tuple[DraftAtom, ...]:
    """Return the draft's atoms with the structure's values."""
    cell = structure.unit_cell()
    atoms = []
    for scatterer, atom in zip(structure.scatterers(), draft.atoms):
        aniso = adptbx.u_star_as_u_cif(cell, scatterer.u_star) if scatterer.flags.use_u_aniso() else None
        update = {
            "position": tuple(float(x) for x in scatterer.site),
            "u_iso_angstrom2": float(scatterer.u_iso_or_equiv(cell)),
            "u_aniso_angstrom2": None if aniso is None else tuple(float(u) for u in aniso),
            "occupancy": float(scatterer.occupancy),
        }
        atoms.append(atom.model_copy(update=update))
    return tuple(atoms)


def principal_displacements(structure: xray.structure) -> list[tuple[float, float, float]]:
    """Return for each atom the smallest and largest principal mean square displacement and U(eq), angstrom^2."""
    cell = structure.unit_cell()
    found = []
    for scatterer in structure.scatterers():
        u_eq = float(scatterer.u_iso_or_equiv(cell))
        if scatterer.flags.use_u_aniso():
            values = adptbx.eigenvalues(adptbx.u_star_as_u_cart(cell, scatterer.u_star))
            found.append((float(min(values)), float(max(values)), u_eq))
        else:
            found.append((u_eq, u_eq, u_eq))
    return found


def miller_indices(hkl: NDArray[np.int32]) -> flex.miller_index:
    """Return Miller indices (n, 3) as cctbx's array."""
    return flex.miller_index([(int(h), int(k), int(l)) for h, k, l in hkl])
