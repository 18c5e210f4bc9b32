"""What is installed, in which version, what expires, and what each absence costs."""

import importlib.metadata
import os
import platform
from typing import Literal

from rich.console import Console
from rich.table import Table

from adapters.programs.probe import PROGRAMS, probe
from tasks.model import Document

LIBRARIES = ("numpy", "scipy", "numba", "h5py", "gemmi", "cctbx-base", "fabio", "pydantic", "prefect", "fastapi")


class Finding(Document):
    """One program, library or service."""

    name: str
    kind: Literal["library", "program", "service"]
    version: str | None
    state: Literal["ok", "missing", "expired", "unusable"]
    required: bool
    note: str = ""


class Findings(Document):
    """Everything that was looked for."""

    apertura: str
    python: str
    findings: tuple[Finding, ...]

    @property
    def usable(self) -> bool:
        """Whether the embedded pipeline can run."""
        return all(finding.state == "ok" for finding in self.findings if finding.required)


def examine() -> Findings:
    """Look at libraries, programs and the Prefect server, in a few seconds."""
    return Findings(
        apertura=importlib.metadata.version("apertura"),
        python=platform.python_version(),
        findings=(*_libraries(), *_programs(), _server()),
    )


def table(findings: Findings) -> str:
    """Return the findings as text for a terminal."""
    console = Console(width=118, no_color=True)
    grid = Table("", "what", "version", "state", "what its absence costs, or what to know", box=None, pad_edge=False)
    for finding in findings.findings:
        mark = {"ok": "+", "missing": "-", "expired": "!", "unusable": "!"}[finding.state]
        grid.add_row(mark, finding.name, finding.version or "", finding.state, finding.note)
    with console.capture() as captured:
        console.print(f"apertura {findings.apertura}, Python {findings.python}", highlight=False)
        console.print(grid)
    return captured.get()


def _libraries() -> list[Finding]:
    found = []
    for name in LIBRARIES:
        try:
            version = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            version = None
        state: Literal["ok", "missing"] = "missing" if version is None else "ok"
        note = "" if version else f"pip install apertura again: {name} belongs to it"
        found.append(Finding(name=name, kind="library", version=version, state=state, required=True, note=note))
    return found


def _programs() -> list[Finding]:
    found = []
    for program in PROGRAMS:
        result = probe(program)
        state: Literal["ok", "missing", "unusable"] = (
            "missing" if result.path is None else "unusable" if result.note else "ok"
        )
        note = result.note if state == "unusable" else f"without it: {program.without}"
        if state == "missing":
            note = f"{note}; {program.install}"
        if result.licence_until is not None:
            note = f"licence until {result.licence_until}; {note}"
        found.append(
            Finding(name=program.name, kind="program", version=result.version, state=state, required=False, note=note)
        )
    return found


def _server() -> Finding:
    url = os.environ.get("PREFECT_API_URL")
    if not url:
        note = "PREFECT_API_URL is not set: runs are not recorded on a server"
        return Finding(name="Prefect server", kind="service", version=None, state="missing", required=False, note=note)
    import httpx

    try:
        user, _, password = os.environ.get("PREFECT_API_AUTH_STRING", "").partition(":")
        answer = httpx.get(url.rstrip("/") + "/admin/version", timeout=5, auth=(user, password) if user else None)
        answer.raise_for_status()
        return Finding(
            name="Prefect server", kind="service", version=answer.json(), state="ok", required=False, note=_host(url)
        )
    except (httpx.HTTPError, ValueError) as error:
        refused = isinstance(error, httpx.HTTPStatusError) and error.response.status_code == httpx.codes.UNAUTHORIZED
        what = "refuses PREFECT_API_AUTH_STRING" if refused else f"does not answer ({type(error).__name__})"
        note = f"{_host(url)} {what}: runs on it would fail"
        return Finding(name="Prefect server", kind="service", version=None, state="unusable", required=False, note=note)


def _host(url: str) -> str:
    """Return the URL without user and password."""
    scheme, _, rest = url.partition("://")
    return f"{scheme}://{rest.rpartition('@')[2]}"
