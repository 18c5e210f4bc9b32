"""DIALS as an integration engine."""

from pathlib import Path
from typing import Literal

import numpy as np

from adapters.formats.cbf import write_cbf
from adapters.formats.mtz import read_positions
from adapters.programs.dials.commands import MIN_SWEEP_FRAMES, import_argv, mask_phil
from adapters.programs.dials.indexing import Indexed, find_and_index
from adapters.programs.dials.integration import Scaled, cell_esd, integrate, refine_in_setting, scale_in_laue_group
from adapters.programs.dials.session import Session
from adapters.programs.dials.settings import DialsSettings
from adapters.programs.predictions import write_predictions
from adapters.programs.probe import DIALS, require, version_of
from adapters.programs.static_mask import static_mask
from tasks.crystal.scattering import d_star_squared
from tasks.frames import STEP_TOLERANCE, FrameSeries, Sweep, usable_sweeps
from tasks.integrate import (
    Particulars,
    Reflections,
    assemble_reflections,
    laue_warnings,
    observations_at,
    significant_d_min,
    stated_scale,
)
from tasks.model import NotIndexedError, UnitCell
from tasks.model.provenance import Provenance

CALIBRATION_TOLERANCE = 0.01
"""Relative, of a length. Chosen, not measured: DIALS finds the demo's cell to 0.02 % and cinchonine's to 0.1 %
(tests/benchmarks/RESULTS.md), calibrations of cameras are a per cent or two off; less warns of noise."""


class DialsIntegrator(DialsSettings):
    """Integrate with DIALS (Winter et al., Acta Cryst. D74, 85-97, 2018)."""

    engine: Literal["dials"] = "dials"

    def integrate(self, frames: FrameSeries, workdir: Path) -> Reflections:
        """Import, index, refine, integrate and scale; see `tasks.integrate.ports.Integrator`."""
        require(DIALS)
        session = Session(workdir, self.timeout_s)
        used = _import(session, frames)
        indexed = find_and_index(session, frames, self)
        known = None if self.known_cell is None or self.space_group is None else (self.known_cell, self.space_group)
        refined = refine_in_setting(session, known=known is not None, frames=used, nproc=self.nproc)
        integrate(session, refined, d_min=self.d_min_angstrom, nproc=self.nproc)
        scaled = scale_in_laue_group(session, known=known, d_min=self.d_min_angstrom)
        return self._assemble(session, frames, indexed, scaled)

    def _assemble(self, session: Session, frames: FrameSeries, indexed: Indexed, scaled: Scaled) -> Reflections:
        data = scaled.data
        if self.d_min_angstrom is None:
            limit = significant_d_min(data, scaled.laue, scaled.cell)
            inside = d_star_squared(data.hkl, scaled.cell) <= limit**-2 * (1 + 1e-9)
            if not np.all(inside):
                outside = int(np.count_nonzero(~inside))
                session.record(f"d_min {limit:.3f}", "beyond, CC1/2 < 0.3 or I/sigma < 1", f"{outside} left out")
                data = observations_at(data, inside)
        parameters = self.model_dump(mode="json", exclude={"engine", "known_cell", "nproc", "timeout_s"})
        if self.known_cell is not None:
            parameters["known_cell"] = " ".join(f"{x:.9g}" for x in self.known_cell.parameters)
        warnings = [*session.warnings, *(laue_warnings(scaled.choice) if scaled.choice else ())]
        if self.known_cell is not None:
            warnings += _calibration_warning(self.known_cell, scaled.cell, frames.detector.camera_length_mm)
        if "not clear" in indexed.axis_test.verdict:
            warnings.append(f"the sense of the rotation axis is {indexed.axis_test.verdict}")
        return assemble_reflections(
            frames.id,
            data,
            scaled.cell,
            Particulars(
                wavelength_angstrom=frames.beam.wavelength_angstrom,
                provenance=Provenance(
                    engine="dials",
                    version=version_of(DIALS) or "unknown",
                    parameters=parameters,
                    inputs={"frames": frames.stack.sha256},
                    attempts=tuple(session.attempts),
                ),
                unit_cell_esd=cell_esd(session, scaled.basis),
                cell_scale=stated_scale(frames.detector),
                indexed_fraction=indexed.fraction,
                spots=indexed.spots,
                axis_test=indexed.axis_test,
                pictures=write_predictions(
                    read_positions(session.folder / "integrated.mtz"),
                    frames,
                    scaled.basis,
                    path=session.folder / "predictions.h5",
                ),
                warnings=tuple(warnings),
            ),
            laue=scaled.laue,
            workdir=session.folder,
            space_group=self.space_group,
        )


