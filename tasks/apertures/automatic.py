"""Apertures proposed from the data alone.

What is made of every scan (spot counts of both halves, background, maps, the images of its regions) lies in files of
the folder ``.scans`` while the stage works and is read again when it is needed, so that memory holds a few scans and
not the series. The folder goes at the end, also where the stage breaks off; a process that is killed leaves it in the
stage's unfinished folder, which the next run removes. The run keeps: ``crystal-NN.h5``, ``maps.h5``, ``places.h5``
where scans were put back, ``apertures.h5`` and ``apertures.json``.
"""

from itertools import product
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from tasks.apertures.at_once import at_once
from tasks.apertures.faint import fill_from_neighbours
from tasks.apertures.faults import frame_faults, notes_of, placed, shifted_faults
from tasks.apertures.fingerprint import Fingerprints, reciprocal_vectors
from tasks.apertures.follow import SINGLE, confidences, follow
from tasks.apertures.geometry import TiltGeometry, tilt_geometry
from tasks.apertures.identity import cut_where_the_lattice_changes, join_pieces
from tasks.apertures.models import ApertureScores, ApertureSet, CrystalAperture
from tasks.apertures.outlines import clean_masks, outlines_of, whole_masks
from tasks.apertures.output import FoundCrystal, write_aperture_file, write_found, write_maps, write_places
from tasks.apertures.pictures import Pictures
from tasks.apertures.places import taken_back
from tasks.apertures.register import Registration, register
from tasks.apertures.scan_blocks import scans_beside
from tasks.apertures.scan_spots import spots_of_scan
from tasks.apertures.scores import score_tracks
from tasks.apertures.segmentation import Segmentation
from tasks.apertures.segmented import segment_series
from tasks.apertures.settings import ProposalSettings
from tasks.apertures.shares import shares_of
from tasks.apertures.shelf import Laid, Shelf, shelf_in
from tasks.apertures.tracking import Track, join_regions
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
        with shelf_in(workdir) as shelf, scans_beside(workdir, shelf) as known:
            return self.proposed(series, segment_series(series, self, known, shelf=shelf), workdir)

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
        tracks = _tracks(segmentations, registration, tilts, geometry)
        followed = follow(
            segmentations, tracks, registration.offsets, tilt_deg=tilts, geometry=geometry, iterations=self.iterations
        )
        n_tracks = 1 + max((number for names in followed.owners for number in names), default=-1)
        outlines = outlines_of(followed)
        clean, whole = clean_masks(outlines, followed, n_tracks), whole_masks(outlines, followed, n_tracks)
        fill_from_neighbours(clean, outlines, followed.segmentations, registration.offsets)
        confidence = confidences(followed, registration.offsets, n_tracks)
        scores = score_tracks([one.judged for one in outlines], n_tracks)
        seen = clean.positions > 0
        likely = self._worth_having(clean.positions)
        chosen = [track for track in likely if trusted(seen[track], confidence[track], scores[track])]
        if not chosen:
            raise NoCrystalsError(
                "no region diffracts coherently at enough positions and tilts"
                + (f"; {len(likely)} were too faint to be told apart" if likely else ""),
                "check the scans for diffraction, or draw apertures and name the file as apertures.file",
            )
        shares = shares_of(clean, outlines, followed)
        for scan, how in at_places.how.items():
            for masks, track in product((clean, whole), range(n_tracks)):
                masks.put(track, scan, taken_back(masks.get(track, scan)[None], how, as_filed[scan].good)[0])
        stated = np.where(confidence > 0, confidence, SINGLE) * (clean.positions > 0)
        found = [
            FoundCrystal(clean.of(track), whole.of(track), stated[track], scores[track], shares[track])
            for track in chosen
        ]
        crystals = write_found(found, tilts, workdir)
        faults = shifted_faults(at_places.shifted, series) + frame_faults(series)
        file, summary = write_aperture_file(crystals, [one.clean for one in found], tilts, workdir)
        return ApertureSet(
            tilt_deg=tuple(float(tilt) for tilt in tilts),
            scan_shape=series.scan.shape,
            crystals=crystals,
            maps=write_maps(as_filed[0].map_names, lambda tilt, name: as_filed[tilt].map_of(name), tilts, workdir),
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

    def _worth_having(self, positions: NDArray[np.int64]) -> list[int]:
        """Return the tracks, largest first, that have enough positions (n_tracks, n_tilts) at enough tilts."""
        seen = (positions > 0).sum(axis=1)
        mean = positions.sum(axis=1) / np.maximum(seen, 1)
        needed = min(self.min_tilts, positions.shape[1])
        order = np.argsort(-positions.sum(axis=1), kind="stable")
        good = [int(t) for t in order if seen[t] >= needed and mean[t] >= self.min_positions]
        return good[: self.max_crystals]


def _tracks(
    segmentations: list[Segmentation], registration: Registration, tilts: NDArray[np.float64], geometry: TiltGeometry
) -> list[Track]:
    """Return the tracks of all regions, each of one lattice."""
    pieces = join_regions(registration.pairs, [len(one.regions) for one in segmentations])
    prints = Fingerprints(segmentations, reciprocal_vectors(segmentations, tilts, geometry))
    pictures = Pictures(segmentations, registration.offsets)
    return join_pieces(cut_where_the_lattice_changes(pieces, prints), prints, pictures)


def trusted(seen: NDArray[np.bool_], confidence: NDArray[np.float64], scores: ApertureScores | None) -> bool:
    """Return whether a track is where its neighbouring scans say, and is mostly itself in the held-out events.

    ``seen`` (n_tilts,): where it has an aperture.
    """
    if scores is None:
        return False
    seen = seen & (confidence > 0)
    return bool(seen.sum() < FEW or np.median(confidence[seen]) >= LEAST_CONFIDENCE) and (
        scores.clean.purity >= LEAST_PURITY and scores.clean.signal_to_noise >= LEAST_SIGNAL
    )


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


def maps_of_series(series: TiltSeries, settings: ProposalSettings, shelf: Shelf) -> list[Laid]:
    """Return the maps of every scan by their names, laid down; no regions are looked for."""
    start = series.detector.direct_beam_px
    middle = tuple((n - 1) / 2 for n in series.detector.shape_px)
    valid = series.valid_pixels()
    disc, _ = disc_of_series(series)

    def one(index: int) -> Laid:
        found = spots_of_scan(
            open_events(series.scans[index]), series.detector.shape_px, series.scan.shape,
            start=np.array(start or middle), settings=settings, valid=valid[index], disc=disc,
        )  # fmt: skip
        return shelf.lay(found.maps)

    return at_once(one, range(len(series.scans)))
