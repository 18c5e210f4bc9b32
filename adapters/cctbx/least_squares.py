"""Full-matrix least squares on F^2 by smtbx. Imported by the worker only, after cctbx."""

import math
from typing import Any

import numpy as np
import smtbx.utils
from cctbx import miller, xray
from cctbx.array_family import flex
from smtbx.refinement import constraints, least_squares

from adapters.cctbx import overlapped
from adapters.cctbx.cycles import Cycles, PlainCycles
from adapters.cctbx.difference_map import difference_map
from adapters.cctbx.hand import hooft
from adapters.cctbx.messages import FitRequest, MaskRequest
from adapters.cctbx.occupancy import conformers, disorder_constraints, keep_in_range, refine_occupancies
from adapters.cctbx.restraints import pulled, restraints_manager
from adapters.cctbx.riding import InvalidConstraint, riding_constraints
from adapters.cctbx.solvent import Pores, as_listed, pores, read_mask, written_mask
from adapters.cctbx.structure import atoms_of, crystal_symmetry, miller_indices, principal_displacements, xray_structure
from adapters.cctbx.twinning import (
    bound,
    component_intensities,
    components_of,
    held_out_flags,
    share_of_first,
    twins_of,
)
from tasks.crystal.contacts import BOND_TOLERANCE_ANGSTROM
from tasks.model import DivergedError, FileRef, InputError
from tasks.refine import (
    U_CEILING_ANGSTROM2,
    U_FLOOR_ANGSTROM2,
    AtomFit,
    Draft,
    DraftFit,
    SolventMask,
    TwinComponent,
    UniqueIntensities,
    best_weights,
)

ROUNDS_OF_WEIGHTS = 4
"""At most: a and b settle to 2 % in three rounds for L-alanine and sucrose, in two for tyrosine
(`python -m tests.benchmarks.solve --refine`); one is spare."""
ROUNDS_OF_MASKS = 2
"""Of least squares, each with what the pores hold by the model before. Chosen, not measured: scale and displacements,
which a model without the pores' contents has wrong, settle in the second."""


