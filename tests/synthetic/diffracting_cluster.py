"""A cluster of diffracting ellipsoids, scanned at many tilts: an event store whose truth is known.

Independent of tasks/simulate: kinematic, Gaussian relrods, thickness of ellipsoids, exponential halo. Scan axes are
parallel to the detector's (rotation 0 unless asked for).
"""

from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from scipy.spatial.transform import Rotation

from tasks.ingest.models import ScanGrid, TiltScan, TiltSeries
from tasks.model import Beam, Detector
from tasks.model.provenance import Provenance
from tests.synthetic.stored_events import put_events


@dataclass(frozen=True)
class Cluster:
    """What to simulate; lengths in scan positions."""

    seed: int = 0
    crystals: int = 4
    scan: tuple[int, int] = (32, 32)
    detector: tuple[int, int] = (256, 256)
    camera_length_mm: float = 110.0
    pixel_size_mm: float = 0.0225
    tilts: tuple[float, ...] = tuple(np.arange(-10.0, 10.1, 1.0))
    radius: tuple[float, float] = (4.0, 7.0)
    spread: float = 9.0
    cell: tuple[float, float, float] = (14.0, 15.5, 17.0)
    electrons: tuple[float, float, float] = (100.0, 90.0, 60.0)
    """Per position: direct beam, halo, Bragg of a crystal of mean thickness."""
    drift: float = 0.5
    """Standard deviation of the shift between tilts, in positions, clipped at 2.5 of it."""
    jumps: dict[int, tuple[int, int]] = field(default_factory=dict)
    """Tilt index -> extra shift (rows, columns) from there on."""
    relrod: float = 0.0025
    missing: tuple[int, ...] = ()
    bad_third_of: int | None = None
    bad_angle_deg: float = 3.0
    tilt_axis: tuple[float, float, float] = (1.0, 0.0, 0.0)
    rotation_deg: float = 0.0
    beam_present: bool = True
    blank: tuple[int, ...] = ()


@dataclass(frozen=True)
class Truth:
    """Thickness maps in the order of the series: (n_tilts, n_crystals, ny, nx); bad parts are extra crystals."""

    thickness: np.ndarray
    drift: np.ndarray
    parent: tuple[int, ...]

    def clean(self, fraction: float = 0.0) -> np.ndarray:
        """Positions of one crystal alone, (n_tilts, n_crystals, ny, nx)."""
        inside = self.thickness > fraction
        return inside & (inside.sum(axis=1, keepdims=True) == 1)


def write_cluster(cluster: Cluster, folder: Path) -> tuple[TiltSeries, Truth]:
    """Simulate the event store and return the series with its truth."""
    rng = np.random.default_rng(cluster.seed)
    bodies = _bodies(cluster, rng)
    shifts = np.clip(rng.normal(0, cluster.drift, (len(cluster.tilts), 2)), -2.5 * cluster.drift, 2.5 * cluster.drift)
    for index, jump in cluster.jumps.items():
        shifts[index] += jump
    drift = np.cumsum(shifts, axis=0)
    drift -= np.round(drift.mean(axis=0)) * (0 if cluster.jumps else 1)
    scans, thickness = [], []
    for index, tilt in enumerate(cluster.tilts):
        maps = np.array([_thickness(cluster, body, tilt, drift[index]) for body in bodies]).reshape(-1, *cluster.scan)
        if index in cluster.missing:
            continue
        thickness.append(maps)
        offsets, events = _events(cluster, bodies, maps, tilt, rng, blank=index in cluster.blank)
        stem = folder / f"scan-{index:03d}"
        scans.append(
            TiltScan(
                tilt_deg=float(tilt),
                source=f"{stem.name}.h5",
                events=put_events(stem.with_suffix(".events"), offsets, events),
                counts=len(events),
            )
        )
    series = TiltSeries(
        sample="cluster",
        composition=None,
        beam=Beam(energy_kev=300),
        detector=Detector(
            name="test",
            shape_px=cluster.detector,
            pixel_size_mm=cluster.pixel_size_mm,
            camera_length_mm=cluster.camera_length_mm,
        ),
        scan=ScanGrid(shape=cluster.scan, step_nm=10, rotation_deg=cluster.rotation_deg),
        tilt_axis=cluster.tilt_axis,
        scans=tuple(scans),
        provenance=Provenance(engine="test", version="1"),
    )
    return series, Truth(np.array(thickness), drift, tuple(body["parent"] for body in bodies))


