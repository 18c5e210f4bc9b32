"""Every way in which a licensed program can go wrong, for every program: a typed error or, if usable, its result."""

import shutil
from collections.abc import Callable
from pathlib import Path

import gemmi
import numpy as np
import pytest

from adapters.formats.read_intensities import reflections_from_file
from adapters.formats.shelx_ins import read_shelx
from adapters.programs.shelx.refine_engine import ShelxlRefiner
from adapters.programs.shelx.solve_engine import ShelxdSolver, ShelxsSolver, ShelxtSolver
from adapters.programs.xds.engine import XdsIntegrator
from tasks.crystal.scattering import structure_factors
from tasks.frames.models import FrameSeries
from tasks.integrate.hklf4 import hklf4_text
from tasks.integrate.models import Reflections
from tasks.model import (
    ApertureError,
    Composition,
    LicenceExpiredError,
    NoSolutionError,
    ProgramFailedError,
    ProgramNotFoundError,
    ProgramTimeoutError,
    UnitCell,
)
from tasks.solve.models import Atom, Solution, Solutions

ROOT = Path(__file__).resolve().parents[2]
GOLDEN = ROOT / "tests" / "golden"

FORMULA = Composition.parse("C H4 N2 S")
CELL = UnitCell(a=5.5, b=8.5, c=7.6, alpha=90, beta=98, gamma=90)
GROUP = "P 1 21/c 1"
SOLVERS = {"shelxt": ShelxtSolver, "shelxs": ShelxsSolver, "shelxd": ShelxdSolver}


@pytest.fixture
def small(tmp_path: Path) -> Reflections:
    """Return exact electron intensities of the golden molecule, in its space group."""
    atoms = read_shelx(GOLDEN / "synthetic-shelxd" / "job.res").atoms
    group = gemmi.SpaceGroup(GROUP)
    hkl = np.array(gemmi.make_miller_array(CELL.gemmi(), group, 0.8), dtype=np.int32)
    factors = structure_factors(
        hkl,
        CELL,
        group.operations(),
        elements=[atom.element for atom in atoms],
        positions=np.array([atom.position for atom in atoms]),
        u_iso_angstrom2=np.full(len(atoms), 0.03),
        occupancies=np.ones(len(atoms)),
        radiation="electron",
    )
    intensity = np.abs(factors) ** 2
    path = tmp_path / "small.hkl"
    path.write_text(hklf4_text(hkl, intensity, 0.02 * intensity + 0.01 * intensity.mean()))
    (tmp_path / "data").mkdir()
    return reflections_from_file(path, cell=CELL, space_group=GROUP, energy_kev=200, workdir=tmp_path / "data")


def replay_for(program: str, folder: Path) -> Path:
    """Return the synthetic files that a program is to replay."""
    if program == "shelxt":
        folder.mkdir()
        shutil.copyfile(GOLDEN / "synthetic-shelxd" / "job.res", folder / "job_a.res")
        return folder
    return GOLDEN / f"synthetic-{program}"


@pytest.mark.parametrize("program", ["shelxs", "shelxd"])
def test_what_shelxs_and_shelxd_find_becomes_a_structure(
    fake: Callable[..., None], small: Reflections, tmp_path: Path, program: str
) -> None:
    """SHELXS names the sulphur only: its highest peaks are the light atoms, the two spurious ones are not."""
    fake("fake_shelx.py", (program,), replay_for(program, tmp_path / "replay"))
    found: Solutions = SOLVERS[program]().solve(small, FORMULA, tmp_path / "work")
    assert found.provenance.engine == program
    assert found.best.space_group == GROUP
    assert found.verdict == "solved"
    assert found.best.r1 < 0.15
    assert len(found.best.atoms) == 4
    sulphur = next(atom for atom in found.best.atoms if atom.element == "S")
    assert sulphur.position == pytest.approx((0.428, -0.0159, 0.2388))
    assert all(atom.occupancy == pytest.approx(1.0) for atom in found.best.atoms)


def test_shelxd_gets_more_starts_when_none_is_good(
    fake: Callable[..., None], small: Reflections, tmp_path: Path
) -> None:
    replay = tmp_path / "replay"
    replay.mkdir()
    text = (GOLDEN / "synthetic-shelxd" / "job.res").read_text()
    (replay / "job.res").write_text(text.replace("0.4280   -0.0159", "0.8280    0.2159"))
    (replay / "job.lst").write_text("synthetic\n")
    fake("fake_shelx.py", ("shelxd",), replay)
    found = ShelxdSolver(tries=50).solve(small, FORMULA, tmp_path / "work")
    assert found.verdict != "solved"
    assert [attempt.reason for attempt in found.provenance.attempts] == ["50 random starts", "500 random starts"]


