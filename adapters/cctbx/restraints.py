"""Restraints of a draft as smtbx takes them, and their pull. Imported by the worker only, after cctbx."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from cctbx import adp_restraints, geometry_restraints, sgtbx, xray
from smtbx.refinement.restraints import manager

from tasks.model import InputError
from tasks.refine import RESTRAINT_KINDS, Draft, Restraint, RestraintKind, RestraintPull, tetrahedra


def restraints_manager(draft: Draft, structure: xray.structure) -> manager | None:
    """Return smtbx's manager of the draft's restraints; None if there is none.

    Planes are volumes of tetrahedra that should vanish, as SHELXL's FLAT: smtbx has no planes of its own. A rigid bond
    of an isotropic atom, or one that no longer is anisotropic, says nothing and is left out.

    Raises
    ------
    InputError
        If a restraint names an atom that the draft lacks.
    """
    index = {atom.label: number for number, atom in enumerate(draft.atoms)}
    known = set(index)
    for restraint in draft.restraints:
        if absent := [label for label in restraint.labels if label not in known]:
            raise InputError(
                f"the restraint {restraint.kind!r} ({restraint.why}) names {absent[0]}, which the model lacks",
                "name atoms of the model, or leave the restraint out",
            )
    return _manager(draft.restraints, index, structure)


def _manager(restraints: Sequence[Restraint], index: dict[str, int], structure: xray.structure) -> manager | None:
    proxies = {name: made for name, make in PROXIES.items() if (made := make(restraints, index, structure)).size()}
    return manager(**proxies) if proxies else None


def _weight(restraint: Restraint) -> float:
    return 1.0 / restraint.esd**2


def _bonds(restraints: Sequence[Restraint], index: dict[str, int], _structure: xray.structure) -> Any:
    proxies = geometry_restraints.shared_bond_simple_proxy()
    for restraint in restraints:
        if restraint.kind in {"distance", "one-three distance"}:
            pair = restraint.pairs[0]
            proxies.append(
                geometry_restraints.bond_simple_proxy(
                    i_seqs=(index[pair.first], index[pair.second]),
                    rt_mx_ji=sgtbx.rt_mx(pair.operation),
                    distance_ideal=restraint.target_angstrom,
                    weight=_weight(restraint),
                )
            )
    return proxies


def _equal(restraints: Sequence[Restraint], index: dict[str, int], _structure: xray.structure) -> Any:
    proxies = geometry_restraints.shared_bond_similarity_proxy()
    for restraint in restraints:
        if restraint.kind == "equal distances":
            proxies.append(
                geometry_restraints.bond_similarity_proxy(
                    i_seqs=[(index[pair.first], index[pair.second]) for pair in restraint.pairs],
                    sym_ops=[sgtbx.rt_mx(pair.operation) for pair in restraint.pairs],
                    weights=[_weight(restraint)] * len(restraint.pairs),
                )
            )
    return proxies


def _planes(restraints: Sequence[Restraint], index: dict[str, int], _structure: xray.structure) -> Any:
    proxies = geometry_restraints.shared_chirality_proxy()
    for restraint in restraints:
        for four in tetrahedra(restraint.atoms) if restraint.kind == "plane" else ():
            proxies.append(
                geometry_restraints.chirality_proxy(
                    i_seqs=[index[label] for label in four],
                    volume_ideal=0.0,
                    both_signs=False,
                    weight=_weight(restraint),
                )
            )
    return proxies


def _similar(restraints: Sequence[Restraint], index: dict[str, int], _structure: xray.structure) -> Any:
    proxies = adp_restraints.shared_adp_similarity_proxy()
    for restraint in restraints:
        if restraint.kind == "similar displacements":
            pair = restraint.pairs[0]
            proxies.append(
                adp_restraints.adp_similarity_proxy(
                    i_seqs=(index[pair.first], index[pair.second]), weight=_weight(restraint)
                )
            )
    return proxies


def _rigid(restraints: Sequence[Restraint], index: dict[str, int], structure: xray.structure) -> Any:
    proxies = adp_restraints.shared_rigu_proxy()
    anisotropic = structure.use_u_aniso()
    for restraint in restraints:
        if restraint.kind == "rigid bond":
            first, second = index[restraint.pairs[0].first], index[restraint.pairs[0].second]
            if anisotropic[first] and anisotropic[second]:
                proxies.append(adp_restraints.rigu_proxy(i_seqs=(first, second), weight=_weight(restraint)))
    return proxies


PROXIES = {
    "bond_proxies": _bonds,
    "bond_similarity_proxies": _equal,
    "chirality_proxies": _planes,
    "adp_similarity_proxies": _similar,
    "rigu_proxies": _rigid,
}
"""What smtbx calls them, and what makes them."""


class Pulled(NamedTuple):
    """The deviations of each restraint, as many as it adds equations (none where it says nothing), and their pull."""

    deviations: tuple[tuple[float, ...], ...]
    pulls: tuple[RestraintPull, ...]


def pulled(draft: Draft, structure: xray.structure) -> Pulled:
    """Return how far the structure stands from the draft's restraints.

    The pull is in the standard uncertainties that least squares uses: RIGU's grow with distance and displacements
    (Thorn, Dittrich & Sheldrick, Acta Cryst. A68, 448-451, 2012).
    """
    index = {atom.label: number for number, atom in enumerate(draft.atoms)}
    parameters = structure.parameter_map()
    found: dict[str, list[tuple[float, str]]] = {}
    deviations: list[tuple[float, ...]] = []
    for restraint in draft.restraints:
        own = _manager([restraint], index, structure)
        if own is None:
            deviations.append(())
            continue
        equations = own.build_linearised_eqns(structure, parameters)
        rows = equations.n_restraints()
        off = equations.deltas.as_numpy_array()[:rows]
        deviations.append(tuple(off.tolist()))
        ratios = np.abs(off) * np.sqrt(equations.weights.as_numpy_array()[:rows])
        at = " ".join(dict.fromkeys(restraint.labels))
        found.setdefault(restraint.kind, []).extend((float(ratio), at) for ratio in ratios)
    pulls = (_pull(kind, rows) for kind in RESTRAINT_KINDS if (rows := found.get(kind)))
    return Pulled(tuple(deviations), tuple(pulls))


def _pull(kind: RestraintKind, rows: Sequence[tuple[float, str]]) -> RestraintPull:
    worst, at = max(rows)
    rms = float(np.sqrt(np.mean([ratio**2 for ratio, _ in rows])))
    return RestraintPull(kind=kind, count=len(rows), rms_over_esd=rms, worst_over_esd=worst, worst_at=at)