class Refinery:
    """One structure and its data while least squares runs."""

    def __init__(self, request: FitRequest) -> None:
        self.draft = request.draft
        self.data = request.intensities
        self.parts = overlapped.parts_of(self.data, self.draft, request.held_out, request.seed)
        if self.parts is None:
            every = unique_array(self.data, self.draft)
            free = held_out_flags(every, self.draft, request.held_out, request.seed)
            self.free = every.select(flex.bool(free.tolist()))
            self.fo_sq = every.select(flex.bool((~free).tolist()))
        else:
            self.free, self.fo_sq = (
                overlapped.observed_array(part, self.draft) for part in (self.parts.free, self.parts.fitted)
            )
        self.weights = self.draft.weights
        self.scale = self.draft.scale
        self.structure = xray_structure(self.draft, self.data.radiation, self.data.wavelength_angstrom)
        self.twins = components_of(self.draft)
        self.domains = self.draft.domains
        refine_occupancies(self.structure, self.draft)
        self.extinction = None
        if self.draft.extinction is not None:
            self.extinction = xray.shelx_extinction_correction(
                self.structure.unit_cell(), self.data.wavelength_angstrom, self.draft.extinction
            )
            self.extinction.grad = self.draft.refine_extinction
        self.f_mask: Any = None
        if self.draft.solvent is not None and not request.held_out:
            self.f_mask = as_listed(read_mask(self.draft.solvent, self.fo_sq), self.fo_sq)
        self.f_mask_free: Any = None
        self.refused: tuple[str, ...] = ()
        self.cycles = 0
        self.equations = self._equations()

    @property
    def extinction_refined(self) -> bool:
        """Whether extinction is a parameter, the last one."""
        return self.extinction is not None and self.draft.refine_extinction

    def _equations(self) -> Any:
        parts, negative = conformers(self.draft)
        connectivity = smtbx.utils.connectivity_table(
            self.structure,
            covalent_bond_tolerance=BOND_TOLERANCE_ANGSTROM,
            conformer_indices=flex.size_t(parts),
            sym_excl_indices=flex.size_t(negative),
        )
        riding, self.refused = riding_constraints(self.draft, connectivity)
        held = set(self.refused)
        rides = {label: group.pivot not in held for group in self.draft.riding for label in group.hydrogens}
        for scatterer in self.structure.scatterers():
            if scatterer.label in rides:  # a group refused before may be accepted now, after the atoms moved
                scatterer.flags.set_grad_site(rides[scatterer.label])
        try:
            parameters = constraints.reparametrisation(
                self.structure,
                [*disorder_constraints(self.draft), *riding],
                connectivity,
                temperature=20,
                extinction=self.extinction,
                twin_fractions=self.twins or None,
            )
        except (InvalidConstraint, IndexError) as error:
            raise InputError(f"the riding hydrogen atoms do not fit their surroundings: {error}") from error
        if parameters.n_independents + 1 >= self.fo_sq.size():
            raise DivergedError(
                f"{parameters.n_independents} parameters for {self.fo_sq.size()} reflections",
                "give data to a higher resolution, or a higher symmetry",
            )
        return least_squares.crystallographic_ls(
            self.fo_sq.as_xray_observations(twin_components=self.twins)
            if self.parts is None
            else overlapped.observations(self.parts.fitted, self.draft, self.domains),
            parameters,
            weighting_scheme=least_squares.mainstream_shelx_weighting(a=self.weights[0], b=self.weights[1]),
            initial_scale_factor=self.scale,
            restraints_manager=restraints_manager(self.draft, self.structure),
            may_parallelise=False,
            f_mask=self.f_mask,
        )

    def pores(self) -> Pores | None:
        """Return what fills the pores by the reflections that take part, extinction taken off."""
        f_calc, fc_sq = self.equations.f_calc.data().as_numpy_array(), self.equations.fc_sq.data().as_numpy_array()
        lift = np.abs(f_calc) ** 2 / np.maximum(fc_sq, 1e-12) if self.extinction is not None else np.ones(len(fc_sq))
        unattenuated = flex.double(self.fo_sq.data().as_numpy_array() * lift)
        fo_sq = self.fo_sq.customized_copy(data=unattenuated).set_observation_type_xray_intensity()
        scale = float(self.equations.scale_factor())
        return pores(self.structure, fo_sq, scale=scale, radiation=self.data.radiation)

    def mask_anew(self) -> None:
        """Take what the reflections that take part say of the pores into F(calc), also of those that are held out."""
        found = self.pores()
        self.f_mask = None if found is None else as_listed(found.f_mask, self.fo_sq)
        self.f_mask_free = None if found is None else as_listed(found.f_mask, self.free)
        self.renew()

    def run(self, cycles: int, shift_over_esd: float) -> None:
        """Refine the structure, of several domains in turn with their fractions."""
        self._run(cycles, shift_over_esd)
        if self.parts is None:
            return
        for _ in range(overlapped.ROUNDS_OF_DOMAINS):
            before, weights = self.domains, self.equations.weights.as_numpy_array()
            self.domains = overlapped.refined_domains(self.parts.fitted, self.draft, self.structure, weights)
            self.renew()
            self._run(cycles, shift_over_esd)
            if np.allclose(before, self.domains, rtol=0.0, atol=overlapped.SETTLED):
                break

    def _run(self, cycles: int, shift_over_esd: float) -> None:
        """Run damped cycles (Levenberg-Marquardt), then keep displacements in the range that means something."""
        try:
            steps = Cycles(
                self.equations,
                n_max_iterations=cycles,
                gradient_threshold=1e-9,
                step_threshold=1e-9,
                tau=1e-6,
                shift_over_esd=0.3 * shift_over_esd,
            )
            last = PlainCycles(
                self.equations,
                n_max_iterations=cycles // 2,
                track_step=False,
                extinction=self.extinction is not None and self.draft.refine_extinction,
                shift_over_esd=0.3 * shift_over_esd,
            )
        except (RuntimeError, AssertionError, ZeroDivisionError, OverflowError) as error:
            raise DivergedError(f"least squares stopped: {error}", "look at the model: atoms may coincide") from error
        self.cycles += steps.n_iterations + last.n_iterations
        self._tidy()

    def _tidy(self) -> None:
        bound(self.twins)
        cell = self.structure.unit_cell()
        keep_in_range(self.structure, self.draft)
        for scatterer in self.structure.scatterers():
            if not all(math.isfinite(x) and abs(x) < 50 for x in scatterer.site):
                raise DivergedError(
                    f"atom {scatterer.label} left the cell", "its position is not supported by the data"
                )
            if scatterer.flags.use_u_iso() and scatterer.flags.grad_u_iso():
                scatterer.u_iso = min(max(scatterer.u_iso, U_FLOOR_ANGSTROM2), U_CEILING_ANGSTROM2)
            elif not math.isfinite(scatterer.u_iso_or_equiv(cell)):
                raise DivergedError(f"the displacements of atom {scatterer.label} are not finite")

    def renew(self) -> None:
        """Take weights, scale and structure as they are now into new normal equations."""
        self.scale = float(self.equations.scale_factor())
        self.equations = self._equations()
        self.equations.build_up()

    def update_weights(self) -> None:
        """Choose a and b for a flat analysis of variance, as SHELXL proposes them."""
        self.weights = best_weights(
            self.fo_sq.data().as_numpy_array() / self.equations.scale_factor(),
            self.fo_sq.sigmas().as_numpy_array() / self.equations.scale_factor(),
            self.equations.fc_sq.data().as_numpy_array(),
            parameters=self.equations.n_parameters,
        )