BAD = [
    ("expired", LicenceExpiredError, "expired"),
    ("silent", ProgramFailedError, "without job|without a result"),
    ("unread", ProgramFailedError, "Cannot open file job.hkl"),
    ("killed", ProgramFailedError, "signal 9"),
    ("hang", ProgramTimeoutError, "stopped after 1 s"),
]
"""For every SHELX program."""


@pytest.mark.parametrize("program", sorted(SOLVERS))
@pytest.mark.parametrize(
    ("mode", "kind", "words"),
    [*BAD, ("half", NoSolutionError, "found no structure"), ("commas", NoSolutionError, "found no structure")],
)
def test_what_goes_wrong_with_a_solver_has_a_type(
    fake: Callable[..., None],
    small: Reflections,
    tmp_path: Path,
    *,
    program: str,
    mode: str,
    kind: type[ApertureError],
    words: str,
) -> None:
    fake("fake_shelx.py", (program,), replay_for(program, tmp_path / "replay"), mode)
    with pytest.raises(kind, match=words):
        SOLVERS[program](timeout_s=1 if mode == "hang" else 60).solve(small, FORMULA, tmp_path / "work")


@pytest.mark.parametrize("program", sorted(SOLVERS))
@pytest.mark.parametrize("mode", ["complains", "locale"])
def test_good_output_counts_whatever_the_exit_code_and_the_users_locale(
    fake: Callable[..., None],
    small: Reflections,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    *,
    program: str,
    mode: str,
) -> None:
    monkeypatch.setenv("LC_ALL", "de_DE.UTF-8")
    fake("fake_shelx.py", (program,), replay_for(program, tmp_path / "replay"), mode)
    found = SOLVERS[program]().solve(small, FORMULA, tmp_path / "work")
    assert found.verdict == "solved"


