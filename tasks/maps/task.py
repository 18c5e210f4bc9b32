"""The unit of work: maps of one crystal by probe position, from its own reflections."""

import logging
from pathlib import Path
from typing import NamedTuple

import h5py
import numpy as np
from scipy import sparse

from tasks.apertures import CrystalAperture, outline
from tasks.frames import DirectBeams, FrameSeries
from tasks.ingest import TiltSeries
from tasks.integrate import Reflections
from tasks.maps.bend import bend_of
from tasks.maps.models import CrystalMaps
from tasks.maps.orientation_fit import CellCounts, OrientationFit, SpotModel, fit_orientations
from tasks.maps.places import MapPlaces, axes_in_scan, map_places
from tasks.maps.spots import cell_counts, neighbourhoods, pooled, rocking_pictures, spot_models
from tasks.maps.strain_fit import Displacements, cell_strains
from tasks.model import FileRef
from tasks.model.arrays import Floats, Integers, Mask
from tasks.model.provenance import Provenance
from tasks.stage import stage
from tasks.trace import ElectronSource

log = logging.getLogger("apertura.maps")

ENOUGH = 100.0
"""Bragg electrons of a position, over all tilts, below which its neighbours are taken with it. Chosen, not measured:
with as many a rotation is known to a tenth of the rocking curve's width; more would blur what few would tell anyway."""
WORST_DEG = 1.5
"""Sigma of a rotation about any axis, beyond which a position is left out: the prior of 5 degrees begins to show.
Chosen, not measured."""


class _Measured(NamedTuple):
    """Counts of all frames by seen cell: what each is expected to hold, and its electrons off their spots."""

    models: list[SpotModel]
    counts: list[CellCounts]
    off: Displacements
    places: MapPlaces
    cells: Integers
    electrons: Floats


class _Maps(NamedTuple):
    """Per seen cell, NaN or False where nothing is measured; see `CrystalMaps`."""

    rotation: Floats
    covariance: Floats
    scale: Floats
    scale_sigma: Floats
    strain: Floats
    strain_sigma: Floats
    curve: Floats
    curve_sigma: Floats
    pooled: Mask
    electrons: Floats


def _summary(maps: CrystalMaps) -> str:
    if maps.bend_deg is None:
        return f"{maps.id}: no position has enough electrons for a map"
    return f"{maps.id}: {maps.positions} positions, bent by {maps.bend_deg:.2f} +- {maps.bend_sigma_deg:.2f} degrees"


@stage(name="maps {aperture.id}", summary=_summary)
def map_crystal(
    reflections: Reflections,
    frames: FrameSeries,
    aperture: CrystalAperture,
    series: TiltSeries,
    beams: DirectBeams,
    workdir: Path,
    places: FileRef | None = None,
) -> CrystalMaps:
    """Map misorientation, scale, strain and rocking curve of a crystal over its probe positions.

    Parameters
    ----------
    places
        `ApertureSet.places`, where scans were put back.

    Raises
    ------
    SourceError
        If the integration keeps no pixels and orientations: only the built-in engine does.
    """
    seen = _measured(reflections, frames, ElectronSource(series, aperture, beams), places)
    where = np.stack(np.divmod(seen.cells, seen.places.shape[1]), axis=1)
    around = neighbourhoods(where, seen.electrons, enough=ENOUGH)
    curve = rocking_pictures(reflections)
    counts = [pooled(one, around) for one in seen.counts]
    fit = fit_orientations(seen.models, counts, curve.curve, len(seen.cells))
    maps = _maps(seen, fit, around)
    known = np.isfinite(maps.scale)
    bend = bend_of(np.argwhere(_on_map(seen, known)).astype(np.float64), maps.rotation[known], maps.covariance[known])
    document = CrystalMaps(
        id=aperture.id,
        file=_write(seen, maps, workdir / "maps.h5", np.array([scan.tilt_deg for scan in series.scans])),
        tilt_deg=series.scans[seen.places.reference].tilt_deg,
        positions=int(known.sum()),
        pooled=int((maps.pooled & known).sum()),
        left_out=int((~known).sum()),
        electrons=float(seen.electrons.sum()),
        angle_sigma_deg=_median(np.degrees(_angle(maps)[1])),
        bend_deg=None if bend is None else bend.degrees,
        bend_sigma_deg=None if bend is None else bend.sigma_deg,
        curve_ratio=fit.narrower,
        curve_ratio_sigma=fit.narrower_sigma,
        spread=fit.spread,
        scale_sigma=_median(maps.scale_sigma),
        strain_sigma=_median(maps.strain_sigma),
        curve_sigma=_median(maps.curve_sigma),
        provenance=Provenance(
            engine="apertura maps", version="2", inputs={"reflections": reflections.unmerged.sha256}, seed=0
        ),
    )
    log.info("%s", _summary(document))
    return document


