"""What a fit came to: figures, esds, table. Imported by the worker only, after cctbx."""

import math
from typing import Any

import numpy as np
from cctbx.array_family import flex

from adapters.cctbx import overlapped
from adapters.cctbx.difference_map import difference_map
from adapters.cctbx.hand import hooft
from adapters.cctbx.messages import FitRequest
from adapters.cctbx.refinery import Refinery
from adapters.cctbx.restraints import pulled
from adapters.cctbx.solvent import as_listed
from adapters.cctbx.structure import atoms_of, principal_displacements
from adapters.cctbx.twinning import (
    component_intensities,
    share_of_first,
    twins_of,
)
from tasks.model import DivergedError, FileRef
from tasks.refine import (
    AtomFit,
    DraftFit,
    TwinComponent,
)


def report(refinery: Refinery, request: FitRequest) -> DraftFit:
    """Return what a fit came to, its convergence judged and its difference density searched."""
    equations = refinery.equations
    shift, where = _largest_shift(equations)
    scale = float(equations.scale_factor())
    r1, observed = equations.r1_factor(cutoff_factor=2)
    r1_all, unique = equations.r1_factor()
    peaks, density = difference_map(refinery.fo_sq, equations.f_calc, equations.fc_sq, scale=scale, peaks=request.peaks)
    fit_atoms, scalar_esds = _atom_fits(refinery)
    twin = twins_of(refinery.draft, refinery.twins)
    r1_free, free = _r1_free(refinery, scale, twin)
    with request.output.open("wb") as stream:
        np.savez(stream, **_table(refinery, scale, twin))
    extinction = None if refinery.extinction is None else float(refinery.extinction.value)
    numbers = (r1, r1_all, equations.wR2(), equations.goof(), shift)
    if not all(math.isfinite(number) for number in numbers):
        raise DivergedError("least squares gave figures that are not finite")
    return DraftFit(
        draft=refinery.draft.model_copy(
            update={
                "atoms": atoms_of(refinery.structure, refinery.draft),
                "weights": refinery.weights,
                "scale": scale,
                "extinction": extinction,
                "twin": twin,
                "domains": refinery.domains,
            }
        ),
        atoms=fit_atoms,
        r1=float(r1),
        r1_all=float(r1_all),
        wr2=float(equations.wR2()),
        goof=float(equations.goof()),
        reflections=int(unique),
        reflections_observed=int(observed),
        parameters=int(equations.n_parameters) + 1 + max(0, len(refinery.domains) - 1),
        shift_over_esd_max=shift,
        shift_over_esd_at=where,
        converged=shift <= request.shift_over_esd,
        cycles=refinery.cycles,
        peaks=peaks,
        density_max=density.maximum,
        density_min=density.minimum,
        density_rms=density.rms,
        holes=density.holes,
        r1_free=r1_free,
        reflections_free=free,
        extinction_esd=scalar_esds[-1] if refinery.extinction_refined else None,
        twin_esd=scalar_esds[: len(refinery.twins)],
        hooft=None if twin or refinery.parts else hooft(refinery.fo_sq, equations.f_calc, scale),
        riding_refused=refinery.refused,
        goof_restrained=float(equations.restrained_goof()) if refinery.draft.restraints else None,
        **pulled(refinery.draft, refinery.structure)._asdict(),
        table=FileRef.of(request.output),
    )


def _table(refinery: Refinery, scale: float, twin: tuple[TwinComponent, ...]) -> dict[str, Any]:
    """Return the columns of the table of a fit, see `DraftFit`."""
    if refinery.parts is not None:
        fitted = refinery.parts.fitted
        one, whole = overlapped.intensities(fitted, refinery.draft, refinery.structure, refinery.domains)
        return overlapped.merged_table(refinery.fo_sq, refinery.structure, one / np.maximum(whole, 1e-12), scale)
    part = share_of_first(refinery.fo_sq, refinery.structure, twin)
    return {
        "hkl": np.array(list(refinery.fo_sq.indices()), dtype=np.int32),
        "f_sq_obs": refinery.fo_sq.data().as_numpy_array() / scale * part,
        "sigma": refinery.fo_sq.sigmas().as_numpy_array() / scale * part,
        "f_sq_calc": refinery.equations.fc_sq.data().as_numpy_array() * part,
        "phase_deg": refinery.equations.f_calc.phases(deg=True).data().as_numpy_array(),
    }


