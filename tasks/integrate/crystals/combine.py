"""Many crystals of one series: sorted into forms, indexed alike, scaled together and merged."""

import logging
from collections.abc import Sequence
from pathlib import Path

import gemmi
import numpy as np
from numpy.typing import NDArray

from tasks.crystal.lattice import Matrix, cell_of_metric
from tasks.crystal.scattering import d_star_squared
from tasks.crystal.symmetry import space_group
from tasks.integrate.assemble import Particulars, reflections_from_observations
from tasks.integrate.cell_scale import common_scale
from tasks.integrate.counting_loss import common_counting
from tasks.integrate.crystals.common_scale import CommonScale, fit_common_scale, scaled
from tasks.integrate.crystals.crystal_match import (
    Match,
    ReducedCrystal,
    amplitudes,
    match_crystals,
    mean_cell,
    reduced_crystal,
)
from tasks.integrate.crystals.joining import Joined, WeighedCrystal, joining, turned, weighed
from tasks.integrate.merging.equivalents import observations_at
from tasks.integrate.merging.resolution import significant_d_min
from tasks.integrate.merging.statistics import merging_statistics
from tasks.integrate.models import (
    ClusterGrowth,
    ClusterMember,
    CombinedSets,
    CrystalCluster,
    CrystalLeftOut,
    JoiningEvidence,
    Reflections,
)
from tasks.integrate.reflection_file import Unmerged, joined_tables, read_unmerged
from tasks.integrate.symmetry.laue import determine_laue_group
from tasks.model import UnitCell, Vector, plain
from tasks.model.provenance import Provenance
from tasks.stage import stage

log = logging.getLogger("apertura.integrate")

Indexing = tuple[Vector, Vector, Vector]
"""Rows of the matrix by which indices of a crystal's own cell, as rows, are multiplied."""


class _Cluster:
    """Crystals indexed like the first one, which seeds the cluster, with their |E| in that indexing."""

    def __init__(self, seed: ReducedCrystal) -> None:
        self.members: list[tuple[ReducedCrystal, Match]] = []
        self.weighed: list[WeighedCrystal] = []
        self.joined: list[JoiningEvidence | None] = []
        self.effects: dict[str, JoiningEvidence] = {}
        self.left_out: tuple[CrystalLeftOut, ...] = ()
        self.add(seed, Match(np.eye(3, dtype=np.int64), None, None, 0), None)

    @property
    def seed(self) -> ReducedCrystal:
        return self.members[0][0]

    def add(self, crystal: ReducedCrystal, fit: Match, evidence: JoiningEvidence | None) -> None:
        self.members.append((crystal, fit))
        self.weighed.append(turned(weighed(crystal), fit.basis))
        self.joined.append(evidence)

    def replace(self, number: int, fit: Match) -> None:
        crystal = self.members[number][0]
        self.members[number] = (crystal, fit)
        self.weighed[number] = turned(weighed(crystal), fit.basis)

    def drop(self, number: int) -> None:
        for column in (self.members, self.weighed, self.joined):
            del column[number]

    def others(self, number: int) -> list[WeighedCrystal]:
        """Return the |E| of all members but one."""
        return [one for place, one in enumerate(self.weighed) if place != number]


def reindexed(crystal: ReducedCrystal, basis: Matrix) -> ReducedCrystal:
    """Return the crystal with the indices ``hkl @ basis``."""
    inverse = np.linalg.inv(basis)
    return crystal._replace(
        cell=cell_of_metric(mean_cell([(crystal.cell, basis)], [1.0])),
        basis=crystal.basis @ basis,
        data=crystal.data._replace(hkl=np.ascontiguousarray(crystal.data.hkl @ basis, dtype=np.int32)),
        rotations=tuple(np.rint(inverse @ r @ basis).astype(np.int64) for r in crystal.rotations),
    )


def _summary(sets: CombinedSets) -> str:
    rows = ["| cluster | crystals | completeness | CC1/2 |", "|---|---|---|---|"]
    for cluster in sets.clusters:
        for step in cluster.growth:
            cc_half = "" if step.cc_half is None else f"{step.cc_half:.4f}"
            rows.append(f"| {cluster.id} | {step.crystals} | {step.completeness:.3f} | {cc_half} |")
    return "\n".join([*rows, "", *map(plain, sets.notes)])


