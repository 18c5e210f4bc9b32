"""report.html: one self-contained page, from the outcome of a run."""

import os
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

import h5py
import jinja2
import numpy as np
from markupsafe import Markup

from tasks.integrate import CombinedSets, Reflections
from tasks.report import tables, wording
from tasks.report.charts import ChartFrame, Line, against_angle, against_count, against_resolution
from tasks.report.claims_wording import claim_rows
from tasks.report.damage_charts import damage_charts
from tasks.report.drawing import legend, structure_svg
from tasks.report.images import FramePicture, TiltPicture, colour_of, frame_pictures, tilt_pictures
from tasks.report.map_charts import map_charts, map_sentences, parts_sentence
from tasks.report.masked import masked_picture, masked_words, validity_entry
from tasks.report.models import CrystalOutcome, RunOutcome
from tasks.report.nested_rows import NESTED_HEADER, nested_rows, nested_sentence
from tasks.report.patchwork_entries import STEP_HEADER, patchwork_entries, step_rows
from tasks.report.reasons import reason_of
from tasks.report.results import stage_provenance
from tasks.report.script import script_text
from tasks.report.worst_charts import reflection_views

HERE = Path(__file__).parent
TILTS_MIN = 2
"""A line needs two points."""


class FileLink(NamedTuple):
    """A file of the run folder to open from the page."""

    label: str
    href: str


class CrystalView(NamedTuple):
    """What the page shows of one crystal or merged set."""

    outcome: CrystalOutcome
    colour: str | None
    reason: str | None
    phase: str
    frames: tuple[FramePicture, ...]
    tilt_charts: tuple[Markup, ...]
    shell_charts: tuple[Markup, ...]
    maps: Markup | None
    structure: Markup | None
    files: tuple[FileLink, ...]


def render_page(outcome: RunOutcome, rundir: Path) -> str:
    """Return the page; links to files are relative to `rundir`."""
    tilts_deg = outcome.apertures.tilt_deg if outcome.apertures is not None else ()
    crystals = [_view(crystal, index, rundir, tilts_deg) for index, crystal in enumerate(outcome.crystals)]
    merged = [_view(crystal, None, rundir, ()) for crystal in outcome.merged_all]
    masked = validity_entry(outcome)
    pictures: tuple[TiltPicture, ...] = tilt_pictures(outcome.apertures) if outcome.apertures is not None else ()
    return _template().render(
        outcome=outcome,
        headline=wording.headline(outcome),
        crystals=crystals,
        merged=merged,
        masked=() if masked is None else masked_words(masked),
        masked_picture=masked_picture(outcome),
        patchwork=patchwork_entries(outcome.combined),
        growth_charts=_growth_charts(outcome.combined),
        tilts=pictures,
        stages=stage_provenance(outcome),
        total_s=outcome.timings_s.get("total", 0.0),
        failures=_failures(outcome),
        css=Markup((HERE / "page.css").read_text(encoding="utf-8")),  # noqa: S704 # nosec B704 our own file
        script=Markup(script_text()),  # noqa: S704 # nosec B704 our own file
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
    environment.globals |= {"tables": tables, "legend": legend, "claim_rows": claim_rows}
    environment.globals |= {"TO_COME": wording.TO_COME}
    environment.globals |= {"STEP_HEADER": STEP_HEADER, "step_rows": step_rows, "map_sentences": map_sentences}
    environment.globals |= {"parts_sentence": parts_sentence, "reflection_views": reflection_views}
    environment.globals |= {
        "NESTED_HEADER": NESTED_HEADER,
        "nested_rows": nested_rows,
        "nested_sentence": nested_sentence,
    }
    return environment.get_template("page.html.j2")


def _plain(value: Any) -> str:
    """Return a setting as text: lists without brackets, numbers short."""
    if isinstance(value, float):
        return f"{value:g}"
    return ", ".join(_plain(part) for part in value) if isinstance(value, list | tuple) else str(value)


def _view(crystal: CrystalOutcome, index: int | None, rundir: Path, tilts_deg: tuple[float, ...]) -> CrystalView:
    frames = crystal.frames
    return CrystalView(
        outcome=crystal,
        colour=None if index is None else colour_of(index),
        reason=reason_of(crystal),
        phase=wording.phase_sentence(crystal.phases),
        frames=() if frames is None else frame_pictures(frames, crystal.reflections),
        tilt_charts=_tilt_charts(crystal, tilts_deg),
        shell_charts=() if crystal.reflections is None else _shell_charts(crystal.id, crystal.reflections),
        maps=None if crystal.maps is None else map_charts(crystal.maps),
        structure=None if crystal.refinement is None else structure_svg(crystal.refinement),
        files=_files(crystal, rundir),
    )


def _tilt_charts(crystal: CrystalOutcome, tilts_deg: tuple[float, ...]) -> tuple[Markup, ...]:
    charts = []
    frames = crystal.frames.frames if crystal.frames is not None else ()
    if len(frames) >= TILTS_MIN:
        around = ChartFrame(f"{crystal.id}: electrons per frame (10³)", "tilt (°)", (0, None))
        angles = [frame.angle_deg for frame in frames]
        charts.append(against_angle(angles, [Line("", [frame.counts / 1e3 for frame in frames])], around))
        if all(frame.beam_found_px is not None for frame in frames):
            found = [frame.beam_found_px or (0.0, 0.0) for frame in frames]
            around = ChartFrame(f"{crystal.id}: direct beam (px)", "tilt (°)")
            charts.append(against_angle(angles, _beam_lines(found), around))
    if crystal.aperture is not None and len(tilts_deg) >= TILTS_MIN:
        aperture = crystal.aperture
        around = ChartFrame(f"{crystal.id}: positions", "tilt (°)", (0, None))
        charts.append(against_angle(tilts_deg, [Line("", aperture.positions_per_tilt)], around))
        if len(aperture.confidence_per_tilt) == len(tilts_deg):
            around = ChartFrame(f"{crystal.id}: confidence", "tilt (°)", (0, 1.05))
            charts.append(against_angle(tilts_deg, [Line("", aperture.confidence_per_tilt)], around))
    return tuple(charts)


def _beam_lines(found: list[tuple[float, float]]) -> list[Line]:
    lines = []
    for axis, name in enumerate(("slow", "fast")):
        mean = sum(place[axis] for place in found) / len(found)
        lines.append(Line(name, [place[axis] - mean for place in found]))
    return lines


def _growth_charts(combined: CombinedSets | None) -> tuple[Markup, ...]:
    clusters = [cluster for cluster in combined.clusters if len(cluster.growth) > 1] if combined is not None else []
    charts = []
    for cluster in clusters:
        lines = [
            Line("completeness", [step.completeness for step in cluster.growth]),
            Line("CC½", [step.cc_half for step in cluster.growth]),
        ]
        around = ChartFrame(f"{cluster.id}: crystals merged", "crystals", (0, 1.05))
        charts.append(against_count([step.crystals for step in cluster.growth], lines, around))
    return tuple(charts)


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
    drawn += damage_charts(name, data.damage)
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
    if crystal.maps is not None:
        references.append(("maps by position, HDF5", crystal.maps.file))
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