def test_a_program_of_shelx_that_is_absent_says_how_to_get_it(
    small: Reflections, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    for solver in SOLVERS.values():
        with pytest.raises(ProgramNotFoundError, match=r"shelx\.uni-goettingen\.de"):
            solver().solve(small, FORMULA, tmp_path / "x")
    with pytest.raises(ProgramNotFoundError, match=r"shelx\.uni-goettingen\.de"):
        ShelxlRefiner().refine(small, model_of(small), FORMULA, tmp_path / "x")


def model_of(data: Reflections) -> Solution:
    """Return a model of one atom: what is replayed decides the result."""
    atoms = (Atom(label="C1", element="C", position=(0.1, 0.2, 0.3)),)
    return Solution(
        space_group=data.space_group,
        hall=data.candidates[0].hall,
        unit_cell=data.unit_cell,
        atoms=atoms,
        r1=0.4,
        verdict="doubtful",
    )


@pytest.fixture
def cinchonine(cinchonine_run: Path, tmp_path: Path) -> Reflections:
    cell = UnitCell(a=10.732, b=7.283, c=11.107, alpha=90, beta=108.06, gamma=90)
    (tmp_path / "cinchonine").mkdir()
    return reflections_from_file(
        cinchonine_run / "shelxl" / "shelxl.hkl",
        cell=cell,
        space_group="P 21",
        energy_kev=200,
        workdir=tmp_path / "cinchonine",
    )


@pytest.fixture
def shelxl_replay(cinchonine_run: Path, tmp_path: Path) -> Path:
    """Return the files of the real run that SHELXL is to replay."""
    folder = tmp_path / "replay"
    folder.mkdir()
    for name in ("res", "lst", "cif", "fcf"):
        shutil.copyfile(cinchonine_run / "shelxl" / f"shelxl.{name}", folder / f"job.{name}")
    return folder


class TestShelxl:
    """The same for SHELXL, which replays the real run of cinchonine."""

    @pytest.mark.parametrize(
        ("mode", "kind", "words"),
        [*BAD, ("half", ProgramFailedError, "did not finish"), ("commas", ProgramFailedError, "did not finish")],
    )
    def test_what_goes_wrong_has_a_type(
        self,
        fake: Callable[..., None],
        shelxl_replay: Path,
        cinchonine: Reflections,
        tmp_path: Path,
        *,
        mode: str,
        kind: type[ApertureError],
        words: str,
    ) -> None:
        fake("fake_shelx.py", ("shelxl",), shelxl_replay, mode)
        engine = ShelxlRefiner(timeout_s=1 if mode == "hang" else 60)
        with pytest.raises(kind, match=words):
            engine.refine(cinchonine, model_of(cinchonine), Composition.parse("C19 H22 N2 O"), fresh(tmp_path / "work"))

    @pytest.mark.parametrize("mode", ["complains", "locale"])
    def test_good_output_counts(
        self,
        fake: Callable[..., None],
        shelxl_replay: Path,
        cinchonine: Reflections,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        mode: str,
    ) -> None:
        monkeypatch.setenv("LC_ALL", "de_DE.UTF-8")
        fake("fake_shelx.py", ("shelxl",), shelxl_replay, mode)
        found = ShelxlRefiner().refine(
            cinchonine, model_of(cinchonine), Composition.parse("C19 H22 N2 O"), fresh(tmp_path / "work")
        )
        assert found.r1 == 0.1765

    @pytest.mark.parametrize("name", ["res", "cif"])
    def test_one_cut_file_is_a_failure_of_the_program(
        self, fake: Callable[..., None], shelxl_replay: Path, cinchonine: Reflections, tmp_path: Path, name: str
    ) -> None:
        path = shelxl_replay / f"job.{name}"
        path.write_text({"res": "TITL x\nCELL 0.02 10 1", "cif": "data_x\nloop_\n_a\n_b\n1 2 3\n"}[name])
        fake("fake_shelx.py", ("shelxl",), shelxl_replay)
        with pytest.raises(ProgramFailedError, match=r"whole result|job\.cif"):
            ShelxlRefiner().refine(
                cinchonine, model_of(cinchonine), Composition.parse("C19 H22 N2 O"), fresh(tmp_path / "work")
            )

    def test_hydrogen_is_placed_by_geometry(
        self, fake: Callable[..., None], shelxl_replay: Path, cinchonine: Reflections, tmp_path: Path
    ) -> None:
        fake("fake_shelx.py", ("shelxl",), shelxl_replay)
        found = ShelxlRefiner().refine(
            cinchonine, model_of(cinchonine), Composition.parse("C19 H22 N2 O"), fresh(tmp_path / "work")
        )
        attempt = next(attempt for attempt in found.provenance.attempts if attempt.change.endswith("of hydrogen"))
        assert int(attempt.change.split()[0]) >= 10


def fresh(folder: Path) -> Path:
    folder.mkdir()
    return folder


class TestXds:
    """XDS, which replays the real run of cinchonine."""

    @pytest.mark.parametrize(
        ("mode", "kind", "words"),
        [
            ("half", ProgramFailedError, r"CORRECT\.LP"),
            ("nodata", ProgramFailedError, r"without XDS_ASCII\.HKL"),
            ("cut", ProgramFailedError, "cut off|has not"),
        ],
    )
    def test_half_written_files_are_failures_of_the_program(
        self,
        cinchonine_run: Path,
        fake: Callable[..., None],
        frames: FrameSeries,
        tmp_path: Path,
        *,
        mode: str,
        kind: type[ApertureError],
        words: str,
    ) -> None:
        fake("fake_xds.py", ("xds",), cinchonine_run / "xds", mode)
        with pytest.raises(kind, match=words):
            XdsIntegrator().integrate(frames, fresh(tmp_path / "work"))

    @pytest.mark.parametrize("mode", ["complains", "locale", "second"])
    def test_good_output_counts_and_a_failed_second_pass_leaves_the_first(
        self,
        cinchonine_run: Path,
        fake: Callable[..., None],
        frames: FrameSeries,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        mode: str,
    ) -> None:
        monkeypatch.setenv("LC_ALL", "de_DE.UTF-8")
        fake("fake_xds.py", ("xds",), cinchonine_run / "xds", mode)
        found = XdsIntegrator(d_min_angstrom=1.0).integrate(frames, fresh(tmp_path / "work"))
        assert found.overall.observations == 1958
        second = found.provenance.attempts[-1]
        assert second.change == "second pass"
        assert ("failed" in second.outcome) == (mode == "second")
