"""Convex crystals in three dimensions and how thick they are along the beam."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

FACETS = np.array([(1, 0, 0), (0, 1, 0), (0, 0, 1), (1, 1, 1), (-1, 1, 1), (1, -1, 1), (1, 1, -1)], dtype=np.float64)
"""Indices of faces, their opposites left out: in a cubic lattice {100} and {111}. They enclose a body in any lattice.
Chosen, not measured: few enough that a crystal has facets and edges, enough that it is no plate or needle."""


class Polyhedron(NamedTuple):
    """The points x with ``normals @ (x - centre) <= distances``: (k, 3), (k,), (3,), lengths in nm."""

    normals: NDArray[np.float64]
    distances: NDArray[np.float64]
    centre: NDArray[np.float64]


def faceted(
    ub: NDArray[np.float64], diameter_nm: float, centre: NDArray[np.float64], rng: np.random.Generator
) -> Polyhedron:
    """Return a crystal bounded by the pinacoids and the four diagonal forms of its lattice, unequally grown."""
    directions = np.vstack([FACETS, -FACETS]) @ ub.T
    normals = directions / np.linalg.norm(directions, axis=1)[:, None]
    distances = diameter_nm / 2 * rng.uniform(0.8, 1.05, len(normals))
    return Polyhedron(normals, distances, centre)


def cut(body: Polyhedron, normal: NDArray[np.float64], fraction: float, rng: np.random.Generator) -> list[Polyhedron]:
    """Split a body by a plane: the part behind it, then `fraction` of the volume in front of it."""
    reach = 2.0 * body.distances.max()
    points = rng.uniform(-reach, reach, (200_000, 3))
    inside = points[(points @ body.normals.T <= body.distances).all(axis=1)]
    level = float(np.quantile(inside @ normal, 1.0 - fraction))
    return [
        Polyhedron(np.vstack([body.normals, sign * normal]), np.append(body.distances, sign * level), body.centre)
        for sign in (1.0, -1.0)
    ]


def turned(body: Polyhedron, rotation: NDArray[np.float64], shift_nm: NDArray[np.float64]) -> Polyhedron:
    """Return the body rotated about the origin, then shifted."""
    return Polyhedron(body.normals @ rotation.T, body.distances, rotation @ body.centre + shift_nm)


class Chord(NamedTuple):
    """The line along z inside a body: its length (n,) and the height of its middle (n,), in nm; 0 and 0 outside."""

    length: NDArray[np.float64]
    middle: NDArray[np.float64]


def thickness(body: Polyhedron, points_nm: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the length in nm of the line along z through each point (n, 2) inside the body, (n,)."""
    return chord(body, points_nm).length


def chord(body: Polyhedron, points_nm: NDArray[np.float64]) -> Chord:
    """Return the line along z through each point (n, 2) inside the body."""
    room = body.distances[None, :] - (points_nm - body.centre[:2]) @ body.normals[:, :2].T
    along = body.normals[:, 2]
    steep = np.abs(along) > 1e-12
    bound = room[:, steep] / along[steep]
    top = np.where(along[steep] > 0, bound, np.inf).min(axis=1)
    bottom = np.where(along[steep] < 0, bound, -np.inf).max(axis=1)
    length = np.maximum(top - bottom, 0.0)
    length[(room[:, ~steep] < 0).any(axis=1)] = 0.0
    return Chord(length, np.where(length > 0, body.centre[2] + (top + bottom) / 2, 0.0))


def ball_thickness(
    centre: NDArray[np.float64], diameter_nm: float, points_nm: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return the length in nm of the line along z through each point (n, 2) inside a ball, (n,)."""
    off_sq = ((points_nm - centre[:2]) ** 2).sum(axis=1)
    return 2 * np.sqrt(np.maximum((diameter_nm / 2) ** 2 - off_sq, 0.0))


def scan_points_nm(shape: tuple[int, int], step_nm: float, rotation_deg: float) -> NDArray[np.float64]:
    """Return the laboratory (x, y) in nm of each scan position, (rows * columns, 2), row by row.

    The origin is the middle of the scan. The fast axis lies `rotation_deg` counter-clockwise from x; the slow axis
    is a quarter turn clockwise from it, so that an unrotated scan has row 0 at the top.
    """
    angle = np.radians(rotation_deg)
    fast = np.array([np.cos(angle), np.sin(angle)])
    slow = np.array([np.sin(angle), -np.cos(angle)])
    rows, columns = np.indices(shape).reshape(2, -1)
    return step_nm * ((rows - (shape[0] - 1) / 2)[:, None] * slow + (columns - (shape[1] - 1) / 2)[:, None] * fast)
