"""Apertures proposed from the data alone."""

import hashlib
import os
from collections.abc import MutableMapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from tasks.apertures.faint import fill_from_neighbours
from tasks.apertures.faults import frame_faults, notes_of, placed, shifted_faults
from tasks.apertures.fingerprint import Fingerprints, reciprocal_vectors
from tasks.apertures.follow import SINGLE, confidences, follow
from tasks.apertures.geometry import tilt_geometry
from tasks.apertures.identity import cut_where_the_lattice_changes, join_pieces
from tasks.apertures.masks import masks_of
from tasks.apertures.models import ApertureScores, ApertureSet, CrystalAperture
from tasks.apertures.output import FoundCrystal, write_aperture_file, write_found, write_maps, write_places
from tasks.apertures.pictures import Pictures
from tasks.apertures.places import taken_back
from tasks.apertures.register import register
from tasks.apertures.scores import score_tracks
from tasks.apertures.segment import Segmentation, segment_scan
from tasks.apertures.settings import ProposalSettings
from tasks.apertures.shares import shares_of
from tasks.apertures.tracking import join_regions
from tasks.ingest import TiltSeries, disc_of_series, open_events
from tasks.model import NoCrystalsError
from tasks.model.provenance import Provenance

LEAST_CONFIDENCE = 0.85
"""Median over the tilts, below which a region is taken for noise that follows a crystal (simulated: crystals 0.93)."""
LEAST_PURITY = 0.85
"""Share of its own in the held-out Bragg electrons (simulated: crystals 0.92, ghosts 0.82)."""
LEAST_SIGNAL = 5.0
"""Bragg electrons over their standard deviation in the aperture of one tilt, held out (simulated: noise 2 to 4)."""
FEW = 5
"""Tilts that are too few for a judgement by their agreement."""


class AutomaticApertures(ProposalSettings):
    """Find every crystal of a series, follow it through the tilts, and take the positions that are its alone."""

    engine: Literal["automatic"] = "automatic"

    def propose(self, series: TiltSeries, workdir: Path) -> ApertureSet:
        """Return the apertures of all crystals; files go into `workdir`."""
        if not series.scans:
            raise NoCrystalsError("the series has no usable scan", "see the reasons for the lost scans")
        return self.proposed(series, segment_series(series, self), workdir)

    def proposed(self, series: TiltSeries, segmentations: list[Segmentation], workdir: Path) -> ApertureSet:
        """Return the apertures of all crystals of a series whose scans are segmented."""
        tilts = np.array([scan.tilt_deg for scan in series.scans])
        geometry = tilt_geometry(series)
        registration = register(segmentations, tilts, geometry=geometry)
        as_filed = segmentations
        at_places = placed(segmentations, registration.offsets, self)
        if at_places.how:
            segmentations = at_places.segmentations
            registration = register(segmentations, tilts, geometry=geometry)
        pieces = join_regions(registration.pairs, [one.factors.weights.shape[1] for one in segmentations])
        prints = Fingerprints(segmentations, reciprocal_vectors(segmentations, tilts, geometry))
        pictures = Pictures(segmentations, registration.offsets)
        tracks = join_pieces(cut_where_the_lattice_changes(pieces, prints), prints, pictures)
        followed = follow(
            segmentations, tracks, registration.offsets, tilt_deg=tilts, geometry=geometry, iterations=self.iterations
        )
        n_tracks = 1 + max((number for names in followed.owners for number in names), default=-1)
        masks = [masks_of(one.factors.weights, series.scan.shape, good=one.good) for one in followed.segmentations]
        clean = _by_track([one.clean for one in masks], followed.owners, n_tracks, series.scan.shape)
        for scan, names in enumerate(followed.doubtful):
            clean[sorted(names), scan] = False
        fill_from_neighbours(clean, masks, followed, registration.offsets)
        confidence = confidences(followed, registration.offsets, n_tracks)
        scores = score_tracks(followed, masks, n_tracks)
        likely = self._worth_having(clean)
        chosen = [track for track in likely if trusted(clean[track], confidence[track], scores[track])]
        if not chosen:
            raise NoCrystalsError(
                "no region diffracts coherently at enough positions and tilts"
                + (f"; {len(likely)} were too faint to be told apart" if likely else ""),
                "check the scans for diffraction, or draw apertures and name the file as apertures.file",
            )
        whole = _by_track([one.whole for one in masks], followed.owners, n_tracks, series.scan.shape)
        shares = shares_of(clean, masks, followed)
        for scan, how in at_places.how.items():
            clean[:, scan], whole[:, scan] = (
                taken_back(one[:, scan], how, as_filed[scan].good) for one in (clean, whole)
            )
        stated = np.where(confidence > 0, confidence, SINGLE) * clean.any(axis=(2, 3))
        found = [
            FoundCrystal(clean[track], whole[track], stated[track], scores[track], shares[track]) for track in chosen
        ]
        crystals = write_found(found, tilts, workdir)
        faults = shifted_faults(at_places.shifted, series) + frame_faults(series)
        file, summary = write_aperture_file(crystals, [one.clean for one in found], tilts, workdir)
        return ApertureSet(
            tilt_deg=tuple(float(tilt) for tilt in tilts),
            scan_shape=series.scan.shape,
            crystals=crystals,
            maps=write_maps([one.maps for one in as_filed], tilts, workdir),
            aperture_file=file,
            aperture_summary=summary,
            faults=faults,
            places=write_places(at_places.places, series.scan.shape, tilts, workdir) if at_places.places else None,
            notes=_notes(crystals, series, dropped=len(likely) - len(chosen)) + notes_of(faults),
            provenance=Provenance(
                engine="apertura automatic apertures",
                version="1",
                parameters=self.model_dump(exclude={"engine"}),
                seed=self.seed,
            ),
        )

    def _worth_having(self, clean: NDArray[np.bool_]) -> list[int]:
        positions = clean.sum(axis=(2, 3))
        seen = (positions > 0).sum(axis=1)
        mean = positions.sum(axis=1) / np.maximum(seen, 1)
        needed = min(self.min_tilts, clean.shape[1])
        order = np.argsort(-positions.sum(axis=1), kind="stable")
        good = [int(t) for t in order if seen[t] >= needed and mean[t] >= self.min_positions]
        return good[: self.max_crystals]


