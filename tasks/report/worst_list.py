"""What the reflections of a structure that fit worst were measured from."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import matplotlib as mpl
import numpy as np
from numpy.typing import NDArray

from tasks.crystal.symmetry import laue_group_of
from tasks.frames import FrameSeries
from tasks.integrate import Measurements, Reflections, read_traces
from tasks.model import ApertureError
from tasks.model.arrays import Integers
from tasks.refine import FittedIntensities, Refinement, worst_fits
from tasks.report.images import png_uri
from tasks.report.worst_axes import Axes, axes_of_data, axes_of_member
from tasks.report.worst_models import CrossingEntry, CrossingMap, WorstFitting, WorstReflection
from tasks.trace import Crossing, ElectronSource, Glimpse, PositionMap, glimpses, kept_traces, position_maps

MOST_REFLECTIONS = 10
"""In the list of a crystal. Chosen, not measured: each adds about 8 kB to the page."""
MOST_CROSSINGS = 6
"""Shown of a reflection, those of most electrons. Chosen, not measured: a row of the page."""
UNREADABLE = (ApertureError, OSError, ValueError, KeyError)
"""What reading files raises that are gone, cut short or of another kind: the list then stands without them."""

OTHER_AXES = "what these were measured from is not shown: the structure has axes of its own, and they are not plain"


class MeasuredCrystal(NamedTuple):
    """What a crystal's intensities were measured from."""

    reflections: Reflections
    frames: FrameSeries | None
    electrons: ElectronSource | None


class _Seen(NamedTuple):
    """What a crystal saw of each reflection of a list, and what each is in its axes."""

    crystal: MeasuredCrystal
    frames: FrameSeries
    every: Measurements
    indices: list[NDArray[np.int32]]
    glimpses: list[Glimpse]


def worst_fitting(
    fitted: FittedIntensities, model: Refinement, data: Reflections, crystals: Sequence[MeasuredCrystal]
) -> WorstFitting:
    """Return the worst-fitting reflections with their rocking curves and their maps of probe positions.

    Parameters
    ----------
    data
        What the structure was refined against.
    crystals
        The crystal itself, or those that were merged.
    """
    misfits = worst_fits(fitted, model, most=MOST_REFLECTIONS)
    axes = axes_of_data(fitted, model.hall, data)
    if axes is None:
        bare = tuple(WorstReflection(misfit=one, crossings=(), crossings_in_all=0) for one in misfits)
        return WorstFitting(reflections=bare, notes=(OTHER_AXES,))
    wanted = [axes.of(one.hkl) for one in misfits]
    notes: list[tuple[str, str]] = []
    seen = [found for one in crystals if (found := _seen(wanted, data, one, notes)) is not None]
    shown = [
        _brightest([(one, each) for one in seen for each in one.glimpses[k].crossings]) for k in range(len(misfits))
    ]
    maps = {one.crystal.reflections.id: _maps(one, shown, notes) for one in seen}
    reflections = tuple(
        WorstReflection(
            misfit=misfit,
            crossings=tuple(_entry(one, each, maps[one.crystal.reflections.id]) for one, each in shown[k]),
            crossings_in_all=sum(one.glimpses[k].in_all for one in seen),
            traced_as=tuple(
                (one.crystal.reflections.id, _triple(one.indices[k][0].tolist())) for one in seen if len(one.indices[k])
            ),
        )
        for k, misfit in enumerate(misfits)
    )
    merged = any(one.reflections.id != data.id for one in crystals)
    return WorstFitting(reflections=reflections, notes=_notes(notes), merged=merged)


def _seen(
    wanted: Sequence[NDArray[np.int32]], data: Reflections, crystal: MeasuredCrystal, notes: list[tuple[str, str]]
) -> _Seen | None:
    """Return what a crystal saw of each reflection, indexed as in `data`; None, and a note, where that is not known."""
    own, frames = crystal.reflections, crystal.frames
    if frames is None:
        notes.append((own.id, "its frames are not of this run: neither rocking curves nor probe positions are shown"))
        return None
    try:
        mine = list(wanted) if own.id == data.id else _in_member(wanted, axes_of_member(data, own))
        every = read_traces(kept_traces(own))
    except UNREADABLE as error:
        notes.append((own.id, f"neither rocking curves nor probe positions are shown: {_said(error)}"))
        return None
    if mine is None:
        notes.append((own.id, "its indices are not plain among those merged: what it measured is not shown"))
        return None
    found = glimpses(mine, every, laue_group_of(own.laue_group), frames, most=MOST_CROSSINGS)
    return _Seen(crystal, frames, every, mine, found)