def _bodies(cluster, rng):
    bodies = []
    reciprocal = 1.0 / np.array(cluster.cell)
    limit = 0.5 * min(cluster.detector) * cluster.pixel_size_mm / (cluster.camera_length_mm * 0.019687)
    n = np.ceil(limit * 1.45 / reciprocal).astype(int)
    grid = np.stack(np.meshgrid(*[np.arange(-m, m + 1) for m in n], indexing="ij"), -1).reshape(-1, 3)
    grid = grid[np.any(grid != 0, axis=1)]
    q = grid * reciprocal
    keep = np.linalg.norm(q, axis=1) < limit * 1.42
    grid, q = grid[keep], q[keep]
    same = np.abs(grid)
    _, member = np.unique(same, axis=0, return_inverse=True)
    intensity = np.random.default_rng(7).exponential(1.0, member.max() + 1)[member.ravel()]
    intensity *= np.exp(-3.0 * (q**2).sum(1) / 2)
    while len(bodies) < cluster.crystals:
        radii = rng.uniform(*cluster.radius, 3)
        centre = rng.normal(0, cluster.spread, 3)
        shape = Rotation.random(random_state=rng.integers(2**31)).as_matrix()
        apart = all(
            np.linalg.norm(centre - body["centre"]) > 0.8 * (radii.mean() + body["radii"].mean()) for body in bodies
        )
        inside = np.all(np.abs(centre[:2]) < np.maximum(np.array(cluster.scan) / 2 - radii.mean(), 1.0))
        if not (apart and inside):
            cluster = replace(cluster, spread=cluster.spread * 1.02)
            continue
        metric = shape @ np.diag(radii**-2.0) @ shape.T
        orientation = Rotation.random(random_state=rng.integers(2**31)).as_matrix()
        bodies.append(
            {
                "centre": centre, "radii": radii, "metric": metric, "q": q @ orientation.T, "intensity": intensity,
                "parent": len(bodies), "cut": None,
            }
        )  # fmt: skip
    for index, body in enumerate(bodies):
        excitation = np.mean([_weights(cluster, body, tilt)[0].sum() for tilt in (-20, -10, 0, 10, 20)])
        body["scale"] = cluster.electrons[2] / excitation / (1.3 * np.mean(body["radii"]))
        if index == cluster.bad_third_of:
            normal = Rotation.random(random_state=rng.integers(2**31)).as_matrix()[0]
            normal[2] *= 0.2
            body["cut"] = (normal / np.linalg.norm(normal), 0.3 * np.mean(body["radii"]), 1)
    if cluster.bad_third_of is not None:
        good = bodies[cluster.bad_third_of]
        axis = Rotation.random(random_state=rng.integers(2**31)).as_matrix()[0]
        turn = Rotation.from_rotvec(np.radians(cluster.bad_angle_deg) * axis).as_matrix()
        normal, offset, _ = good["cut"]
        bodies.append({**good, "q": good["q"] @ turn.T, "cut": (normal, offset, -1)})
    return bodies


def _tilt(cluster, tilt):
    axis = np.array(cluster.tilt_axis) / np.linalg.norm(cluster.tilt_axis)
    return Rotation.from_rotvec(np.radians(tilt) * axis).as_matrix()


