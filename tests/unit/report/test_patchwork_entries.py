"""How crystals were joined is told in results.json and in the report."""

from pathlib import Path

import pytest

from tasks.integrate.models import (
    ClusterGrowth,
    ClusterMember,
    CombinedSets,
    CrystalCluster,
    CrystalLeftOut,
    JoiningEvidence,
    NeighbourIndexing,
)
from tasks.report.models import RunOutcome
from tasks.report.results import results
from tasks.report.task import write_report
from tests.synthetic.outcomes import example_outcome


@pytest.fixture(scope="module")
def outcome(tmp_path_factory: pytest.TempPathFactory) -> RunOutcome:
    return example_outcome(tmp_path_factory.mktemp("run"), tilts=5)


def joined(outcome: RunOutcome) -> CombinedSets:
    """Two crystals joined, the second indexed by the first; a third left out."""
    data = outcome.crystals[0].reflections
    assert data is not None
    evidence = JoiningEvidence(
        correlation=0.31, without_noise=0.88, reflections=412, deviations=6.5, held_out=0.28, held_out_reflections=97,
        delta_cc_half=0.012,
    )  # fmt: skip
    lain = NeighbourIndexing(
        reference="crystal-01", start="crystal-01", turn_deg=2.5, spots=14, indexed=13, chance=1e-9
    )
    axes = ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0))
    plain = {"reindex": axes, "correlation": 0.31, "runner_up": None, "scale": 1.5, "b_angstrom2": 0.2}
    members = (
        ClusterMember(id="crystal-01", **plain),
        ClusterMember(id="crystal-02", **plain, joining=evidence, effect=evidence, neighbour=lain),
    )
    growth = tuple(
        ClusterGrowth(crystals=n, completeness=0.4 * n, multiplicity=2.0, cc_half=0.9, r_meas=0.2) for n in (1, 2)
    )
    cluster = CrystalCluster(
        id="cluster-01",
        unit_cell=data.unit_cell,
        members=members,
        merged=data,
        growth=growth,
        left_out=(CrystalLeftOut(id="crystal-03", reason="its intensities <do not> agree"),),
    )
    return CombinedSets(clusters=(cluster,))


def test_the_order_of_joining_the_effect_of_each_and_who_was_left_out_are_told(
    outcome: RunOutcome, tmp_path: Path
) -> None:
    told = outcome.model_copy(update={"combined": joined(outcome)})
    (entry,) = results(told, tmp_path)["patchwork"]
    assert [step["crystal"] for step in entry["joined"]] == ["crystal-01", "crystal-02"]
    assert [step["indexed"] for step in entry["joined"]] == ["alone", "by neighbour"]
    assert entry["joined"][1]["joining"]["delta_cc_half"] == 0.012
    assert [one["id"] for one in entry["left_out"]] == ["crystal-03"]
    write_report(told, tmp_path)
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "near crystal-01, turned by 2.5°: 13 of 14 reflections" in page
    assert "+0.012" in page
    assert "its intensities &lt;do not&gt; agree" in page


def test_without_merged_crystals_there_is_no_patchwork(outcome: RunOutcome, tmp_path: Path) -> None:
    assert results(outcome, tmp_path)["patchwork"] == []
