"""Full-matrix least squares on F^2 by smtbx. Imported by the worker only, after cctbx."""

import math
from typing import Any

import numpy as np
import smtbx.utils
from cctbx import miller, xray
from cctbx.array_family import flex
from scitbx.lstbx import normal_eqns_solving
from smtbx.refinement import constraints, least_squares

from adapters.cctbx.difference_map import difference_map
from adapters.cctbx.messages import FitRequest
from adapters.cctbx.riding import InvalidConstraint, riding_constraints
from adapters.cctbx.structure import atoms_of, crystal_symmetry, miller_indices, principal_displacements, xray_structure
from tasks.crystal.contacts import BOND_TOLERANCE_ANGSTROM
from tasks.model import DivergedError, FileRef, InputError
from tasks.refine import (
    U_CEILING_ANGSTROM2,
    U_FLOOR_ANGSTROM2,
    AtomFit,
    Draft,
    DraftFit,
    UniqueIntensities,
    best_weights,
)

ROUNDS_OF_WEIGHTS = 4
"""At most: a and b settle to 2 % in three rounds for L-alanine and sucrose, in two for tyrosine
(`python -m tests.benchmarks.solve --refine`); one is spare."""
LIMIT_SHIFT_OVER_ESD = 3.0
"""The largest step of a plain cycle, in esds. In the test of extinction (tests/unit/cctbx/test_worker.py) a limit of 1
does not arrive in 40 cycles, and one of 30 runs away."""
LIMIT_OF_EXTINCTION = 50.0
"""The same for extinction, in esds. In that test the 3 of the others does not arrive in 40 cycles; 10 and 500 do."""


class Cycles(normal_eqns_solving.levenberg_marquardt_iterations):  # type: ignore[misc]
    """Levenberg-Marquardt cycles that stop when no shift is larger than a part of its esd."""

    shift_over_esd = 0.0

    def had_too_small_a_step(self) -> bool:
        """Tell whether the last step is too small to matter."""
        if super().had_too_small_a_step():
            return True
        esd = flex.sqrt(self.non_linear_ls.covariance_matrix().matrix_packed_u_diagonal())
        return bool(flex.max(flex.abs(self.non_linear_ls.step() / esd)) < self.shift_over_esd)


class PlainCycles(normal_eqns_solving.iterations):  # type: ignore[misc]
    """Gauss-Newton cycles, shifts limited: the weights depend on F(calc), so the objective may rise on the way.

    Extinction, the last parameter, may go further: it starts far from where it ends, and harms no atom on the way.
    """

    shift_over_esd = 0.0
    extinction = False

    def do(self) -> None:
        """Run cycles until no shift is larger than a part of its esd."""
        self.n_iterations = 0
        while self.n_iterations < self.n_max_iterations:
            self.non_linear_ls.build_up()
            self.non_linear_ls.solve()
            esd = flex.sqrt(self.non_linear_ls.covariance_matrix().matrix_packed_u_diagonal())
            step = self.non_linear_ls.step()
            shifts = flex.abs(step / esd)
            if flex.max(shifts) < self.shift_over_esd:
                break
            if self.extinction:
                shifts[shifts.size() - 1] *= LIMIT_SHIFT_OVER_ESD / LIMIT_OF_EXTINCTION
            largest = flex.max(shifts)
            if largest > LIMIT_SHIFT_OVER_ESD:
                step *= LIMIT_SHIFT_OVER_ESD / largest
            self.non_linear_ls.step_forward()
            self.n_iterations += 1


