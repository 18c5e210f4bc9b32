"""Mean square displacements along their principal axes."""

import numpy as np

from tasks.model import UnitCell
from tasks.refine.draft import Tensor


def principal_displacements(u_aniso_angstrom2: Tensor, cell: UnitCell) -> tuple[float, float, float]:
    """Return the smallest and the largest principal mean square displacement and U(eq), angstrom^2.

    U(eq) is a third of the trace of U in cartesian axes, U(cart) = A N U N^T A^T with N the reciprocal lengths on the
    diagonal and A the matrix of orthogonalisation (Grosse-Kunstleve & Adams, J. Appl. Cryst. 35, 477-480, 2002).
    """
    u11, u22, u33, u12, u13, u23 = u_aniso_angstrom2
    tensor = np.array([[u11, u12, u13], [u12, u22, u23], [u13, u23, u33]])
    reciprocal = cell.gemmi().reciprocal()
    turn = np.array(cell.gemmi().orth.mat.tolist()) @ np.diag([reciprocal.a, reciprocal.b, reciprocal.c])
    values = np.linalg.eigvalsh(turn @ tensor @ turn.T)
    return float(values[0]), float(values[-1]), float(values.mean())