def _thickness(cluster, body, tilt, drift):
    """Chord lengths through a (cut) ellipsoid; sample frame = laboratory at zero tilt, in positions."""
    rotation = _tilt(cluster, tilt)
    centre = rotation @ body["centre"]
    metric = rotation @ body["metric"] @ rotation.T
    rows, columns = np.mgrid[: cluster.scan[0], : cluster.scan[1]].astype(float)
    rows -= (cluster.scan[0] - 1) / 2 + drift[0]
    columns -= (cluster.scan[1] - 1) / 2 + drift[1]
    turn = np.radians(cluster.rotation_deg)
    x = columns * np.cos(turn) + rows * np.sin(turn)
    y = columns * np.sin(turn) - rows * np.cos(turn)
    flat = np.stack([x - centre[0], y - centre[1], np.zeros_like(x)], -1)
    a = metric[2, 2]
    b = 2 * flat @ metric[2]
    c = np.einsum("...i,ij,...j->...", flat, metric, flat) - 1
    root = b**2 - 4 * a * c
    half = np.sqrt(np.maximum(root, 0)) / (2 * a)
    low, high = -b / (2 * a) - half, -b / (2 * a) + half
    if body["cut"] is not None:
        normal, offset, sense = body["cut"]
        normal = rotation @ normal
        plane = (offset - flat @ normal) / normal[2]
        if sense * normal[2] > 0:
            high = np.minimum(high, plane)
        else:
            low = np.maximum(low, plane)
    return np.where(root > 0, np.maximum(high - low, 0), 0.0)


def _weights(cluster, body, tilt):
    wavelength = 0.019687
    q = body["q"] @ _tilt(cluster, tilt).T
    error = q[:, 2] - wavelength * (q**2).sum(1) / 2
    weight = body["intensity"] * np.exp(-((error / cluster.relrod) ** 2))
    keep = weight > 1e-6
    scale = wavelength * cluster.camera_length_mm / cluster.pixel_size_mm
    centre = (np.array(cluster.detector) - 1) / 2
    px = np.stack([centre[0] - q[keep, 1] * scale, centre[1] + q[keep, 0] * scale], -1)
    return weight[keep], px


def _events(cluster, bodies, maps, tilt, rng, *, blank):
    n_positions = cluster.scan[0] * cluster.scan[1]
    centre = (np.array(cluster.detector) - 1) / 2
    where, what = [], []
    beam, halo, _ = cluster.electrons
    material = 0.7 + 0.3 * maps.sum(axis=0).ravel() / max(maps.max(initial=0.0), 1)
    for rate, width, shape in ((beam * cluster.beam_present, 1.5, "normal"), (halo, 0.09 * cluster.detector[0], "exp")):
        number = rng.poisson(np.full(n_positions, 0.02 if blank else rate) * (material if shape == "exp" else 1))
        total = number.sum()
        if shape == "normal":
            px = rng.normal(0, width, (total, 2))
        else:
            radius, angle = (
                rng.exponential(width, total) + rng.exponential(width, total),
                rng.uniform(0, 2 * np.pi, total),
            )
            px = np.stack([radius * np.cos(angle), radius * np.sin(angle)], -1)
        where.append(np.repeat(np.arange(n_positions), number))
        what.append(centre + px)
    for body, thickness in zip(bodies, maps, strict=True):
        weight, spots = _weights(cluster, body, tilt)
        if blank or not len(weight):
            continue
        number = rng.poisson(thickness.ravel() * body["scale"] * weight.sum())
        choice = rng.choice(len(weight), number.sum(), p=weight / weight.sum())
        where.append(np.repeat(np.arange(n_positions), number))
        what.append(spots[choice] + rng.normal(0, 1.5, (len(choice), 2)))
    position, px = np.concatenate(where), np.rint(np.concatenate(what)).astype(np.int64)
    inside = np.all((px >= 0) & (px < cluster.detector), axis=1)
    position, px = position[inside], px[inside]
    order = np.argsort(position, kind="stable")
    offsets = np.concatenate([[0], np.cumsum(np.bincount(position, minlength=n_positions))]).astype(np.uint64)
    return offsets, (px[:, 0] * cluster.detector[1] + px[:, 1])[order].astype(np.uint32)
