"""Parts of one crystal, each measured in its own orientation, joined to the crystal's intensities, and judged.

A crystal that bends is no crystal of one orientation: taken as one, each reflection has another rocking curve, narrow
where its scattering vector lies along the axis of the bend and wide across it. Parts that hardly bend have one curve.
"""

import logging
from pathlib import Path

import numpy as np

from tasks.crystal.miller import rotations_of
from tasks.crystal.symmetry import space_group
from tasks.integrate.assemble import MIN_PROBABILITY, Particulars, assemble_reflections
from tasks.integrate.counting_loss import common_counting
from tasks.integrate.crystals.common_scale import fit_common_scale, scaled
from tasks.integrate.merging.half_sets import HalfSets, compare_half_sets
from tasks.integrate.models import JoinedParts, Reflections
from tasks.integrate.pictures import in_other_axes
from tasks.integrate.reflection_file import Unmerged, joined_tables, read_unmerged
from tasks.integrate.symmetry.laue import determine_laue_group
from tasks.model.provenance import Provenance
from tasks.stage import stage

log = logging.getLogger("apertura.integrate")

APART_STEPS = 2.5
"""Steps of tilt that observations of one crossing may lie apart: parts meet a reflection at neighbouring tilts, one of
which may be left out. Chosen, not measured: a crossing taken for two would let halves share errors, two taken for one
only leave fewer halves."""
MOSTLY = 0.9
"""Share of the drawn halves in which parts must agree better. Chosen, not measured: a draw scatters by less than what
a bend is worth, and where both are as good the crystal stays as it is."""


def summary(joined: JoinedParts) -> str:
    """Return in a sentence which intensities are used, and why."""
    used = f"intensities of {joined.parts} parts joined" if joined.better else "intensities in one orientation"
    if joined.half_sets_one is None or joined.half_sets_parts is None:
        return f"{joined.id}: {used}: too few reflections were met twice to compare them with those of parts"
    return (
        f"{joined.id}: {used}: half-sets of |F| agree to {joined.half_sets_parts:.4f} by parts, "
        f"{joined.half_sets_one:.4f} in one orientation ({joined.half_sets_reflections} reflections)"
    )


def laue_summary(found: Reflections) -> str:
    """Return in a sentence which Laue group the parts show."""
    return f"{found.id}: Laue group {found.laue_group}"


@stage(name="symmetry of parts of {whole.id}", summary=laue_summary)
def whole_in_shown_symmetry(parts: tuple[Reflections, ...], whole: Reflections, workdir: Path) -> Reflections:
    """Return the whole crystal in the Laue group and the axes that its parts show, which a bend may have hidden.

    Where they show the same, or none more clearly than the whole shows its own, that is the whole as it was. Parts are
    in its axes.
    """
    choice = determine_laue_group(_on_one_scale(parts, whole)[0], whole.unit_cell)
    if choice.laue.xhm() == whole.laue_group:
        return whole
    if choice.probability < min(MIN_PROBABILITY, determine_laue_group(whole.observations, whole.unit_cell).probability):
        return whole
    said = (
        f"the Laue group is {choice.laue.xhm()} by parts of nearly one orientation (probability "
        f"{choice.probability:.2f}), {whole.laue_group} for the bent crystal as a whole"
    )
    log.info("%s: %s", whole.id, said)
    pictures, traces = (
        None if file is None else in_other_axes(file, choice.basis, workdir / name)
        for file, name in ((whole.pictures, "pictures.h5"), (whole.traces, "traces.h5"))
    )
    data = whole.observations
    return assemble_reflections(
        whole.id,
        data._replace(hkl=choice.reindex(data.hkl)),
        choice.cell,
        _particulars(whole)._replace(
            unit_cell_esd=None,
            pictures=pictures,
            traces=traces,
            warnings=(*(text for text in _lasting(whole) if not text.startswith("the Laue group")), said),
        ),
        laue=choice.laue,
        workdir=workdir,
    )


