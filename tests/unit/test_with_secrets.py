"""Secrets come from files: one place for each, read once, and a clear line where that fails."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from flows.with_secrets import with_secrets
from tasks.model import SettingsError


def test_a_secret_of_a_file_is_a_variable_and_the_file_is_not_named_any_more(tmp_path: Path) -> None:
    (tmp_path / "auth").write_text("apertura:a secret\n")
    given = {"PREFECT_API_AUTH_STRING_FILE": str(tmp_path / "auth"), "SSL_CERT_FILE": "/etc/ssl/x", "A": "b"}
    assert with_secrets(given) == {
        "PREFECT_API_AUTH_STRING": "apertura:a secret",
        "SSL_CERT_FILE": "/etc/ssl/x",
        "A": "b",
    }


@pytest.mark.parametrize("content", [None, b"", b"\n", b"two\nlines", b"nul\0", b"\xff\xfe"])
def test_a_file_that_is_no_secret_is_refused_and_not_shown(tmp_path: Path, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / "auth").write_bytes(content)
    with pytest.raises(SettingsError, match="PREFECT_API_AUTH_STRING_FILE") as refused:
        with_secrets({"PREFECT_API_AUTH_STRING_FILE": str(tmp_path / "auth")})
    assert "lines" not in refused.value.message


def test_a_secret_that_is_given_twice_is_refused(tmp_path: Path) -> None:
    (tmp_path / "auth").write_text("one")
    with pytest.raises(SettingsError, match="given, and in the file"):
        with_secrets({"APERTURA_STUDIO_SECRET_FILE": str(tmp_path / "auth"), "APERTURA_STUDIO_SECRET": "other"})


def test_the_program_takes_the_place_of_the_launcher_and_sees_the_secret(tmp_path: Path) -> None:
    (tmp_path / "auth").write_text("apertura:a secret\n")
    show = "import os; print(os.getpid(), os.environ['PREFECT_API_AUTH_STRING'])"
    process = subprocess.Popen(
        [sys.executable, "-m", "flows.with_secrets", sys.executable, "-c", show],
        env={**os.environ, "PREFECT_API_AUTH_STRING_FILE": str(tmp_path / "auth")},
        stdout=subprocess.PIPE,
        text=True,
    )
    said, _ = process.communicate(timeout=300)
    assert said.split(maxsplit=1) == [str(process.pid), "apertura:a secret\n"]


def test_a_wrong_call_is_one_clear_line(tmp_path: Path) -> None:
    for arguments, text in (((), "no program is named"), (("/nowhere/program",), "/nowhere/program: No such file")):
        done = subprocess.run(
            [sys.executable, "-m", "flows.with_secrets", *arguments],
            capture_output=True, text=True, check=False, timeout=300,
        )  # fmt: skip
        assert done.returncode == 1
        assert text in done.stderr
        assert "Traceback" not in done.stderr
