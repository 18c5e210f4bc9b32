"""report.html: one self-contained page, from the outcome of a run."""

import os
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

import h5py
import jinja2
import numpy as np
from markupsafe import Markup

from tasks.integrate.models import Reflections
from tasks.report import tables, wording
from tasks.report.charts import ChartFrame, Line, against_angle, against_resolution
from tasks.report.drawing import legend, structure_svg
from tasks.report.images import FramePicture, TiltPicture, colour_of, frame_pictures, tilt_pictures
from tasks.report.models import CrystalOutcome, RunOutcome
from tasks.report.results import reason_of, stage_provenance

HERE = Path(__file__).parent


class FileLink(NamedTuple):
    """A file of the run folder to open from the page."""

    label: str
    href: str


class CrystalView(NamedTuple):
    """What the page shows of one crystal or merged set."""

    outcome: CrystalOutcome
    colour: str | None
    reason: str | None
    frames: tuple[FramePicture, ...]
    counts_chart: Markup | None
    shell_charts: tuple[Markup, ...]
    structure: Markup | None
    files: tuple[FileLink, ...]


def render_page(outcome: RunOutcome, rundir: Path) -> str:
    """Return the page; links to files are relative to `rundir`."""
    crystals = [_view(crystal, index, rundir) for index, crystal in enumerate(outcome.crystals)]
    merged = [_view(crystal, None, rundir) for crystal in outcome.merged_all]
    pictures: tuple[TiltPicture, ...] = tilt_pictures(outcome.apertures) if outcome.apertures is not None else ()
    return _template().render(
        outcome=outcome,
        headline=wording.headline(outcome),
        crystals=crystals,
        merged=merged,
        tilts=pictures,
        stages=stage_provenance(outcome),
        total_s=sum(outcome.timings_s.values()),
        failures=_failures(outcome),
        css=Markup((HERE / "page.css").read_text(encoding="utf-8")),  # noqa: S704 - our own file
        script=Markup((HERE / "page.js").read_text(encoding="utf-8")),  # noqa: S704 - our own file
    )


def _template() -> jinja2.Template:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(HERE), autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True
    )
    environment.filters |= {
        "number": wording.number,
        "fixed": wording.fixed,
        "percent": wording.percent,
        "cell": wording.cell_text,
        "duration": wording.duration,
        "plain": _plain,
    }
    environment.globals |= {"tables": tables, "legend": legend}
    return environment.get_template("page.html.j2")


def _plain(value: Any) -> str:
    """Return a setting as text: lists without brackets, numbers short."""
    if isinstance(value, float):
        return f"{value:g}"
    return ", ".join(_plain(part) for part in value) if isinstance(value, list | tuple) else str(value)


def _view(crystal: CrystalOutcome, index: int | None, rundir: Path) -> CrystalView:
    frames = crystal.frames
    return CrystalView(
        outcome=crystal,
        colour=None if index is None else colour_of(index),
        reason=reason_of(crystal),
        frames=() if frames is None else frame_pictures(frames, crystal.reflections),
        counts_chart=None if frames is None or len(frames.frames) < 2 else _counts_chart(crystal),
        shell_charts=() if crystal.reflections is None else _shell_charts(crystal.id, crystal.reflections),
        structure=None if crystal.refinement is None else structure_svg(crystal.refinement),
        files=_files(crystal, rundir),
    )


def _counts_chart(crystal: CrystalOutcome) -> Markup | None:
    if crystal.frames is None:
        return None
    frames = crystal.frames.frames
    around = ChartFrame(f"{crystal.id}: electrons per frame (10³)", "tilt (°)", (0, None), (6.4, 1.9))
    return against_angle([frame.angle_deg for frame in frames], [Line("", [f.counts / 1e3 for f in frames])], around)


def _shell_charts(name: str, data: Reflections) -> tuple[Markup, ...]:
    if len(data.shells) < 2:
        return ()
    edges = [shell.d_min_angstrom for shell in data.shells]
    halves = [Line("between measurements", [shell.cc_half for shell in data.shells])]
    if any(shell.cc_half_events is not None for shell in data.shells):
        halves.append(Line("between halves of the events", [shell.cc_half_events for shell in data.shells]))
    errors = [
        Line("R meas", [shell.r_meas for shell in data.shells]),
        Line("R pim", [shell.r_pim for shell in data.shells]),
    ]
    complete = [Line("", [100 * shell.completeness for shell in data.shells])]
    signal = [Line("", [shell.i_over_sigma for shell in data.shells])]
    charts = (
        ("CC½", halves, (min(0.0, *_known(halves)), 1.02)),
        ("I/σ(I), merged", signal, (0, None)),
        ("R factors of merging", errors, (0, None)),
        ("Completeness (%)", complete, (0, 104)),
    )
    drawn = [
        against_resolution(edges, lines, ChartFrame(f"{name}: {title}", "d (Å)", limits))
        for title, lines, limits in charts
    ]
    rocking = _rocking_chart(name, data)
    return (*drawn, rocking) if rocking is not None else tuple(drawn)


def _rocking_chart(name: str, data: Reflections) -> Markup | None:
    """Return the rocking curve that an engine has learned from the still frames, if it did."""
    if data.pictures is None:
        return None
    with h5py.File(data.pictures.path, "r") as file:
        if "rocking" not in file:
            return None
        place, density = np.asarray(file["rocking/x"]).tolist(), np.asarray(file["rocking/density"]).tolist()
    around = ChartFrame(f"{name}: rocking curve, as learned", "distance from the Ewald sphere (widths)", (0, None))
    return against_angle(place, [Line("", density)], around)


def _known(lines: list[Line]) -> list[float]:
    return [0.0, *(value for line in lines for value in line.values if value is not None)]


def _files(crystal: CrystalOutcome, rundir: Path) -> tuple[FileLink, ...]:
    references = []
    if crystal.refinement is not None:
        model = crystal.refinement
        references += [("CIF", model.cif), ("RES", model.res), ("INS", model.ins), ("FCF", model.fcf)]
    if crystal.reflections is not None:
        references.append(("HKL, unmerged", crystal.reflections.hklf4))
        if crystal.reflections.mtz is not None:
            references.append(("MTZ", crystal.reflections.mtz))
    if crystal.frames is not None:
        references.append(("frames, HDF5", crystal.frames.stack))
    if crystal.aperture is not None:
        references.append(("aperture masks, HDF5", crystal.aperture.masks))
    root = rundir.resolve()
    return tuple(
        FileLink(label, quote(Path(os.path.relpath(file.path, root)).as_posix())) for label, file in references
    )


def _failures(outcome: RunOutcome) -> list[tuple[str, str, str, str, str]]:
    """Return (where, stage, code, message, advice) of everything that stopped."""
    rows = []
    if outcome.failure is not None:
        failed = outcome.failure
        rows.append(("the run", failed.stage, failed.code, failed.message, failed.advice))
    for crystal in (*outcome.crystals, *outcome.merged_all):
        if crystal.failure is not None:
            failed = crystal.failure
            rows.append((crystal.id, failed.stage, failed.code, failed.message, failed.advice))
    return rows