def _measured(
    reflections: Reflections, frames: FrameSeries, electrons: ElectronSource, kept: FileRef | None
) -> _Measured:
    """Count the electrons of every frame by cell of the map."""
    series = electrons.series
    tilts = np.array([scan.tilt_deg for scan in series.scans])
    axes = axes_in_scan(np.array(series.tilt_axis), series.scan.rotation_deg)
    places = map_places(
        electrons.aperture.positions, outline(electrons.aperture), tilts, axes, places=_true_places(kept)
    )
    cells = np.unique(places.cell[places.cell >= 0])
    compact = np.where(places.cell >= 0, np.searchsorted(cells, places.cell), -1)
    models, spots = spot_models(reflections, frames, rocking_pictures(reflections))
    counts, off = [], []
    beam = np.array(frames.direct_beam_px)
    for frame, here in enumerate(spots):
        found = electrons.on_frame(frames, frame)
        one, displaced = cell_counts(found, here, frames.detector.shape_px, compact[found.tilt].ravel(), beam)
        counts.append(one)
        off.append(displaced)
    background, total = np.zeros(len(cells)), np.zeros(len(cells))
    for model, one in zip(models, counts, strict=True):
        background[one.cells] += one.number * model.background.sum()
        total[one.cells] += one.counts.sum(axis=1)
    every = Displacements(*(np.concatenate(column) for column in zip(*off, strict=True)))
    return _Measured(models, counts, every, places, cells, total - background)


def _true_places(kept: FileRef | None) -> Floats | None:
    if kept is None:
        return None
    with h5py.File(kept.path, "r") as file:
        return np.asarray(file["places"], dtype=np.float64)


def _maps(seen: _Measured, fit: OrientationFit, around: sparse.csr_array) -> _Maps:
    """Return the maps against the crystal's mean orientation and scale."""
    uses = np.diff(around.indptr)
    worst = np.sqrt(np.linalg.eigvalsh(fit.covariance[:, 1:, 1:])[:, -1])
    known = (uses > 0) & (np.degrees(worst) < WORST_DEG)
    missing = np.where(known, 1.0, np.nan)
    rotation, scale = fit.rotation.copy(), np.exp(fit.log_scale)
    if known.any():
        weight = np.maximum(seen.electrons[known], 1.0)
        rotation -= np.average(rotation[known], axis=0, weights=weight)
        scale /= scale[known].mean()
    pairs = np.stack(around.nonzero(), axis=1).astype(np.int64)
    strain, strain_sigma = cell_strains(seen.off, pairs, len(uses))
    curve = np.exp(fit.log_width)
    if known.any():
        curve /= np.exp(np.average(fit.log_width[known], weights=fit.width_sigma[known] ** -2.0))
    return _Maps(
        rotation * missing[:, None],
        fit.covariance[:, 1:, 1:] * missing[:, None, None],
        scale * missing,
        scale * np.sqrt(fit.covariance[:, 0, 0]) * missing,
        strain * missing,
        strain_sigma * missing,
        curve * missing,
        curve * fit.width_sigma * missing,
        known & (uses > 1),
        seen.electrons,
    )


def _angle(maps: _Maps) -> tuple[Floats, Floats]:
    """Return the angles (n,) of the rotations in radians, and their sigmas along the rotation."""
    angle = np.linalg.norm(maps.rotation, axis=1)
    direction = maps.rotation / np.maximum(angle, 1e-12)[:, None]
    return angle, np.sqrt(np.einsum("ni,nij,nj->n", direction, maps.covariance, direction))


def _on_map(seen: _Measured, values: Floats | Mask) -> Floats | Mask:
    """Return values of the seen cells (n, ...) on the map (ny, nx, ...): NaN, or False, elsewhere."""
    empty = np.zeros((int(np.prod(seen.places.shape)), *values.shape[1:]), dtype=values.dtype)
    if values.dtype != np.bool_:
        empty += np.nan
    empty[seen.cells] = values
    return empty.reshape(*seen.places.shape, *values.shape[1:])


def _write(seen: _Measured, maps: _Maps, path: Path, tilt_deg: Floats) -> FileRef:
    angle, sigma = _angle(maps)
    with h5py.File(path, "w") as file:
        for name, values in {
            "angle_deg": np.degrees(angle),
            "angle_sigma_deg": np.degrees(sigma),
            "rotation_deg": np.degrees(maps.rotation),
            "rotation_covariance_deg2": maps.covariance * np.degrees(1.0) ** 2,
            "scale": maps.scale,
            "scale_sigma": maps.scale_sigma,
            "strain": maps.strain,
            "strain_sigma": maps.strain_sigma,
            "curve": maps.curve,
            "curve_sigma": maps.curve_sigma,
            "electrons": maps.electrons,
            "pooled": maps.pooled,
        }.items():
            file.create_dataset(name, data=_on_map(seen, values), compression="gzip", compression_opts=1)
        file.create_dataset("cell", data=seen.places.cell.astype(np.int32), compression="gzip", compression_opts=1)
        file["tilt_deg"] = tilt_deg
        file.attrs["reference"] = seen.places.reference
        file.attrs["centre"] = seen.places.centre
        file.attrs["axes"] = seen.places.axes
    return FileRef.of(path)


def _median(values: Floats) -> float | None:
    known = values[np.isfinite(values)]
    return float(np.median(known)) if len(known) else None
