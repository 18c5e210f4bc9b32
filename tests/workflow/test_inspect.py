"""`apertura inspect` and `solve` from outside: exit codes, what is asked for, the same words for both."""

import json
import sys
from pathlib import Path

import pytest

from flows import cli

HKL = "   1   0   0  100.00    2.00\n   0   2   0   50.50    1.50\n"
XRAYS = "data_a\n_diffrn_radiation_probe x-ray\nloop_\n_refln_index_h\n_refln_index_k\n_refln_index_l\n"
XRAYS += "_refln_F_squared_meas\n_refln_F_squared_sigma\n1 0 0 9 1\n"


def apertura(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    monkeypatch.setattr(sys, "argv", ["apertura", *arguments])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    return int(ended.value.code or 0)


def test_a_known_file_is_a_screen_and_json(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    (tmp_path / "a.hkl").write_text(HKL)
    assert apertura(monkeypatch, "inspect", str(tmp_path / "a.hkl")) == 0
    text = capsys.readouterr().out
    assert text.startswith("a.hkl: HKLF\n")
    assert "--composition" in text
    assert apertura(monkeypatch, "inspect", str(tmp_path / "a.hkl"), "--json") == 0
    answer = json.loads(capsys.readouterr().out)
    assert (answer["kind"], answer["lacks"]) == ("reflections", ["cell", "composition", "wavelength"])


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.txt", "Dear reader", "not known"),
        ("b.hkl", None, "no such file"),
        ("c.hkl", "   1   0   x  100.00    2.00\n", "line 1"),
        ("d.cif", "data_d\n_chemical_name_common x\n", "without reflections or atoms"),
    ],
)
def test_what_is_not_known_or_damaged_is_exit_3_with_advice(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture,
    name: str,
    content: str | None,
    said: str,
) -> None:
    if content is not None:
        (tmp_path / name).write_text(content)
    assert apertura(monkeypatch, "inspect", str(tmp_path / name)) == 3
    error = capsys.readouterr().err
    assert name in error
    assert said in error


def test_all_that_a_file_lacks_is_asked_for_at_once_and_the_folder_stays_free(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    (tmp_path / "a.fcf").write_text(XRAYS)
    assert apertura(monkeypatch, "solve", str(tmp_path / "a.fcf"), "--out", str(tmp_path / "out")) == 2
    error = capsys.readouterr().err
    assert "no unit cell and no wavelength of its X-rays" in error
    assert "--cell a,b,c,alpha,beta,gamma and --energy-kev" in error
    assert not (tmp_path / "out").exists()


def test_a_folder_is_no_file_of_intensities(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    assert apertura(monkeypatch, "solve", str(tmp_path), "--out", str(tmp_path / "out")) == 3
    assert "`apertura run` takes folders" in capsys.readouterr().err


def test_a_folder_without_a_manifest_points_to_the_command_that_drafts_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    (tmp_path / "a.tif").write_bytes(b"x")
    assert apertura(monkeypatch, "inspect", str(tmp_path)) == 3
    assert "apertura manifest" in capsys.readouterr().err
