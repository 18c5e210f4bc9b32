"""The report says what happened, completely and safely."""

import base64
import io
import json
import re
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import matplotlib.image
import numpy as np
import pytest

from tasks.ingest.models import MaskedPart, Validity
from tasks.integrate.cell_scale import stated_scale, whole_esd, with_curvature
from tasks.integrate.models import CombinedSets, CrystalRelation
from tasks.model import Detector, FileRef, UnitCell
from tasks.refine.models import RefinedAtom
from tasks.report import tables, wording
from tasks.report.drawing import structure_svg
from tasks.report.masked import NEVER, SOMETIMES, VALID, masked_picture, masked_words, validity_entry
from tasks.report.models import CrystalOutcome, Failure, RunOutcome
from tasks.report.results import Results, results
from tasks.report.task import write_report
from tasks.report.wording import NO_BREAK, headline, with_esd
from tests.synthetic.outcomes import example_outcome
from tests.synthetic.structures import naphthalene

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
    assert statuses == ["solved", "not-solved", "not-indexed"]
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


@pytest.fixture(scope="module")
def page(written: dict[str, Any], run: tuple[RunOutcome, Path]) -> str:
    return (run[1] / "report.html").read_text()


def test_the_page_fetches_nothing(page: str) -> None:
    without_namespaces = re.sub(r'xmlns(:\w+)?="[^"]*"', "", page)
    assert not re.findall(r"https?://|//[a-z]+\.", without_namespaces)
    assert not re.findall(r'<(?:link|iframe|object|embed)\b|@import|url\(["\']?(?!#)', page)
    assert set(re.findall(r'\bsrc="([^"]{0,5})', page)) == {"data:"}
    assert "default-src 'none'" in page


def test_the_page_names_every_crystal_failure_and_advice(page: str, run: tuple[RunOutcome, Path]) -> None:
    for crystal in (*run[0].crystals, *run[0].merged_all):
        assert f'id="{crystal.id}"' in page
        if crystal.failure is not None:
            assert crystal.failure.message in page
            assert crystal.failure.advice in page
    assert run[0].source.lost[0].reason in page
    assert "never claimed" in page


def test_the_gain_of_the_chosen_positions_stands_beside_all_positions(page: str, written: dict[str, Any]) -> None:
    gain = written["crystals"][0]["aperture"]["gain"]
    assert gain["chosen"]["r1"] == 0.0312
    assert gain["all_positions"]["r1"] == 0.0745
    rows = re.findall(r"<tr><th>(?:CC½|R1 \[I &gt; 2σ\(I\)\])</th><td>([^<]*)</td><td>([^<]*)</td>", page)
    assert rows[:2] == [("0.9987", "0.9812"), ("0.0312", "0.0745")]


@pytest.mark.parametrize(
    ("cc_half", "r1", "better"),
    [(0.98, 0.07, "chosen"), (0.9995, 0.02, "all positions"), (0.98, 0.02, None), (0.9987, 0.0312, None)],
)
def test_the_better_positions_are_those_that_are_better_in_both(
    run: tuple[RunOutcome, Path], cc_half: float, r1: float, better: str | None
) -> None:
    gain = run[0].crystals[0].gain
    assert gain is not None
    assert gain.all_positions is not None
    other = gain.all_positions.model_copy(update={"cc_half": cc_half, "r1": r1})
    assert gain.model_copy(update={"all_positions": other}).better == better
    assert gain.model_copy(update={"all_positions": None}).better == "chosen"


def test_a_part_is_named_with_its_parent(run: tuple[RunOutcome, Path], tmp_path: Path) -> None:
    relation = CrystalRelation(crystal="crystal-02", parent="crystal-01", misorientation_deg=4.0, touching=1.0)
    combined = CombinedSets(clusters=(), relations=(relation,))
    found = results(run[0].model_copy(update={"combined": combined}), tmp_path)
    assert [one["aperture"]["part_of"] for one in found["crystals"][:2]] == [None, relation.model_dump()]


def test_links_of_the_page_lead_to_files(page: str, run: tuple[RunOutcome, Path]) -> None:
    links = [link for link in re.findall(r'<a href="([^"#][^"]*)"', page) if not link.startswith("#")]
    assert len(links) > 8
    for link in links:
        assert (run[1] / unquote(link)).is_file(), link


def test_ids_in_the_page_are_unique(page: str) -> None:
    ids = re.findall(r'\bid="([^"]+)"', page)
    assert len(ids) == len(set(ids))
    assert set(re.findall(r'(?:href="|url\()#([^")]+)', page)) <= set(ids)


HOSTILE = '<script>alert("x")</script><img src=x onerror=alert(1)>\' " & </title>'


