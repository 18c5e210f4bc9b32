"""Real data cut to few reflections, and how far a refinement of them ends from the published structure."""

from pathlib import Path

import gemmi
import numpy as np

from tasks.crystal.lattice import orthogonalisation
from tasks.integrate.models import Reflections
from tasks.refine.models import Refinement
from tasks.solve.models import Atom, Solution
from tests.synthetic.known_structures import SETS, load_model, read_hklf4
from tests.synthetic.reflections_from_hkl import reflections_from_hkl

PER_ATOM = 4
"""Parameters of an isotropic atom."""


def few_reflections(name: str, shared: Path, folder: Path, *, how: str, ratio: float, seed: int) -> Reflections:
    """Return real data with `ratio` unique reflections for each parameter of the isotropic model without hydrogen.

    ``how``: thinned, those kept are chosen at random; cut, those of lowest resolution are kept.
    """
    known, model = SETS[name], load_model(name, shared)
    hkl, intensity, sigma = read_hklf4(shared / known.hkl)
    unique = np.array(hkl, dtype=np.int32, order="C")
    gemmi.SpaceGroup(known.laue).switch_to_asu(unique)
    rows, member = np.unique(unique, axis=0, return_inverse=True)
    heavy = sum(element != "H" for element in model.elements)
    wanted = min(len(rows), round(ratio * (PER_ATOM * heavy + 1)))
    if how == "cut":
        order = np.argsort(-model.cell.gemmi().calculate_d_array(rows), kind="stable")
    else:
        order = np.random.default_rng(seed).permutation(len(rows))
    kept = np.isin(member.ravel(), order[:wanted])
    return reflections_from_hkl(
        folder,
        name,
        hkl=hkl[kept],
        intensity=intensity[kept],
        sigma=sigma[kept],
        cell=model.cell,
        laue_group=known.laue,
        space_group=known.space_group,
        wavelength_angstrom=0.02508 if known.radiation == "electron" else 0.71073,
        radiation=known.radiation,
    )


def start_of(name: str, shared: Path, *, jitter_angstrom: float, seed: int) -> Solution:
    """Return the published atoms without hydrogen, displaced at random along each axis."""
    model, group = load_model(name, shared), gemmi.SpaceGroup(SETS[name].space_group)
    rng = np.random.default_rng(seed)
    shift = rng.normal(0.0, jitter_angstrom, model.positions.shape) @ np.linalg.inv(orthogonalisation(model.cell)).T
    atoms = tuple(
        Atom(label=f"{element}{k}", element=element, position=tuple(place))
        for k, (element, place) in enumerate(zip(model.elements, (model.positions + shift).tolist(), strict=True), 1)
        if element != "H"
    )
    return Solution(
        space_group=group.xhm(), hall=group.hall, unit_cell=model.cell, atoms=atoms, r1=0.3, verdict="solved"
    )


def distance_from(found: Refinement, known: np.ndarray) -> float:
    """Return the root mean square distance from known positions (n, 3) to the nearest refined atoms, hydrogen apart.

    The median of the shifts along floating axes is taken off. An atom that is not there counts as 1 A.
    """
    ours = heavy_positions(found)
    orthogonal = orthogonalisation(found.unit_cell)
    images = np.concatenate(
        [np.array([op.apply_to_xyz(place) for place in ours.tolist()]) for op in gemmi.symops_from_hall(found.hall)]
    )
    delta = images[None, :, :] - known[:, None, :]
    delta -= np.round(delta)
    polar = _polar(found.hall)
    for _ in range(3):
        length = np.linalg.norm(delta @ orthogonal.T, axis=2)
        nearest = delta[np.arange(len(known)), length.argmin(axis=1)]
        delta = delta - np.median(nearest, axis=0) * polar
    length = np.linalg.norm(delta @ orthogonal.T, axis=2).min(axis=1)
    return float(np.sqrt((np.minimum(length, 1.0) ** 2).mean()))


def heavy_positions(found: Refinement) -> np.ndarray:
    """Return the positions of the atoms that are not hydrogen, (n, 3)."""
    return np.array([atom.position for atom in found.atoms if atom.element not in {"H", "D"}])


def _polar(hall: str) -> np.ndarray:
    """Return 1 for each axis along which the origin floats, (3,)."""
    rotations = [np.array(op.rot) // gemmi.Op.DEN for op in gemmi.symops_from_hall(hall).sym_ops]
    return np.array([float(all(np.array_equal(r @ axis, axis) for r in rotations)) for axis in np.eye(3)])
