"""Whether an element that the composition does not name would fit as well, or better, in place of one of its own."""

from collections.abc import Sequence
from typing import NamedTuple

import gemmi
import numpy as np
from numpy.typing import NDArray

from tasks.crystal.scattering import Radiation, scattering_factor
from tasks.model import Composition
from tasks.refine import elements
from tasks.refine.draft import DraftFit, UniqueIntensities
from tasks.refine.element_odds import attached_hydrogens
from tasks.refine.parameters import U_FLOOR_ANGSTROM2
from tasks.refine.site_evidence import frame_of, freedom_of, projected, site_waves

STEPS = (0.6, 0.75, 1.33, 1.67)
"""Atomic numbers of rivals over that of the element, beside its neighbours: a composition of another compound names an
element that is off by some such factor. Chosen, not measured."""
NEIGHBOURS = (-2, -1, 1, 2)
"""Atomic numbers apart, of the rivals that are hardest to refute."""
NOBLE = frozenset({2, 10, 18, 36, 54, 86})
HEAVIEST = 83
"""Bismuth: heavier elements are radioactive and seldom meant."""
REFUTED = 9.0
"""Twice the log-likelihood by which a rival must fit worse to be refuted: three standard deviations."""
CONTRADICTED = 12.0
"""The same by which it must fit better, in least squares, to contradict the composition. The best rivals of right
compositions gain 4.6 at most (five real electron sets, eleven simulated ones with intensities flattened), those of
compositions of another compound 14 to 313 (calcite, stibnite), of a neighbour in the periodic table 0 to 31."""


class ElementRival(NamedTuple):
    """The outsider that fits best in place of all atoms of one element."""

    element: str
    other: str
    cost: float
    """Twice the negative log-likelihood that it costs, after scale, displacements and coordinates adapt."""
    stronger: bool
    """Whether the other scatters more."""
    instead_of_part: bool = False
    """Whether the other is wholly there where the element was refined to be there in part, and does as well."""


def element_rivals(
    fit: DraftFit, intensities: UniqueIntensities, composition: Composition | None
) -> tuple[ElementRival, ...]:
    """Return the best rival of each element of a model, hydrogen apart, that the composition does not name.

    None without a composition: then nothing is named that could be contradicted.
    """
    atoms = [atom for atom in fit.draft.atoms if atom.element not in {"H", "D"}]
    if composition is None or not atoms:
        return ()
    hall, cell, radiation = fit.draft.hall, fit.draft.unit_cell, intensities.radiation
    with np.load(fit.table.path, allow_pickle=False) as file:
        frame = frame_of(elements.residual_of(dict(file)), cell, elements.EVIDENCE[radiation])
    waves = [site_waves(frame.residual.hkl, atom.position, atom.occupancy, hall, cell) for atom in atoms]
    decay = [np.exp(-2.0 * np.pi**2 * atom.u_iso_angstrom2 * frame.d_star_sq) for atom in atoms]
    known = set(composition.counts)
    pairs, changes, stronger = [], [], []
    for own in sorted({atom.element for atom in atoms}):
        there = sum(
            wave.value * shape for atom, wave, shape in zip(atoms, waves, decay, strict=True) if atom.element == own
        )
        factor = scattering_factor(own, frame.d_star_sq, radiation)
        for other in rivals_of(own, known, radiation):
            change = scattering_factor(other, frame.d_star_sq, radiation) - factor
            pairs.append((own, other))
            changes.append(frame.changed(frame.residual.f + change * there))
            stronger.append(bool(change.mean() > 0))
    if not pairs:
        return ()
    freedom = freedom_of(
        frame, atoms, waves, attached=attached_hydrogens(fit, atoms), hall=hall, cell=cell, radiation=radiation,
        least_u=U_FLOOR_ANGSTROM2,
    )  # fmt: skip
    evidence = projected(frame.misfit, np.hstack(changes), freedom)
    return _best(pairs, np.diag(evidence.gram) - 2.0 * evidence.linear, stronger)


def _best(
    pairs: Sequence[tuple[str, str]], cost: NDArray[np.float64], stronger: Sequence[bool]
) -> tuple[ElementRival, ...]:
    rows = [
        ElementRival(own, other, float(value), more)
        for (own, other), value, more in zip(pairs, cost, stronger, strict=True)
    ]
    owners = sorted({row.element for row in rows})
    return tuple(min((row for row in rows if row.element == own), key=lambda row: row.cost) for own in owners)


def contradictions(rivals: Sequence[ElementRival]) -> tuple[str, ...]:
    """Return where the intensities ask for an element that the composition does not name, in words."""
    parts = tuple(
        f"{rival.other} that is wholly there explains as much as {rival.element} that is there in part: is it that?"
        for rival in rivals
        if rival.instead_of_part
    )
    return parts + tuple(
        f"the intensities ask for a {'heavier' if rival.stronger else 'lighter'} element such as {rival.other} where "
        f"the composition has {rival.element}: is it that of this crystal?"
        for rival in rivals
        if rival.cost < -CONTRADICTED and not rival.instead_of_part
    )


def rivals_of(element: str, known: set[str], radiation: Radiation) -> tuple[str, ...]:
    """Return elements to compare one with: neighbours in the periodic table, and some far lighter and heavier ones."""
    number = gemmi.Element(element).atomic_number
    numbers = {number + step for step in NEIGHBOURS} | {round(number * step) for step in STEPS}
    names = [gemmi.Element(one).name for one in sorted(numbers - NOBLE - {number}) if 3 <= one <= HEAVIEST]
    return tuple(name for name in names if name not in known and _has_factor(name, radiation))


def rivals_below(number: int, radiation: Radiation) -> tuple[str, ...]:
    """Return the elements lighter than one that may stand for it, hydrogen and helium apart."""
    names = [gemmi.Element(one).name for one in range(3, number) if one not in NOBLE]
    return tuple(name for name in names if _has_factor(name, radiation))


def _has_factor(name: str, radiation: Radiation) -> bool:
    entry = gemmi.Element(name)
    return (entry.c4322 if radiation == "electron" else entry.it92) is not None
