"""Intensities of two overlapping crystals of one structure: calculated, and shared out by what is calculated."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import optimize

from tasks.crystal.twin_laws import Law, twin_indices
from tasks.solve.building.atoms import Model, calculate
from tasks.solve.building.least_squares import RELATIVE_ERROR
from tasks.solve.building.model_building import Task
from tasks.solve.data.observations import GroupAmplitudes, normalised_intensity

FLOOR = 0.02
"""Of the mean intensity, as an error of all, so that weak intensities do not decide the fraction. Chosen, not measured:
the fractions of the four twins of tests/synthetic/twins.py come within 0.01 with it and with half of it."""
LEAST_SHARE = 1e-3
"""Of an intensity that is given to a crystal that has nearly none by the model, so that its amplitude is not zero."""


class TwinTask(NamedTuple):
    """A building task of one crystal, whose observed intensities are those of two, and the law between them."""

    task: Task
    law: Law

    @property
    def observed(self) -> GroupAmplitudes:
        """The amplitudes as measured, of both crystals."""
        return self.task.observed


class Mixture(NamedTuple):
    """What a model gives: |F|^2 of the two crystals, (n,) each, and their weights on the scale of the data."""

    first: NDArray[np.float64]
    second: NDArray[np.float64]
    weights: tuple[float, float]
    phase: NDArray[np.complex128]
    """(n,) of the first, of modulus 1."""

    @property
    def fraction(self) -> float:
        """Of the second crystal, in [0, 1]."""
        return self.weights[1] / max(sum(self.weights), 1e-30)

    @property
    def intensity(self) -> NDArray[np.float64]:
        """Of both, (n,), on the scale of the data."""
        return self.weights[0] * self.first + self.weights[1] * self.second

    @property
    def calculated(self) -> NDArray[np.complex128]:
        """Amplitudes of both with the phase of the first, (n,), to be compared with those measured."""
        return np.sqrt(self.intensity) * self.phase

    @property
    def share(self) -> NDArray[np.float64]:
        """Intensity of a whole crystal of the first kind over that of both, (n,)."""
        whole = np.maximum(self.intensity, 1e-12 * float(self.intensity.max(initial=1e-300)))
        return np.maximum(sum(self.weights) * self.first / whole, LEAST_SHARE)


def mixture(twin: TwinTask, model: Model, seen: NDArray[np.bool_] | None = None) -> Mixture:
    """Return the intensities of both crystals, weighted so that they suit the measured ones (of `seen`) best.

    Both weights are fitted at once, neither of them negative (Lawson & Hanson, Solving Least Squares Problems, 1974).
    """
    observed, symmetry = twin.observed, twin.task.symmetry
    values = [
        calculate(hkl, model, symmetry, cell=observed.cell, radiation=observed.radiation, d_star_sq=observed.d_star_sq)
        for hkl in (observed.hkl, twin_indices(observed.hkl, twin.law))
    ]
    first, second = (np.abs(value) ** 2 for value in values)
    intensity = observed.amplitude**2
    error = (2.0 * observed.amplitude * observed.sigma) ** 2 + (2.0 * RELATIVE_ERROR * intensity) ** 2
    root = 1.0 / np.sqrt(error + (FLOOR * float(intensity.mean())) ** 2 + 1e-30)
    if seen is not None:
        root = root * seen
    weights, _ = optimize.nnls(np.column_stack([first, second]) * root[:, None], intensity * root)
    phase = values[0] / np.maximum(np.abs(values[0]), 1e-30)
    return Mixture(first, second, (float(weights[0]), float(weights[1])), phase)


def detwinned(twin: TwinTask, found: Mixture) -> Task:
    """Return the task of one crystal: measured intensities shared out in the proportions that a model gives.

    As SHELXL shares them out for its Fourier maps. The intensities then lean towards the model: nothing measured on
    them says how good it is.
    """
    observed, root = twin.observed, np.sqrt(found.share)
    amplitude = observed.amplitude * root
    e_value = np.sqrt(normalised_intensity(observed.hkl, amplitude**2, twin.task.symmetry, observed.d_star_sq))
    return twin.task._replace(
        observed=observed._replace(amplitude=amplitude, sigma=observed.sigma * root, e_value=e_value)
    )
