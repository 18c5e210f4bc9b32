"""A look at the scans so far: crystals, apertures, cells, what is complete, what would add most, whether halves agree.

Lighter than the pipeline and beside it: none of its numbers enters a result. It goes in steps of seconds, between
which new scans are read, so that a scan need not wait for it.
"""

import logging
import shutil
from collections.abc import Iterator, Sequence
from contextvars import Context
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from adapters.formats.mask_reader import MaskFileReader
from flows.settings import Settings
from tasks.apertures import ApertureSet, AutomaticApertures, CrystalAperture, GrowingApertures, write_drawn
from tasks.frames import DirectBeams, FrameSeries, find_beams, sum_frames
from tasks.ingest import TiltScan, TiltSeries, TiltSeriesManifest, series_so_far
from tasks.integrate import (
    BuiltinIntegrator,
    HalvesAgreement,
    KnownGeometryIntegrator,
    Reflections,
    forecast_completeness,
    halves_agreement,
    integrate_frames,
)
from tasks.model import ApertureError, NoCrystalsError
from tasks.report import LiveCrystal, TiltPicture, tilt_pictures

log = logging.getLogger("apertura.live")

LOOK = "look"
REGIONS = "regions"
LOOKED_AT = 4
"""Crystals, the largest, that are integrated in a look: each costs 4 to 6 s of CPU at 25 to 51 tilts of 64 x 64
positions (UiO-66, seed 1); the others are shown with their apertures."""
SAME_CRYSTAL = 0.5
"""Of the positions of two apertures together that both have, from which they are one crystal. Chosen, not measured."""
FARTHEST_DEG = 70.0
"""Tilt to which holders usually reach, where no plan says which tilts are to come. Chosen, not measured."""
STEP_DEG = 2.0
"""Between tilts that are tried where the scans so far show no step. Chosen, not measured."""


class SoFar(NamedTuple):
    """What a look has come to so far."""

    crystals: tuple[LiveCrystal, ...] = ()
    scans: int = 0
    no_crystals: str = ""
    pictures: tuple[TiltPicture, ...] = ()
    notes: tuple[str, ...] = ()
    done: bool = False


class LiveLook:
    """Looks again and again, and remembers what does not change."""

    def __init__(self, source: Path, keep: Path, settings: Settings) -> None:
        self._source = source
        self._keep = keep / LOOK
        self._settings = settings
        chosen = settings.apertures
        automatic = chosen if isinstance(chosen, AutomaticApertures) else AutomaticApertures()
        self._apertures = GrowingApertures(automatic, keep / REGIONS)
        chosen_engine = settings.integrate
        engine = chosen_engine if isinstance(chosen_engine, BuiltinIntegrator) else BuiltinIntegrator()
        self._engine = engine.model_copy(update={"second_domain": False})
        self._before: dict[str, tuple[LiveCrystal, dict[str, NDArray[np.bool_]]]] = {}

    def steps(
        self, manifest: TiltSeriesManifest, scans: Sequence[TiltScan], to_come_deg: Sequence[float]
    ) -> Iterator[SoFar]:
        """Yield what is seen, step by step; the last has `done`."""
        shutil.rmtree(self._keep, ignore_errors=True)
        (self._keep / "apertures").mkdir(parents=True)
        try:
            series = Context().run(series_so_far, self._source, manifest, scans, MaskFileReader(), workdir=self._keep)
            apertures = self._apertures.propose(series, self._keep / "apertures")
        except ApertureError as error:
            reason = error.message if isinstance(error, NoCrystalsError) else f"{error.message}; {error.advice}"
            yield SoFar(scans=len(scans), no_crystals=reason, done=True)
            return
        tilts = [scan.tilt_deg for scan in series.scans]
        looked = _Looked(series, tuple(to_come_deg), candidates(tilts, to_come_deg))
        crystals = [self._carried(one, series) for one in apertures.crystals]
        seen = SoFar(tuple(crystals), len(scans), pictures=tilt_pictures(apertures), notes=apertures.notes[1:])
        yield seen
        try:
            beams = Context().run(find_beams, series, self._settings.frames, workdir=self._keep / "beams")
        except ApertureError as error:
            yield seen._replace(no_crystals=error.message, done=True)
            return
        yield seen
        for number, aperture in enumerate(apertures.crystals[:LOOKED_AT]):
            for crystal in self._measured(looked, beams, aperture):
                crystals[number] = crystal
                yield seen._replace(crystals=tuple(crystals))
        self._remember(crystals, apertures, series)
        yield seen._replace(crystals=tuple(crystals), done=True)

    def _measured(self, looked: "_Looked", beams: DirectBeams, aperture: CrystalAperture) -> Iterator[LiveCrystal]:
        """Yield a crystal as it is measured: with its intensities, then with the agreement of the halves."""
        series, place = looked.series, self._keep / aperture.id
        crystal = _shown(aperture, len(series.scans))
        try:
            frames = Context().run(
                sum_frames, series, aperture, self._settings.frames, workdir=place / "frames", beams=beams
            )
            crystal = crystal.model_copy(update={"electrons": sum(frame.counts for frame in frames.frames)})
            data = Context().run(integrate_frames, frames, self._engine, workdir=place / "integrate")
        except ApertureError as error:
            yield crystal.model_copy(update={"reason": error.message})
            return
        crystal = _with_intensities(crystal, data, frames, looked)
        yield crystal
        if (halves := self._halves(series, beams, aperture, data)) is not None:
            yield crystal.model_copy(update={"halves_cc": halves.cc, "halves_weak": halves.weak})

    def _halves(
        self, series: TiltSeries, beams: DirectBeams, aperture: CrystalAperture, data: Reflections
    ) -> HalvesAgreement | None:
        """Return how well intensities agree that are measured in every other tilt, in the geometry of all."""
        tilts = np.array([scan.tilt_deg for scan in series.scans])
        rank = np.full(len(tilts), -1)
        seen = np.flatnonzero([count > 0 for count in aperture.positions_per_tilt])
        rank[seen] = np.arange(len(seen))
        engine = KnownGeometryIntegrator(reference=data, few_spots="hold", few_electrons="hold", statistics="sums")
        found = []
        try:
            for half in (0, 1):
                place = self._keep / aperture.id / f"half-{half}"
                place.mkdir()
                kept = (rank >= 0) & (rank % 2 == half)
                part = write_drawn(aperture.id, aperture.positions & kept[:, None, None], tilts, place)
                frames = Context().run(
                    sum_frames, series, part, self._settings.frames, workdir=place / "frames", beams=beams
                )
                found.append(Context().run(integrate_frames, frames, engine, workdir=place / "integrate"))
        except ApertureError as error:
            log.info("%s: its halves are not compared: %s", aperture.id, error.message)
            return None
        return halves_agreement(*found)

    def _carried(self, aperture: CrystalAperture, series: TiltSeries) -> LiveCrystal:
        """Return a crystal with the figures that it had in the last look, which say by how many scans they are."""
        masks = _by_source(aperture, series)
        for crystal, earlier in self._before.values():
            if _overlap(masks, earlier) >= SAME_CRYSTAL:
                update = _shown(aperture, crystal.scans).model_dump(include={"id", "positions", "tilts"})
                return crystal.model_copy(update=update)
        return _shown(aperture, 0)

    def _remember(self, crystals: Sequence[LiveCrystal], apertures: ApertureSet, series: TiltSeries) -> None:
        self._before = {
            aperture.id: (crystal, _by_source(aperture, series))
            for crystal, aperture in zip(crystals, apertures.crystals, strict=True)
        }


