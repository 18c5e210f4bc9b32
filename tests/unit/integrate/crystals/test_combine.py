"""Crystals of one series sorted into forms and merged, with known intensities."""

import numpy as np
import pytest

from tasks.crystal.lattice_match import isometries
from tasks.integrate.crystals.combine import combine_crystals
from tasks.integrate.reflection_file import read_merged
from tasks.model import UnitCell
from tasks.model.provenance import Provenance
from tests.synthetic.crystal_forms import TETRAGONAL, TRICLINIC, Form, crystal


def correlation_with_truth(form, cluster):
    """Best over all indexings that the lattice allows: the truth's axes are as good as any other."""
    merged = read_merged(cluster.merged.merged)
    own = {tuple(h): i for h, i in zip(form.hkl.tolist(), form.true.tolist(), strict=True)}
    best = -1.0
    for basis in isometries(cluster.unit_cell, form.cell, length_tolerance=0.03, angle_tolerance_deg=3):
        found = [own.get(tuple(h)) for h in (merged.hkl @ basis).tolist()]
        good = np.array([value is not None for value in found])
        if good.mean() > 0.9:
            value = np.corrcoef(merged.intensity[good], np.array(found, dtype=float)[good])[0, 1]
            best = max(best, float(value))
    return best


def test_three_partial_triclinic_crystals_make_one_more_complete_set(tmp_path):
    form = Form(TRICLINIC, "P -1", 1)
    sets = (
        crystal("crystal-01", form, tmp_path, seed=1, normal=(1, 0, 0)),
        crystal("crystal-02", form, tmp_path, seed=2, normal=(0, 1, 0), basis=[[0, 0, 1], [1, 0, 0], [0, 1, 0]], b=2.0),
        crystal("crystal-03", form, tmp_path, seed=3, normal=(0, 1, 1), basis=[[1, 1, 0], [0, 1, 0], [0, 0, 1]],
                scale=7),
    )  # fmt: skip
    combined = combine_crystals(sets, tmp_path / "combined")
    assert [len(cluster.members) for cluster in combined.clusters] == [3]
    cluster = combined.clusters[0]
    assert cluster.merged.overall.completeness > max(one.overall.completeness for one in sets) + 0.15
    assert cluster.growth[-1].completeness == pytest.approx(cluster.merged.overall.completeness, abs=0.01)
    assert correlation_with_truth(form, cluster) > 0.95
    factors = {member.id: member.scale for member in cluster.members}
    assert factors["crystal-01"] / factors["crystal-03"] == pytest.approx(7.0, rel=0.1)
    fitted = {member.id: member.b_angstrom2 for member in cluster.members}
    assert fitted["crystal-02"] - fitted["crystal-01"] == pytest.approx(2.0, abs=0.4)
    told = {one.id: float((one.observations.intensity / one.observations.sigma) @ (one.observations.intensity
            / one.observations.sigma)) for one in sets}  # fmt: skip
    assert sum(told[name] * fitted[name] for name in fitted) == pytest.approx(0.0, abs=1e-6 * sum(told.values()))


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_the_indexing_ambiguity_of_a_tetragonal_lattice_is_resolved(tmp_path, seed):
    form = Form(TETRAGONAL, "P 4/m", seed)
    rng = np.random.default_rng(seed)
    swap = np.array([[0, 1, 0], [1, 0, 0], [0, 0, -1]])
    flips = [0, 1, *rng.integers(0, 2, 3)]
    sets = tuple(
        crystal(f"crystal-{n:02d}", form, tmp_path, seed=10 * seed + n, normal=rng.normal(size=3),
                basis=swap if flip else np.eye(3, dtype=int))
        for n, flip in enumerate(flips, 1)
    )  # fmt: skip
    combined = combine_crystals(sets, tmp_path / "combined")
    assert [len(cluster.members) for cluster in combined.clusters] == [5]
    cluster = combined.clusters[0]
    assert cluster.merged.laue_group == "P 4/m"
    assert correlation_with_truth(form, cluster) > 0.97
    for member in cluster.members:
        assert member.correlation > member.runner_up + 0.3


def test_forms_are_kept_apart_by_intensities_and_by_cells(tmp_path):
    one, twin_cell = Form(TRICLINIC, "P -1", 1), Form(TRICLINIC, "P -1", 2)
    other = Form(UnitCell.of((7.1, 8.3, 11.4, 82.0, 76.0, 68.0)), "P -1", 3)
    sets = (
        crystal("crystal-01", one, tmp_path, seed=1, normal=(1, 0, 0)),
        crystal("crystal-02", one, tmp_path, seed=2, normal=(0, 1, 0)),
        crystal("crystal-03", twin_cell, tmp_path, seed=3, normal=(0, 0, 1)),
        crystal("crystal-04", other, tmp_path, seed=4, normal=(0, 0, 1)),
    )
    combined = combine_crystals(sets, tmp_path / "combined")
    found = sorted(sorted(member.id for member in cluster.members) for cluster in combined.clusters)
    assert found == [["crystal-01", "crystal-02"], ["crystal-03"], ["crystal-04"]]
    assert combined.clusters[1].merged is None
    values = {frozenset(pair[:2]): pair[2] for pair in combined.pairs}
    assert values[frozenset({"crystal-01", "crystal-04"})] is None
    assert abs(values[frozenset({"crystal-01", "crystal-03"})]) < 0.35


def test_few_counts_are_kept_as_far_as_all_equivalents_together_say_something(tmp_path):
    form = Form(TETRAGONAL, "P 4/mmm", 4)
    normals = ((1, 0, 0), (0, 1, 1))
    sums = tuple(
        crystal(f"crystal-{n:02d}", form, tmp_path, seed=n, normal=normal, b=3.0, background=0.3)
        for n, normal in enumerate(normals, 1)
    )
    counts = Provenance(engine="test", version="1", parameters={"statistics": "counts"})
    counted = tuple(one.model_copy(update={"provenance": counts}) for one in sums)
    (nearer,), (farther,) = (
        combine_crystals(sets, tmp_path / name).clusters for name, sets in (("sums", sums), ("counts", counted))
    )
    assert nearer.merged.laue_group == farther.merged.laue_group == "P 4/m m m"
    assert farther.merged.d_min_angstrom < nearer.merged.d_min_angstrom - 0.1
    assert farther.merged.overall.i_over_sigma > 1.0
    assert correlation_with_truth(form, farther) > 0.9


def test_one_crystal_is_a_cluster_of_one(tmp_path):
    only = crystal("crystal-01", Form(TRICLINIC, "P -1", 1), tmp_path, seed=1, normal=(1, 0, 0))
    combined = combine_crystals((only,), tmp_path / "combined")
    assert [member.id for member in combined.clusters[0].members] == ["crystal-01"]
    assert combined.clusters[0].merged is None


def test_a_cubic_lattice_lies_on_itself_in_24_ways():
    cube = UnitCell.of((10, 10, 10, 90, 90, 90))
    assert len(isometries(cube, cube, length_tolerance=0.01, angle_tolerance_deg=1)) == 24
