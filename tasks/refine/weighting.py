"""SHELXL's weighting scheme and its choice of a and b."""

import numpy as np
from numpy.typing import NDArray

BINS = 10
"""Ranges of F(calc), as in SHELXL's analysis of variance."""
A_MAX = 0.2
"""As in SHELXL, which proposes no larger one."""


def shelx_weights(
    f_sq_obs: NDArray[np.float64],
    sigma: NDArray[np.float64],
    f_sq_calc: NDArray[np.float64],
    *,
    a: float,
    b: float,
) -> NDArray[np.float64]:
    """Return w = 1 / [sigma^2 + (aP)^2 + bP] with P = [max(Fo^2, 0) + 2 Fc^2] / 3, (n,).

    Source: SHELX manual, WGHT. All on the absolute scale.
    """
    p = (np.maximum(f_sq_obs, 0.0) + 2.0 * f_sq_calc) / 3.0
    return 1.0 / (sigma**2 + (a * p) ** 2 + b * p)


def best_weights(
    f_sq_obs: NDArray[np.float64], sigma: NDArray[np.float64], f_sq_calc: NDArray[np.float64], *, parameters: int
) -> tuple[float, float]:
    """Return the a and b that make the goodness of fit 1 in all ranges of F(calc).

    The sum over ten equally filled ranges of (GooF - 1)^2 is minimised over a grid that is refined around its best
    point. a stays within [0, 0.2], as in SHELXL: beyond, the weights hide a wrong model.

    Raises
    ------
    ValueError
        If there are not more reflections than parameters.
    """
    n = len(f_sq_obs)
    if n <= parameters:
        raise ValueError(f"{n} reflections cannot weight {parameters} parameters")
    order = np.argsort(f_sq_calc, kind="stable")
    fo, sig, fc = f_sq_obs[order], sigma[order], f_sq_calc[order]
    edges = np.unique(np.linspace(0, n, min(BINS, n) + 1).astype(np.int64))
    freedom = n / (n - parameters)
    p = (np.maximum(fo, 0.0) + 2.0 * fc) / 3.0
    delta_sq, counts = (fo - fc) ** 2, np.diff(edges)

    def variance(a: float, b: float) -> float:
        weighted = delta_sq / (sig**2 + (a * p) ** 2 + b * p)
        goof = np.sqrt(np.add.reduceat(weighted, edges[:-1]) * freedom / counts)
        return float(((goof - 1.0) ** 2).sum())

    b_span = 4.0 * float(np.median(np.sqrt(delta_sq))) + 1e-3
    a_low, a_high, b_low, b_high = 0.0, A_MAX, 0.0, b_span
    best = (variance(0.0, 0.0), 0.0, 0.0)
    for _ in range(6):
        candidates = (
            (variance(a, b), a, b) for a in np.linspace(a_low, a_high, 9) for b in np.linspace(b_low, b_high, 9)
        )
        best = min(best, *candidates)
        a_step, b_step = (a_high - a_low) / 8, (b_high - b_low) / 8
        a_low, a_high = max(0.0, best[1] - a_step), min(A_MAX, best[1] + a_step)
        b_low, b_high = max(0.0, best[2] - b_step), best[2] + b_step
    return round(float(best[1]), 4), round(float(best[2]), 4)
