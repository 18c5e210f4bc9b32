"""Which element sits where: what the data say, and what the composition says."""

from collections.abc import Mapping, Sequence

import gemmi
import numpy as np
from numpy.typing import NDArray

from tasks.crystal.contacts import SHORTEST_BOND_FRACTION, covalent_radii, shortest_bond
from tasks.crystal.scattering import Radiation
from tasks.model import Composition, UnitCell
from tasks.refine.draft import DraftAtom, DraftFit
from tasks.refine.geometry import contacts
from tasks.refine.site_evidence import Residual

COMPOSITION_WEIGHT = 8.0
"""Chi^2 for each site too many or too few of an element: a wrong name makes one of each, so 16, e^-8 in likelihood.
Chosen, not measured finely: 4 and 16 name natrolite and tyrosine (tests' data) alike; more keeps to a wrong formula."""
EVIDENCE: dict[Radiation, float] = {"electron": 0.33, "xray": 1.0}
"""Part of chi^2 that counts. X-rays: errors are independent. Electrons: errors are dynamical and shared by many
reflections, as if one in three counted: tyrosine of the tests' data, refined, has 13 of 13 names right with 0.33 and
0.165, 11 with 0.66."""
TOO_NEAR = 12.0
"""What it costs an element to stand nearer to a neighbour than any bond."""
U_RATIO_SUSPICIOUS = 2.0
"""U(eq) of the heavy atom over that of the light one, from which an exchange is tried. Chosen, not measured: in right
models heavy atoms are the tighter ones; less only costs trials, as least squares decides (naming.SWAP_GAIN)."""
MOST_ALIKE = 9
"""Atomic number of fluorine: C, N, O and F scatter too much alike for displacements to tell them apart."""
WITHOUT_HYDROGEN = 2.0
"""What it costs an atom to lack the hydrogen that its geometry demands: the geometry may be off."""


def residual_of(table: Mapping[str, NDArray[np.float64]]) -> Residual:
    """Return amplitudes from the table of a fit; weights take 10 % of F as a model error beside sigma."""
    f_obs = np.sqrt(np.maximum(table["f_sq_obs"], 0.0))
    f_calc = np.sqrt(np.maximum(table["f_sq_calc"], 0.0))
    sigma_f = table["sigma"] / (2.0 * np.maximum(f_obs, np.sqrt(np.maximum(table["sigma"], 1e-12))))
    typical = float(np.sqrt(np.mean(f_obs**2)))
    weight = 1.0 / (sigma_f**2 + (0.1 * f_obs) ** 2 + (0.03 * typical) ** 2)
    phase = np.radians(table["phase_deg"])
    return Residual(table["hkl"].astype(np.int32), f_obs, weight, f_calc * np.exp(1j * phase))


def _chi_sq(residual: Residual) -> float:
    f_calc = np.abs(residual.f)
    weighted = residual.weight * f_calc
    scale = float(weighted @ residual.f_obs) / max(float((weighted * f_calc).sum()), 1e-12)
    return float((residual.weight * (residual.f_obs - scale * f_calc) ** 2).sum())


def targets(composition: Composition, elements: Sequence[str], weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return how many atoms of each element the composition wants among sites of these multiplicities, (elements,)."""
    counts = np.array([composition.counts.get(element, 0.0) for element in elements])
    return counts / counts.sum() * weights.sum()


def evidence_change(
    before: Mapping[str, NDArray[np.float64]], after: Mapping[str, NDArray[np.float64]], radiation: Radiation
) -> float:
    """Return twice the negative log-likelihood ratio of two fits of the same data, tempered as `exchange_costs`.

    With a variance that is not known it is n ln(chi^2 / chi^2).
    """
    old, new = residual_of(before), residual_of(after)
    ratio = _chi_sq(new) / max(_chi_sq(old), 1e-12)
    return EVIDENCE[radiation] * len(old.f_obs) * float(np.log(max(ratio, 1e-12)))


def suspicious_swaps(fit: DraftFit, *, most: int) -> tuple[tuple[str, str], ...]:
    """Return pairs of atoms whose elements look exchanged, the worst first.

    A heavy atom far looser than a light one says so: its displacement makes up for scattering power that is not
    there, and the light one's for power that is missing. C, N, O and F are too alike for that.
    """
    riding = {label for group in fit.draft.riding for label in group.hydrogens}
    rows = [
        (atom.label, gemmi.Element(atom.element).atomic_number, max(row.u_equivalent, 1e-3))
        for atom, row in zip(fit.draft.atoms, fit.atoms, strict=True)
        if atom.label not in riding
    ]
    ratios = [
        (heavy[2] / light[2], heavy[0], light[0])
        for heavy in rows
        for light in rows
        if heavy[1] > max(light[1], MOST_ALIKE) and heavy[2] > U_RATIO_SUSPICIOUS * light[2]
    ]
    return tuple((heavy, light) for _, heavy, light in sorted(ratios, reverse=True)[:most])


def resolving_swaps(atoms: Sequence[DraftAtom], hall: str, cell: UnitCell, *, most: int) -> tuple[tuple[str, str], ...]:
    """Return pairs of atoms whose exchange of elements leaves fewer contacts nearer than a bond, the best first.

    Costs of single sites cannot see this: each of the two is judged beside the wrong element of the other.
    """
    heavy = [atom for atom in atoms if atom.element not in {"H", "D"}]
    if not heavy:
        return ()
    radii = covalent_radii([atom.element for atom in heavy])
    positions = np.array([atom.position for atom in heavy])
    pairs = contacts(positions, positions, hall, cell, cutoff=2.0 * SHORTEST_BOND_FRACTION * float(radii.max()))
    first = np.array([pair.first for pair in pairs], dtype=np.int64)
    second = np.array([pair.second for pair in pairs], dtype=np.int64)
    distance = np.array([pair.distance for pair in pairs])

    def too_near(radius: NDArray[np.float64]) -> NDArray[np.bool_]:
        return distance < SHORTEST_BOND_FRACTION * (radius[first] + radius[second])

    now = too_near(radii)
    found = []
    for i in np.unique(first[now]):
        for j in range(len(heavy)):
            if radii[j] >= radii[i]:
                continue
            changed = radii.copy()
            changed[[i, j]] = radii[[j, i]]
            left = int(too_near(changed).sum())
            if left < int(now.sum()):
                ratio = heavy[i].u_iso_angstrom2 / max(heavy[j].u_iso_angstrom2, 1e-3)
                found.append((left, -ratio, heavy[i].label, heavy[j].label))
    return tuple((one, other) for _, _, one, other in sorted(found)[:most])


def crowding_costs(
    atoms: Sequence[DraftAtom], elements: Sequence[str], hall: str, cell: UnitCell
) -> NDArray[np.float64]:
    """Return a penalty for elements too large for their site, (atoms, elements): see `geometry.close_contacts`."""
    heavy = [i for i, atom in enumerate(atoms) if atom.element not in {"H", "D"}]
    penalties = np.zeros((len(atoms), len(elements)))
    if not heavy:
        return penalties
    own = covalent_radii(elements)
    radii = covalent_radii([atoms[i].element for i in heavy])
    positions = np.array([atoms[i].position for i in heavy])
    reach = SHORTEST_BOND_FRACTION * float(own.max() + radii.max())
    for pair in contacts(positions, positions, hall, cell, cutoff=reach):
        other = atoms[heavy[pair.second]].element
        too_near = np.array([pair.distance < shortest_bond(element, other) for element in elements])
        row = heavy[pair.first]
        penalties[row] = np.maximum(penalties[row], TOO_NEAR * too_near)
    return penalties
