"""DIALS sets up each of the 14 lattices, and ones that only look like them: the axes end as the conventional ones.

Spots are those that DIALS predicts for a crystal in its reduced primitive cell, a little off, as dials.index leaves
them. Its own programs run in one process, which keeps their start-up from being paid for each.
"""

import json
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import gemmi
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from adapters.programs.dials.integration import choose_bravais_setting, reindex_in_laue_group
from adapters.programs.dials.session import Session
from tasks.crystal.lattice import orthogonalisation, primitive_basis, reduced_basis, transformed_cell
from tasks.integrate import Unmerged, determine_laue_group
from tasks.model import UnitCell

WORKER = """
import importlib, json, os, random, sys
from dials.algorithms.spot_prediction import ScanStaticReflectionPredictor
from dials.array_family import flex
from dxtbx.model import (BeamFactory, Crystal, DetectorFactory, Experiment, ExperimentList, GoniometerFactory,
    ScanFactory)

def make(axes, name, d_min):
    beam = BeamFactory.make_beam(sample_to_source=(0, 0, 1), wavelength=0.0251)
    detector = DetectorFactory.simple("PAD", 500.0, (12.8, 12.8), "+x", "-y", (0.05, 0.05), (512, 512), (-1, 1e6))
    goniometer = GoniometerFactory.make_goniometer((0.8, 0.6, 0.0), (1, 0, 0, 0, 1, 0, 0, 0, 1))
    scan = ScanFactory.make_scan((1, 120), 0.1, (-60.0, 1.0), {i: i for i in range(120)}, deg=True)
    crystal = Crystal(*axes, space_group_symbol="P1")
    made = ExperimentList([Experiment(beam=beam, detector=detector, goniometer=goniometer, scan=scan, crystal=crystal)])
    spots = ScanStaticReflectionPredictor(made[0], dmin=d_min).for_ub(crystal.get_A())
    random.seed(1)
    spots["xyzobs.px.value"] = flex.vec3_double(
        [tuple(x + random.gauss(0, 0.1) for x in place) for place in spots["xyzcal.px"]])
    spots["xyzobs.px.variance"] = flex.vec3_double(len(spots), (0.01, 0.01, 0.01))
    spots["id"] = spots["imageset_id"] = flex.int(len(spots), 0)
    spots.centroid_px_to_mm(made)
    spots.map_centroids_to_reciprocal_space(made)
    spots.set_flags(flex.bool(len(spots), True), spots.flags.indexed)
    made.as_file(name + ".expt")
    spots.as_file(name + ".refl")

def look(experiments, reflections):
    crystal = ExperimentList.from_file(experiments, check_format=False)[0].crystal
    return {"a": crystal.get_A(), "hkl": list(flex.reflection_table.from_file(reflections)["miller_index"])}

def program(argv):
    # the spots are right to 0.1 px: one cycle of refinement does, in two thirds of the time
    argv += ["refinement.refinery.max_iterations=1"] if "bravais" in argv[0] else []
    importlib.import_module("dials.command_line." + argv[0].split(".")[1]).run(argv[1:])

answers = os.fdopen(os.dup(1), "w")
os.dup2(2, 1)
for line in sys.stdin:
    name, folder, arguments = json.loads(line)
    os.chdir(folder)
    try:
        answer = {"make": make, "look": look, "program": program}[name](*arguments)
    except (Exception, SystemExit) as error:
        answer = {"error": str(error)[-300:]}
    print(json.dumps(answer), file=answers, flush=True)
"""


SPOTS = 250
"""Of a crystal: the programs take time in proportion."""


class Case(NamedTuple):
    """A crystal: its conventional cell, centring and Laue group, and the lattice that DIALS is to see in it."""

    seen: str
    laue: str
    cell: tuple[float, float, float, float, float, float]


CASES = {
    "aP": Case("aP", "P -1", (7.1, 8.3, 9.6, 83, 77, 68)),
    "mP": Case("mP", "P 1 2/m 1", (9.4, 6.3, 7.2, 90, 103, 90)),
    "mC": Case("mC", "C 1 2/m 1", (13.1, 7.4, 8.6, 90, 98, 90)),
    "oP": Case("oP", "P m m m", (6.1, 8.3, 10.2, 90, 90, 90)),
    "oC": Case("oC", "C m m m", (8.3, 13.9, 7.1, 90, 90, 90)),
    "oF": Case("oF", "F m m m", (9.1, 14.2, 17.3, 90, 90, 90)),
    "oI": Case("oI", "I m m m", (7.2, 9.9, 13.1, 90, 90, 90)),
    "tP": Case("tP", "P 4/m", (9.2, 9.2, 6.1, 90, 90, 90)),
    "tI": Case("tI", "I 4/m m m", (8.2, 8.2, 14.1, 90, 90, 90)),
    "hR": Case("hR", "R -3 m", (9.1, 9.1, 22.0, 90, 90, 120)),
    "hP": Case("hP", "P 6/m", (10.1, 10.1, 6.4, 90, 90, 120)),
    "cP": Case("cP", "P m -3 m", (9.3, 9.3, 9.3, 90, 90, 90)),
    "cI": Case("cI", "I m -3", (11.2, 11.2, 11.2, 90, 90, 90)),
    "cF": Case("cF", "F m -3 m", (13.1, 13.1, 13.1, 90, 90, 90)),
    "mP that looks like oC": Case("oC", "P 1 2/m 1", (8.1, 6.3, 8.1, 90, 104, 90)),
    "aP that looks like mC": Case("mC", "P -1", (8.0, 8.0, 9.6, 78, 78, 69)),
    "mC that looks like oF": Case("oF", "C 1 2/m 1", (9.0, 16.0, 11.6619037897, 90, 112.69344979, 90)),
}


