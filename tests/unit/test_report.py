"""The report says what happened, completely and safely."""

import json
from pathlib import Path
from typing import Any

import pytest

from tasks.report.models import RunOutcome
from tasks.report.results import Results
from tasks.report.task import write_report
from tests.synthetic.outcomes import example_outcome

SCHEMA_1 = {
    "": {"schema", "status", "source", "provenance", "timings_s", "crystals", "merged"},
    "crystals": {"id", "status", "reason", "aperture", "frames", "integration", "solution", "refinement"},
    "merged": {"integration", "solution", "refinement", "members"},
    "aperture": {"positions_per_tilt", "masks"},
    "frames": {"count", "counts_total"},
    "integration": {
        "engine",
        "unit_cell",
        "space_group",
        "d_min_angstrom",
        "observations",
        "unique",
        "completeness",
        "multiplicity",
        "i_over_sigma",
        "r_meas",
        "r_pim",
        "cc_half",
        "hkl",
    },
    "solution": {"engine", "space_group", "trials", "figures"},
    "refinement": {"engine", "r1", "r1_all", "wr2", "goof", "reflections", "parameters", "cif"},
}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> tuple[RunOutcome, Path]:
    folder = tmp_path_factory.mktemp("run")
    return example_outcome(folder, tilts=5), folder


@pytest.fixture(scope="module")
def written(run: tuple[RunOutcome, Path]) -> dict[str, Any]:
    write_report(*run)
    return json.loads((run[1] / "results.json").read_text())


def test_results_hold_every_field_of_schema_1(written: dict[str, Any]) -> None:
    first = written["crystals"][0]
    parts = {"": written, "crystals": first, "merged": written["merged"]}
    parts |= {name: first[name] for name in ("aperture", "frames", "integration", "solution", "refinement")}
    for name, part in parts.items():
        assert SCHEMA_1[name] <= set(part), name
    assert written["schema"] == 1
    assert len(first["integration"]["unit_cell"]) == 6


def test_results_validate_against_their_own_schema(written: dict[str, Any]) -> None:
    assert Results.model_validate(written).model_dump(mode="json", by_alias=True) == written
    assert "schema" in Results.model_json_schema()["properties"]


def test_statuses_and_reasons_are_those_of_the_crystals(written: dict[str, Any]) -> None:
    assert written["status"] == "solved"
    statuses = [crystal["status"] for crystal in written["crystals"]]
    assert statuses == ["solved", "not-solved", "not-indexed", "rejected"]
    assert written["crystals"][0]["reason"] is None
    assert "ran away" in written["crystals"][1]["reason"]
    assert "no lattice" in written["crystals"][2]["reason"]


def test_paths_are_relative_and_lead_to_files(written: dict[str, Any], run: tuple[RunOutcome, Path]) -> None:
    first = written["crystals"][0]
    for path in (first["aperture"]["masks"], first["integration"]["hkl"], first["refinement"]["cif"]):
        assert not Path(path).is_absolute()
        assert (run[1] / path).is_file()


def test_numbers_agree_with_the_documents(written: dict[str, Any], run: tuple[RunOutcome, Path]) -> None:
    first, crystal = written["crystals"][0], run[0].crystals[0]
    assert crystal.refinement is not None
    assert first["refinement"]["r1"] == crystal.refinement.r1
    assert crystal.frames is not None
    assert first["frames"]["counts_total"] == sum(frame.counts for frame in crystal.frames.frames)
    assert written["provenance"]["seeds"]["crystal-01/solve"] == 11
