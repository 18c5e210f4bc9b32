"""Least squares with extinction, its derivatives whole. Imported by the worker only, after cctbx."""

from typing import Any

import numpy as np
from cctbx.array_family import flex
from numpy.typing import NDArray
from scitbx.lstbx import normal_eqns
from smtbx.refinement import least_squares

CrystallographicLeastSquares: Any = least_squares.crystallographic_ls_class()


class ExtinctLeastSquares(CrystallographicLeastSquares):  # type: ignore[misc]
    """Normal equations on F^2 in which extinction weakens what an atom does as much as it does.

    smtbx multiplies F(calc)^2 by the factor of extinction, not its derivatives by the atoms (`least_squares.h`,
    `accumulate_reflection_chunk`: 2025.11). Where extinction is strong, least squares then come to rest far from the
    best model, displacements and extinction rising together.
    """

    wavelength = 0.0
    """In angstrom; smtbx keeps that of the extinction to itself."""

    def build_up(self, objective_only: bool = False) -> None:
        """Set up the normal equations of the model as it is."""
        extinction = self.reparametrisation.extinction
        if objective_only or extinction is None:
            super().build_up(objective_only)
            return
        super().build_up(objective_only=True)
        observed, calculated = self.observations.fo_sq, self.fc_sq.data()
        design = self._design(extinction)
        self.reset()
        self.add_equations(calculated, design, observed.data(), self.weights)
        self.finalise()
        self._restrain()

    def _design(self, extinction: Any) -> Any:
        """Return the derivatives of F(calc)^2, extinction in it, by the independent parameters, a flex of (n, p)."""
        jacobian = self.reparametrisation.jacobian_transpose_matching_grad_fc()
        found = least_squares.ext.build_design_matrix(
            normal_eqns.non_linear_ls_with_separable_scale_factor_BLAS_2(self.n_parameters),
            self.observations,
            flex.complex_double() if self.f_mask is None else self.f_mask.data(),
            self.weighting_scheme,
            1.0,  # of the weights of equations that nobody looks at
            self.one_h_linearisation,
            jacobian,
            extinction,
            False,
            False,
        )
        design = found.design_matrix().as_numpy_array().copy()
        by_atoms = np.ones(design.shape[1], dtype=np.bool_)
        if extinction.grad:
            by_atoms[extinction.grad_index] = False
        two_theta = self.fc_sq.unit_cell().two_theta(self.fc_sq.indices(), self.wavelength).as_numpy_array()
        strength = 0.001 * extinction.value * self.wavelength**3 / np.sin(two_theta)
        design[:, by_atoms] *= weakened(self.fc_sq.data().as_numpy_array(), strength)[:, None]
        return flex.double(design)

    def _restrain(self) -> None:
        """Add restraints and the fixing of a free origin, as the equations of smtbx do."""
        if self.restraints_manager is not None:
            rows = self.restraints_manager.build_linearised_eqns(
                self.xray_structure, self.reparametrisation.parameter_map()
            )
            every = self.reparametrisation.mapping_to_grad_fc_all
            jacobian = self.reparametrisation.jacobian_transpose_matching(every).transpose()
            self.reduced_problem().add_equations(
                rows.deltas,
                rows.design_matrix * jacobian,
                rows.weights * self.restraints_normalisation_factor,
                optimise_for_tall_matrix=False,
            )
            self.chi_sq_data_and_restraints = self.chi_sq()
        self.origin_fixing_restraint.add_to(
            self.step_equations(),
            self.reparametrisation.jacobian_transpose_matching_grad_fc(),
            self.reparametrisation.asu_scatterer_parameters,
        )


def weakened(f_sq: NDArray[np.float64], strength: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the derivative of |F|^2 with extinction by that without, (n,).

    Of SHELXL's F^2 (1 + g F^2)^(-1/2): (1 + g F^2 / 2) (1 + g F^2)^(-3/2).

    Parameters
    ----------
    f_sq
        (n,) with extinction.
    strength
        (n,) g, 0.001 x wavelength^3 / sin 2 theta; a negative one counts as none.
    """
    g = np.maximum(strength, 0.0)
    without = (g * f_sq**2 + np.sqrt(g**2 * f_sq**4 + 4.0 * f_sq**2)) / 2.0
    return np.asarray((1.0 + g * without / 2.0) * (1.0 + g * without) ** -1.5)
