"""Twin components in least squares. Imported by the worker only, after cctbx."""

import numpy as np
from cctbx import miller, sgtbx, xray
from numpy.typing import NDArray

from adapters.cctbx.structure import miller_indices
from tasks.crystal.twin_laws import IDENTITY_LAW, orbit_number, twin_indices
from tasks.refine import Draft, TwinComponent

LEAST_FRACTION, MOST_FRACTION = 0.0, 0.95
"""Of a twin component beside the first: a negative one has no meaning, and one of all leaves nothing of the first to be
refined. Chosen, not measured: what ends at a bound is no twin."""
LAW_DENOMINATOR = 12
"""Of the elements of a twin law, which may be fractions in a centred cell: halves, thirds and their products."""


def components_of(draft: Draft) -> tuple[xray.twin_component, ...]:
    """Return cctbx's components beside the first, their fractions refined; none of a crystal that is no twin.

    smtbx takes an index as a row times the law; a draft's law is applied to a column, as in SHELXL's TWIN.
    """
    return tuple(
        xray.twin_component(twin_law=_rotation(component), value=component.fraction, grad=True)
        for component in draft.twin[1:]
    )


def _rotation(component: TwinComponent) -> sgtbx.rot_mx:
    turned = np.array(component.law).T * LAW_DENOMINATOR
    return sgtbx.rot_mx(tuple(int(x) for x in np.rint(turned).astype(int).ravel()), LAW_DENOMINATOR)


def bound(components: tuple[xray.twin_component, ...]) -> None:
    """Keep fractions in the range that means something, and that of the first component not below what is left."""
    for component in components:
        component.value = min(max(component.value, LEAST_FRACTION), MOST_FRACTION)
    whole = sum(component.value for component in components)
    if whole > MOST_FRACTION:
        for component in components:
            component.value *= MOST_FRACTION / whole


def twins_of(draft: Draft, components: tuple[xray.twin_component, ...]) -> tuple[TwinComponent, ...]:
    """Return the draft's components with the fractions refined."""
    if not components:
        return ()
    fractions = [float(component.value) for component in components]
    values = (1.0 - sum(fractions), *fractions)
    return tuple(
        component.model_copy(update={"fraction": value}) for component, value in zip(draft.twin, values, strict=True)
    )


def laws_of(draft: Draft) -> tuple[NDArray[np.float64], ...]:
    """Return the laws of all components, the identity of a crystal that is no twin."""
    return tuple(np.array(component.law) for component in draft.twin) or (IDENTITY_LAW,)


def component_intensities(
    array: miller.array, structure: xray.structure, twin: tuple[TwinComponent, ...]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return |F|^2 of the first component alone, and of all in their fractions, (n,) each; no extinction."""
    hkl = np.array(list(array.indices()), dtype=np.int32)

    def intensity(law: NDArray[np.float64]) -> NDArray[np.float64]:
        turned = array.customized_copy(indices=miller_indices(twin_indices(hkl, law)))
        f_calc = turned.structure_factors_from_scatterers(structure, algorithm="direct").f_calc()
        return np.asarray(np.abs(f_calc.data().as_numpy_array()) ** 2)

    first = intensity(IDENTITY_LAW)
    if not twin:
        return first, first
    values = [first, *(intensity(np.array(component.law)) for component in twin[1:])]
    return first, np.asarray(sum(part.fraction * value for part, value in zip(twin, values, strict=True)))


def share_of_first(
    array: miller.array, structure: xray.structure, twin: tuple[TwinComponent, ...]
) -> NDArray[np.float64] | float:
    """Return |F|^2 of the first component over that of all in their fractions, (n,); 1 of a crystal that is no twin."""
    if not twin:
        return 1.0
    first, whole = component_intensities(array, structure, twin)
    return np.asarray(first / np.maximum(whole, 1e-12))


def held_out_flags(array: miller.array, draft: Draft, share: float, seed: int) -> NDArray[np.bool_]:
    """Return which reflections are left out of a fit, (n,): of a twin, those that a law relates together.

    At equal fractions they are one intensity measured twice, and one would tell what the other is.
    """
    rng = np.random.default_rng(seed)
    if len(draft.twin) < 2:
        return np.asarray(rng.random(array.size()) < share)
    orbit = orbit_number(np.array(list(array.indices()), dtype=np.int32), draft.hall, laws_of(draft))
    return np.asarray((rng.random(int(orbit.max()) + 1) < share)[orbit])
