"""The faces of the stages: what other packages may import, and that looking at a face imports nothing."""

import importlib
import subprocess
import sys
from pathlib import Path

import pytest

import tasks

STAGES = ("ingest", "apertures", "drawing", "frames", "integrate", "solve", "refine", "report", "simulate", "trace")


@pytest.mark.parametrize("stage", STAGES)
def test_a_face_offers_what_it_lists(stage: str) -> None:
    face = importlib.import_module(f"tasks.{stage}")
    assert face.__all__
    for name in face.__all__:
        offered = getattr(face, name)
        assert offered is getattr(face, name)
        assert not isinstance(offered, type(sys)), f"{name} is the name of a module, too"


def test_what_a_face_does_not_offer_is_an_error() -> None:
    with pytest.raises(ImportError, match="nonsense"):
        from tasks.integrate import nonsense  # noqa: F401


def test_a_document_is_found_without_the_modules_that_compute() -> None:
    """A crystallographer's document must not bring numba and scikit-image with it, nor must following a reflection."""
    heavy = ("numba", "skimage", "scipy.optimize", "scipy.ndimage", "cctbx", "flows.settings")
    code = (
        "import sys; from tasks.integrate import Reflections; from tasks.trace import ElectronSource, trace_reflection;"
        "from flows.tracing import trace;"
        f"print(*(name for name in {heavy} if name in sys.modules))"
    )
    root = Path(tasks.__file__).resolve().parents[1]
    done = subprocess.run([sys.executable, "-c", code], cwd=root, check=True, capture_output=True, text=True)
    assert done.stdout.split() == []
