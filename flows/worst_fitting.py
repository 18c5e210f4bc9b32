"""The way from the worst-fitting reflections of each structure back to its electrons, for the report."""

import logging
from collections.abc import Sequence
from dataclasses import replace

from adapters.formats.fcf import read_fit
from flows.parts import BY_PARTS
from flows.pipeline import Found, Run
from tasks.integrate import Reflections
from tasks.model import ApertureError
from tasks.report import CrystalOutcome, MeasuredCrystal, WorstFitting, worst_fitting
from tasks.stage import DOCUMENT_NAME, read_document
from tasks.trace import ElectronSource

log = logging.getLogger("apertura.trace")


def with_worst_fitting(run: Run, found: Found) -> Found:
    """Return the crystals and merged sets with the reflections that their structures fit worst."""
    by_name = {one.id: one for one in found.crystals}
    crystals = tuple(_with_list(one, [_measured(found, one, one.reflections)]) for one in found.crystals)
    merged = []
    for one in found.merged:
        names = () if one.reflections is None else one.reflections.members
        members = [_measured(found, by_name[name], _as_merged(run, by_name[name])) for name in names if name in by_name]
        merged.append(_with_list(one, members))
    return replace(found, crystals=crystals, merged=tuple(merged))


def _with_list(outcome: CrystalOutcome, measured: Sequence[MeasuredCrystal | None]) -> CrystalOutcome:
    model, data = outcome.refinement, outcome.reflections
    if model is None or data is None:
        return outcome
    try:
        crystals = [one for one in measured if one is not None]
        worst = worst_fitting(read_fit(model.fcf.path), model, data, crystals)
    except (ApertureError, OSError, ValueError) as error:  # a structure is not lost for want of a list
        why = error.message if isinstance(error, ApertureError) else str(error)
        log.warning("%s: no list of its worst-fitting reflections: %s", outcome.id, why)
        worst = WorstFitting(reflections=(), notes=(f"There is no such list: {why}",))
    if outcome.parts is not None and outcome.parts.better:
        worst = worst.model_copy(update={"notes": (*worst.notes, f"{BY_PARTS.format(parts=outcome.parts.parts)}.")})
    return outcome.model_copy(update={"worst": worst})


def _measured(found: Found, crystal: CrystalOutcome, reflections: Reflections | None) -> MeasuredCrystal | None:
    """Return what a crystal's intensities were measured from; None where it has none."""
    if reflections is None:
        return None
    electrons = None
    if found.series is not None and found.beams is not None and crystal.aperture is not None:
        electrons = ElectronSource(found.series, crystal.aperture, found.beams)
    return MeasuredCrystal(reflections, crystal.frames, electrons)


def _as_merged(run: Run, crystal: CrystalOutcome) -> Reflections | None:
    """Return those intensities of a crystal that were merged: measured in the lattice of others, where they were."""
    place = run.folder / "crystals" / crystal.id / "neighbours"
    return read_document(place, Reflections) if (place / DOCUMENT_NAME).is_file() else crystal.reflections