def segment_series(
    series: TiltSeries, settings: ProposalSettings, known: MutableMapping[str, Segmentation] | None = None
) -> list[Segmentation]:
    """Find the regions of every scan; those of `known` are taken from there, and new ones put there.

    A segmentation is known by the events of its scan, its valid pixels and the disc of the series.
    """
    start = series.detector.direct_beam_px
    middle = tuple((n - 1) / 2 for n in series.detector.shape_px)
    valid = series.valid_pixels()
    disc, _ = disc_of_series(series)

    def one(index: int) -> Segmentation:
        scan = series.scans[index]
        pixels = hashlib.sha256(np.packbits(valid[index]).tobytes()).hexdigest()
        key = f"{scan.events.sha256} {pixels} {disc}"
        if known is not None and key in known:
            return known[key]
        found = segment_scan(
            open_events(scan), series.detector.shape_px, series.scan.shape,
            start=np.array(start or middle), settings=settings, valid=valid[index], disc=disc,
        )  # fmt: skip
        if known is not None:
            known[key] = found
        return found

    with ThreadPoolExecutor(min(4, os.cpu_count() or 1)) as pool:
        return list(pool.map(one, range(len(series.scans))))


def trusted(clean: NDArray[np.bool_], confidence: NDArray[np.float64], scores: ApertureScores | None) -> bool:
    """Return whether a track is where its neighbouring scans say, and is mostly itself in the held-out events."""
    if scores is None:
        return False
    seen = clean.any(axis=(1, 2)) & (confidence > 0)
    return bool(seen.sum() < FEW or np.median(confidence[seen]) >= LEAST_CONFIDENCE) and (
        scores.clean.purity >= LEAST_PURITY and scores.clean.signal_to_noise >= LEAST_SIGNAL
    )


def _by_track(
    masks: list[NDArray[np.bool_]], owners: list[list[int]], n_tracks: int, scan_shape: tuple[int, int]
) -> NDArray[np.bool_]:
    """Return masks (n_tracks, n_tilts, ny, nx) from those by tilt and region, (k, ny, nx)."""
    out = np.zeros((n_tracks, len(masks), *scan_shape), dtype=bool)
    for tilt, (here, numbers) in enumerate(zip(masks, owners, strict=True)):
        for column, number in enumerate(numbers):
            out[number, tilt] = here[column]
    return out


def _notes(crystals: tuple[CrystalAperture, ...], series: TiltSeries, *, dropped: int) -> tuple[str, ...]:
    notes = [f"{len(crystals)} crystals in {len(series.scans)} scans"]
    area = series.scan.shape[0] * series.scan.shape[1]
    notes += [
        f"{crystal.id} fills the field of view; crystals that overlap everywhere would not be told apart"
        for crystal in crystals
        if max(crystal.positions_per_tilt) > 0.9 * area
    ]
    if dropped:
        notes.append(f"{dropped} further regions are too faint to be told apart from their surroundings: left out")
    return tuple(notes)


def real_space_maps(series: TiltSeries, *, seed: int) -> list[dict[str, NDArray[np.float64]]]:
    """Return the maps of every scan, without apertures."""
    return [one.maps for one in segment_series(series, ProposalSettings(seed=seed))]
