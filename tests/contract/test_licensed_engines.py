"""XDS and SHELX engines against stand-ins that check their input and replay real output."""

import json
import re
import shutil
from pathlib import Path

import h5py
import numpy as np
import pytest

from adapters.formats.read_intensities import reflections_from_file
from adapters.formats.shelx_ins import read_shelx
from adapters.programs.shelx.refine_engine import ShelxlRefiner
from adapters.programs.shelx.solve_engine import ShelxdSolver, ShelxsSolver, ShelxtSolver
from adapters.programs.xds.engine import XdsIntegrator
from flows.policies import AllRefiners
from tasks.frames.models import FrameSeries
from tasks.integrate.models import Reflections
from tasks.model import (
    Composition,
    LicenceExpiredError,
    NoSolutionError,
    NotIndexedError,
    ProgramFailedError,
    ProgramNotFoundError,
    ProgramTimeoutError,
    UnitCell,
)
from tasks.model.verdict import UNTESTED
from tasks.solve.models import Atom, Solution


def new(folder: Path) -> Path:
    folder.mkdir()
    return folder


def test_xds_is_driven_in_stages_and_its_data_read(
    cinchonine_run: Path, fake, frames: FrameSeries, tmp_path: Path
) -> None:
    fake("fake_xds.py", ("xds",), cinchonine_run / "xds")
    found = XdsIntegrator(d_min_angstrom=1.0).integrate(frames, new(tmp_path / "work"))
    assert (found.laue_group, found.space_group) == ("P 1 2/m 1", "P 1 21 1")
    assert found.unit_cell == UnitCell(a=10.732, b=7.283, c=11.107, alpha=90, beta=108.06, gamma=90)
    assert found.unit_cell_esd == (0.22, 0.14, 0.22, 0.0, 0.12, 0.0)
    assert (found.spots, found.indexed_fraction) == (791, pytest.approx(403 / 791))
    assert not found.axis_test.reversed
    assert found.axis_test.indexed_fraction == (pytest.approx(403 / 791), pytest.approx(130 / 791))
    assert "clear" in found.axis_test.verdict
    assert found.overall.observations == 1958
    assert found.overall.cc_half > 0.98
    with h5py.File(found.pictures.path) as file:
        assert len(file["frame"]) == 2012
        assert file["px"][0].tolist() == pytest.approx([254.9 - 1, 239.0 - 1])
    assert found.provenance.parameters["isa"] == 7.86
    assert any("the first is kept" in attempt.outcome for attempt in found.provenance.attempts)
    assert "EXCLUDE_DATA_RANGE= 101 103" in (tmp_path / "work" / "XDS.INP").read_text()


def test_the_axis_turned_round_is_found(cinchonine_run: Path, fake, frames: FrameSeries, tmp_path: Path) -> None:
    fake("fake_xds.py", ("xds",), cinchonine_run / "xds")
    turned = frames.model_copy(update={"rotation_axis": (-0.7933, -0.6088, 0.0)})
    found = XdsIntegrator().integrate(turned, new(tmp_path / "work"))
    assert found.axis_test.reversed
    assert found.axis_test.axis == (0.7933, 0.6088, -0.0)


@pytest.mark.parametrize(
    ("mode", "kind", "words"),
    [
        ("expired", LicenceExpiredError, "EXPIRED"),
        ("silent", ProgramFailedError, "without XYCORR.LP"),
        ("killed", ProgramFailedError, "signal 9"),
        ("few", NotIndexedError, "16%"),
    ],
)
def test_what_goes_wrong_with_xds_has_a_type(
    cinchonine_run: Path, fake, frames: FrameSeries, tmp_path: Path, mode: str, kind: type[Exception], words: str
) -> None:
    fake("fake_xds.py", ("xds",), cinchonine_run / "xds", mode)
    with pytest.raises(kind, match=words):
        XdsIntegrator().integrate(frames, new(tmp_path / "work"))


def test_xds_that_hangs_is_stopped(cinchonine_run: Path, fake, frames: FrameSeries, tmp_path: Path) -> None:
    fake("fake_xds.py", ("xds",), cinchonine_run / "xds", "hang")
    with pytest.raises(ProgramTimeoutError, match="after 1 s"):
        XdsIntegrator(timeout_s=1).integrate(frames, new(tmp_path / "work"))


