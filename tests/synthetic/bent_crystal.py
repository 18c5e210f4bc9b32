"""One small crystal whose lattice turns from end to end, measured at its own positions: documents and the truth."""

from pathlib import Path
from typing import NamedTuple

import numpy as np

from tasks.apertures import CrystalAperture, write_drawn
from tasks.frames import DirectBeams, FrameSeries, FrameSettings, find_beams, sum_frames
from tasks.ingest import TiltSeries
from tasks.integrate import BuiltinIntegrator, Reflections
from tasks.simulate.bending import Bend, bend_of
from tasks.simulate.demo_structure import uio66
from tasks.simulate.instruments import settings_of
from tasks.simulate.models import SimulationSettings, Structure
from tasks.simulate.specimen import prepare_specimen
from tests.synthetic.simulated_store import simulated_store

THICK_ENOUGH = 0.3
"""Of the thickest column: positions of known masks. The rim, where probe tails meet the crystal, is left out."""

POINTS = 100_000
"""Drawn in a box around the crystal: some hundred in each position's column."""


class BentCrystal(NamedTuple):
    """What a run would hold of the crystal, and how it is bent."""

    structure: Structure
    settings: SimulationSettings
    series: TiltSeries
    aperture: CrystalAperture
    beams: DirectBeams
    frames: FrameSeries
    reflections: Reflections
    bend: Bend


def bent_settings(bend_deg: float, seed: int, **changes) -> SimulationSettings:
    """Return the settings of a crystal of some 200 nm, 61 tilts, an absolute kinematical model."""
    values = {
        "seed": seed,
        "tilts": {"step_deg": 2.0},
        "cluster": {
            "crystals": 1, "size_nm": 200.0, "size_spread": 0.0, "bad_fraction": 0.0, "bend_deg": bend_deg,
            "mosaic_deg": 0.1,
        },
        "instrument": {"scan_shape": (28, 28)},
        "scattering": {"model": "kinematical"},
    }  # fmt: skip
    for name, change in changes.items():
        values[name] = {**values[name], **change}
    return settings_of("ideal", values)


def bent_crystal(
    bend_deg: float, seed: int, folder: Path, structure: Structure | None = None, **changes
) -> BentCrystal:
    """Simulate, sum the frames of the known positions, and integrate."""
    structure, settings = structure or uio66(), bent_settings(bend_deg, seed, **changes)
    folder.mkdir(parents=True, exist_ok=True)
    series, truth = simulated_store(structure, settings, folder)
    thick = truth.thickness[:, 0]
    masks = thick > THICK_ENOUGH * thick.max(axis=(1, 2), keepdims=True)
    tilts = np.array([scan.tilt_deg for scan in series.scans])
    aperture = write_drawn("crystal-01", masks, tilts, folder)
    beams = find_beams(series, FrameSettings(), workdir=folder / "beams")
    frames = sum_frames(series, aperture, FrameSettings(), workdir=folder / "frames", beams=beams)
    place = folder / "integrate"
    place.mkdir()
    reflections = BuiltinIntegrator(d_min_angstrom=0.9).integrate(frames, place)
    bend = bend_of(settings, prepare_specimen(structure, settings).domains[0])
    return BentCrystal(structure, settings, series, aperture, beams, frames, reflections, bend)


def true_rotations(crystal: BentCrystal, maps) -> np.ndarray:
    """Return the rotation vectors in degrees, (ny, nx, 3), of what the positions of open maps looked through.

    The mean over all tilts, in the frame of tilt 0, against the middle of the crystal; NaN where no part of it is seen.
    """
    specimen = prepare_specimen(crystal.structure, crystal.settings)
    body, bend, step = specimen.domains[0].body, crystal.bend, crystal.settings.instrument.step_nm
    reach = 1.2 * body.distances.max()
    points = np.random.default_rng(0).uniform(-reach, reach, (POINTS, 3))
    points = points[(points @ body.normals.T <= body.distances).all(axis=1)]
    part = bend.total_deg * np.clip(points @ bend.along / bend.length_nm, -0.5, 0.5)
    shape = maps["angle_deg"].shape
    total, number = np.zeros(shape).ravel(), np.zeros(shape).ravel()
    for index, cell in enumerate(maps["cell"][()]):
        place = (points + body.centre) @ specimen.rotation(index).T + specimen.shift_nm(index)
        middle = (np.array(shape) - 1) / 2
        row, column = np.rint(middle + np.stack([-place[:, 1], place[:, 0]], axis=1) / step).astype(int).T
        inside = (row >= 0) & (column >= 0) & (row < shape[0]) & (column < shape[1])
        seen = cell[row[inside], column[inside]]
        np.add.at(total, seen[seen >= 0], part[inside][seen >= 0])
        np.add.at(number, seen[seen >= 0], 1.0)
    mean = np.full(len(total), np.nan)
    mean[number > 0] = total[number > 0] / number[number > 0]
    return mean.reshape(shape)[..., None] * bend.axis
