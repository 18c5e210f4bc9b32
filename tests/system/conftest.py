"""What several system tests need of installed programs."""

import shutil
import subprocess

import pytest


@pytest.fixture
def dxtbx_python() -> str:
    """Return a Python that has dxtbx: that of DIALS."""
    for name in ("dials.python", "/usr/bin/python3"):
        found = shutil.which(name)
        if found and subprocess.run([found, "-c", "import dxtbx"], capture_output=True, check=False).returncode == 0:
            return found
    pytest.skip("DIALS's Python is not installed")