@stage(name="combine crystals", summary=_summary)
def combine_crystals(
    crystals: tuple[Reflections, ...], workdir: Path, together: tuple[tuple[str, ...], ...] = ()
) -> CombinedSets:
    """Sort the crystals of one series into forms and merge those of each form.

    The crystal with the most unique reflections seeds a cluster; the others join one by one, those that agree best
    first, in the indexing that agrees best with the merged members, while `joining.reason_against` finds none. In the
    end each member is judged against all others once more. What joins none seeds the next cluster.

    Parameters
    ----------
    together
        Names of the crystals that may be joined with each other, each set for itself; none: all are tried.
    """
    reduced = {one.id: reduced_crystal(one) for one in crystals}
    documents = {one.id: one for one in crystals}
    made = tuple(
        _document(f"cluster-{number:02d}", cluster, documents, workdir)
        for number, cluster in enumerate(_sorted(reduced, documents, together), 1)
    )
    notes = tuple(f"{one.id}: {', '.join(member.id for member in one.members)}" for one in made)
    for note in notes:
        log.info("%s", note)
    return CombinedSets(clusters=made, pairs=_pairs(list(reduced.values())), notes=notes)


def sorted_forms(
    crystals: tuple[Reflections, ...], together: tuple[tuple[str, ...], ...] = ()
) -> tuple[tuple[tuple[str, Indexing], ...], ...]:
    """Return the crystals of each form, largest first, with their indexing, as `combine_crystals` would sort them."""
    documents = {one.id: one for one in crystals}
    clusters = _sorted({one.id: reduced_crystal(one) for one in crystals}, documents, together)
    return tuple(
        tuple((crystal.id, _vectors(crystal.basis @ fit.basis)) for crystal, fit in cluster.members)
        for cluster in clusters
    )


def _sorted(
    reduced: dict[str, ReducedCrystal], documents: dict[str, Reflections], together: tuple[tuple[str, ...], ...]
) -> list[_Cluster]:
    """Return clusters, largest first, of the crystals that may be joined."""
    order = sorted(reduced, key=lambda name: -documents[name].overall.unique)
    if not together:
        return _clusters([reduced[name] for name in order])
    named = {name for names in together for name in names}
    found = [one for names in together for one in _clusters([reduced[name] for name in order if name in names])]
    found += [_Cluster(reduced[name]) for name in order if name not in named]
    return sorted(found, key=lambda one: -len(one.members))


def _clusters(crystals: list[ReducedCrystal]) -> list[_Cluster]:
    """Return clusters, largest first; each member's indexing is settled against all others once more at the end."""
    clusters: list[_Cluster] = []
    left = list(crystals)
    while left:
        cluster = _Cluster(left.pop(0))
        while (best := _best_to_join(cluster, left)) is not None:
            crystal, fit, evidence = best
            cluster.add(crystal, fit, evidence)
            left = [one for one in left if one.id != crystal.id]
        left = [*left, *_settle(cluster)]
        cluster.left_out = tuple(_left_out(one, joining(one, cluster.weighed, cluster.seed.cell)) for one in left)
        clusters.append(cluster)
    return sorted(clusters, key=lambda one: -len(one.members))


def _best_to_join(
    cluster: _Cluster, left: list[ReducedCrystal]
) -> tuple[ReducedCrystal, Match, JoiningEvidence] | None:
    tried = [(crystal, joining(crystal, cluster.weighed, cluster.seed.cell)) for crystal in left]
    able = [(crystal, one) for crystal, one in tried if one.fit is not None and one.against is None]
    if not able:
        return None
    crystal, best = max(able, key=lambda pair: pair[1].rank)
    return None if best.fit is None else (crystal, best.fit, best.evidence)


def _settle(cluster: _Cluster) -> list[ReducedCrystal]:
    """Judge each member against all others; return those that do not belong after all, the seed never among them."""
    dropped: list[ReducedCrystal] = []
    number = 0
    while number < len(cluster.members) and len(cluster.members) > 1:
        crystal, fit = cluster.members[number]
        again = joining(crystal, cluster.others(number), cluster.seed.cell)
        if number and again.against is not None:
            cluster.drop(number)
            dropped.append(crystal)
            continue
        if again.fit is not None and again.fit.correlation is not None:
            shown = again.fit._replace(correlation=again.evidence.correlation)
            cluster.replace(number, shown._replace(basis=fit.basis) if number == 0 else shown)
        cluster.effects[crystal.id] = again.evidence
        number += 1
    return dropped


def _left_out(crystal: ReducedCrystal, tried: Joined) -> CrystalLeftOut:
    reason = tried.against or "it does not agree with all others merged"
    return CrystalLeftOut(id=crystal.id, reason=reason, evidence=tried.evidence)


def _pairs(crystals: list[ReducedCrystal]) -> tuple[tuple[str, str, float | None], ...]:
    rows: list[tuple[str, str, float | None]] = []
    for number, one in enumerate(crystals):
        table = amplitudes(one)
        for other in crystals[number + 1 :]:
            fit = match_crystals(other, table, one.cell)
            rows.append((one.id, other.id, None if fit is None else fit.correlation))
    return tuple(rows)


