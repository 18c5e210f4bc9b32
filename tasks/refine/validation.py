"""Does a structure find its way back? Atoms shaken, refined again without a part of the data, judged on that part."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tasks.crystal.lattice import orthogonalisation
from tasks.crystal.sites import stabilised
from tasks.crystal.symmetry import operations_from_hall
from tasks.model import DivergedError, InputError, ProgramFailedError
from tasks.refine.draft import Draft, DraftAtom, DraftFit, ModelFit, UniqueIntensities
from tasks.refine.ports import LeastSquares

SHAKE_ANGSTROM = 0.15
"""Root mean square of the displacement along each axis."""
HELD_OUT = 0.1
"""Part of the reflections: enough to tell, few enough that the fit is that of all."""
TRIES = 2
"""Shakes, each with another tenth left out. Chosen, not measured: one may come back by luck, more cost as much each."""
CYCLES = 20
"""Of least squares after the shake: more than the way back takes."""


class Recovery(NamedTuple):
    """How a structure came back: figures of the worst of the tries, means for the free R1."""

    r1: float
    r1_free: float
    reflections_free: int
    displacement_angstrom: float


def recovery(
    engine: LeastSquares, fit: ModelFit, intensities: UniqueIntensities, *, tries: int = TRIES
) -> Recovery | None:
    """Shake a refined structure, refine it isotropically without a tenth of the data, look at that tenth.

    A right structure falls back to where it was and predicts the reflections it has not seen; a wrong one that was
    fitted to its data does neither. Hydrogen is left out. None if least squares fails.
    """
    bare = without_hydrogen(fit.draft)
    figures: list[DraftFit] = []
    moved = []
    for seed in range(tries):
        trial = shaken(bare, np.random.default_rng(seed))
        try:
            figures.append(engine.fit(trial, intensities, cycles=CYCLES, held_out=HELD_OUT, seed=seed))
        except (DivergedError, InputError, ProgramFailedError):
            return None
        moved.append(_displacement(bare, figures[-1].draft))
    free = [(found.r1_free, found.reflections_free) for found in figures if found.r1_free is not None]
    count = sum(number for _, number in free)
    if count == 0:
        return None
    mean = sum(r1 * number for r1, number in free) / count
    return Recovery(max(found.r1 for found in figures), float(mean), count, max(moved))


def without_hydrogen(draft: Draft) -> Draft:
    """Return the isotropic draft of the other atoms, all refined but the extinction, which stays as it is.

    Far from where they belong atoms would drive it away, and with it the scale: forsterite with flattened intensities
    then came to rest with an R1 of 0.29, of left-out reflections of 0.37 (0.09 and 0.10 with the extinction held).
    """
    free = {"u_aniso_angstrom2": None, "refine_position": True, "refine_u": True}
    atoms = (
        atom.model_copy(update={**free, "u_iso_angstrom2": min(max(atom.u_iso_angstrom2, 0.01), 0.1)})
        for atom in draft.atoms
        if atom.element not in {"H", "D"}
    )
    bare = {"riding": (), "restraints": (), "scale": None, "weights": (0.1, 0.0), "refine_extinction": False}
    return draft.model_copy(update={"atoms": tuple(atoms), **bare})


def shaken(draft: Draft, rng: np.random.Generator) -> Draft:
    """Return the draft with its atoms displaced at random, those on special positions along them only."""
    orthogonal = orthogonalisation(draft.unit_cell)
    operations = operations_from_hall(draft.hall)

    def move(atom: DraftAtom) -> DraftAtom:
        place = np.array(atom.position)
        shift = np.linalg.solve(orthogonal, rng.normal(0.0, SHAKE_ANGSTROM, 3))
        stabiliser = operations.rotations[stabilised(place[None, :], operations, draft.unit_cell)[0]]
        # the mean over the operations that leave the atom where it is keeps what they allow
        allowed = (stabiliser @ shift).mean(axis=0)
        x, y, z = (place + allowed).tolist()
        return atom.model_copy(update={"position": (x, y, z)})

    return draft.model_copy(update={"atoms": tuple(move(atom) for atom in draft.atoms)})


def _displacement(before: Draft, after: Draft) -> float:
    """Return the root mean square distance of the atoms, the common shift (a floating origin) taken off, angstrom."""
    orthogonal = orthogonalisation(before.unit_cell)
    delta: NDArray[np.float64] = np.array([a.position for a in after.atoms]) - [a.position for a in before.atoms]
    vectors = delta @ orthogonal.T
    vectors = vectors - np.median(vectors, axis=0)
    return float(np.sqrt((vectors**2).sum(axis=1).mean()))
