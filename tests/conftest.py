"""Fixtures that all tests share."""

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder of the real data sets: $APERTURA_SHARED/data, or ../shared/data beside the checkout."""
    root = Path(__file__).resolve().parent.parent
    shared = Path(os.environ.get("APERTURA_SHARED", root.parent / "shared"))
    if not (shared / "data").is_dir():
        pytest.skip(f"no real data sets at {shared}: set APERTURA_SHARED")
    return shared / "data"