def test_missing_programs_say_what_to_install(
    shared_data: Path, frames: FrameSeries, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    with pytest.raises(ProgramNotFoundError, match=r"xds\.mr\.mpg\.de"):
        XdsIntegrator().integrate(frames, tmp_path)
    data, composition = tyrosine(shared_data, tmp_path)
    for solver in (ShelxtSolver(), ShelxsSolver(), ShelxdSolver()):
        with pytest.raises(ProgramNotFoundError, match="shelx"):
            solver.solve(data, composition, tmp_path / "x")


def tyrosine(shared_data: Path, folder: Path) -> tuple[Reflections, Composition]:
    cell = UnitCell(a=6.008, b=7.025, c=21.69, alpha=90, beta=90, gamma=90)
    data = reflections_from_file(shared_data / "tyrosine" / "2.hkl", cell=cell, energy_kev=200, workdir=folder)
    return data, Composition.parse("C9 H11 N O3")


def replay_of(folder: Path, files: dict[str, Path]) -> Path:
    folder.mkdir()
    for name, source in files.items():
        shutil.copyfile(source, folder / name)
    return folder


def test_shelxt_is_given_electron_factors_and_its_result_read(shared_data: Path, fake, tmp_path: Path) -> None:
    data, composition = tyrosine(shared_data, tmp_path)
    replay = replay_of(tmp_path / "replay", {"job_a.res": shared_data / "tyrosine" / "2.ins"})
    fake("fake_shelx.py", ("shelxt",), replay)
    found = ShelxtSolver().solve(data, composition, tmp_path / "work")
    assert found.best.space_group == "P 21 21 21"
    assert found.best.verdict == "solved"
    assert found.best.r1 < 0.2
    assert found.best.figures["r1_shelxt"] == 0.185
    assert sorted({atom.element for atom in found.best.atoms}) == ["C", "H", "N", "O"]
    assert all(atom.occupancy == pytest.approx(1.0) for atom in found.best.atoms)
    assert len(found.provenance.attempts) == 1


def test_a_wrong_structure_makes_shelxt_fall_back(shared_data: Path, fake, tmp_path: Path) -> None:
    data, composition = tyrosine(shared_data, tmp_path)
    lines = [
        line
        for line in (shared_data / "tyrosine" / "2.ins").read_text().splitlines()
        if not line.startswith(("O", "N", "C1 "))
    ]
    wrong = tmp_path / "wrong.res"
    wrong.write_text("\n".join(lines))
    fake("fake_shelx.py", ("shelxt",), replay_of(tmp_path / "replay", {"job_a.res": wrong}))
    found = ShelxtSolver().solve(data, composition, tmp_path / "work")
    assert found.verdict != "solved"
    assert [attempt.change for attempt in found.provenance.attempts] == ["defaults", "-y", "-m1000", "-a"]


@pytest.mark.parametrize(
    ("mode", "kind", "words"),
    [
        ("expired", LicenceExpiredError, "expired"),
        ("silent", ProgramFailedError, "without job.lxt"),
        ("unread", ProgramFailedError, "Cannot open file job.hkl"),
        ("killed", ProgramFailedError, "signal 9"),
        ("half", NoSolutionError, "found no structure"),
    ],
)
def test_what_goes_wrong_with_shelxt_has_a_type(
    shared_data: Path, fake, tmp_path: Path, mode: str, kind: type[Exception], words: str
) -> None:
    data, composition = tyrosine(shared_data, tmp_path)
    fake(
        "fake_shelx.py", ("shelxt",), replay_of(tmp_path / "r", {"job_a.res": shared_data / "tyrosine" / "2.ins"}), mode
    )
    with pytest.raises(kind, match=words):
        ShelxtSolver().solve(data, composition, tmp_path / "work")


CINCHONINE = UnitCell(a=10.732, b=7.283, c=11.107, alpha=90, beta=108.06, gamma=90)
CONTENTS = Composition.parse("C19 H22 N2 O")


@pytest.fixture
def cinchonine(cinchonine_run: Path, tmp_path: Path) -> Reflections:
    return reflections_from_file(
        cinchonine_run / "shelxl" / "shelxl.hkl", cell=CINCHONINE, energy_kev=200, workdir=tmp_path
    )


def published(cinchonine_run: Path) -> Solution:
    """Return the atoms of the published refinement, hydrogen apart."""
    atoms = tuple(
        Atom(label=atom.name, element=atom.element, position=atom.position)
        for atom in read_shelx(cinchonine_run / "shelxl" / "shelxl.res").atoms
    )
    return Solution(space_group="P 1 21 1", hall="P 2yb", unit_cell=CINCHONINE, atoms=atoms, r1=0.4, verdict="doubtful")


def shelxl_replay(cinchonine_run: Path, folder: Path) -> Path:
    return replay_of(
        folder, {f"job.{name}": cinchonine_run / "shelxl" / f"shelxl.{name}" for name in ("res", "lst", "cif", "fcf")}
    )


def test_shelxl_figures_are_those_of_its_listing(
    fake, cinchonine_run: Path, cinchonine: Reflections, tmp_path: Path
) -> None:
    fake("fake_shelx.py", ("shelxl",), shelxl_replay(cinchonine_run, tmp_path / "replay"))
    found = ShelxlRefiner().refine(cinchonine, published(cinchonine_run), CONTENTS, new(tmp_path / "work"))
    assert (found.r1, found.r1_all, found.wr2, found.goof) == (0.1765, 0.2113, 0.4429, 1.423)
    assert (found.reflections, found.reflections_observed, found.parameters, found.restraints) == (1285, 868, 89, 1)
    assert (found.density_max, found.density_min) == (0.18, -0.18)
    assert found.density_unit == "A/A^3"
    assert found.converged
    assert found.verdict == "solved"
    assert found.r1_free < 0.33
    assert found.recovery_angstrom < 0.25
    assert len(found.atoms) == 22
    assert all(0 < esd < 0.05 for atom in found.atoms for esd in (atom.position_esd or ())[:1])
    assert any(attempt.change == "ANIS" for attempt in found.provenance.attempts)


def test_a_model_whose_reflections_could_not_be_left_out_is_doubtful_at_most(
    fake, cinchonine_run: Path, cinchonine: Reflections, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def dies(*_: object, **__: object) -> None:
        raise ProgramFailedError("the cctbx worker ended with -6 and no reply")

    monkeypatch.setattr("adapters.cctbx.numerics.ask", dies)
    fake("fake_shelx.py", ("shelxl",), shelxl_replay(cinchonine_run, tmp_path / "replay"))
    found = ShelxlRefiner().refine(cinchonine, published(cinchonine_run), CONTENTS, new(tmp_path / "work"))
    assert found.verdict == "doubtful"
    assert found.reasons[0] == UNTESTED
    assert (found.r1, found.r1_free) == (0.1765, None)


def test_a_low_r1_in_a_listing_does_not_beat_a_model_that_predicts(
    fake, cinchonine_run: Path, cinchonine: Reflections, tmp_path: Path
) -> None:
    """SHELXL's listing states R1 0.1765 of atoms that lie anywhere."""
    replay = shelxl_replay(cinchonine_run, tmp_path / "replay")
    rng = np.random.default_rng(3)
    lines = (replay / "job.res").read_text(errors="replace").splitlines()
    atom = re.compile(r"^([CNO]\d+\w* +\d) +(-?\d+\.\d+) +(-?\d+\.\d+) +(-?\d+\.\d+)(.*)$")
    for number, line in enumerate(lines):
        if (found := atom.match(line)) is not None:
            place = "".join(f" {x:11.6f}" for x in rng.random(3))
            lines[number] = f"{found.group(1)} {place}{found.group(5)}"
    (replay / "job.res").write_text("\n".join(lines))
    fake("fake_shelx.py", ("shelxl",), replay)
    work = new(tmp_path / "work")
    best = AllRefiners().refine(cinchonine, published(cinchonine_run), CONTENTS, work)
    rows = {row["engine"]: row for row in json.loads((work / "consensus.json").read_text())}
    assert rows["shelxl"]["r1"] == 0.1765
    assert rows["shelxl"]["verdict"] == "not-solved"
    assert best.provenance.engine == "smtbx"
    assert best.verdict == rows["smtbx"]["verdict"] == "solved"
