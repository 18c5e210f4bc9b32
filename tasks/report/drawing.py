"""A drawing of the structure: atoms and bonds in projection, as inline SVG.

A structure whose bonds end is drawn as its complete molecule, seen face on; a framework as the contents of its cell,
seen along the shortest axis. A bond is a distance below the sum of the covalent radii (Cordero et al., Dalton Trans.
2008, 2832-2838, as tabulated by gemmi) plus 0.4 A.
"""

from typing import NamedTuple

import gemmi
import numpy as np
from markupsafe import Markup, escape
from numpy.typing import NDArray
from scipy.spatial import KDTree

from tasks.crystal.contacts import BOND_TOLERANCE_ANGSTROM, covalent_radii
from tasks.crystal.lattice import orthogonalisation
from tasks.refine import RefinedAtom, Refinement

MOLECULE_LIMIT = 160
"""Atoms of one fragment; more are drawn as a cell. Chosen, not measured: labels of more atoms cover each other."""
CELL_LIMIT = 1500
"""Atoms drawn of a cell: 110 bytes of the page each, and 80 for each bond. Chosen, not measured."""
EDGE = 0.03
"""Of the cell, fractional: atoms on a face, edge or corner are drawn on both sides though their positions are inexact.
Chosen, not measured: 0.3 A at 10 A, below half a bond, so that no atom is drawn that lies well outside."""
SCALE = 28.0  # SVG units per angstrom
COLOURS = {
    "H": "#c9ced6",
    "C": "#59616e",
    "N": "#3f6fd1",
    "O": "#d8443c",
    "F": "#7ac74f",
    "Na": "#9a62c7",
    "Mg": "#5fae3a",
    "Al": "#8f9bb3",
    "Si": "#d1a255",
    "P": "#e08a2c",
    "S": "#d9bf2b",
    "Cl": "#3fb04f",
    "Fe": "#c2653a",
    "Cu": "#b8743a",
    "Zn": "#7d80b0",
    "Zr": "#3aa6a6",
}
OTHER = "#b05a9a"


class PlacedAtoms(NamedTuple):
    """Atoms to draw: Cartesian places (n, 3) in angstrom, and which atom of the model each is."""

    places: NDArray[np.float64]
    source: NDArray[np.int64]
    is_molecule: bool


def structure_svg(model: Refinement) -> Markup:
    """Return the drawing; the smaller the depth, the brighter the atom."""
    scene = _scene(model)
    if scene.is_molecule:
        turned = _face_on(scene.places)
        outline = np.zeros((0, 2, 3))
    else:
        view = _along_shortest_axis(model)
        turned, outline = scene.places @ view.T, _cell_edges(model) @ view.T
    return _draw(model.atoms, scene, turned, outline)


def _scene(model: Refinement) -> PlacedAtoms:
    orthogonal = orthogonalisation(model.unit_cell)
    images, source = _images(model)
    radii = covalent_radii([model.atoms[index].element for index in source])
    molecule = _grow(len(model.atoms), images, source, radii, orthogonal)
    if molecule is not None:
        return PlacedAtoms(molecule[0] @ orthogonal.T, molecule[1], is_molecule=True)
    places, owners = [], []
    for shift in np.array(np.meshgrid(*[(-1, 0, 1)] * 3)).reshape(3, -1).T:
        moved = images + shift
        inside = ((moved > -EDGE) & (moved < 1 + EDGE)).all(axis=1)
        places.append(moved[inside])
        owners.append(source[inside])
    cell = PlacedAtoms(np.vstack(places) @ orthogonal.T, np.concatenate(owners), is_molecule=False)
    return PlacedAtoms(cell.places[:CELL_LIMIT], cell.source[:CELL_LIMIT], is_molecule=False)


