"""Riding hydrogen atoms as smtbx constraints. Imported by the worker only, after cctbx."""

from smtbx.refinement.constraints import InvalidConstraint, adp
from smtbx.refinement.constraints.geometrical import hydrogens

from tasks.refine import Draft, RidingGroup, RidingKind

CONSTRAINTS: dict[RidingKind, tuple[type, dict[str, bool]]] = {
    "tertiary-xh": (hydrogens.tertiary_xh_site, {}),
    "secondary-xh2": (hydrogens.secondary_xh2_sites, {}),
    "planar-xh": (hydrogens.secondary_planar_xh_site, {}),
    "methyl": (hydrogens.terminal_tetrahedral_xh3_sites, {}),
    "terminal-planar-xh2": (hydrogens.terminal_planar_xh2_sites, {}),
    "linear-xh": (hydrogens.terminal_linear_ch_site, {}),
    "hydroxyl": (hydrogens.terminal_tetrahedral_xh_site, {}),
}
"""Sheldrick's AFIX 13, 23, 43, 33, 93, 163 and 83; the azimuth of the tetrahedral ends stays as it was placed."""

NEIGHBOURS: dict[RidingKind, frozenset[int]] = {
    "tertiary-xh": frozenset({3}),
    "secondary-xh2": frozenset({2}),
    "planar-xh": frozenset({2}),
    "methyl": frozenset({1}),
    "terminal-planar-xh2": frozenset({1}),
    "linear-xh": frozenset({1}),
    "hydroxyl": frozenset({1}),
}
"""Bonds of the carrier to atoms other than hydrogen: the geometry by which Sheldrick's groups are defined."""


def riding_constraints(draft: Draft, connectivity: object) -> tuple[list[object], tuple[str, ...]]:
    """Return smtbx's constraints of the draft's riding groups, and the pivots whose neighbours do not fit.

    A hydrogen atom whose group does not fit keeps its place in this fit: it is held, not refined.
    """
    index = {atom.label: position for position, atom in enumerate(draft.atoms)}
    hydrogen = {position for position, atom in enumerate(draft.atoms) if atom.element in {"H", "D"}}
    bonds = connectivity.pair_asu_table.extract_pair_sym_table(  # type: ignore[attr-defined]
        skip_j_seq_less_than_i_seq=False, all_interactions_from_inside_asu=True
    )
    constraints: list[object] = []
    refused: list[str] = []
    for group in draft.riding:
        pivot = index[group.pivot]
        own = {index[label] for label in group.hydrogens}
        heavy = sum(len(ops) for j, ops in bonds[pivot].items() if j not in own)
        foreign = any(j in hydrogen and j not in own for j, _ in bonds[pivot].items())
        ends = [
            any(k not in hydrogen and k != pivot for k, _ in bonds[j].items())
            for j, _ in bonds[pivot].items()
            if j not in own
        ]
        lacking = group.kind == "terminal-planar-xh2" and not all(ends)
        if heavy not in NEIGHBOURS[group.kind] or foreign or lacking:
            refused.append(group.pivot)
            continue
        constraints.append(_site_constraint(group, pivot, index))
    for group in draft.riding:
        constraints.extend(
            adp.u_iso_proportional_to_pivot_u_eq(
                u_iso_scatterer_idx=index[label],
                u_eq_scatterer_idx=index[group.pivot],
                multiplier=group.u_ratio,
            )
            for label in group.hydrogens
        )
    return constraints, tuple(refused)


def _site_constraint(group: RidingGroup, pivot: int, index: dict[str, int]) -> object:
    kind, options = CONSTRAINTS[group.kind]
    return kind(
        constrained_site_indices=tuple(index[label] for label in group.hydrogens),
        pivot=pivot,
        bond_length=group.bond_length_angstrom,
        **options,
    )


__all__ = ["InvalidConstraint", "riding_constraints"]
