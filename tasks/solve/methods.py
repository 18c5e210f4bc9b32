"""Phasing methods: their parameters, and the way from random numbers to phases."""

from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from tasks.model import Document
from tasks.solve.charge_flipping import flip, random_phases
from tasks.solve.problem import PhaseProblem


class ChargeFlipping(Document):
    """Charge flipping on E from random phases."""

    method: Literal["charge-flipping"] = "charge-flipping"
    cycles: int = Field(default=300, ge=10, le=100000, description="flipping cycles of one trial")
    threshold: float = Field(default=1.1, gt=0, le=5, description="flip below this many standard deviations")
    weak_fraction: float = Field(default=0.2, ge=0, lt=1, description="lowest |E| whose phases are turned by 90 deg")
    final_cycles: int = Field(default=10, ge=0, le=1000, description="last cycles, without turning, clearing below 0")

    def phases(self, problem: PhaseProblem, rng: np.random.Generator) -> NDArray[np.float32]:
        """Return phases (measured,) of one trial."""
        state = random_phases(problem, rng)
        weak = problem.e < np.quantile(problem.e, self.weak_fraction)
        nothing = np.zeros_like(weak)
        amplitude = problem.e * problem.weight
        for _ in range(self.cycles):
            state = flip(problem, state, amplitude=amplitude, threshold=self.threshold, weak=weak)
        for _ in range(self.final_cycles):
            state = flip(problem, state, amplitude=amplitude, threshold=0.5 * self.threshold, weak=nothing)
        return state.phase_rad


PhasingMethod = ChargeFlipping