def unique_array(data: UniqueIntensities, draft: Draft) -> miller.array:
    """Return the unique intensities as cctbx's array."""
    with np.load(data.table.path, allow_pickle=False) as file:
        hkl, intensity, sigma = file["hkl"], file["intensity"], file["sigma"]
    symmetry = crystal_symmetry(draft.hall, draft.unit_cell.parameters)
    return miller.array(
        miller_set=miller.set(
            crystal_symmetry=symmetry, indices=miller_indices(hkl), anomalous_flag=not data.friedel_merged
        ),
        data=flex.double(intensity),
        sigmas=flex.double(sigma),
    ).set_observation_type_xray_intensity()


def fit(request: FitRequest) -> DraftFit:
    """Refine a draft, judge the convergence and search the difference density.

    Raises
    ------
    DivergedError
        If there are fewer reflections than parameters, the normal equations cannot be solved or an atom runs away.
    InputError
        If there is no scattering factor, or riding atoms do not fit.
    """
    refinery = Refinery(request)
    refinery.run(request.cycles, request.shift_over_esd)
    refinery.renew()
    if request.held_out and request.draft.solvent is not None:
        for _ in range(ROUNDS_OF_MASKS):
            refinery.mask_anew()
            refinery.run(request.cycles, request.shift_over_esd)
            refinery.renew()
    if request.update_weights:
        for _ in range(ROUNDS_OF_WEIGHTS):
            before = refinery.weights
            refinery.update_weights()
            refinery.renew()
            refinery.run(request.cycles, request.shift_over_esd)
            refinery.renew()
            if np.allclose(before, refinery.weights, rtol=0.02, atol=1e-4):
                break
    return _report(refinery, request)


def masked(request: MaskRequest) -> SolventMask | None:
    """Return what fills the pores of a draft as it stands.

    Raises
    ------
    InputError
        If there is no scattering factor, or riding atoms do not fit.
    """
    refinery = Refinery(FitRequest(draft=request.draft, intensities=request.intensities, output=request.output))
    refinery.equations.build_up()
    found = refinery.pores()
    return None if found is None else written_mask(found, request.output)


def _report(refinery: Refinery, request: FitRequest) -> DraftFit:
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
