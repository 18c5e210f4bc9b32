"""A centre that a refined model has and the data refute: its subgroups without one, compared by left-out reflections.

The other way round of `tasks.refine.missed_symmetry`. Intensities of one Laue class tell a pseudo-centre from a real
one by the fit alone: a polar crystal, forced into a group with a centre, hides its shifts in large displacements, and
the model that is free to shift predicts reflections better that it was not fitted to.
"""

import logging
from collections.abc import Sequence
from typing import NamedTuple

import gemmi
import numpy as np
from numpy.typing import NDArray

from tasks.crystal.lattice import orthogonalisation
from tasks.crystal.symmetry import Symmetry, compatible_groups, laue_group_of, symmetry_of
from tasks.model import InputError
from tasks.refine.draft import Draft, DraftAtom, DraftFit, UniqueIntensities
from tasks.refine.ports import LeastSquares
from tasks.refine.prediction import left_out_r1
from tasks.refine.validation import CYCLES, without_hydrogen

log = logging.getLogger("apertura.refine")

LEFT_OUT = 0.2
"""Part of the reflections: of the sixty of a perovskite a tenth is too few to tell by. Chosen: models of so few
reflections have few parameters."""
DRAWS = 2
"""Of such a part; the same reflections for both models, so that they scatter alike. The second is made where the first
speaks against the centre."""
LEAST_GAIN = 0.01
"""R1 of left-out reflections by which a model without the centre must be better to speak against it. Chosen, not
measured: a smaller difference leaves the choice to other evidence."""
LEAST_RELATIVE_GAIN = 0.08
"""The same, of that R1: the errors of kinematical models of electron data, which more parameters soak up in part, grow
with it. Chosen, not measured."""
MOST_ATOMS = 40
"""Of the asymmetric unit with the centre: each subgroup is a refinement with twice as many. Chosen, not measured:
larger structures have thousands of reflections, whose statistics tell a centre."""
ORIGIN_STEPS = 24
"""Parts of an axis in which origins of the tables' groups are apart: gemmi's own denominator."""
SAME_PLACE_ANGSTROM = 0.1
"""Images nearer than this are one atom on the centre, as in `crystal.sites`."""


class Predicted(NamedTuple):
    """A model and R1 of reflections that it was not fitted to."""

    left_out: float
    draft: Draft

    @property
    def symbol(self) -> str:
        """Of its space group."""
        group: gemmi.SpaceGroup | None = gemmi.find_spacegroup_by_ops(gemmi.symops_from_hall(self.draft.hall))
        return self.draft.hall if group is None else group.xhm()


def centre_doubts(engine: LeastSquares, fit: DraftFit, intensities: UniqueIntensities) -> tuple[str, ...]:
    """Return in words a group without the centre that predicts left-out reflections clearly better; none if none does.

    Nothing is compared for a group without a centre, a structure of too many atoms, or data of overlapping lattices.
    """
    draft = fit.draft
    group = gemmi.find_spacegroup_by_ops(gemmi.symops_from_hall(draft.hall))
    if group is None or not group.is_centrosymmetric() or draft.solvent is not None:
        return ()
    bare = without_hydrogen(draft)
    if len(bare.atoms) > MOST_ATOMS or intensities.overlaps is not None:
        return ()
    trials = [without_centre(bare, group, lower, origin) for lower, origin in halves_without_centre(group)]
    own = _best(engine, [bare, draft], intensities, draws=1)
    rival = _best(engine, trials, intensities, draws=1, shake=True)
    if own is None or rival is None or rival.left_out >= own.left_out:
        return ()
    own = _best(engine, [own.draft], intensities, draws=DRAWS)
    rival = _best(engine, [rival.draft], intensities, draws=DRAWS, shake=True)
    if own is None or rival is None or not _clearly_better(rival.left_out, own.left_out):
        return ()
    said = f"R1 of reflections it was not fitted to is {rival.left_out:.3f}, with the centre {own.left_out:.3f}"
    return (f"without the centre, in {rival.symbol}, the model predicts better: {said}",)


def _clearly_better(rival: float, own: float) -> bool:
    return rival < own - max(LEAST_GAIN, LEAST_RELATIVE_GAIN * own)


def halves_without_centre(group: gemmi.SpaceGroup) -> tuple[tuple[Symmetry, NDArray[np.float64]], ...]:
    """Return the groups of the tables with half of a group's operations, the centre lost, and their origins in it."""
    try:
        laue = laue_group_of(group.xhm())
    except InputError:
        return ()
    whole = symmetry_of(group)
    found = []
    for candidate in compatible_groups(laue):
        lower = symmetry_of(candidate)
        if not lower.centric and 2 * lower.order == whole.order:
            origin = _origin_in(whole, lower)
            if origin is not None:
                found.append((lower, origin))
    return tuple(found)


def _origin_in(whole: Symmetry, lower: Symmetry) -> NDArray[np.float64] | None:
    """Return where in a group a subgroup has its origin; None if it is none."""
    steps = np.arange(ORIGIN_STEPS) / ORIGIN_STEPS
    origin = np.stack(np.meshgrid(steps, steps, steps, indexing="ij"), axis=-1).reshape(-1, 3)
    translations = {rotation.tobytes(): shift for rotation, shift in zip(whole.rotations, whole.translations)}
    for rotation, shift in zip(lower.rotations, lower.translations, strict=True):
        if rotation.tobytes() not in translations:
            return None
        off = shift + origin - origin @ rotation.T - translations[rotation.tobytes()]
        apart = off[:, None, :] - whole.centring[None, :, :]
        fits = (np.abs(apart - np.round(apart)) < 1e-6).all(axis=2).any(axis=1)
        origin = origin[fits]
        if not len(origin):
            return None
    return np.asarray(origin[0])


def without_centre(draft: Draft, group: gemmi.SpaceGroup, lower: Symmetry, origin: NDArray[np.float64]) -> Draft:
    """Return the atoms of a draft in a subgroup without the centre, at whose origin the first lies."""
    whole = symmetry_of(group)
    row = next(i for i, rotation in enumerate(whole.rotations) if (rotation == -np.eye(3, dtype=np.int32)).all())
    orthogonal = orthogonalisation(draft.unit_cell)
    rotations, translations = lower.operations()
    atoms: list[DraftAtom] = []
    for atom in draft.atoms:
        place = np.array(atom.position)
        first, second = place - origin, whole.translations[row] - place - origin
        atoms.append(_moved(atom, first, atom.label))
        apart = rotations @ first + translations - second
        apart -= np.round(apart)
        if np.linalg.norm(apart @ orthogonal.T, axis=1).min() > SAME_PLACE_ANGSTROM:
            atoms.append(_moved(atom, second, f"{atom.label}_2"))
    return draft.model_copy(update={"hall": lower.hall, "atoms": tuple(atoms)})


def _moved(atom: DraftAtom, place: NDArray[np.float64], label: str) -> DraftAtom:
    x, y, z = place.tolist()
    return atom.model_copy(update={"position": (x, y, z), "label": label})


def _best(
    engine: LeastSquares, drafts: Sequence[Draft], intensities: UniqueIntensities, *, draws: int, shake: bool = False
) -> Predicted | None:
    """Return the draft that predicts reflections best that were left out; None where least squares fails with all."""
    found = []
    for draft in drafts:
        left_out = left_out_r1(engine, draft, intensities, draws=draws, share=LEFT_OUT, cycles=CYCLES, shake=shake)
        log.debug("%s: R1 of left-out reflections %s", draft.hall, left_out)
        if left_out is not None:
            found.append(Predicted(left_out, draft))
    return min(found, key=lambda one: one.left_out, default=None)
