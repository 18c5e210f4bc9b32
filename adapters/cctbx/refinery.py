"""One structure and its data while least squares runs. Imported by the worker only, after cctbx."""

import math
from typing import Any

import numpy as np
import smtbx.utils
from cctbx import miller, xray
from cctbx.array_family import flex
from smtbx.refinement import constraints, least_squares

from adapters.cctbx import overlapped
from adapters.cctbx.cycles import Cycles, PlainCycles
from adapters.cctbx.extinct import ExtinctLeastSquares
from adapters.cctbx.messages import FitRequest
from adapters.cctbx.occupancy import conformers, disorder_constraints, keep_in_range, refine_occupancies
from adapters.cctbx.restraints import restraints_manager
from adapters.cctbx.riding import InvalidConstraint, riding_constraints
from adapters.cctbx.solvent import Pores, as_listed, pores, read_mask
from adapters.cctbx.structure import crystal_symmetry, miller_indices, xray_structure
from adapters.cctbx.twinning import (
    bound,
    components_of,
    held_out_flags,
)
from tasks.crystal.contacts import BOND_TOLERANCE_ANGSTROM
from tasks.model import DivergedError, InputError
from tasks.refine import (
    U_CEILING_ANGSTROM2,
    U_FLOOR_ANGSTROM2,
    Draft,
    UniqueIntensities,
    best_weights,
)


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
        return ExtinctLeastSquares(
            self.fo_sq.as_xray_observations(twin_components=self.twins)
            if self.parts is None
            else overlapped.observations(self.parts.fitted, self.draft, self.domains),
            parameters,
            weighting_scheme=least_squares.mainstream_shelx_weighting(a=self.weights[0], b=self.weights[1]),
            initial_scale_factor=self.scale,
            restraints_manager=restraints_manager(self.draft, self.structure),
            may_parallelise=False,
            f_mask=self.f_mask,
            wavelength=self.data.wavelength_angstrom,
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
