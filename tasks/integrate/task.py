"""The unit of work: the frames of one crystal become merged intensities."""

import logging
from pathlib import Path

from tasks.frames import FrameSeries
from tasks.integrate.counting_loss import with_counting
from tasks.integrate.models import Reflections
from tasks.integrate.ports import Integrator
from tasks.model import plain
from tasks.stage import stage

log = logging.getLogger("apertura.integrate")


def summary(reflections: Reflections) -> str:
    """Return the merging statistics by shell as a Markdown table."""
    rows = [
        "| d max | d min | unique | completeness | multiplicity | I/sigma | Rmeas | CC1/2 |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for shell in (*reflections.shells, reflections.overall):
        values = (shell.i_over_sigma, shell.r_meas, shell.cc_half)
        texts = ["" if value is None else f"{value:.3f}" for value in values]
        rows.append(
            f"| {shell.d_max_angstrom:.2f} | {shell.d_min_angstrom:.2f} | {shell.unique} | {shell.completeness:.3f} "
            f"| {shell.multiplicity:.1f} | {' | '.join(texts)} |"
        )
    cell = " ".join(f"{value:.6g}" for value in reflections.unit_cell.parameters)
    return "\n".join([f"{plain(reflections.id)}: {plain(reflections.space_group)}, cell {cell}", "", *rows])


@stage(name="integrate {frames.id}", summary=summary)
def integrate_frames(frames: FrameSeries, engine: Integrator, workdir: Path) -> Reflections:
    """Index, integrate, scale and merge the frames of one crystal with one engine."""
    reflections = with_counting(engine.integrate(frames, workdir), frames)
    cell = " ".join(f"{value:.6g}" for value in reflections.unit_cell.parameters)
    log.info(
        "%s: %s, cell %s, %d unique to %.2f A, CC1/2 %s",
        frames.id,
        reflections.space_group,
        cell,
        reflections.overall.unique,
        reflections.d_min_angstrom,
        "unknown" if reflections.overall.cc_half is None else f"{reflections.overall.cc_half:.4f}",
    )
    return reflections