def _calibration_warning(known: UnitCell, found: UnitCell, camera_length_mm: float) -> list[str]:
    """Return what a difference between the known and the measured cell says of the camera length."""
    ratio = float((known.volume_angstrom3 / found.volume_angstrom3) ** (1 / 3))
    ratio = min((ratio * factor for factor in (1.0, 2 ** (1 / 3), 0.5 ** (1 / 3))), key=lambda r: abs(r - 1))
    if abs(ratio - 1.0) < CALIBRATION_TOLERANCE:
        return []
    found_mm, given_mm = f"{camera_length_mm * ratio:.1f} mm", f"{camera_length_mm:.1f} mm"
    longer = f"the known cell is {ratio - 1.0:+.1%} larger in length than the measured one"
    return [f"{longer}: the camera length may be {found_mm}, not {given_mm}"]


def _import(session: Session, frames: FrameSeries) -> int:
    """Write the frames of all sweeps that are long enough, import them, mask them; return how many frames."""
    parts = usable_sweeps(frames, fewest=MIN_SWEEP_FRAMES)
    kept = [(number, part) for number, part in enumerate(parts, 1) if len(part.indices) >= MIN_SWEEP_FRAMES]
    lost = [frames.frames[i] for part in parts if len(part.indices) < MIN_SWEEP_FRAMES for i in part.indices]
    if not kept:
        raise NotIndexedError(
            f"{frames.id}: no {MIN_SWEEP_FRAMES} frames are equally spaced, as DIALS needs them",
            "use the built-in integrator for irregular tilts",
        )
    if lost:
        angles = ", ".join(f"{frame.angle_deg:g}" for frame in lost[:10])
        session.warnings.append(f"{len(lost)} frames out of step with their neighbours were left out: at {angles} deg")
    _warn_of_inexact(session, [part for _, part in kept])
    folder = session.folder / "frames"
    folder.mkdir()
    write_cbf(frames, folder, parts)
    templates = [f"frames/{frames.id}_{number:02d}_#####.cbf" for number, _ in kept]
    session.run(import_argv(frames, templates), outputs=["imported.expt"])
    mask = static_mask(frames.masks)
    if not np.all(mask):
        (session.folder / "mask.phil").write_text(mask_phil(mask))
        argv = [
            "dials.generate_mask",
            "imported.expt",
            "mask.phil",
            "output.mask=pixels.mask",
            "output.experiments=masked.expt",
        ]
        session.run(argv, outputs=["masked.expt"])
        (session.folder / "masked.expt").replace(session.folder / "imported.expt")
    return sum(len(part.indices) for _, part in kept)


def _warn_of_inexact(session: Session, parts: list[Sweep]) -> None:
    if len(parts) > 1:
        session.warnings.append(f"gaps or changes of the step: {len(parts)} sweeps were integrated as one crystal")
    off = max(parts, key=lambda part: part.deviation_deg / part.step_deg)
    if off.deviation_deg > STEP_TOLERANCE * off.step_deg:
        session.warnings.append(
            "unequal steps: frames were taken as equally spaced although they are up to"
            f" {off.deviation_deg:.3f} deg off; the built-in integrator uses every angle as it is"
        )
    if not all(part.exact for part in parts):
        session.record(
            "stills as wedges",
            "DIALS knows contiguous rotation only",
            "each still stands for a wedge as wide as its step",
        )