class _Looked(NamedTuple):
    """What one look is about."""

    series: TiltSeries
    to_come_deg: tuple[float, ...]
    candidates_deg: tuple[float, ...]


def candidates(tilts_deg: Sequence[float], to_come_deg: Sequence[float]) -> tuple[float, ...]:
    """Return the tilts of which some would add most: those to come, else all that a holder reaches and no scan has.

    In the step that the scans so far show: their median distance.
    """
    if to_come_deg:
        return tuple(sorted(set(to_come_deg)))
    there = np.unique(tilts_deg)
    step = float(np.median(np.diff(there))) if len(there) > 1 else STEP_DEG
    grid = there[0] + step * np.arange(np.ceil((-FARTHEST_DEG - there[0]) / step), (FARTHEST_DEG - there[0]) / step)
    far = np.abs(grid[:, None] - there).min(axis=1) > step / 2
    return tuple(round(float(angle), 3) for angle in grid[far & (np.abs(grid) <= FARTHEST_DEG)])


def _shown(aperture: CrystalAperture, scans: int) -> LiveCrystal:
    counts = aperture.positions_per_tilt
    return LiveCrystal(id=aperture.id, scans=scans, positions=max(counts), tilts=sum(count > 0 for count in counts))


def _with_intensities(crystal: LiveCrystal, data: Reflections, frames: FrameSeries, looked: _Looked) -> LiveCrystal:
    foretold = forecast_completeness(data, frames, planned_deg=looked.to_come_deg, candidates_deg=looked.candidates_deg)
    return crystal.model_copy(
        update={
            "unit_cell": data.unit_cell,
            "space_group": data.space_group,
            "indexed_fraction": data.indexed_fraction,
            "d_min_angstrom": data.d_min_angstrom,
            "completeness": foretold.now,
            "completeness_planned": foretold.planned,
            "best_tilts": foretold.best,
            "cc_half": data.overall.cc_half,
        }
    )


def _by_source(aperture: CrystalAperture, series: TiltSeries) -> dict[str, NDArray[np.bool_]]:
    return dict(zip((scan.source for scan in series.scans), aperture.positions, strict=True))


def _overlap(one: dict[str, NDArray[np.bool_]], other: dict[str, NDArray[np.bool_]]) -> float:
    """Return the share of the positions of two apertures that both have, over the scans of both."""
    common = one.keys() & other.keys()
    both = sum(int((one[name] & other[name]).sum()) for name in common)
    either = sum(int((one[name] | other[name]).sum()) for name in common)
    return both / either if either else 0.0
