"""The layout that the users fixed, and the price of its generic import names."""

import importlib.metadata
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
VISIBLE = {"flows", "tasks", "adapters", "tests", "deployments", "pyproject.toml", "README.md", "Dockerfile", "LICENSE"}
SOURCES = sorted(path for package in ("flows", "tasks", "adapters") for path in (ROOT / package).rglob("*.py"))


def test_nothing_else_stands_at_the_top() -> None:
    tracked = {path.name for path in ROOT.iterdir() if not path.name.startswith(".")}
    lock_files = {name for name in tracked if re.fullmatch(r"(constraints|requirements).*\.txt", name)}
    built = {"build", "dist", "__pycache__"} | {name for name in tracked if name.endswith(".egg-info")}
    demos = {name for name in tracked if name.startswith("apertura-demo")}
    assert tracked - lock_files - built - demos == VISIBLE


@pytest.mark.parametrize("package", ["flows", "tasks", "adapters"])
def test_no_other_distribution_owns_our_import_names(package: str) -> None:
    owners = set(importlib.metadata.packages_distributions().get(package, []))
    assert owners <= {"apertura"}


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_module_is_small_and_asserts_nothing(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert text.count("\n") <= 400, "a module holds one subject"
    assert not re.search(r"^\s*assert ", text, flags=re.MULTILINE), "assert is for tests"


MAY_CATCH_ANYTHING = {
    "flows/cli.py",  # the last resort: a bug gets its own exit code
    "adapters/formats/scan_worker.py",  # it is raised again in the parent process
    "adapters/formats/frame_reader.py",  # three libraries with errors of their own become one typed error
}


def test_any_error_is_caught_only_where_it_is_said_why() -> None:
    broad = [
        path for path in SOURCES if re.search(r"except (Base)?Exception\b|except:", path.read_text(encoding="utf-8"))
    ]
    assert {path.relative_to(ROOT).as_posix() for path in broad} <= MAY_CATCH_ANYTHING


def test_the_pipeline_never_opens_a_truth_file() -> None:
    simulator = {"simulate", "simulated_series.py", "simulation.py", "demo.py"}
    speakers = [
        path.relative_to(ROOT).as_posix()
        for path in SOURCES
        if "truth" in path.read_text(encoding="utf-8").lower() and not simulator & set(path.relative_to(ROOT).parts)
    ]
    reading = [
        name
        for name in speakers
        if re.search(r"truth\.(h5|json|npz)|read_truth|load_truth", (ROOT / name).read_text(encoding="utf-8"))
    ]
    assert reading == []
