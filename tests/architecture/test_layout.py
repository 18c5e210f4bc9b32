"""The layout that the users fixed, and the price of its generic import names."""

import ast
import importlib.metadata
import re
from collections import Counter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
VISIBLE = {
    *("flows", "tasks", "adapters", "tests", "deployments", "pyproject.toml", "Dockerfile"),
    *("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "LICENSE"),
}
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
    "adapters/formats/frame_damage.py",  # libraries with errors of their own become one typed error
    "flows/studio/faults.py",  # one action of a page: it is logged and told, and the page goes on
    "adapters/host/fork_server.py",  # a fork ends with it: its exit code and error stream tell the parent process
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


README_BYTES = 10_500
"""What a user reads to the end; measurements and rules have pages of their own."""


def test_the_pages_for_newcomers_are_there_and_the_first_is_short() -> None:
    for folder in ("flows", "tasks", "adapters", "tests"):
        assert (ROOT / folder / "README.md").is_file()
    assert len((ROOT / "README.md").read_bytes()) < README_BYTES


TEXTS = sorted(
    path
    for top in ("flows", "tasks", "adapters", "tests", "deployments", ".ci")
    for path in (ROOT / top).rglob("*")
    if path.is_file() and path.suffix in {".py", ".md", ".yaml", ".js", ".css", ".j2", ".service", ".conf", ""}
)


def test_no_text_cites_a_page_that_is_not_here() -> None:
    """Whoever reads a clone must find what its texts name."""
    pages = {path.relative_to(ROOT).as_posix() for path in ROOT.rglob("*.md")}
    absent = [
        f"{path.relative_to(ROOT)}: {name}"
        for path in (*TEXTS, *ROOT.glob("*.md"), ROOT / "pyproject.toml")
        if path != Path(__file__).resolve()
        for name in re.findall(r"[\w./-]*\w\.md\b", path.read_text(encoding="utf-8", errors="replace"))
        if not any(f"/{page}".endswith("/" + name.lstrip("./")) for page in pages)
    ]
    assert absent == []


UNIT = ROOT / "tests" / "unit"
MAY_IMPORT_A_TEST = {"test_prune.py", "test_staging.py"}


def test_the_unit_tests_mirror_the_packages() -> None:
    """A stage's tests lie in a folder of its name: the path of a module less its first folder."""
    known = {path.name for top in ("flows", "tasks", "adapters") for path in (ROOT / top).iterdir() if path.is_dir()}
    folders = {path.name for path in UNIT.iterdir() if any(path.glob("**/test_*.py"))}
    assert folders <= known
    assert not {"flows", "tasks", "adapters"} & {path.name for path in (ROOT / "tests").rglob("*") if path.is_dir()}
    assert not list((ROOT / "tests").rglob("__init__.py"))


def test_no_unit_test_imports_another() -> None:
    importing = {
        path.name
        for path in UNIT.rglob("*.py")
        if re.search(r"^\s*(from|import) tests\.(unit|system|workflow|contract)\b", path.read_text(), re.MULTILINE)
    }
    assert importing <= MAY_IMPORT_A_TEST


def test_the_real_data_are_found_in_one_place() -> None:
    """Tests ask the fixture `shared_data`, benchmarks `real_data`; nobody builds the path again."""
    building = {
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / "tests").rglob("*.py")
        if path != Path(__file__).resolve()
        and re.search(r"APERTURA_SHARED\"[,\]]|[\"/]shared[\"/]", path.read_text(encoding="utf-8"))
    }
    assert building == {"tests/synthetic/real_data.py"}


def test_a_class_name_means_one_thing() -> None:
    names = Counter(
        node.name
        for path in SOURCES
        for node in ast.parse(path.read_text(encoding="utf-8")).body
        if isinstance(node, ast.ClassDef)
    )
    assert [name for name, count in names.items() if count > 1] == []


def numbers_in(node: ast.AST) -> bool:
    """Tell whether an expression is made of numbers, or is a collection that holds some."""
    match node:
        case ast.Constant(value=bool()):
            return False
        case ast.Constant(value=int() | float() | complex()):
            return True
        case ast.UnaryOp(operand=one):
            return numbers_in(one)
        case ast.BinOp(left=one, right=other):
            return numbers_in(one) and numbers_in(other)
        case ast.Tuple(elts=some) | ast.List(elts=some) | ast.Set(elts=some) | ast.Dict(values=some):
            return any(numbers_in(one) for one in some)
        case ast.Call(args=some):
            return any(numbers_in(one) for one in some)
    return False


def unexplained_numbers(path: Path) -> list[str]:
    """Return the module-level numbers that no text stands under or beside."""
    lines = path.read_text(encoding="utf-8").split("\n")
    body = ast.parse("\n".join(lines)).body
    found = []
    for node, following in zip(body, [*body[1:], None], strict=True):
        targets = getattr(node, "targets", [getattr(node, "target", None)])
        names = [one.id for target in targets if target for one in ast.walk(target) if isinstance(one, ast.Name)]
        constant = bool(names) and all(re.match(r"_?[A-Z]", name) for name in names)
        if not isinstance(node, ast.Assign | ast.AnnAssign) or not constant or not numbers_in(node.value or node):
            continue
        below = isinstance(following, ast.Expr) and isinstance(getattr(following.value, "value", None), str)
        comments = [lines[row].partition("#")[2].strip() for row in range(node.lineno - 1, node.end_lineno or 0)]
        beside = any(comment and not comment.startswith(("noqa", "nosec")) for comment in comments)
        above = lines[node.lineno - 2].startswith("#")
        together = isinstance(following, ast.Assign | ast.AnnAssign) and following.lineno == (node.end_lineno or 0) + 1
        found.append((", ".join(names), below or beside or above, together))
    explained = False
    unexplained = []
    for name, has_reason, goes_with_next in reversed(found):
        explained = has_reason or (goes_with_next and explained)
        if not explained:
            unexplained.append(f"{path.relative_to(ROOT)}: {name}")
    return unexplained


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_number_has_its_reason_beside_it(path: Path) -> None:
    assert unexplained_numbers(path) == []
