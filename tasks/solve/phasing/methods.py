"""Phasing methods: their parameters, and how they start and advance a trial."""

from collections.abc import Iterator
from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from tasks.model import Document
from tasks.solve.phasing.charge_flipping import flip
from tasks.solve.phasing.dual_space import random_start, recycle
from tasks.solve.phasing.patterson import superposition_start
from tasks.solve.phasing.problem import PhaseProblem

Coefficients = NDArray[np.complex64]
Start = Literal["random", "patterson", "flipping"]


class FlippingMethod(Document):
    """Charge flipping on E from random phases."""

    method: Literal["charge-flipping"] = "charge-flipping"
    cycles: int = Field(default=300, ge=10, le=100000, description="flipping cycles of one trial")
    threshold: float = Field(default=1.1, gt=0, le=5, description="flip below this many standard deviations")
    weak_fraction: float = Field(default=0.2, ge=0, lt=1, description="lowest |E| whose phases are turned by 90 deg")
    final_cycles: int = Field(
        default=10, ge=0, le=1000, description="last cycles, at half the threshold, no phases turned"
    )

    def start(self, problem: PhaseProblem, rng: np.random.Generator, *, number: int) -> Coefficients:  # noqa: ARG002
        """Return coefficients (n,) to begin trial `number` with."""
        return random_start(problem, rng)

    def advance(
        self,
        problem: PhaseProblem,
        coefficients: Coefficients,
        rng: np.random.Generator,  # noqa: ARG002 - flipping is deterministic
        *,
        round_number: int,
    ) -> Iterator[Coefficients]:
        """Yield coefficients (n,) worth judging: here those at the end of the round."""
        yield self.flipped(problem, coefficients, cycles=self.cycles * 2**round_number)

    def flipped(self, problem: PhaseProblem, coefficients: Coefficients, *, cycles: int) -> Coefficients:
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
        return coefficients


class DualSpace(Document):
    """Dual-space recycling of E maps with random omission of peaks.

    Trials take turns in how they start. Random phases and Patterson superposition suit structures of like atoms, a
    run of charge flipping those with a few heavy ones, where the omission of a heavy atom upsets all phases: then
    the flipped phases themselves, or those after recycling without omission, may be the best of the trial.
    """

    method: Literal["dual-space"] = "dual-space"
    cycles: int = Field(default=200, ge=10, le=100000, description="least cycles of a trial in the first round")
    cycles_per_atom: float = Field(
        default=2.0, ge=0, le=100, description="cycles of the first round per non-hydrogen atom of the primitive cell"
    )
    quiet_cycles: int = Field(default=25, ge=0, le=10000, description="last cycles, without omission")
    starts: tuple[Start, ...] = Field(default=("random", "flipping", "random", "patterson"), min_length=1)
    flipping: FlippingMethod = Field(default=FlippingMethod(cycles=250), description="of trials that start with it")
    omit_fraction: float = Field(default=0.35, ge=0, lt=1, description="peaks left out at random")
    omit_every: int = Field(default=3, ge=1, le=100, description="in every so many-th cycle")
    atoms_factor: float = Field(default=1.1, gt=0, le=3, description="peaks kept over expected non-hydrogen atoms")
    radius_angstrom: float = Field(default=0.4, gt=0.1, le=2, description="sigma of the Gaussian around each peak")
    sharpness: float = Field(default=0.9, gt=0.1, le=3, description="power of the density in each cycle")
    floating: float = Field(default=0.1, ge=0, le=1, description="weight of calculated, not measured reflections")

    def start(self, problem: PhaseProblem, rng: np.random.Generator, *, number: int) -> Coefficients:
        """Return coefficients (n,) to begin trial `number` with."""
        kind = self.starts[number % len(self.starts)]
        if kind == "patterson":
            return superposition_start(problem, rng)
        coefficients = random_start(problem, rng)
        if kind == "random":
            return coefficients
        return self.flipping.flipped(problem, coefficients, cycles=self.flipping.cycles)

    def advance(
        self,
        problem: PhaseProblem,
        coefficients: Coefficients,
        rng: np.random.Generator,
        *,
        round_number: int,
    ) -> Iterator[Coefficients]:
        """Yield coefficients (n,) worth judging: as started, without omission, with omission, and quiet again."""
        cycles = max(self.cycles, round(self.cycles_per_atom * problem.atoms)) * 2**round_number
        if round_number == 0:
            yield coefficients
            yield self._recycled(problem, coefficients, rng, cycles=self.quiet_cycles, loud=False)
        coefficients = self._recycled(problem, coefficients, rng, cycles=cycles, loud=True)
        yield coefficients
        yield self._recycled(problem, coefficients, rng, cycles=self.quiet_cycles, loud=False)

    def _recycled(
        self,
        problem: PhaseProblem,
        coefficients: Coefficients,
        rng: np.random.Generator,
        *,
        cycles: int,
        loud: bool,
    ) -> Coefficients:
        return recycle(
            problem,
            coefficients,
            rng,
            cycles=cycles,
            omit_fraction=self.omit_fraction if loud else 0.0,
            omit_every=self.omit_every,
            atoms=max(4, round(self.atoms_factor * problem.atoms)),
            radius_angstrom=self.radius_angstrom,
            sharpness=self.sharpness if loud else 1.0,
            floating=self.floating,
        )


PhasingMethod = Annotated[DualSpace | FlippingMethod, Field(discriminator="method")]
