"""The chart of deployments/helm, rendered by Helm's own library: what a cluster would be given."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

CHART = Path(__file__).resolve().parents[2] / "deployments" / "helm"
RELEASE = "apertura"
RENDER = """
import json, sys, helm_python
with helm_python.Chart.load(sys.argv[1]) as chart:
    print(json.dumps(chart.render(json.loads(sys.argv[2]), name=sys.argv[3], namespace="lab")))
"""
LINT = """
import json, sys, helm_python
values = helm_python.parse_set_file(sys.argv[3])
print(json.dumps([values, helm_python.lint(sys.argv[1], {**json.loads(sys.argv[2]), **values}, strict=True)]))
"""
"""In a process of its own: the library brings Go's runtime, with its threads and its handlers of signals."""


def render(**values: Any) -> subprocess.CompletedProcess[str]:
    """Let Helm render the chart with some values; what it says on stderr is for people."""
    argv = [sys.executable, "-c", RENDER, str(CHART), json.dumps(values), RELEASE]
    return subprocess.run(argv, capture_output=True, text=True, check=False, timeout=300)


def lint(set_file: str, **values: Any) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Return what an option ``--set-file`` means, and what ``helm lint --strict`` says with it and some values."""
    argv = [sys.executable, "-c", LINT, str(CHART), json.dumps(values), set_file]
    done = subprocess.run(argv, capture_output=True, text=True, check=True, timeout=300)
    meant, report = json.loads(done.stdout)
    return meant, [*report["messages"], *report["errors"]]


def manifests(**values: Any) -> list[dict[str, Any]]:
    """Return the objects that the chart makes of some values."""
    done = render(**values)
    assert done.returncode == 0, done.stderr
    files = json.loads(done.stdout).items()
    return [found for name, text in files if name.endswith(".yaml") for found in yaml.safe_load_all(text) if found]


def pods(objects: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Return the templates of pods by the component that they are."""
    templates = [one["spec"]["template"] for one in objects if one["kind"] in {"Deployment", "Job"}]
    return {one["metadata"]["labels"]["app.kubernetes.io/component"]: one for one in templates}


def selected(service: dict[str, Any], objects: list[dict[str, Any]]) -> list[str]:
    """Return the components whose pods a Service leads to."""
    wanted = service["spec"]["selector"].items()
    return [name for name, pod in pods(objects).items() if wanted <= pod["metadata"]["labels"].items()]
