"""The unit of work: a first structure becomes a refined one."""

import logging
from pathlib import Path

from tasks.integrate import Reflections
from tasks.model import Composition, plain
from tasks.refine.models import Refinement
from tasks.refine.ports import Refiner
from tasks.solve import Solution
from tasks.stage import stage

log = logging.getLogger("apertura.refine")


def summary(refinement: Refinement) -> str:
    """Return the table of a refinement as Markdown, with verdict and warnings."""
    unit = refinement.density_unit or ""
    rows = {
        "space group": refinement.space_group,
        "formula": refinement.formula,
        "R1 (I > 2 sigma)": f"{refinement.r1:.4f} for {refinement.reflections_observed}",
        "R1 (all)": f"{refinement.r1_all:.4f} for {refinement.reflections}",
        "R1 (held out)": "not known" if refinement.r1_free is None else f"{refinement.r1_free:.4f}",
        "wR2": f"{refinement.wr2:.4f}",
        "goodness of fit": f"{refinement.goof:.3f}",
        "parameters": str(refinement.parameters),
        "largest shift/esd": f"{refinement.shift_over_esd_max:.3f}",
        "residual density": f"{refinement.density_max:.2f} to {refinement.density_min:.2f} {unit}",
    }
    if refinement.twin is not None:
        rows["twin law"] = f"{refinement.twin.law}, fraction {refinement.twin.fraction:.3f}"
    lines = [f"{plain(refinement.id)}: {refinement.verdict}", "", "| | |", "|---|---|"]
    lines += [f"| {plain(name)} | {plain(value)} |" for name, value in rows.items()]
    notes = [*refinement.reasons, *(f"warning: {warning}" for warning in refinement.warnings)]
    return "\n".join([*lines, "", *(f"- {plain(note)}" for note in notes)])


@stage(name="refine {data.id}", summary=summary)
def refine_structure(
    data: Reflections, solution: Solution, composition: Composition | None, engine: Refiner, workdir: Path
) -> Refinement:
    """Complete and refine one solution against one set of intensities."""
    refinement = engine.refine(data, solution, composition, workdir)
    log.info(
        "%s: %s, R1 %.3f, wR2 %.3f, %d parameters for %d reflections, %s",
        refinement.id,
        refinement.space_group,
        refinement.r1,
        refinement.wr2,
        refinement.parameters,
        refinement.reflections,
        refinement.verdict,
    )
    return refinement