class Refinery:
    """One structure and its data while least squares runs."""

    def __init__(self, request: FitRequest) -> None:
        self.draft = request.draft
        self.data = request.intensities
        every = unique_array(self.data, self.draft)
        free = np.random.default_rng(request.seed).random(every.size()) < request.held_out
        self.free = every.select(flex.bool(free.tolist()))
        self.fo_sq = every.select(flex.bool((~free).tolist()))
        self.weights = self.draft.weights
        self.scale = self.draft.scale
        self.structure = xray_structure(self.draft, self.data.radiation, self.data.wavelength_angstrom)
        self.extinction = None
        if self.draft.extinction is not None:
            self.extinction = xray.shelx_extinction_correction(
                self.structure.unit_cell(), self.data.wavelength_angstrom, self.draft.extinction
            )
            self.extinction.grad = True
        self.refused: tuple[str, ...] = ()
        self.cycles = 0
        self.equations = self._equations()

    def _equations(self) -> Any:
        connectivity = smtbx.utils.connectivity_table(self.structure, covalent_bond_tolerance=BOND_TOLERANCE_ANGSTROM)
        riding, self.refused = riding_constraints(self.draft, connectivity)
        held = set(self.refused)
        rides = {label: group.pivot not in held for group in self.draft.riding for label in group.hydrogens}
        for scatterer in self.structure.scatterers():
            if scatterer.label in rides:  # a group refused before may be accepted now, after the atoms moved
                scatterer.flags.set_grad_site(rides[scatterer.label])
        try:
            parameters = constraints.reparametrisation(
                self.structure, riding, connectivity, temperature=20, extinction=self.extinction
            )
        except (InvalidConstraint, IndexError) as error:
            raise InputError(f"the riding hydrogen atoms do not fit their surroundings: {error}") from error
        if parameters.n_independents + 1 >= self.fo_sq.size():
            raise DivergedError(
                f"{parameters.n_independents} parameters for {self.fo_sq.size()} reflections",
                "give data to a higher resolution, or a higher symmetry",
            )
        return least_squares.crystallographic_ls(
            self.fo_sq.as_xray_observations(),
            parameters,
            weighting_scheme=least_squares.mainstream_shelx_weighting(a=self.weights[0], b=self.weights[1]),
            initial_scale_factor=self.scale,
            may_parallelise=False,
        )

    def run(self, cycles: int, shift_over_esd: float) -> None:
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
                extinction=self.extinction is not None,
                shift_over_esd=0.3 * shift_over_esd,
            )
        except (RuntimeError, AssertionError, ZeroDivisionError, OverflowError) as error:
            raise DivergedError(f"least squares stopped: {error}", "look at the model: atoms may coincide") from error
        self.cycles += steps.n_iterations + last.n_iterations
        self._tidy()

    def _tidy(self) -> None:
        cell = self.structure.unit_cell()
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


def _report(refinery: Refinery, request: FitRequest) -> DraftFit:
    equations = refinery.equations
    shift, where = _largest_shift(equations)
    scale = float(equations.scale_factor())
    r1, observed = equations.r1_factor(cutoff_factor=2)
    r1_all, unique = equations.r1_factor()
    peaks, density = difference_map(refinery.fo_sq, equations.f_calc, equations.fc_sq, scale=scale, peaks=request.peaks)
    fit_atoms, extinction_esd = _atom_fits(refinery)
    r1_free, free = _r1_free(refinery, scale)
    with request.output.open("wb") as stream:
        np.savez(
            stream,
            hkl=np.array(list(refinery.fo_sq.indices()), dtype=np.int32),
            f_sq_obs=refinery.fo_sq.data().as_numpy_array() / scale,
            sigma=refinery.fo_sq.sigmas().as_numpy_array() / scale,
            f_sq_calc=equations.fc_sq.data().as_numpy_array(),
            phase_deg=equations.f_calc.phases(deg=True).data().as_numpy_array(),
        )
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
            }
        ),
        atoms=fit_atoms,
        r1=float(r1),
        r1_all=float(r1_all),
        wr2=float(equations.wR2()),
        goof=float(equations.goof()),
        reflections=int(unique),
        reflections_observed=int(observed),
        parameters=int(equations.n_parameters) + 1,
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
        extinction_esd=extinction_esd,
        riding_refused=refinery.refused,
        table=FileRef.of(request.output),
    )


def _r1_free(refinery: Refinery, scale: float) -> tuple[float | None, int]:
    """Return R1 of the observed reflections that were held out, and their number.

    Extinction as in SHELXL and smtbx: F(calc) times (1 + 0.001 x F(calc)^2 wavelength^3 / sin 2 theta)^(-1/4).
    """
    observed = refinery.free.select(refinery.free.data() > 2 * refinery.free.sigmas())
    if not observed.size():
        return None, 0
    f_calc = observed.structure_factors_from_scatterers(refinery.structure, algorithm="direct").f_calc()
    modulus = np.abs(f_calc.data().as_numpy_array())
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


def _atom_fits(refinery: Refinery) -> tuple[tuple[AtomFit, ...], float | None]:
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
            )
        )
    own = equations.covariance_matrix().matrix_packed_u_diagonal()
    return tuple(fits), None if refinery.extinction is None else float(math.sqrt(max(own[own.size() - 1], 0.0)))
