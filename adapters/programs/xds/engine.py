"""XDS as an integration engine."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, NamedTuple, Self

import numpy as np
from pydantic import Field, model_validator

from adapters.formats.cbf import write_cbf
from adapters.formats.intensity_table import IntensityTable
from adapters.formats.xds_ascii import read_xds_ascii, read_xds_positions
from adapters.host.runner import run_program
from adapters.programs.predictions import write_predictions
from adapters.programs.probe import XDS, require
from adapters.programs.rectangles import mask_rectangles
from adapters.programs.static_mask import static_mask
from adapters.programs.xds.input import ImageGrid, XdsChoices, image_grid, xds_inp
from adapters.programs.xds.output import Correct, Idxref, check_for_errors, parse_correct, parse_idxref, parse_integrate
from tasks.crystal.lattice import rotation_group, symmetrised_cell
from tasks.crystal.symmetry import laue_group_of
from tasks.frames import FrameSeries, partition
from tasks.integrate import (
    AxisTest,
    Particulars,
    Reflections,
    assemble_reflections,
    reflections_from_observations,
    stated_scale,
)
from tasks.model import Document, NotIndexedError, ProgramFailedError, SourceError, UnitCell
from tasks.model.provenance import Attempt, Provenance

RETRIES: tuple[tuple[tuple[str, str], str], ...] = (
    (("MINIMUM_NUMBER_OF_PIXELS_IN_A_SPOT", "3"), "spots of a nearly parallel beam cover few pixels"),
    (("SPOT_RANGE", "half"), "the crystal may have moved: index with the first half only"),
    (("SEPMIN", "4 CLUSTER_RADIUS= 2"), "spots may lie closer than six pixels"),
)
GOOD_FRACTION = 0.5
"""XDS's own limit: below it IDXREF stops with "INSUFFICIENT PERCENTAGE (< 50%) OF INDEXED REFLECTIONS"."""


class _Sense(NamedTuple):
    reversed: bool
    listing: Idxref | None
    complaint: str

    def figure(self) -> float:
        """Return the indexed share over the error about the axis (0.1 degrees counts as none)."""
        if self.listing is None:
            return 0.0
        return self.listing.fraction / (0.1 + self.listing.geometry.spindle_sd_deg)


class XdsIntegrator(Document):
    """Integrate with XDS (Kabsch, Acta Cryst. D66, 125-132, 2010), when the user has it."""

    engine: Literal["xds"] = "xds"
    d_min_angstrom: float = Field(default=0.8, gt=0, le=20, description="high-resolution limit")
    d_max_angstrom: float = Field(default=20.0, gt=0, description="low-resolution limit")
    known_cell: UnitCell | None = Field(default=None, description="unit cell, if it is known")
    space_group: str | None = Field(default=None, description="space group of `known_cell`, if it is known")
    refine_distance: bool = Field(default=False, description="refine the camera length too; needs a known cell")
    min_indexed_fraction: float = Field(default=0.25, gt=0, le=1, description="of the spots, by one lattice")
    timeout_s: float = Field(default=3600, gt=0, description="wall time of each run of XDS")

    @model_validator(mode="after")
    def _cell_with_group(self) -> Self:
        if self.known_cell is None and (self.space_group is not None or self.refine_distance):
            raise ValueError("space_group and refine_distance need known_cell")
        return self

    def integrate(self, frames: FrameSeries, workdir: Path) -> Reflections:
        """Run XDS in stages; see `tasks.integrate.ports.Integrator`."""
        require(XDS)
        run = _Run(self, frames, workdir)
        run.write_images()
        test = run.index()
        correct = run.integrate()
        return run.assemble(test, correct)


