"""Many crystals of one series: sorted into forms, indexed alike, scaled together and merged."""

import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tasks.crystal.lattice import Matrix, cell_of_metric
from tasks.crystal.symmetry import space_group
from tasks.integrate.assemble import Particulars, reflections_from_observations
from tasks.integrate.cell_scale import common_scale
from tasks.integrate.counting_loss import common_counting
from tasks.integrate.crystals.common_scale import CommonScale, fit_common_scale, scaled
from tasks.integrate.crystals.crystal_match import (
    Match,
    ReducedCrystal,
    Table,
    amplitudes,
    averaged,
    match_crystals,
    mean_cell,
    reduced_crystal,
)
from tasks.integrate.merging.equivalents import observations_at
from tasks.integrate.merging.statistics import merging_statistics
from tasks.integrate.models import ClusterGrowth, ClusterMember, CombinedSets, CrystalCluster, Reflections
from tasks.integrate.reflection_file import Unmerged, read_unmerged
from tasks.model.provenance import Provenance
from tasks.stage import stage

log = logging.getLogger("apertura.integrate")

SAME_FORM = 0.35
"""Least correlation of |E| between crystals of one form; unrelated data scatter about zero."""


class _Cluster:
    """Crystals indexed like the first one, which seeds the cluster, with their |E| in that indexing."""

    def __init__(self, seed: ReducedCrystal) -> None:
        self.members: list[tuple[ReducedCrystal, Match]] = []
        self.tables: list[Table] = []
        self.add(seed, Match(np.eye(3, dtype=np.int64), None, None, 0))

    @property
    def seed(self) -> ReducedCrystal:
        return self.members[0][0]

    def add(self, crystal: ReducedCrystal, fit: Match) -> None:
        self.members.append((crystal, fit))
        self.tables.append(amplitudes(reindexed(crystal, fit.basis)))

    def replace(self, number: int, fit: Match) -> None:
        crystal = self.members[number][0]
        self.members[number] = (crystal, fit)
        self.tables[number] = amplitudes(reindexed(crystal, fit.basis))

    def table(self, *, without: int | None = None) -> Table:
        """Return the mean |E| of the members."""
        used = [table for number, table in enumerate(self.tables) if number != without]
        return averaged(np.concatenate([one.hkl for one in used]), np.concatenate([one.value for one in used]))


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
    return "\n".join([*rows, "", *sets.notes])


@stage(name="combine crystals", summary=_summary)
def combine_crystals(crystals: tuple[Reflections, ...], workdir: Path) -> CombinedSets:
    """Sort the crystals of one series into forms and merge those of each form.

    The crystal with the most unique reflections seeds a cluster; the others join in the order of their correlation,
    in the indexing that agrees best with the merged members. What joins none seeds the next cluster.
    """
    reduced = [reduced_crystal(one) for one in crystals]
    order = np.argsort([-one.overall.unique for one in crystals], kind="stable")
    clusters = _clusters([reduced[index] for index in order])
    documents = {one.id: one for one in crystals}
    made = tuple(
        _document(f"cluster-{number:02d}", cluster, documents, workdir) for number, cluster in enumerate(clusters, 1)
    )
    notes = tuple(f"{one.id}: {', '.join(member.id for member in one.members)}" for one in made)
    for note in notes:
        log.info("%s", note)
    return CombinedSets(clusters=made, pairs=_pairs(reduced), notes=notes)


def _clusters(crystals: list[ReducedCrystal]) -> list[_Cluster]:
    """Return clusters, largest first; each member's indexing is settled against all others once more at the end."""
    clusters: list[_Cluster] = []
    left = list(crystals)
    while left:
        cluster = _Cluster(left.pop(0))
        while (best := _best_to_join(cluster, left)) is not None:
            crystal, fit = best
            cluster.add(crystal, fit)
            left = [one for one in left if one.id != crystal.id]
        _settle(cluster)
        clusters.append(cluster)
    return sorted(clusters, key=lambda one: -len(one.members))


def _best_to_join(cluster: _Cluster, left: list[ReducedCrystal]) -> tuple[ReducedCrystal, Match] | None:
    table = cluster.table()
    found: tuple[ReducedCrystal, Match] | None = None
    highest = SAME_FORM
    for crystal in left:
        fit = match_crystals(crystal, table, cluster.seed.cell)
        if fit is not None and fit.correlation is not None and fit.correlation > highest:
            found, highest = (crystal, fit), fit.correlation
    return found


def _settle(cluster: _Cluster) -> None:
    if len(cluster.members) == 1:
        return
    for number, (crystal, fit) in enumerate(cluster.members):
        again = match_crystals(crystal, cluster.table(without=number), cluster.seed.cell)
        if again is None or again.correlation is None:
            continue
        cluster.replace(number, again._replace(basis=fit.basis) if number == 0 else again)


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
        )
        for (crystal, fit), scale in zip(cluster.members, scales, strict=True)
    )
    first = documents[cluster.seed.id]
    if len(members) == 1:
        return CrystalCluster(id=name, unit_cell=first.unit_cell, members=members)
    folder = workdir / name
    folder.mkdir()
    merged = _merged(name, indexed, scales, documents, folder)
    return CrystalCluster(
        id=name, unit_cell=merged.unit_cell, members=members, merged=merged, growth=_growth(merged, len(members))
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
    data = Unmerged(
        hkl=np.concatenate([part.hkl for part in parts]),
        intensity=np.concatenate([part.intensity for part in parts]),
        sigma=np.concatenate([part.sigma for part in parts]),
        angle_deg=np.concatenate([part.angle_deg for part in parts]),
        crystal=np.concatenate([part.crystal for part in parts]),
    )
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
    return reflections_from_observations(name, data, cell, particulars, workdir=folder)


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


def _vectors(
    matrix: NDArray[np.float64],
) -> tuple[tuple[float, float, float], tuple[float, float, float], tuple[float, float, float]]:
    rows = [(float(a), float(b), float(c)) for a, b, c in matrix]
    return rows[0], rows[1], rows[2]
