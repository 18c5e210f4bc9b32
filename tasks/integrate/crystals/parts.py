"""Parts of one crystal, each measured in its own orientation, joined to the crystal's intensities, and judged.

A crystal that bends is no crystal of one orientation: taken as one, each reflection has another rocking curve, narrow
where its scattering vector lies along the axis of the bend and wide across it. Parts that hardly bend have one curve.
"""

import logging
from pathlib import Path

import gemmi
import numpy as np
from numpy.typing import NDArray

from tasks.crystal.miller import rotations_of
from tasks.crystal.symmetry import space_group
from tasks.integrate.assemble import MIN_PROBABILITY, Particulars, assemble_reflections
from tasks.integrate.counting_loss import common_counting
from tasks.integrate.crystals.common_scale import fit_common_scale, scaled
from tasks.integrate.merging.half_sets import HalfSets, compare_half_sets
from tasks.integrate.models import JoinedParts, Reflections
from tasks.integrate.pictures import in_other_axes
from tasks.integrate.reflection_file import Unmerged, read_unmerged
from tasks.integrate.symmetry.laue import LaueChoice, determine_laue_group
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


@stage(name="join parts of {reference.id}", summary=summary)
def join_parts(
    parts: tuple[Reflections, ...], reference: Reflections, step_deg: float, workdir: Path, *, keep_axes: bool = False
) -> JoinedParts:
    """Bring the observations of a crystal's parts to one scale, merge them, and compare them with those of the whole.

    Where the parts show another Laue group clearly, which a bend may hide, they are merged in that, in its axes.

    Parameters
    ----------
    parts
        In the axes and to the resolution of `reference`, the whole crystal taken in one orientation.
    step_deg
        Between neighbouring tilts.
    keep_axes
        Whether the axes are a user's own: no other Laue group is looked for then.
    """
    laue = space_group(reference.laue_group)
    sets = [read_unmerged(part.unmerged) for part in parts]
    scales = fit_common_scale(sets, reference.unit_cell, _rotations(laue))
    data = _together([scaled(one, scale, reference.unit_cell) for one, scale in zip(sets, scales, strict=True)])
    choice = None if keep_axes else _other_group(data, reference)
    whole = reference.observations
    if choice is not None:
        laue = choice.laue
        data, whole = (one._replace(hkl=choice.reindex(one.hkl)) for one in (data, whole))
    joined = assemble_reflections(
        reference.id,
        data,
        reference.unit_cell if choice is None else choice.cell,
        _particulars(parts, reference, choice, workdir),
        laue=laue,
        workdir=workdir,
        space_group=reference.space_group if choice is None else None,
    )
    halves = compare_half_sets(whole, joined.observations, laue, apart_deg=APART_STEPS * step_deg, seed=0)
    document = JoinedParts(
        id=reference.id,
        parts=len(parts),
        scales=tuple(one.factor for one in scales),
        half_sets_one=None if halves is None else halves.first,
        half_sets_parts=None if halves is None else halves.second,
        half_sets_reflections=0 if halves is None else halves.reflections,
        half_sets_won=None if halves is None else halves.won,
        better=_better(halves),
        joined=joined,
        one=reference,
    )
    log.info("%s", summary(document))
    return document


def _other_group(data: Unmerged, reference: Reflections) -> LaueChoice | None:
    """Return the Laue group that joined observations show clearly, if it is not that of the reference."""
    choice = determine_laue_group(data, reference.unit_cell)
    if choice.laue.xhm() == reference.laue_group or choice.probability < MIN_PROBABILITY:
        return None
    return choice


def _better(halves: HalfSets | None) -> bool:
    return halves is not None and halves.second > halves.first and halves.won >= MOSTLY


def _rotations(laue: gemmi.SpaceGroup) -> list[NDArray[np.int64]]:
    return [rotation.astype(np.int64) for rotation in rotations_of(laue.operations())]


def _together(sets: list[Unmerged]) -> Unmerged:
    """Return all observations as those of one crystal."""
    columns = (np.concatenate([getattr(one, name) for one in sets]) for name in Unmerged._fields[:4])
    hkl, intensity, sigma, angle_deg = columns
    return Unmerged(hkl, intensity, sigma, angle_deg, np.zeros(len(hkl), dtype=np.int32))


def _particulars(
    parts: tuple[Reflections, ...], reference: Reflections, choice: LaueChoice | None, workdir: Path
) -> Particulars:
    """Return what the whole crystal tells of lattice and frames, and the parts of what was measured.

    Pictures and traces are those of the whole, in one orientation: of its frames, not of the parts'.
    """
    kept = tuple(text for text in reference.warnings if "observations left out" not in text)
    pictures, traces = reference.pictures, reference.traces
    if choice is not None:
        said = (
            f"the Laue group is {choice.laue.xhm()} by parts of nearly one orientation (probability "
            f"{choice.probability:.2f}), {reference.laue_group} for the bent crystal as a whole"
        )
        kept = (*(text for text in kept if not text.startswith("the Laue group")), said)
        pictures, traces = (
            None if file is None else in_other_axes(file, choice.basis, workdir / name)
            for file, name in ((pictures, "pictures.h5"), (traces, "traces.h5"))
        )
    return Particulars(
        wavelength_angstrom=reference.wavelength_angstrom,
        provenance=Provenance(
            engine="apertura parts",
            version=reference.provenance.version,
            parameters={"parts": len(parts)},
            inputs={"whole": reference.unmerged.sha256} | {part.id: part.unmerged.sha256 for part in parts},
            seed=0,
        ),
        members=reference.members,
        radiation=reference.radiation,
        unit_cell_esd=reference.unit_cell_esd if choice is None else None,
        cell_scale=reference.cell_scale,
        indexed_fraction=reference.indexed_fraction,
        spots=reference.spots,
        axis_test=reference.axis_test,
        pictures=pictures,
        traces=traces,
        counting=common_counting(parts),
        discs=reference.discs,
        damage=reference.damage,
        warnings=kept,
    )