def _in_member(wanted: Sequence[NDArray[np.int32]], axes: Axes | None) -> list[NDArray[np.int32]] | None:
    if axes is None:
        return None
    return [np.concatenate([np.zeros((0, 3), np.int32), *map(axes.of, map(_triple, one.tolist()))]) for one in wanted]


def _triple(row: Sequence[int]) -> tuple[int, int, int]:
    h, k, l = row
    return h, k, l


def _brightest(found: list[tuple[_Seen, Crossing]]) -> list[tuple[_Seen, Crossing]]:
    """Return those of most electrons, in the order of the crystals and by tilt."""
    order = sorted(range(len(found)), key=lambda k: -int(found[k][1].counts.max()))[:MOST_CROSSINGS]
    return [found[k] for k in sorted(order)]


def _maps(
    one: _Seen, shown: Sequence[Sequence[tuple[_Seen, Crossing]]], notes: list[tuple[str, str]]
) -> dict[int, PositionMap]:
    """Return the maps of the crossings of a crystal that are shown; none, and a note, where its electrons are gone."""
    name, electrons = one.crystal.reflections.id, one.crystal.electrons
    if electrons is None:
        notes.append((name, "no probe positions: its frames were not summed from scans"))
        return {}
    if (gone := electrons.missing()) is not None:
        notes.append((name, f"no probe positions: {gone} is gone"))
        return {}
    rows = [each.brightest for part in shown for seen, each in part if seen is one]
    try:
        return position_maps(rows, one.every, one.frames, electrons)
    except UNREADABLE as error:
        notes.append((name, f"no probe positions: {_said(error)}"))
        return {}


def _said(error: Exception) -> str:
    return error.message if isinstance(error, ApertureError) else str(error)


def _notes(found: Sequence[tuple[str, str]]) -> tuple[str, ...]:
    """Return what is the same of several crystals once, with their names."""
    said: dict[str, list[str]] = {}
    for name, text in found:
        said.setdefault(text, []).append(name)
    return tuple(f"{', '.join(names)}: {text}" for text, names in said.items())


def _entry(of: _Seen, one: Crossing, maps: Mapping[int, PositionMap]) -> CrossingEntry:
    found = maps.get(one.brightest)
    return CrossingEntry(
        crystal=of.crystal.reflections.id,
        hkl=one.hkl,
        tilt_deg=tuple(one.tilt_deg.tolist()),
        counts=tuple(one.counts.tolist()),
        background=tuple(round(value, 2) for value in one.background.tolist()),
        predicted=tuple(round(value, 2) if np.isfinite(value) else None for value in one.predicted.tolist()),
        used=tuple(one.used.tolist()),
        map=None if found is None else map_entry_of(found),
    )


def map_entry_of(one: PositionMap) -> CrossingMap:
    """Return a map as the page shows it."""
    known = one.electrons >= 0
    return CrossingMap(
        uri=png_uri(coloured(one.electrons)),
        tilt_deg=one.tilt_deg,
        shape=one.electrons.shape,
        electrons=int(one.electrons[known].sum()),
        positions=int(known.sum()),
        positions_with_electrons=int((one.electrons > 0).sum()),
        most=int(one.electrons.max()),
    )


def coloured(electrons: Integers) -> NDArray[np.uint8]:
    """Return red, green, blue and opacity (ny, nx, 4): dark for none, transparent for -1."""
    share = np.clip(electrons / max(int(electrons.max()), 1), 0.0, 1.0)
    image = mpl.colormaps["viridis"](share, bytes=True)
    image[electrons < 0] = 0
    return np.asarray(image, dtype=np.uint8)