def _r1_free(refinery: Refinery, scale: float, twin: tuple[TwinComponent, ...]) -> tuple[float | None, int]:
    """Return R1 of the observed reflections that were held out, and their number.

    Extinction as in SHELXL and smtbx: F(calc) times (1 + 0.001 x F(calc)^2 wavelength^3 / sin 2 theta)^(-1/4).
    """
    strong = refinery.free.data() > 2 * refinery.free.sigmas()
    observed = refinery.free.select(strong)
    if not observed.size():
        return None, 0
    if refinery.parts is not None:
        kept = refinery.parts.free.chosen(strong.as_numpy_array())
        whole = overlapped.intensities(kept, refinery.draft, refinery.structure, refinery.domains)[1]
    elif refinery.f_mask_free is not None:
        f_calc = observed.structure_factors_from_scatterers(refinery.structure, algorithm="direct").f_calc()
        f_pores = as_listed(refinery.f_mask_free, observed).data().as_numpy_array()
        whole = np.abs(f_calc.data().as_numpy_array() + f_pores) ** 2
    else:
        whole = component_intensities(observed, refinery.structure, twin)[1]
    modulus = np.sqrt(whole)
    if refinery.extinction is not None:
        wavelength = refinery.data.wavelength_angstrom
        sine = wavelength / 2.0 / observed.d_spacings().data().as_numpy_array()
        sine_of_double = 2.0 * sine * np.sqrt(np.maximum(1.0 - sine**2, 1e-12))
        strength = 0.001 * max(float(refinery.extinction.value), 0.0) * wavelength**3
        modulus = modulus * (1.0 + strength * modulus**2 / sine_of_double) ** -0.25
    calculated = modulus * math.sqrt(scale)
    measured = np.sqrt(observed.data().as_numpy_array())
    return float(np.abs(measured - calculated).sum() / measured.sum()), observed.size()


def _largest_shift(equations: Any) -> tuple[float, str]:
    """Return the largest shift over esd that one more undamped cycle would make, without making it."""
    try:
        equations.build_up()
        equations.solve()
        esd = flex.sqrt(equations.covariance_matrix().matrix_packed_u_diagonal())
    except (RuntimeError, AssertionError) as error:
        raise DivergedError(
            f"the normal matrix is singular: {error}", "an atom or a displacement is not determined by the data"
        ) from error
    ratio = flex.abs(equations.step() / esd)
    if not ratio.size():
        return 0.0, ""
    transposed = equations.reparametrisation.jacobian_transpose_matching_grad_fc().transpose()
    # The first crystallographic parameter that moves with the worst independent one names the atom.
    column = flex.double(ratio.size(), 0.0)
    column[flex.max_index(ratio)] = 1.0
    moved = flex.abs(transposed * column)
    annotations = equations.reparametrisation.component_annotations
    where = annotations[flex.max_index(moved)] if moved.size() and flex.max(moved) > 0 else "scale or extinction"
    return float(flex.max(ratio)), where


def _atom_fits(refinery: Refinery) -> tuple[tuple[AtomFit, ...], tuple[float, ...]]:
    """Return what is known of the atoms, and the esds of the scalars: twin fractions, then extinction."""
    equations, structure = refinery.equations, refinery.structure
    jacobian = equations.reparametrisation.jacobian_transpose_matching_grad_fc()
    variance = equations.covariance_matrix(jacobian_transpose=jacobian).matrix_packed_u_diagonal()
    esd = np.sqrt(np.maximum(variance.as_numpy_array(), 0.0))
    linear = np.array(structure.unit_cell().u_star_to_u_cif_linear_map())
    parameters = structure.parameter_map()
    riding = {label for group in refinery.draft.riding for label in group.hydrogens}
    fits = []
    for index, (scatterer, spread) in enumerate(zip(structure.scatterers(), principal_displacements(structure))):
        place = parameters[index]
        flags = scatterer.flags
        u_esd: tuple[float, ...] | None = None
        if flags.grad_u_aniso() and place.u_aniso >= 0:
            u_esd = tuple(float(x) for x in esd[place.u_aniso : place.u_aniso + 6] * linear)
        elif flags.grad_u_iso() and place.u_iso >= 0:
            u_esd = (float(esd[place.u_iso]),)
        site = esd[place.site : place.site + 3] if flags.grad_site() and place.site >= 0 else None
        refined = flags.grad_occupancy() and place.occupancy >= 0
        fits.append(
            AtomFit(
                label=scatterer.label,
                position_esd=None if site is None else (float(site[0]), float(site[1]), float(site[2])),
                u_esd=u_esd,
                u_min_eigenvalue=spread[0],
                u_max_eigenvalue=spread[1],
                u_equivalent=spread[2],
                multiplicity=int(scatterer.multiplicity()),
                riding=scatterer.label in riding,
                occupancy_esd=float(esd[place.occupancy]) if refined else None,
            )
        )
    own = equations.covariance_matrix().matrix_packed_u_diagonal().as_numpy_array()
    scalars = len(refinery.twins) + refinery.extinction_refined
    return tuple(fits), tuple(np.sqrt(np.maximum(own[len(own) - scalars :], 0.0)).tolist())
