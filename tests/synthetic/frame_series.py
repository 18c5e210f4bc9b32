"""Frame series of one crystal without the detour over scans: for tests and benchmarks of what comes after."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import h5py
import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from tasks.crystal.lattice import reciprocal_matrix
from tasks.frames.models import Frame, FrameSeries
from tasks.model import Beam, Detector, FileRef, Vector
from tasks.model.provenance import Provenance
from tasks.simulate.diffraction import Projection, Rocking, elliptical, excited_reflections
from tasks.simulate.lattice import ReflectionTable, reflection_table, rotation_about
from tasks.simulate.models import Structure


class SyntheticSeries(NamedTuple):
    """The series with its truth: hkl (n, 3), |F|^2 (n,) and the orientation matrix (3, 3) at angle 0."""

    series: FrameSeries
    hkl: NDArray[np.int32]
    f_squared: NDArray[np.float64]
    ub: NDArray[np.float64]


class Conditions(NamedTuple):
    """What the pictures look like; counts are electrons per frame."""

    bragg: float = 20_000.0
    direct: float = 20_000.0
    halo: float = 6_000.0
    background: float = 3_000.0
    halo_scale: float = 0.025
    background_scale: float = 0.25
    thickness_nm: float = 150.0
    mosaic_deg: float = 0.2
    disc_px: float = 1.65
    blur_px: float = 0.5
    d_min_angstrom: float = 0.75
    ellipticity: float = 0.0
    ellipse_angle_deg: float = 30.0
    beam_jitter_px: float = 0.0


class Damage(NamedTuple):
    """What the beam does to the crystal in the order of acquisition; fractions of the series run from 0 to 1.

    ``order`` (frames,): place of each frame, by angle, in the order of acquisition. ``fall_off_angstrom2``: intensities
    are exp(-this |q|^2) of what they were at the end. ``scale_loss``: their logarithm falls by this, too. From the
    fraction ``onset`` on, the crystal turns into ``changed`` (a structure of the same cell), wholly at the end.
    """

    order: NDArray[np.int64]
    fall_off_angstrom2: float = 0.0
    scale_loss: float = 0.0
    changed: Structure | None = None
    onset: float = 0.5

    def left(self, d_star: NDArray[np.float64], frame: int) -> NDArray[np.float64]:
        """Return the fractions (n,) of intensities that are left on a frame."""
        given = (self.order[frame] + 0.5) / (self.order.max() + 1)
        return np.exp(-given * (self.scale_loss + self.fall_off_angstrom2 * d_star**2))

    def turned(self, frame: int) -> float:
        """Return how much of the crystal has turned into the other structure."""
        given = (self.order[frame] + 0.5) / (self.order.max() + 1)
        return float(np.clip((given - self.onset) / (1 - self.onset), 0, 1))


def orders_of(name: str, frames: int) -> NDArray[np.int64]:
    """Return the place of each of the frames, by angle, in an order of acquisition: rising, or symmetric 0, +1, -1."""
    if name == "rising":
        return np.arange(frames)
    tilt = np.arange(frames) - frames // 2
    order = np.empty(frames, dtype=np.int64)
    order[np.lexsort((-tilt, np.abs(tilt)))] = np.arange(frames)
    return order


def moved_atoms(structure: Structure, seed: int, *, by: float = 0.03) -> Structure:
    """Return the structure with atoms moved by a normal deviate of this fraction of the axes."""
    rng = np.random.default_rng([seed, 77])
    atoms = tuple(
        atom.model_copy(update={"position": tuple(np.add(atom.position, rng.normal(0, by, 3)).tolist())})
        for atom in structure.atoms
    )
    return structure.model_copy(update={"atoms": atoms})


CONDITIONS = Conditions()
DETECTOR = Detector(
    name="4D Camera", shape_px=(576, 576), pixel_size_mm=0.01, camera_length_mm=110.0, direct_beam_px=(287.5, 287.5)
)


def synthetic_frame_series(
    structure: Structure,
    angles_deg: Sequence[float] | NDArray[np.float64],
    folder: Path,
    *,
    width_deg: float = 0.0,
    seed: int = 0,
    conditions: Conditions = CONDITIONS,
    detector: Detector = DETECTOR,
    energy_kev: float = 300.0,
    axis: Vector = (1.0, 0.0, 0.0),
    orientation: NDArray[np.float64] | None = None,
    name: str = "crystal-01",
    damage: Damage | None = None,
) -> SyntheticSeries:
    """Return frames at `angles_deg` (stills, or rotations of `width_deg` that start there), the stack in `folder`.

    Frames are numbered by their angle in units of the smallest step, so that a gap in the angles is a gap in the
    numbers. The same seed gives the same frames; `orientation` (3, 3) is drawn from it unless given. With ``damage``
    the truth is that of the undamaged crystal, and the frames know their order.
    """
    rng = np.random.default_rng(seed)
    drawn = Rotation.random(rng=rng).as_matrix()
    ub = (drawn if orientation is None else orientation) @ reciprocal_matrix(structure.cell)
    table = reflection_table(structure, conditions.d_min_angstrom)
    angles = np.sort(np.asarray(angles_deg, dtype=np.float64))
    beam = Beam(energy_kev=energy_kev)
    camera = _Camera(table.hkl, table.f_squared, ub, np.array(axis), beam.wavelength_angstrom, detector, conditions)
    factors = np.ones((len(angles), len(table.hkl))) if damage is None else _damaged(structure, table, damage)
    strengths = [camera.reflections(*each, width_deg) for each in zip(factors, angles, strict=True)]
    scale = conditions.bragg / max(float(np.median([strength.sum() for _, strength, _ in strengths])), 1e-300)
    frames, halves = zip(*[camera.expose(seen, scale, rng) for seen in strengths], strict=True)
    series = FrameSeries(
        id=name,
        sample=structure.name,
        composition=structure.composition.formula(),
        beam=beam,
        detector=detector,
        direct_beam_px=_centre(detector),
        rotation_axis=axis,
        frames=_documents(angles, width_deg, np.array([frame.sum() for frame in frames]), damage),
        stack=_write_stack(folder / f"{name}.h5", np.array(frames), np.array(halves)),
        provenance=Provenance(engine="synthetic", version="1", seed=seed),
    )
    return SyntheticSeries(series, table.hkl, table.f_squared, ub)


def _damaged(structure: Structure, table: ReflectionTable, damage: Damage) -> NDArray[np.float64]:
    """Return the factors (frames, n) of the intensities."""
    frames = range(len(damage.order))
    left = np.array([damage.left(table.d_star, frame) for frame in frames])
    if damage.changed is None:
        return left
    other = reflection_table(damage.changed, 1.0 / float(table.d_star.max()) * (1 - 1e-9))
    found = dict(zip(map(tuple, other.hkl.tolist()), other.f_squared.tolist(), strict=True))
    ratio = np.array([found.get(tuple(row), 0.0) for row in table.hkl.tolist()]) / table.f_squared
    turned = np.array([damage.turned(frame) for frame in frames])[:, None]
    return np.asarray(left * (1 - turned + turned * ratio))


def _centre(detector: Detector) -> tuple[float, float]:
    if detector.direct_beam_px is not None:
        return detector.direct_beam_px
    return ((detector.shape_px[0] - 1) / 2, (detector.shape_px[1] - 1) / 2)


def _documents(
    angles: NDArray[np.float64], width_deg: float, counts: NDArray[np.int64], damage: Damage | None
) -> tuple[Frame, ...]:
    step = float(np.diff(angles).min()) if len(angles) > 1 else 1.0
    place = (angles - angles[0]) / step if step > 0 else np.arange(len(angles))  # repeats of a tilt have no step
    numbers = 1 + np.rint(place).astype(int)
    order = [None] * len(angles) if damage is None else damage.order.tolist()
    return tuple(
        Frame(number=number, angle_deg=angle, width_deg=width_deg, counts=count, positions=100, order=place)
        for number, angle, count, place in zip(
            numbers.tolist(), angles.tolist(), counts.astype(float).tolist(), order, strict=True
        )
    )


def _write_stack(path: Path, frames: NDArray[np.uint32], halves: NDArray[np.uint32]) -> FileRef:
    dtype = np.uint16 if frames.max() < 2**16 else np.uint32
    with h5py.File(path, "w") as file:
        for key, stack in (("frames", frames), ("half", halves)):
            file.create_dataset(key, data=stack.astype(dtype), chunks=(1, *stack.shape[1:]), compression="lzf")
        file["mask"] = np.ones(frames.shape[1:], dtype=bool)
    return FileRef.of(path)


class _Camera(NamedTuple):
    hkl: NDArray[np.int32]
    intensity: NDArray[np.float64]
    ub: NDArray[np.float64]
    axis: NDArray[np.float64]
    wavelength: float
    detector: Detector
    conditions: Conditions

    def reflections(
        self, factor: NDArray[np.float64], angle_deg: float, width_deg: float
    ) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.float64]]:
        """Return table rows, mean strength over the exposure and q_xy of what the frame shows."""
        made = self.conditions
        rocking = Rocking(made.thickness_nm * 10, np.radians(made.mosaic_deg), 0.0)
        steps = 1 if width_deg == 0 else int(np.ceil(4 * width_deg / max(made.mosaic_deg, 0.02)))
        rows, strengths, places = [], [], []
        for step in range(steps):
            angle = angle_deg + width_deg * (step + 0.5) / steps if width_deg else angle_deg
            q = self.hkl @ (rotation_about(self.axis, angle) @ self.ub).T
            seen = excited_reflections(q, self.intensity * factor, self.wavelength, rocking)
            rows.append(seen.row)
            strengths.append(seen.strength / steps)
            places.append(seen.q_xy)
        return np.concatenate(rows), np.concatenate(strengths), np.concatenate(places)

    def expose(
        self,
        seen: tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.float64]],
        scale: float,
        rng: np.random.Generator,
    ) -> tuple[NDArray[np.uint32], NDArray[np.uint32]]:
        """Return the frame and the half of its events that a coin picks."""
        made = self.conditions
        length = self.detector.camera_length_mm / self.detector.pixel_size_mm
        projection = Projection(self.wavelength, length, elliptical(made.ellipticity, made.ellipse_angle_deg))
        spots = np.repeat(projection.offsets(seen[2]), rng.poisson(seen[1] * scale), axis=0)
        parts = [spots, np.zeros((rng.poisson(made.direct), 2))]
        for counts, decay in ((made.halo, made.halo_scale), (made.background, made.background_scale)):
            number = rng.poisson(counts)
            radius, azimuth = rng.gamma(2.0, decay, number), rng.uniform(0, 2 * np.pi, number)
            parts.append(projection.offsets(np.stack([radius * np.cos(azimuth), radius * np.sin(azimuth)], axis=1)))
        return self._pixels(np.concatenate(parts), rng)

    def _pixels(
        self, place: NDArray[np.float64], rng: np.random.Generator
    ) -> tuple[NDArray[np.uint32], NDArray[np.uint32]]:
        made, shape = self.conditions, self.detector.shape_px
        radius = np.sqrt(rng.random(len(place))) * made.disc_px
        azimuth = rng.uniform(0, 2 * np.pi, len(place))
        place = place + np.stack([radius * np.sin(azimuth), radius * np.cos(azimuth)], axis=1)
        centre = np.array(_centre(self.detector)) + rng.normal(0, made.beam_jitter_px, 2)
        pixel = np.rint(place + rng.normal(0, made.blur_px, place.shape) + centre)
        pixel = pixel[((pixel >= 0) & (pixel < np.array(shape))).all(axis=1)].astype(np.int64)
        flat = pixel[:, 0] * shape[1] + pixel[:, 1]
        size = shape[0] * shape[1]
        whole = np.bincount(flat, minlength=size).reshape(shape).astype(np.uint32)
        half = np.bincount(flat[rng.random(len(flat)) < 0.5], minlength=size).reshape(shape).astype(np.uint32)
        return whole, half
