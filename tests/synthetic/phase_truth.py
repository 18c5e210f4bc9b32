"""Agreement of phases with a known structure, whatever the origin and the hand."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import fft, optimize


class Agreement(NamedTuple):
    """How well phases agree with the truth after the best origin shift and choice of hand."""

    correlation: float
    """Of the two maps with the same weights, in [-1, 1]: sum(w cos(delta)) / sum(w)."""
    mean_error_deg: float
    """Weighted mean of |phase difference|; 90 for random phases."""
    shift: NDArray[np.float64]
    """(3,) fractional: add to the positions of the solution (after inversion, if inverted) to get the truth."""
    inverted: bool


def phase_agreement(
    hkl: NDArray[np.int32], phase_rad: NDArray[np.float64], truth: NDArray[np.complex128], weight: NDArray[np.float64]
) -> Agreement:
    """Compare phases (n,) of a P1 hemisphere with structure factors (n,) of the true model; weights (n,) >= 0."""
    keep = weight > 0
    hkl, phase_rad, truth, weight = hkl[keep], phase_rad[keep], truth[keep], weight[keep]
    found = [_best_shift(hkl, sign * phase_rad, np.angle(truth), weight) for sign in (1.0, -1.0)]
    best = int(found[1][0] > found[0][0])
    correlation, shift = found[best]
    delta = np.angle(np.exp(1j * ((-1.0) ** best * phase_rad + 2 * np.pi * hkl @ shift - np.angle(truth))))
    mean_error = float(np.degrees((weight * np.abs(delta)).sum() / weight.sum()))
    return Agreement(correlation, mean_error, shift, bool(best))


def _best_shift(
    hkl: NDArray[np.int32], phase: NDArray[np.float64], truth: NDArray[np.float64], weight: NDArray[np.float64]
) -> tuple[float, NDArray[np.float64]]:
    shape = tuple(fft.next_fast_len(int(4 * np.abs(hkl[:, axis]).max() + 4)) for axis in range(3))
    grid = np.zeros(shape, dtype=np.complex128)
    value = weight * np.exp(1j * (phase - truth))
    np.add.at(grid, tuple(hkl.T % np.array(shape)[:, None]), value)
    function = fft.ifftn(grid).real
    start = np.array(np.unravel_index(int(function.argmax()), shape)) / np.array(shape)

    def loss(shift: NDArray[np.float64]) -> float:
        return -float((value * np.exp(2j * np.pi * hkl @ shift)).real.sum() / weight.sum())

    fitted = optimize.minimize(loss, start, method="Nelder-Mead", options={"initial_simplex": start + _simplex(shape)})
    return -float(fitted.fun), np.asarray(fitted.x)


def _simplex(shape: tuple[int, ...]) -> NDArray[np.float64]:
    return np.vstack([np.zeros(3), np.diag(0.5 / np.array(shape))])