@stage(name="join parts of {reference.id}", summary=summary)
def join_parts(
    parts: tuple[Reflections, ...], reference: Reflections, whole: Reflections, step_deg: float, workdir: Path
) -> JoinedParts:
    """Bring the observations of a crystal's parts to one scale, merge them, and compare them with those of the whole.

    Parameters
    ----------
    parts
        In the axes and to the resolution of `reference`: what `whole_in_shown_symmetry` made of `whole`.
    step_deg
        Between neighbouring tilts.
    """
    laue = space_group(reference.laue_group)
    data, scales = _on_one_scale(parts, reference)
    joined = assemble_reflections(
        reference.id,
        data,
        reference.unit_cell,
        _particulars(reference)._replace(
            provenance=Provenance(
                engine="apertura parts",
                version=reference.provenance.version,
                parameters={"parts": len(parts)},
                inputs={"whole": whole.unmerged.sha256} | {part.id: part.unmerged.sha256 for part in parts},
                seed=0,
            ),
            counting=common_counting(parts),
            warnings=(*_lasting(reference), *_damage_in_doubt(parts, whole)),
        ),
        laue=laue,
        workdir=workdir,
        space_group=reference.space_group if reference.laue_group == whole.laue_group else None,
    )
    halves = compare_half_sets(
        reference.observations, joined.observations, laue, apart_deg=APART_STEPS * step_deg, seed=0
    )
    document = JoinedParts(
        id=whole.id,
        parts=len(parts),
        scales=scales,
        half_sets_one=None if halves is None else halves.first,
        half_sets_parts=None if halves is None else halves.second,
        half_sets_reflections=0 if halves is None else halves.reflections,
        half_sets_won=None if halves is None else halves.won,
        better=_better(halves),
        joined=joined,
        one=whole,
    )
    log.info("%s", summary(document))
    return document


def _on_one_scale(parts: tuple[Reflections, ...], reference: Reflections) -> tuple[Unmerged, tuple[float, ...]]:
    """Return all observations of the parts, as those of one crystal, and by what each part's were multiplied."""
    rotations = [one.astype(np.int64) for one in rotations_of(space_group(reference.laue_group).operations())]
    sets = [read_unmerged(part.unmerged) for part in parts]
    scales = fit_common_scale(sets, reference.unit_cell, rotations)
    scaled_sets = [scaled(one, scale, reference.unit_cell) for one, scale in zip(sets, scales, strict=True)]
    data = joined_tables(scaled_sets)
    data = data._replace(crystal=np.zeros(len(data.hkl), dtype=np.int32))
    return data, tuple(one.factor for one in scales)


def _better(halves: HalfSets | None) -> bool:
    return halves is not None and halves.second > halves.first and halves.won >= MOSTLY


def _lasting(whole: Reflections) -> tuple[str, ...]:
    """Return the warnings of lattice and frames: what was left out of the whole is not left out of the parts."""
    return tuple(text for text in whole.warnings if "observations left out" not in text)


def _damage_in_doubt(parts: tuple[Reflections, ...], whole: Reflections) -> tuple[str, ...]:
    """Return in words where parts judge damage in another way than the whole, whose figures are shown."""
    if whole.damage is None:
        return ()
    states = [part.damage.state for part in parts if part.damage is not None]
    others = sorted({state for state in states if state != whole.damage.state})
    if not others:
        return ()
    told = ", ".join(f"{state} in {states.count(state)}" for state in others)
    return (f"damage: {whole.damage.state} for the whole crystal, {told} of {len(parts)} parts",)


def _particulars(whole: Reflections) -> Particulars:
    """Return what the whole crystal tells of lattice and frames.

    Pictures and traces are those of the whole, in one orientation: of its frames, not of the parts'.
    """
    return Particulars(
        wavelength_angstrom=whole.wavelength_angstrom,
        provenance=whole.provenance,
        members=whole.members,
        radiation=whole.radiation,
        unit_cell_esd=whole.unit_cell_esd,
        cell_scale=whole.cell_scale,
        indexed_fraction=whole.indexed_fraction,
        spots=whole.spots,
        axis_test=whole.axis_test,
        pictures=whole.pictures,
        traces=whole.traces,
        counting=whole.counting,
        discs=whole.discs,
        damage=whole.damage,
        warnings=_lasting(whole),
    )
