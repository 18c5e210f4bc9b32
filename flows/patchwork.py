"""Crystals that do not index alone, or join no others, measured in the lattice of those that do, and merged."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from flows.parallel import Abreast
from flows.progress import Steps
from tasks.frames import FrameSeries
from tasks.integrate import (
    CombinedSets,
    CrystalLeftOut,
    KnownGeometryIntegrator,
    Neighbour,
    NeighbourGeometryIntegrator,
    PatchworkSettings,
    Reflections,
    integrate_frames,
    joint_d_min,
    keeps_geometry,
    sorted_forms,
)
from tasks.model import ApertureError, Document, SettingsError, Vector
from tasks.report import CrystalOutcome

Form = tuple[tuple[str, tuple[Vector, Vector, Vector]], ...]
"""Crystals of one form with their indexing, see `sorted_forms`."""
Engine = NeighbourGeometryIntegrator | KnownGeometryIntegrator


class Patch(NamedTuple):
    """Where and how crystals are measured in the lattice of others."""

    folder: Path
    settings: PatchworkSettings
    steps: Steps
    pool: Abreast
    integrate: Document
    """The engine of the run: what it was told of spots and resolution holds here, too."""


class Gathered(NamedTuple):
    """All intensities that may be merged, by crystal, and why others have none in the lattice of the largest form."""

    reflections: dict[str, Reflections]
    failed: tuple[CrystalLeftOut, ...] = ()


def gathered(
    patch: Patch, crystals: Sequence[CrystalOutcome], any_solved: Callable[[Sequence[str]], bool] | None = None
) -> Gathered:
    """Return the intensities of the crystals, of those that join none in the lattice of the largest form.

    That form is the one of most members; of crystals that agree with no other, the one with most reflections. Where no
    crystal is solved alone (by their status, or what `any_solved` tells of some names), its members are measured beyond
    their own limits of resolution, too.
    """
    known = {one.id: one.reflections for one in crystals if one.reflections is not None}
    if not patch.settings.index_faint or not any(one.frames is not None for one in crystals):
        return Gathered(known)
    frames = {one.id: one.frames for one in crystals if one.frames is not None}
    forms = sorted_forms(tuple(known.values()), patch.settings.clusters)
    failed: list[CrystalLeftOut] = []
    for names in patch.settings.clusters or (tuple(one.id for one in crystals),):
        form = next((one for one in forms if one[0][0] in names), None)
        if form is None or not keeps_geometry(known[form[0][0]]):
            continue
        elsewhere = {name for one in forms if len(one) > 1 for name, _ in one}
        engines = _of_faint(patch, known, form, [name for name in names if name in frames and name not in elsewhere])
        solved = any(one.status == "solved" for one in crystals if one.id in names)
        if not (solved if any_solved is None else any_solved(names)):
            limit = joint_d_min([known[name] for name, _ in form], len(names))
            engines = {name: one.model_copy(update={"d_min_angstrom": limit}) for name, one in engines.items()}
            engines |= {name: _farther_out(patch, known[name], limit) for name, _ in form if name in frames}
        for name, found in patch.pool.each(partial(_measured, patch, frames), list(engines.items())):
            if isinstance(found, Reflections):
                known[name] = found
            elif name not in {one for one, _ in form}:
                failed.append(CrystalLeftOut(id=name, reason=found.message))
    return Gathered(known, tuple(failed))


def _of_faint(patch: Patch, known: Mapping[str, Reflections], form: Form, names: Sequence[str]) -> dict[str, Engine]:
    """Return what measures crystals in the lattice of a form."""
    neighbours = tuple(
        Neighbour(reflections=known[name], reindex=reindex) for name, reindex in form if keeps_geometry(known[name])
    )
    engine = NeighbourGeometryIntegrator(**_told(patch.integrate), reference=known[form[0][0]], neighbours=neighbours)
    return {name: engine for name in names if name != form[0][0]}


def _farther_out(patch: Patch, own: Reflections, d_min: float) -> KnownGeometryIntegrator:
    """Return what measures a crystal in its own geometry to another limit."""
    told = _told(patch.integrate) | {"d_min_angstrom": d_min}
    return KnownGeometryIntegrator(**told, reference=own, few_spots="hold")


def _told(engine: Document) -> dict[str, Any]:
    """Return what the engine of the run was told of spots and resolution: it holds here, too."""
    names = NeighbourGeometryIntegrator.model_fields.keys() - {"engine", "reference", "neighbours"}
    return {name: getattr(engine, name) for name in names if hasattr(engine, name)}


def _measured(
    patch: Patch, frames: Mapping[str, FrameSeries], asked: tuple[str, Engine]
) -> tuple[str, Reflections | ApertureError]:
    name, engine = asked
    try:
        with patch.steps.step("integrate", f"{name} beside others"):
            return name, integrate_frames(frames[name], engine, workdir=patch.folder / "crystals" / name / "neighbours")
    except ApertureError as error:
        return name, error


def with_failures(combined: CombinedSets, failed: Sequence[CrystalLeftOut]) -> CombinedSets:
    """Return the merged sets, the largest with the crystals that have no intensities in its lattice left out."""
    if not failed or not combined.clusters:
        return combined
    first = combined.clusters[0]
    known = {one.id for one in first.left_out}
    shown = first.model_copy(update={"left_out": (*first.left_out, *(one for one in failed if one.id not in known))})
    return combined.model_copy(update={"clusters": (shown, *combined.clusters[1:])})


def require_known(settings: PatchworkSettings, names: Sequence[str]) -> None:
    """Check that the crystals that a user lets be joined are there.

    Raises
    ------
    SettingsError
        If one is not, naming it.
    """
    named = [name for cluster in settings.clusters for name in cluster]
    if unknown := [name for name in named if name not in names]:
        raise SettingsError(
            f"patchwork.clusters: no crystal is named {', '.join(unknown)}", f"there are {', '.join(names)}"
        )
