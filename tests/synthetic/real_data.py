"""Where the real data sets are expected: one answer for tests and benchmarks."""

import os
from pathlib import Path


def real_data() -> Path:
    """Return the folder of the real data sets, there or not: $APERTURA_SHARED/data, or ../shared/data."""
    root = Path(__file__).resolve().parents[2]
    return Path(os.environ.get("APERTURA_SHARED", root.parent / "shared")) / "data"
