"""The command line from outside: exit codes, messages, no traceback for a user's mistake."""

import json
import os
import subprocess
import sys
from pathlib import Path

import h5py
import pytest

from tests.synthetic.arriving_series import MANIFEST as ARRIVING

ROOT = Path(__file__).resolve().parents[2]

MANIFEST = {**ARRIVING, "sample": "nothing", "scans": [{"file": "a.h5", "tilt_deg": 0.0, "bytes": 10}]}


def apertura(*arguments: str, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    clean = {name: value for name, value in os.environ.items() if name != "PREFECT_API_URL"}
    return subprocess.run(
        [sys.executable, "-m", "flows.cli", *arguments],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
        cwd=ROOT,
        env={**clean, "PYTHONPATH": str(ROOT), **(env or {})},
    )


def source(folder: Path, **changes: object) -> Path:
    folder.mkdir()
    (folder / "tilt_series.json").write_text(json.dumps({**MANIFEST, **changes}))
    return folder


def test_a_source_that_is_not_there_is_exit_3_and_named(tmp_path: Path) -> None:
    done = apertura("run", str(tmp_path / "absent"), "--out", str(tmp_path / "out"))
    assert done.returncode == 3
    assert "absent" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "out").exists()


def test_an_unknown_manifest_field_is_exit_3_and_named(tmp_path: Path) -> None:
    done = apertura("run", str(source(tmp_path / "s", colour="red")), "--out", str(tmp_path / "out"))
    assert done.returncode == 3
    assert "colour" in done.stderr
    assert "Traceback" not in done.stderr


def test_too_few_usable_tilts_is_exit_3_and_names_the_files(tmp_path: Path) -> None:
    done = apertura("run", str(source(tmp_path / "s")), "--out", str(tmp_path / "out"))
    assert done.returncode == 3
    assert "a.h5" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_dose_without_the_order_is_exit_3_and_named(tmp_path: Path) -> None:
    scans = [{"file": "a.h5", "tilt_deg": 0.0, "bytes": 10, "dose_e_per_A2": 1.5}]
    done = apertura("run", str(source(tmp_path / "s", scans=scans)), "--out", str(tmp_path / "out"))
    assert done.returncode == 3
    assert "dose_e_per_A2 of a.h5: needs the order of all scans" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("assignment", ["integrate.engine=magic", "nonsense=1", "workers=many"])
def test_a_wrong_setting_is_exit_2(tmp_path: Path, assignment: str) -> None:
    done = apertura("run", str(tmp_path), "--out", str(tmp_path / "out"), "--set", assignment)
    assert done.returncode == 2
    assert assignment.split("=", maxsplit=1)[0] in done.stderr
    assert "Traceback" not in done.stderr


def test_a_missing_option_is_exit_2(tmp_path: Path) -> None:
    assert apertura("run", str(tmp_path)).returncode == 2


def test_a_missing_program_is_exit_4_with_what_to_install(tmp_path: Path) -> None:
    hkl = tmp_path / "a.hkl"
    hkl.write_text(
        "".join(
            f"{h:4d}{k:4d}{l:4d}{100.0 + h + k:8.2f}{1.0:8.2f}\n"
            for h in range(4)
            for k in range(4)
            for l in range(1, 4)
        )
    )
    arguments = [
        "solve",
        str(hkl),
        "--cell",
        "5,6,7,90,90,90",
        "--composition",
        "C6 H6",
        "--out",
        str(tmp_path / "out"),
    ]
    done = apertura(*arguments, "--set", "solve.engine=shelxt", env={"PATH": str(Path(sys.executable).parent)})
    assert done.returncode == 4, done.stderr
    assert "shelx" in done.stderr.lower()
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("cell", ["1,2,3", "a,b,c,d,e,f", "5,6,7,90,90,200", "5,6,7,10,10,170"])
def test_a_cell_that_is_none_is_exit_2(tmp_path: Path, cell: str) -> None:
    hkl = tmp_path / "a.hkl"
    hkl.write_text("   1   0   0  100.00    1.00\n")
    done = apertura("solve", str(hkl), "--cell", cell, "--composition", "C", "--out", str(tmp_path / "out"))
    assert done.returncode == 2
    assert "--cell" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_schema_is_json_and_doctor_answers_as_json() -> None:
    assert "properties" in json.loads(apertura("schema").stdout)
    findings = json.loads(apertura("doctor", "--json").stdout)
    assert {"gemmi", "DIALS", "XDS", "SHELXT"} <= {finding["name"] for finding in findings["findings"]}


def test_a_server_that_does_not_answer_is_exit_4() -> None:
    done = apertura("status", env={"PREFECT_API_URL": "http://127.0.0.1:9/api"})
    assert done.returncode == 4
    assert "Traceback" not in done.stderr