class _Run:
    """One folder of XDS: its frames, its attempts."""

    def __init__(self, engine: XdsIntegrator, frames: FrameSeries, folder: Path) -> None:
        self.engine = engine
        self.frames = frames
        self.folder = folder
        self.grid: ImageGrid = image_grid(frames)
        self.untrusted = mask_rectangles(static_mask(frames.masks))
        self.attempts: list[Attempt] = []
        self.reversed = False

    def write_images(self) -> None:
        """Write the frames and name them by their place on the grid of equal steps."""
        images = self.folder / "images"
        written = self.folder / "written"
        images.mkdir()
        written.mkdir()
        paths = write_cbf(self.frames, written)
        for index, number in zip(self.grid.indices, self.grid.numbers, strict=True):
            paths[index].replace(images / f"image_{number:05d}.cbf")

    def xds(self, jobs: str, extra: Sequence[tuple[str, str]] = ()) -> None:
        """Write XDS.INP and run the given steps; the listings are the caller's to judge.

        Raises
        ------
        LicenceExpiredError, ProgramFailedError, ProgramTimeoutError
        """
        engine = self.engine
        group = 0 if engine.space_group is None else rotation_group(laue_group_of(engine.space_group)).number
        choices = XdsChoices(
            jobs,
            engine.d_min_angstrom,
            engine.d_max_angstrom,
            engine.min_indexed_fraction,
            engine.known_cell,
            group or (1 if engine.known_cell else 0),
            engine.refine_distance,
            tuple(extra),
        )
        series = self.frames
        if self.reversed:
            x, y, z = series.rotation_axis
            series = series.model_copy(update={"rotation_axis": (-x, -y, -z)})
        text = xds_inp(series, self.grid, choices, template="images/image_?????.cbf", untrusted=self.untrusted)
        (self.folder / "XDS.INP").write_text(text)
        steps = jobs.split()
        for step in steps:
            (self.folder / f"{step}.LP").unlink(missing_ok=True)
        done = run_program(
            ["xds"], workdir=self.folder, timeout_s=engine.timeout_s, log_name="xds", install=XDS.install
        )
        said = done.stdout.read_text(errors="replace")
        if done.returncode < 0:
            raise ProgramFailedError(f"XDS was killed by signal {-done.returncode}", done.tail())
        for step in steps:
            listing = self.folder / f"{step}.LP"
            if step != "IDXREF":  # its complaints are judged together with what it reached
                check_for_errors(self.listing(step) or said, step)
            if not listing.is_file():
                check_for_errors(said, step)
                raise ProgramFailedError(f"XDS ended with {done.returncode} and without {step}.LP", done.tail())

    def listing(self, step: str) -> str:
        """Return the text of a step's listing, empty if there is none."""
        path = self.folder / f"{step}.LP"
        return path.read_text(errors="replace") if path.is_file() else ""

    def index(self) -> AxisTest:
        """Find spots and index with both senses of the axis, with retries; leave the winner's XPARM.XDS.

        Raises
        ------
        NotIndexedError
        """
        extra: tuple[tuple[str, str], ...] = ()
        best: tuple[float, AxisTest, tuple[tuple[str, str], ...]] | None = None
        complaints: list[str] = []
        for change, reason in (("", ""), "the usual parameters"), *RETRIES:
            extra = (self._value(change),) if change[0] else ()
            test, fraction, complaint = self._both_senses(extra)
            name = "= ".join(change) if change[0] else "index"
            self.attempts.append(Attempt(change=name, reason=reason, outcome=test.verdict))
            complaints.append(complaint)
            if best is None or fraction > best[0]:
                best = (fraction, test, extra)
            if fraction >= GOOD_FRACTION:
                break
        if best is None or best[0] < self.engine.min_indexed_fraction:
            share = 0.0 if best is None else best[0]
            raise NotIndexedError(
                f"{self.frames.id}: XDS indexes at most {share:.0%} of the spots by one lattice", complaints[0]
            )
        self.reversed = best[1].reversed
        self.xds("COLSPOT IDXREF", best[2])
        return best[1]

    def _value(self, change: tuple[str, str]) -> tuple[str, str]:
        name, value = change
        return (name, f"1 {max(3, self.grid.last // 2)}") if value == "half" else (name, value)

    def _both_senses(self, extra: tuple[tuple[str, str], ...]) -> tuple[AxisTest, float, str]:
        senses = []
        for turned in (False, True):
            self.reversed = turned
            first = not (self.folder / "BKGINIT.cbf").is_file()
            jobs = "XYCORR INIT COLSPOT IDXREF" if first else "IDXREF" if turned else "COLSPOT IDXREF"
            self.xds(jobs, extra)
            senses.append(_sense(turned, self.listing("IDXREF")))
        winner = max(senses, key=lambda sense: (sense.figure(), not sense.reversed))
        test = _axis_test(self.frames, senses, winner)
        fraction = winner.listing.fraction if winner.listing else 0.0
        return test, fraction, winner.complaint

    def integrate(self) -> Correct:
        """Integrate and correct; a second pass with refined geometry and profile e.s.d.s is kept if it is better."""
        self.xds("DEFPIX INTEGRATE CORRECT")
        first = parse_correct(self.listing("CORRECT"))
        profile = parse_integrate(self.listing("INTEGRATE"))
        names = ("XDS_ASCII.HKL", "CORRECT.LP", "INTEGRATE.LP")
        missing = [name for name in names if not (self.folder / name).is_file()]
        if missing:
            raise ProgramFailedError(f"XDS ended without {missing[0]}", self.listing("CORRECT")[-500:])
        kept = {name: (self.folder / name).read_bytes() for name in names}
        refined = self.folder / "GXPARM.XDS"
        if not refined.is_file() or profile.beam_divergence_esd_deg is None:
            return first
        (self.folder / "XPARM.XDS").write_bytes(refined.read_bytes())
        extra = [("BEAM_DIVERGENCE_E.S.D.", f"{profile.beam_divergence_esd_deg:.6g}")]
        if profile.reflecting_range_esd_deg is not None:
            extra.append(("REFLECTING_RANGE_E.S.D.", f"{profile.reflecting_range_esd_deg:.6g}"))
        second, outcome = self._second_pass(extra, first)
        reason = "refined geometry and measured profile widths"
        self.attempts.append(Attempt(change="second pass", reason=reason, outcome=outcome))
        if second is not None:
            return second
        for name, data in kept.items():
            (self.folder / name).write_bytes(data)
        return first

    def _second_pass(self, extra: Sequence[tuple[str, str]], first: Correct) -> tuple[Correct | None, str]:
        """Integrate again; return the result if it is better than the first, and what came of it in words."""
        (self.folder / "XDS_ASCII.HKL").unlink()
        try:
            self.xds("INTEGRATE CORRECT", extra)
            second = parse_correct(self.listing("CORRECT"))
            _written_reflections(self.folder / "XDS_ASCII.HKL")
        except ProgramFailedError as error:
            return None, f"failed ({error.message}): the first is kept"
        better = _quality(second) > _quality(first)
        change = f"Rmeas {_percent(first)} -> {_percent(second)}"
        return (second, f"{change}: kept") if better else (None, f"{change}: the first is kept")

    def assemble(self, test: AxisTest, correct: Correct) -> Reflections:
        """Read XDS_ASCII.HKL, find the symmetry, compute our statistics."""
        table = _written_reflections(self.folder / "XDS_ASCII.HKL")
        if table.unit_cell is None:
            raise ProgramFailedError("XDS_ASCII.HKL states no unit cell")
        idxref = parse_idxref(self.listing("IDXREF"))
        version = re.search(r"VERSION ([A-Za-z]+ \d+, \d+)", self.listing("CORRECT"))
        warnings = list(table.warnings)
        left_out = len(self.frames.frames) - len(self.grid.indices)
        if left_out:
            warnings.append(f"{left_out} frames out of step with the others were left out")
        if any(not part.exact for part in partition(self.frames)):
            warnings.append("stills were integrated as wedges as wide as their step: XDS knows rotation only")
        particulars = Particulars(
            wavelength_angstrom=self.frames.beam.wavelength_angstrom,
            provenance=Provenance(
                engine="xds",
                version=version.group(1) if version else "unknown",
                parameters={
                    "d_min_angstrom": self.engine.d_min_angstrom,
                    "d_max_angstrom": self.engine.d_max_angstrom,
                    "space_group": self.engine.space_group,
                    "refine_distance": self.engine.refine_distance,
                    "isa": correct.i_sigma_asymptotic,
                    "wilson_b_angstrom2": correct.wilson_b,
                    "mosaicity_deg": correct.geometry.mosaicity_deg,
                    "distance_mm": correct.geometry.distance_mm,
                },
                inputs={"frames": self.frames.stack.sha256},
                attempts=tuple(self.attempts),
            ),
            unit_cell_esd=correct.geometry.unit_cell_esd,
            cell_scale=stated_scale(self.frames.detector),
            indexed_fraction=idxref.fraction,
            spots=idxref.spots,
            axis_test=test,
            pictures=write_predictions(
                read_xds_positions(self.folder / "XDS_ASCII.HKL"),
                self.frames,
                np.eye(3),
                path=self.folder / "predictions.h5",
            ),
            warnings=tuple(warnings),
        )
        if self.engine.space_group is None:
            return reflections_from_observations(
                self.frames.id, table.data, table.unit_cell, particulars, workdir=self.folder
            )
        laue = laue_group_of(self.engine.space_group)
        return assemble_reflections(
            self.frames.id,
            table.data,
            symmetrised_cell(table.unit_cell, laue),
            particulars,
            laue=laue,
            workdir=self.folder,
            space_group=self.engine.space_group,
        )