def test_hostile_text_is_escaped_wherever_it_comes_from(run: tuple[RunOutcome, Path], tmp_path: Path) -> None:
    outcome, _ = run
    failure = Failure(stage=HOSTILE, code="S402", message=HOSTILE, advice=HOSTILE)
    model = outcome.crystals[0].refinement
    assert model is not None
    atoms = tuple(atom.model_copy(update={"label": HOSTILE}) for atom in model.atoms)
    refinement = model.model_copy(update={"atoms": atoms, "warnings": (HOSTILE,), "formula": HOSTILE})
    first = outcome.crystals[0].model_copy(update={"id": HOSTILE, "refinement": refinement, "failure": failure})
    source = outcome.source.model_copy(
        update={"sample": HOSTILE, "path": HOSTILE, "metadata": {HOSTILE: HOSTILE}, "composition": HOSTILE}
    )
    hostile = outcome.model_copy(
        update={
            "source": source,
            "crystals": (first,),
            "notes": (HOSTILE,),
            "settings_changed": {HOSTILE: HOSTILE},
            "versions": {HOSTILE: HOSTILE},
            "timings_s": {HOSTILE: 1.0},
        }
    )
    write_report(hostile, tmp_path)
    page = (tmp_path / "report.html").read_text()
    assert "<script>alert" not in page
    assert "<img src=x" not in page
    assert page.count("</title></head>") + page.count("</title>\n<style>") == 1
    assert json.loads((tmp_path / "results.json").read_text())["source"]["sample"] == HOSTILE


@pytest.mark.parametrize("missing", ["apertures", "merged", "crystals", "everything"])
def test_a_run_that_stopped_early_still_has_a_page(run: tuple[RunOutcome, Path], tmp_path: Path, missing: str) -> None:
    empty: dict[str, Any] = {"apertures": None, "merged": None, "crystals": ()}
    failure = Failure(stage="apertures", code="S401", message="no position diffracts", advice="look at the dose")
    gone = empty if missing == "everything" else {missing: empty[missing]}
    few = {"crystals": run[0].crystals[2:], **gone}
    outcome = run[0].model_copy(update={**few, "failure": failure})
    write_report(outcome, tmp_path)
    page = (tmp_path / "report.html").read_text()
    assert "no position diffracts" in page
    assert "look at the dose" in page
    if missing == "everything":
        assert outcome.status == "no-crystals"
        assert "was not solved" in page


def test_intensities_alone_make_a_page_with_their_structure(run: tuple[RunOutcome, Path], tmp_path: Path) -> None:
    first = run[0].crystals[0].model_copy(update={"aperture": None, "frames": None})
    source = run[0].source.model_copy(
        update={"kind": "intensities", "tilt_deg": (), "energy_kev": None, "counts_total": None, "lost": ()}
    )
    outcome = run[0].model_copy(
        update={"source": source, "crystals": (first,), "merged": None, "apertures": None, "timings_s": {}, "notes": ()}
    )
    write_report(outcome, tmp_path)
    page = (tmp_path / "report.html").read_text()
    assert "UiO-66 is solved; F m -3 m" in page
    assert "Goodness of fit" in page
    assert "What did not work" not in page
    assert "Real space" not in page


def test_a_doubtful_model_is_not_called_solved(run: tuple[RunOutcome, Path]) -> None:
    first = run[0].crystals[0]
    assert first.refinement is not None
    doubtful = first.model_copy(update={"refinement": first.refinement.model_copy(update={"verdict": "doubtful"})})
    outcome = run[0].model_copy(update={"crystals": (doubtful,), "merged": None})
    assert headline(outcome) == (
        "UiO-66 is not solved. 1 of 1 crystal gave intensities. "
        f"The best model, R1 = 11.8{NO_BREAK}% in F m -3 m, is doubtful."
    )
    assert outcome.status == "not-solved"


def test_reports_of_equal_outcomes_are_equal(run: tuple[RunOutcome, Path], written: dict[str, Any]) -> None:
    first = (run[1] / "report.html").read_bytes()
    write_report(*run)
    assert (run[1] / "report.html").read_bytes() == first


@pytest.mark.parametrize(
    ("value", "esd", "text"),
    [(20.70042, 0.0037, "20.700(4)"), (90.0, None, "90"), (5.5, 0.0012, "5.5000(12)"), (108.1234, 0.02, "108.12(2)")],
)
def test_a_standard_uncertainty_stands_in_the_last_digits(value: float, esd: float | None, text: str) -> None:
    assert with_esd(value, esd) == text


def test_a_molecule_is_drawn_whole_and_a_framework_as_its_cell(run: tuple[RunOutcome, Path]) -> None:
    model = run[0].crystals[0].refinement
    assert model is not None
    ring = naphthalene()
    molecule = model.model_copy(
        update={
            "hall": ring.hall,
            "unit_cell": ring.cell,
            "atoms": tuple(
                RefinedAtom(label=atom.label, element=atom.element, position=atom.position, u_iso_angstrom2=0.03)
                for atom in ring.atoms
            ),
        }
    )
    drawing = structure_svg(molecule)
    assert drawing.count("<circle") == 10
    assert drawing.count('class="bond"') == 11
    assert 'class="cell"' not in drawing
    cell = structure_svg(model)
    assert cell.count('class="cell"') == 12
    assert cell.count("<circle") > 424


