"""What choosing the positions was worth: the same crystal from all positions within its outline."""

import logging
from dataclasses import dataclass
from pathlib import Path

from flows.settings import Settings
from tasks.apertures import CrystalAperture, all_positions_aperture
from tasks.crystal.symmetry import space_group
from tasks.frames import DirectBeams, FrameSeries, sum_frames
from tasks.ingest import TiltSeries
from tasks.integrate import (
    BuiltinIntegrator,
    Reflections,
    in_axes_of,
    integrate_frames,
    merging_statistics,
    read_unmerged,
)
from tasks.model import ApertureError, Composition
from tasks.refine import Refinement, refine_structure
from tasks.report import ApertureGain, ApertureQuality, CrystalOutcome, Failure
from tasks.solve import Solution

log = logging.getLogger("apertura.gain")


@dataclass(frozen=True)
class Bench:
    """What measuring one crystal's apertures needs.

    ``own`` are its intensities, ``solution`` its solution if it is solved, ``parts`` its misoriented parts.
    """

    own: Reflections
    solution: Solution | None
    composition: Composition | None
    settings: Settings
    parts: tuple[CrystalAperture, ...]
    folder: Path

    def measure(self, frames: FrameSeries, name: str) -> tuple[Reflections, Refinement | None]:
        """Integrate frames with the crystal's cell to its resolution; refine its structure against them."""
        engine = BuiltinIntegrator(known_cell=self.own.unit_cell, d_min_angstrom=self.own.d_min_angstrom)
        named = frames.model_copy(update={"id": f"{self.own.id}-{name}"})
        found = integrate_frames(named, engine, workdir=self.folder / name / "integrate")
        data = in_axes_of(found, self.own, workdir=self.folder / name / "same-axes")
        if self.solution is None:
            return data, None
        workdir = self.folder / name / "refine"
        return data, refine_structure(data, self.solution, self.composition, self.settings.refine, workdir=workdir)


def aperture_gain(crystal: CrystalOutcome, series: TiltSeries, beams: DirectBeams, bench: Bench) -> ApertureGain | None:
    """Measure all positions of a crystal beside the chosen ones; None for a crystal without frames.

    The built-in engine measures both, to the resolution of the crystal's own result and with its cell, so that they
    differ in the positions only.
    """
    if crystal.aperture is None or crystal.frames is None:
        return None
    d_min = bench.own.d_min_angstrom
    try:
        if bench.settings.integrate.engine == "builtin":
            data, refinement = bench.own, crystal.refinement if bench.solution is not None else None
        else:
            data, refinement = bench.measure(crystal.frames, "chosen")
    except ApertureError as error:
        log.info("%s: the chosen positions were not measured again: %s", crystal.id, error.message)
        return None
    chosen = _quality(crystal.aperture, data, refinement, d_min_angstrom=d_min)
    try:
        whole = all_positions_aperture(
            crystal.aperture, bench.parts, workdir=bench.folder / "all-positions" / "aperture"
        )
        workdir = bench.folder / "all-positions" / "frames"
        frames = sum_frames(series, whole, bench.settings.frames, workdir=workdir, beams=beams)
        data, refinement = bench.measure(frames, "all-positions")
    except ApertureError as error:
        failure = Failure.of("all positions", error)
        return ApertureGain(d_min_angstrom=d_min, chosen=chosen, all_positions=None, failure=failure)
    everything = _quality(whole, data, refinement, d_min_angstrom=d_min)
    return ApertureGain(d_min_angstrom=d_min, chosen=chosen, all_positions=everything)


def _quality(
    aperture: CrystalAperture, data: Reflections, refinement: Refinement | None, *, d_min_angstrom: float
) -> ApertureQuality:
    laue = space_group(data.laue_group)
    observed = read_unmerged(data.unmerged)
    overall = merging_statistics(observed, laue, data.unit_cell, shells=1, d_min_angstrom=d_min_angstrom).overall
    return ApertureQuality(
        positions=sum(aperture.positions_per_tilt),
        observations=overall.observations,
        unique=overall.unique,
        completeness=overall.completeness,
        i_over_sigma=overall.i_over_sigma,
        cc_half=overall.cc_half,
        r_meas=overall.r_meas,
        r1=None if refinement is None else refinement.r1,
        r1_all=None if refinement is None else refinement.r1_all,
    )