def _sense(turned: bool, listing: str) -> _Sense:
    complaint = ""
    try:
        check_for_errors(listing, "IDXREF")
    except NotIndexedError as error:
        complaint = error.message
    try:
        return _Sense(turned, parse_idxref(listing), complaint)
    except ProgramFailedError as error:
        return _Sense(turned, None, complaint or error.message)


def _axis_test(frames: FrameSeries, senses: Sequence[_Sense], winner: _Sense) -> AxisTest:
    x, y, z = frames.rotation_axis
    texts = []
    for sense in senses:
        name = "reversed" if sense.reversed else "as given"
        if sense.listing is None:
            texts.append(f"{name} not indexed ({sense.complaint[:80]})")
        else:
            geometry = sense.listing.geometry
            texts.append(
                f"{name} {sense.listing.fraction:.0%} indexed, {geometry.spot_sd_px:.2f} px, "
                f"{geometry.spindle_sd_deg:.2f} deg about the axis"
            )
    figures = sorted(sense.figure() for sense in senses)
    clarity = "no lattice" if figures[1] == 0 else "clear" if figures[1] > 1.5 * figures[0] else "not clear"
    shares = [sense.listing.fraction if sense.listing else 0.0 for sense in senses]
    errors = [sense.listing.geometry.spot_sd_px if sense.listing else None for sense in senses]
    return AxisTest(
        axis=(-x, -y, -z) if winner.reversed else frames.rotation_axis,
        reversed=winner.reversed,
        indexed_fraction=(shares[0], shares[1]),
        rmsd_px=(errors[0], errors[1]),
        verdict=f"{'reversed' if winner.reversed else 'as given'}, {clarity}: {'; '.join(texts)}",
    )


def _quality(correct: Correct) -> float:
    """Return accepted observations over Rmeas: a pass that gains by throwing data away is no gain."""
    return correct.accepted / (correct.total.r_meas or np.inf)


def _percent(correct: Correct) -> str:
    return "unknown" if correct.total.r_meas is None else f"{correct.total.r_meas:.1%}"


def _written_reflections(path: Path) -> IntensityTable:
    """Read the XDS_ASCII file that CORRECT has just written.

    Raises
    ------
    ProgramFailedError
        If it is missing, cut off or damaged: it is the program that failed, not the user.
    """
    try:
        return read_xds_ascii(path)
    except SourceError as error:
        raise ProgramFailedError(f"XDS left no whole reflection file: {error.message}") from error