def _document(name: str, cluster: _Cluster, documents: dict[str, Reflections], workdir: Path) -> CrystalCluster:
    indexed = [reindexed(crystal, fit.basis) for crystal, fit in cluster.members]
    scales = fit_common_scale([one.data for one in indexed], indexed[0].cell, indexed[0].rotations)
    members = tuple(
        ClusterMember(
            id=crystal.id,
            reindex=_vectors(crystal.basis @ fit.basis),
            correlation=fit.correlation,
            runner_up=fit.runner_up,
            scale=scale.factor,
            b_angstrom2=scale.b_angstrom2,
            joining=evidence,
            effect=cluster.effects.get(crystal.id),
            neighbour=documents[crystal.id].neighbour,
        )
        for (crystal, fit), scale, evidence in zip(cluster.members, scales, cluster.joined, strict=True)
    )
    left_out = tuple(one.model_copy(update={"neighbour": documents[one.id].neighbour}) for one in cluster.left_out)
    first = documents[cluster.seed.id]
    if len(members) == 1:
        return CrystalCluster(id=name, unit_cell=first.unit_cell, members=members, left_out=left_out)
    folder = workdir / name
    folder.mkdir()
    merged = _merged(name, indexed, scales, documents, folder)
    return CrystalCluster(
        id=name,
        unit_cell=merged.unit_cell,
        members=members,
        merged=merged,
        growth=_growth(merged, len(members)),
        left_out=left_out,
    )


def _merged(
    name: str,
    crystals: list[ReducedCrystal],
    scales: Sequence[CommonScale],
    documents: dict[str, Reflections],
    folder: Path,
) -> Reflections:
    weights = [float(len(one.data.hkl)) for one in crystals]
    identity = np.eye(3, dtype=np.int64)
    cell = cell_of_metric(mean_cell([(one.cell, identity) for one in crystals], weights))
    parts = [
        scaled(one.data, scale, cell)._replace(crystal=np.full(len(one.data.hkl), number, dtype=np.int32))
        for number, (one, scale) in enumerate(zip(crystals, scales, strict=True))
    ]
    data = joined_tables(parts)
    sources = [documents[one.id] for one in crystals]
    particulars = Particulars(
        wavelength_angstrom=sources[0].wavelength_angstrom,
        provenance=Provenance(
            engine="apertura combine", version="1", inputs={one.id: one.unmerged.sha256 for one in sources}
        ),
        members=tuple(one.id for one in sources),
        radiation=sources[0].radiation,
        counting=common_counting(sources),
        cell_scale=common_scale([one.cell_scale for one in sources]),
    )
    within = _significant(data, space_group("P -1"), cell)
    if not all(one.provenance.parameters.get("statistics") == "counts" for one in sources):
        return reflections_from_observations(name, within, cell, particulars, workdir=folder)
    # few counts say something by all equivalents together where each reflection alone says nothing
    choice = determine_laue_group(within, cell)
    data = data._replace(hkl=choice.reindex(data.hkl))
    further = _significant(data, choice.laue, choice.cell)
    if len(further.hkl) > len(within.hkl):
        within, cell = further, choice.cell
    # the median of few counts is zero, and what lies far from it is the signal
    every = np.ones(len(within.hkl), dtype=bool)
    return reflections_from_observations(name, within, cell, particulars, workdir=folder, consistent=every)


def _significant(data: Unmerged, laue: gemmi.SpaceGroup, cell: UnitCell) -> Unmerged:
    """Return the observations up to the resolution at which equivalents together still say something."""
    limit = significant_d_min(data, laue, cell)
    return observations_at(data, d_star_squared(data.hkl, cell) <= limit**-2 * (1 + 1e-9))


def _growth(merged: Reflections, n: int) -> tuple[ClusterGrowth, ...]:
    """Return the statistics of the first 1, 2 ... n members in the order in which they joined."""
    data, laue = read_unmerged(merged.unmerged), space_group(merged.laue_group)
    steps = []
    for count in range(1, n + 1):
        rows = data.crystal < count
        part = observations_at(data, rows)
        if not len(part.hkl):
            continue
        figures = merging_statistics(part, laue, merged.unit_cell, shells=1, d_min_angstrom=merged.d_min_angstrom)
        overall = figures.overall
        steps.append(
            ClusterGrowth(
                crystals=count,
                completeness=overall.completeness,
                multiplicity=overall.multiplicity,
                cc_half=overall.cc_half,
                r_meas=overall.r_meas,
            )
        )
    return tuple(steps)


def _vectors(matrix: NDArray[np.float64]) -> Indexing:
    rows = [(float(a), float(b), float(c)) for a, b, c in matrix]
    return rows[0], rows[1], rows[2]