def test_what_of_the_detector_was_not_used_is_told_in_numbers_words_and_a_picture(
    run: tuple[RunOutcome, Path], tmp_path: Path
) -> None:
    masks = np.ones((2, 40, 30), dtype=bool)
    masks[:, 3] = False
    masks[1, 10:20] = False
    np.savez_compressed(tmp_path / "masks.npz", valid=np.packbits(masks, axis=-1), columns=np.array(30))
    outcome = run[0]
    number = len(outcome.source.tilt_deg)
    share = 1.0 - masks.mean(axis=(1, 2))
    of_scan = tuple(int(scan == 1) for scan in range(number))
    validity = Validity(
        shape_px=(40, 30),
        masks=FileRef.of(tmp_path / "masks.npz"),
        mask_of_scan=of_scan,
        share_masked=tuple(float(share[which]) for which in of_scan),
        parts=(
            MaskedPart(kind="stated", origin="manifest", rectangle_px=(3, 0, 3, 29), pixels=30),
            MaskedPart(kind="sector", origin="data", rectangle_px=(10, 0, 19, 29), pixels=300, scans=(1,)),
        ),
    )
    told = outcome.model_copy(update={"validity": validity})
    entry = results(told, tmp_path)["validity"]
    assert entry["share_masked"] == pytest.approx([30 / 1200, 330 / 1200])
    assert [part["kind"] for part in entry["parts"]] == ["stated", "sector"]
    assert entry["parts"][1]["tilt_deg"] == [outcome.source.tilt_deg[1]]
    assert entry["parts"][0]["tilts"] == number
    words = " ".join(masked_words(validity_entry(told)))
    assert "2.50% to 27.50%, tilt by tilt, of the detector was not used." in words
    assert "Sector: 300 pixels within rows 10 to 19, columns 0 to 29, at 1 tilts" in words
    picture = matplotlib.image.imread(
        io.BytesIO(base64.b64decode(masked_picture(told).partition(",")[2])), format="png"
    )
    shown = (picture[..., :3] * 255).round().astype(int)
    assert (shown[3] == NEVER).all()
    assert (shown[10:20] == SOMETIMES).all()
    assert (shown[20:] == VALID).all()


def test_a_detector_without_faults_is_said_to_be_whole(run: tuple[RunOutcome, Path]) -> None:
    assert masked_picture(run[0]) is None
    assert masked_words(validity_entry(run[0])) == ("All pixels of the detector were used.",)


def test_the_first_line_qualifies_a_cell_whose_scale_is_doubted(run: tuple[RunOutcome, Path]) -> None:
    outcome, _ = run
    text = "all lengths are 1.033(8) times too long by the bonds"

    def doubted(crystal: CrystalOutcome) -> CrystalOutcome:
        model = crystal.refinement
        return crystal if model is None else crystal.model_copy(
            update={"refinement": model.model_copy(update={"scale_doubt": text})}
        )  # fmt: skip

    changed = outcome.model_copy(
        update={
            "crystals": tuple(map(doubted, outcome.crystals)),
            "merged": None if outcome.merged is None else doubted(outcome.merged),
        }
    )
    assert text not in headline(outcome)
    assert headline(changed).endswith(f"; but {text}.")


def test_the_first_line_and_the_table_say_what_of_a_length_is_scale() -> None:
    cell = UnitCell.of((20.7012, 20.7012, 20.7012, 90, 90, 90))
    own = (0.0007, 0.0007, 0.0007, 0.0, 0.0, 0.0)
    detector = Detector(name="d", shape_px=(64, 64), pixel_size_mm=0.01, camera_length_mm=110.0)
    scale = with_curvature(stated_scale(detector), 0.97, 0.01)
    assert wording.cell_text(cell, whole_esd(cell, own, scale)) == "a = 20.7(2) Å"
    rows = dict(tables.scale_rows(cell, own, scale))
    assert rows["of which scale, common to all"] == "camera length 110 mm ± 0.01 of itself (assumed, none was stated)"
    assert rows["relative to each other"].startswith("20.7012(7)")
    assert rows["camera length by the curvature of the Ewald sphere"] == "106.7(11) mm"
    assert tables.scale_rows(cell, own, None) == ()


def test_alerts_stand_in_the_results_and_in_the_page_the_worst_first(written: dict[str, Any], page: str) -> None:
    alerts = written["crystals"][0]["refinement"]["alerts"]
    assert [(alert["level"], alert["code"]) for alert in alerts] == [("A", "ADP01"), ("C", "FIT01")]
    assert (alerts[1]["value"], alerts[1]["limit"]) == (0.118, 0.1)
    assert "Validation alerts: 1 A, 1 C" in page
    rows = re.findall(r"<tr><td>([ABC])</td><td>(\w+)</td><td>([^<]*)</td><td>([^<]*)</td></tr>", page)
    assert rows[0][:2] == ("A", "ADP01")
    assert rows[0][3].startswith("Check the element and the site")
    assert rows[1][3] == "Electrons are scattered more than once."