def _images(model: Refinement) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return all distinct atoms of the cell, fractional (n, 3) in [0, 1), and the atom each is an image of."""
    orthogonal = orthogonalisation(model.unit_cell)
    found: list[NDArray[np.float64]] = []
    source: list[int] = []
    for index, atom in enumerate(model.atoms):
        kept: list[NDArray[np.float64]] = []
        for operation in gemmi.symops_from_hall(model.hall):
            place = np.array(operation.apply_to_xyz(list(atom.position)))
            place = (place + 1e-9) % 1.0
            deltas = [other - place for other in kept]
            if all(np.linalg.norm(orthogonal @ (delta - np.round(delta))) > 0.2 for delta in deltas):
                kept.append(place)
        found += kept
        source += [index] * len(kept)
    return np.array(found), np.array(source)


def _grow(
    unique: int,
    images: NDArray[np.float64],
    source: NDArray[np.int64],
    radii: NDArray[np.float64],
    orthogonal: NDArray[np.float64],
) -> tuple[NDArray[np.float64], NDArray[np.int64]] | None:
    """Return the fragments that hold the asymmetric unit (fractional places, sources), or None for a framework."""
    placed: list[tuple[int, tuple[int, int, int]]] = []
    first = [int(np.flatnonzero(source == index)[0]) for index in range(unique)]
    seen_images: set[int] = set()
    for start in first:
        if start in seen_images:
            continue
        queue = [(start, (0, 0, 0))]
        known = set(queue)
        while queue:
            image, cell = queue.pop()
            for neighbour in _bonded(image, images, radii, orthogonal):
                moved = (neighbour[0], tuple(int(a + b) for a, b in zip(cell, neighbour[1], strict=True)))
                entry = (moved[0], (moved[1][0], moved[1][1], moved[1][2]))
                if entry not in known:
                    known.add(entry)
                    queue.append(entry)
            if len(known) > MOLECULE_LIMIT or len({image for image, _ in known}) < len(known):
                return None  # the same atom in two cells: the bonds never end
        placed += sorted(known)
        seen_images |= {image for image, _ in known}
        seen_images |= {int(other) for image, _ in known for other in np.flatnonzero(source == source[image])}
    places = np.array([images[image] + np.array(cell) for image, cell in placed])
    return places, np.array([source[image] for image, _ in placed])


def _bonded(
    image: int, images: NDArray[np.float64], radii: NDArray[np.float64], orthogonal: NDArray[np.float64]
) -> list[tuple[int, tuple[int, int, int]]]:
    delta = images - images[image]
    shift = -np.round(delta)
    distance = np.linalg.norm((delta + shift) @ orthogonal.T, axis=1)
    near = (distance > 0.4) & (distance < radii + radii[image] + BOND_TOLERANCE_ANGSTROM)
    return [(int(other), (int(s[0]), int(s[1]), int(s[2]))) for other, s in zip(np.flatnonzero(near), shift[near])]


def _face_on(places: NDArray[np.float64]) -> NDArray[np.float64]:
    centred = places - places.mean(axis=0)
    axes = np.linalg.svd(centred, full_matrices=False)[2] if len(places) > 2 else np.eye(3)
    return centred @ axes.T


def _along_shortest_axis(model: Refinement) -> NDArray[np.float64]:
    """Return the rotation (3, 3) that puts the shortest axis along the view and the longest other one to the right."""
    axes = orthogonalisation(model.unit_cell).T
    order = np.argsort([np.linalg.norm(axis) for axis in axes], kind="stable")
    forward = axes[order[0]] / np.linalg.norm(axes[order[0]])
    across = axes[order[2]] - forward * (axes[order[2]] @ forward)
    right = across / np.linalg.norm(across)
    tilted = np.array([right, np.cross(forward, right), forward])
    lean = np.radians(4.0)  # a little off the axis, so that columns of atoms can be told apart
    nod = np.array([[1, 0, 0], [0, np.cos(lean), -np.sin(lean)], [0, np.sin(lean), np.cos(lean)]])
    return nod @ tilted


def _cell_edges(model: Refinement) -> NDArray[np.float64]:
    orthogonal = orthogonalisation(model.unit_cell)
    corners = np.array(np.meshgrid(*[(0, 1)] * 3)).reshape(3, -1).T
    pairs = [(a, b) for a in corners for b in corners if (b - a).sum() == 1 and (b - a).min() >= 0]
    return np.array(pairs) @ orthogonal.T


def _draw(
    atoms: tuple[RefinedAtom, ...], scene: PlacedAtoms, turned: NDArray[np.float64], outline: NDArray[np.float64]
) -> Markup:
    radii = covalent_radii([atoms[index].element for index in scene.source])
    flat = np.vstack([turned[:, :2], outline.reshape(-1, 3)[:, :2]]) * SCALE * np.array([1, -1])
    low, high = flat.min(axis=0) - 22, flat.max(axis=0) + 22
    near, far = turned[:, 2].max(), turned[:, 2].min()
    parts: list[tuple[float, str]] = []
    for begin, end in outline * SCALE:
        line = f'<line class="cell" x1="{begin[0]:.1f}" y1="{-begin[1]:.1f}" x2="{end[0]:.1f}" y2="{-end[1]:.1f}"/>'
        parts.append((-np.inf, line))
    for i, j in _bonds(turned, radii):
        depth = float(min(turned[i, 2], turned[j, 2])) - 0.01
        parts.append((depth, _stick(turned[i] * SCALE, turned[j] * SCALE, _fade(depth, near, far))))
    for index, (place, owner) in enumerate(zip(turned, scene.source, strict=True)):
        fade = _fade(float(place[2]), near, far)
        size = SCALE * 0.36 * float(np.clip(radii[index], 0.4, 1.6))
        parts.append((float(place[2]), _ball(place * SCALE, atoms[owner], size, fade)))
        if scene.is_molecule and not atoms[owner].riding and atoms[owner].element != "H":
            parts.append((np.inf, _label(place * SCALE, atoms[owner].label, size)))
    body = "".join(text for _, text in sorted(parts, key=lambda part: part[0]))
    size_text = f"{low[0]:.1f} {low[1]:.1f} {high[0] - low[0]:.1f} {high[1] - low[1]:.1f}"
    return Markup(  # noqa: S704 # nosec B704 numbers and escaped labels only
        f'<svg class="structure" role="img" aria-label="structure" viewBox="{size_text}">{body}</svg>'
    )


def _bonds(places: NDArray[np.float64], radii: NDArray[np.float64]) -> list[tuple[int, int]]:
    pairs = KDTree(places).query_pairs(2 * float(radii.max()) + BOND_TOLERANCE_ANGSTROM)
    return sorted(
        (i, j)
        for i, j in pairs
        if 0.4 < np.linalg.norm(places[i] - places[j]) < radii[i] + radii[j] + BOND_TOLERANCE_ANGSTROM
    )


def _fade(depth: float, near: float, far: float) -> float:
    return 1.0 - 0.55 * (near - depth) / max(near - far, 1e-6) if near - far > 1.0 else 1.0


def _stick(begin: NDArray[np.float64], end: NDArray[np.float64], fade: float) -> str:
    return (
        f'<line class="bond" opacity="{fade:.2f}" x1="{begin[0]:.1f}" y1="{-begin[1]:.1f}" '
        f'x2="{end[0]:.1f}" y2="{-end[1]:.1f}"/>'
    )


def _ball(place: NDArray[np.float64], atom: RefinedAtom, size: float, fade: float) -> str:
    colour = COLOURS.get(atom.element, OTHER)
    return (
        f'<circle cx="{place[0]:.1f}" cy="{-place[1]:.1f}" r="{size:.1f}" fill="{colour}" class="atom" '
        f'opacity="{fade:.2f}"><title>{escape(atom.label)} {escape(atom.element)}</title></circle>'
    )


def _label(place: NDArray[np.float64], text: str, size: float) -> str:
    return f'<text x="{place[0] + size:.1f}" y="{-place[1] - size:.1f}">{escape(text)}</text>'


def legend(model: Refinement) -> tuple[tuple[str, str], ...]:
    """Return (element, colour) of the elements in the drawing."""
    return tuple((element, COLOURS.get(element, OTHER)) for element in sorted({atom.element for atom in model.atoms}))