@dataclass
class WorkerSession(Session):
    """A session whose programs run in a process that is there already."""

    worker: "subprocess.Popen[str] | None" = field(default=None)

    def ask(self, name: str, *arguments: Any) -> Any:
        """Let the worker do one thing in the folder."""
        assert self.worker is not None
        assert self.worker.stdin is not None
        assert self.worker.stdout is not None
        self.worker.stdin.write(json.dumps([name, str(self.folder), arguments]) + "\n")
        self.worker.stdin.flush()
        return json.loads(self.worker.stdout.readline())

    def attempt(self, argv: Sequence[str], *, outputs: Sequence[str], log_name: str | None = None) -> str | None:
        """As `Session.attempt`."""
        answer = self.ask("program", list(argv))
        missing = [name for name in outputs if not (self.folder / name).is_file()]
        return answer["error"] if answer else f"without {missing[0]}" if missing else None

    def matrix_and_indices(self, experiments: str, reflections: str) -> tuple[np.ndarray, np.ndarray]:
        """Return A (3, 3) and hkl (n, 3) of a pair of files."""
        found = self.ask("look", experiments, reflections)
        return np.reshape(found["a"], (3, 3)), np.array(found["hkl"])


@pytest.fixture(scope="module")
def worker() -> Iterator["subprocess.Popen[str]"]:
    for name in ("dials.python", "/usr/bin/python3"):
        found = shutil.which(name)
        if found and subprocess.run([found, "-c", "import dials"], capture_output=True, check=False).returncode == 0:
            break
    else:
        pytest.skip("DIALS's Python is not installed")
    with subprocess.Popen(
        [found, "-c", WORKER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        yield process
        assert process.stdin is not None
        process.stdin.close()


def intensities(hkl: np.ndarray, laue: gemmi.SpaceGroup) -> np.ndarray:
    """Return random intensities (n,), equal for equivalents under a Laue group, of conventional indices (n, 3)."""
    asu, operations = gemmi.ReciprocalAsu(laue), laue.operations()
    unique = [tuple(asu.to_asu(row.tolist(), operations)[0]) for row in hkl]
    return np.array([np.random.default_rng([index + 500 for index in row]).exponential(1000.0) + 20 for row in unique])


@pytest.mark.needs_dials
@pytest.mark.parametrize("name", CASES)
def test_a_crystal_comes_out_in_its_conventional_axes(
    worker: "subprocess.Popen[str]", tmp_path: Path, name: str
) -> None:
    case = CASES[name]
    laue, cell = gemmi.SpaceGroup(case.laue), UnitCell.of(tuple(map(float, case.cell)))
    primitive = primitive_basis(laue.centring_type())
    given = primitive @ reduced_basis(transformed_cell(cell, primitive))
    turn = Rotation.random(rng=np.random.default_rng(3)).as_matrix()
    session = WorkerSession(tmp_path, 60.0, worker=worker)
    axes = turn @ orthogonalisation(cell) @ given
    session.ask("make", axes.T.tolist(), "indexed", float(np.cbrt(2.5 * np.linalg.det(axes) / SPOTS)))

    experiments, reflections = choose_bravais_setting(session, 1)

    a_given, hkl_given = session.matrix_and_indices("indexed.expt", "indexed.refl")
    a_set, hkl_set = session.matrix_and_indices(experiments, reflections)
    assert session.attempts[-1].change == f"lattice {case.seen}"
    np.testing.assert_allclose(hkl_set @ a_set.T, hkl_given @ a_given.T, atol=2e-3)

    shutil.copy(tmp_path / experiments, tmp_path / "integrated.expt")
    shutil.copy(tmp_path / reflections, tmp_path / "integrated.refl")
    truth = np.rint(hkl_given @ np.linalg.inv(given)).astype(np.int32)
    strength = intensities(truth, laue)
    count = np.zeros(len(truth))
    data = Unmerged(hkl_set.astype(np.int32), strength, 0.03 * strength + 1, count, count.astype(np.int32))
    rows = np.linalg.inv(a_set)
    lengths = np.linalg.norm(rows, axis=1)
    cosines = [rows[i] @ rows[j] / (lengths[i] * lengths[j]) for i, j in ((1, 2), (0, 2), (0, 1))]
    choice = determine_laue_group(data, UnitCell.of((*lengths.tolist(), *np.degrees(np.arccos(cosines)).tolist())))
    assert choice.laue.xhm() == laue.xhm()

    reindex_in_laue_group(session, choice.laue, choice.basis)

    a_new, hkl_new = session.matrix_and_indices("reindexed.expt", "reindexed.refl")
    np.testing.assert_allclose(hkl_new @ a_new.T, hkl_set @ a_set.T, atol=1e-9)
    assert np.any(hkl_new != 0, axis=1).all()
    lengths = np.linalg.norm(np.linalg.inv(a_new), axis=1)
    np.testing.assert_allclose(np.sort(lengths), np.sort(case.cell[:3]), rtol=3e-3)