def test_simulate_writes_into_no_folder_that_holds_something(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.tex").write_text("years of work")
    cif = tmp_path / "a.cif"
    cif.write_text("data_a\n_cell_length_a 5\n")
    done = apertura("simulate", str(cif), "--out", str(tmp_path / "out"))
    assert done.returncode in {2, 3}
    assert "Traceback" not in done.stderr
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["thesis.tex"]


ROCK_SALT = """data_salt
_cell_length_a 5.64
_cell_length_b 5.64
_cell_length_c 5.64
_cell_angle_alpha 90
_cell_angle_beta 90
_cell_angle_gamma 90
_space_group_name_H-M_alt 'F m -3 m'
loop_
_atom_site_label
_atom_site_type_symbol
_atom_site_fract_x
_atom_site_fract_y
_atom_site_fract_z
Na1 Na 0 0 0
Cl1 Cl 0.5 0.5 0.5
"""


def test_simulate_writes_the_asked_number_of_crystals_and_tilts(tmp_path: Path) -> None:
    cif, out = tmp_path / "salt.cif", tmp_path / "series"
    cif.write_text(ROCK_SALT)
    small = ["instrument.shape_px=[64,64]", "instrument.scan_shape=[16,16]", "tilts.step_deg=30"]
    assignments = [part for assignment in small for part in ("--set", assignment)]
    done = apertura("simulate", str(cif), "--out", str(out), "--seed", "5", "--crystals", "2", *assignments)
    assert done.returncode == 0, done.stderr
    manifest = json.loads((out / "tilt_series.json").read_text())
    assert [scan["tilt_deg"] for scan in manifest["scans"]] == [-60, -30, 0, 30, 60]
    with h5py.File(next((out / "truth").glob("*.h5"))) as truth:
        assert truth["thickness_nm"].shape[-1] == 2


def test_simulate_takes_a_named_instrument_and_refuses_another(tmp_path: Path) -> None:
    cif, out = tmp_path / "salt.cif", tmp_path / "series"
    cif.write_text(ROCK_SALT)
    small = ["instrument.shape_px=[64,64]", "instrument.scan_shape=[8,8]", "tilts.step_deg=30"]
    assignments = [part for assignment in small for part in ("--set", assignment)]
    done = apertura("simulate", str(cif), "--out", str(out), "--instrument", "4d-camera", *assignments)
    assert done.returncode == 0, done.stderr
    detector = json.loads((out / "tilt_series.json").read_text())["detector"]
    assert detector["counting"] == {"method": "local-maxima-3x3", "frames_per_position": 1}
    refused = apertura("simulate", str(cif), "--out", str(tmp_path / "other"), "--instrument", "5d-camera")
    assert refused.returncode == 2
    assert "4d-camera" in refused.stderr


def test_simulate_names_the_field_that_it_refuses(tmp_path: Path) -> None:
    cif = tmp_path / "salt.cif"
    cif.write_text(ROCK_SALT)
    done = apertura("simulate", str(cif), "--out", str(tmp_path / "series"), "--set", "cluster.cristals=2")
    assert done.returncode == 2
    assert "cluster.cristals" in done.stderr
    assert "Traceback" not in done.stderr


THREADS = """
import os, sys
import flows.cli
early = [name for name in ("numpy", "scipy") if name in sys.modules]
sys.argv = ["apertura", "run"]
try:
    flows.cli.main()
finally:
    print(os.environ["OPENBLAS_NUM_THREADS"], early)
"""


@pytest.mark.parametrize(("own", "used"), [(None, "1"), ("3", "3")])
def test_products_have_one_thread_unless_the_user_says_otherwise(own: str | None, used: str) -> None:
    """It must be said before numpy is imported, which reads it then and never again."""
    known = {name: value for name, value in os.environ.items() if name != "OPENBLAS_NUM_THREADS"}
    known |= {"PYTHONPATH": str(ROOT), **({} if own is None else {"OPENBLAS_NUM_THREADS": own})}
    done = subprocess.run(
        [sys.executable, "-c", THREADS], capture_output=True, text=True, timeout=300, check=False, cwd=ROOT, env=known
    )
    assert done.returncode == 2
    assert done.stdout.strip() == f"{used} []"


def test_a_folder_that_is_no_finished_run_is_exit_3_for_all_that_work_on_one(tmp_path: Path) -> None:
    (tmp_path / "results.json").write_text('{"status": "solved"')
    for arguments in (
        ("trace", str(tmp_path), "--crystal", "crystal-01", "--hkl", "2,2,0"),
        ("region", str(tmp_path), "--crystal", "crystal-01", "--split", "2", "--out", str(tmp_path / "new")),
        ("replay", str(tmp_path)),
    ):
        done = apertura(*arguments)
        assert done.returncode == 3, done.stderr
        assert "results.json: not the results of a finished run" in done.stderr
        assert "Traceback" not in done.stderr
    assert not (tmp_path / "new").exists()
