"""Phasing methods: their parameters, and how they start and advance a trial."""

from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from tasks.model import Document
from tasks.solve.charge_flipping import flip
from tasks.solve.dual_space import random_start, recycle
from tasks.solve.patterson import superposition_start
from tasks.solve.problem import PhaseProblem
from tasks.solve.symmetry_average import SymmetryAverage, average


class ChargeFlipping(Document):
    """Charge flipping on E from random phases."""

    method: Literal["charge-flipping"] = "charge-flipping"
    cycles: int = Field(default=300, ge=10, le=100000, description="flipping cycles of one trial")
    threshold: float = Field(default=1.1, gt=0, le=5, description="flip below this many standard deviations")
    weak_fraction: float = Field(default=0.2, ge=0, lt=1, description="lowest |E| whose phases are turned by 90 deg")
    final_cycles: int = Field(
        default=10, ge=0, le=1000, description="last cycles, at half the threshold, no phases turned"
    )

    def start(self, problem: PhaseProblem, rng: np.random.Generator) -> NDArray[np.complex64]:
        """Return coefficients (n,) to begin a trial with."""
        return random_start(problem, rng)

    def advance(
        self,
        problem: PhaseProblem,
        coefficients: NDArray[np.complex64],
        rng: np.random.Generator,  # noqa: ARG002 - flipping is deterministic
        *,
        cycles: int,
        symmetry: SymmetryAverage | None = None,
    ) -> NDArray[np.complex64]:
        """Return coefficients (n,) after some cycles."""
        weak = problem.e < np.quantile(problem.e, self.weak_fraction)
        amplitude = problem.e * problem.weight
        f000 = 0.0
        for cycle in range(cycles + self.final_cycles):
            last = cycle >= cycles
            coefficients, f000 = flip(
                problem,
                coefficients,
                f000,
                amplitude=amplitude,
                threshold=self.threshold * (0.5 if last else 1.0),
                weak=weak & (not last),
            )
            if symmetry is not None:
                coefficients = average(symmetry, coefficients)
        return coefficients


class DualSpace(Document):
    """Dual-space recycling of E maps with random omission of peaks."""

    method: Literal["dual-space"] = "dual-space"
    cycles: int = Field(default=200, ge=10, le=100000, description="cycles of one trial in the first round")
    patterson_fraction: float = Field(
        default=0.5, ge=0, le=1, description="trials from Patterson superposition, the others from random phases"
    )
    omit_fraction: float = Field(default=0.35, ge=0, lt=1, description="peaks left out at random")
    omit_every: int = Field(default=3, ge=1, le=100, description="in every so many-th cycle")
    atoms_factor: float = Field(default=1.1, gt=0, le=3, description="peaks kept over expected non-hydrogen atoms")
    radius_angstrom: float = Field(default=0.4, gt=0.1, le=2, description="sigma of the Gaussian around each peak")
    sharpness: float = Field(default=0.9, gt=0.1, le=3, description="power of the density in each cycle")
    floating: float = Field(default=0.1, ge=0, le=1, description="weight of calculated, not measured reflections")

    def start(self, problem: PhaseProblem, rng: np.random.Generator) -> NDArray[np.complex64]:
        """Return coefficients (n,) to begin a trial with."""
        if rng.random() < self.patterson_fraction:
            return superposition_start(problem, rng)
        return random_start(problem, rng)

    def advance(
        self,
        problem: PhaseProblem,
        coefficients: NDArray[np.complex64],
        rng: np.random.Generator,
        *,
        cycles: int,
        symmetry: SymmetryAverage | None = None,
    ) -> NDArray[np.complex64]:
        """Return coefficients (n,) after some cycles."""
        return recycle(
            problem,
            coefficients,
            rng,
            cycles=cycles,
            omit_fraction=self.omit_fraction,
            omit_every=self.omit_every,
            atoms=max(4, round(self.atoms_factor * problem.atoms)),
            radius_angstrom=self.radius_angstrom,
            sharpness=self.sharpness,
            floating=self.floating,
            symmetry=symmetry,
        )


PhasingMethod = Annotated[DualSpace | ChargeFlipping, Field(discriminator="method")]
