"""Cycles of least squares and when they end. Imported by the worker only, after cctbx."""

from cctbx.array_family import flex
from scitbx.lstbx import normal_eqns_solving

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
