"""Which external programs are installed, and in which version."""

import re
import shutil
import tempfile
from pathlib import Path

from adapters.host.runner import run_program
from tasks.model import Document, ProgramFailedError, ProgramNotFoundError

PROBE_TIMEOUT_S = 120.0
"""To state a version. `dials.version` takes 0.2 s; the rest, chosen and not measured, is for a first start from cold
network storage."""


class Program(Document):
    """An external program: how to ask its version, how to get it, and what is lost without it."""

    name: str
    executable: str
    version_argv: tuple[str, ...] = ()
    """Empty: starting it is no cheap way to learn the version."""
    version_pattern: str = r"(\d+(?:\.\d+)+(?:[-\w.]*)?)"
    install: str
    without: str
    needed_with: tuple[str, ...] = ()
    """Further executables of the same package."""


class ProbeResult(Document):
    """What was found of one program."""

    name: str
    path: Path | None
    version: str | None
    note: str = ""
    """Why it cannot be used; empty if it can."""
    licence_until: str | None = None


DIALS = Program(
    name="DIALS",
    executable="dials.import",
    version_argv=("dials.version",),
    version_pattern=r"DIALS\s+(\S+)",
    install="install DIALS: `apt-get install dials` on Debian 12, or https://dials.github.io/installation.html",
    without="frames are integrated by the built-in integrator or by XDS",
    needed_with=(
        "dials.find_spots",
        "dials.index",
        "dials.refine_bravais_settings",
        "dials.refine",
        "dials.integrate",
        "dials.scale",
        "dials.export",
    ),
)
XDS = Program(
    name="XDS",
    executable="xds",
    version_argv=("xds",),
    version_pattern=r"VERSION ([A-Z][a-z]+ \d+, \d{4})",
    install="XDS is free for academic use: https://xds.mr.mpg.de",
    without="frames are integrated by DIALS or by the built-in integrator",
)
SHELXT = Program(
    name="SHELXT",
    executable="shelxt",
    install="SHELX is free for academic use: https://shelx.uni-goettingen.de",
    without="structures are solved by the embedded direct methods and charge flipping",
)
SHELXS = SHELXT.model_copy(update={"name": "SHELXS", "executable": "shelxs"})
SHELXD = SHELXT.model_copy(update={"name": "SHELXD", "executable": "shelxd"})
SHELXL = SHELXT.model_copy(
    update={"name": "SHELXL", "executable": "shelxl", "without": "structures are refined by the embedded least squares"}
)
PROGRAMS = (DIALS, XDS, SHELXT, SHELXS, SHELXD, SHELXL)


def probe(program: Program) -> ProbeResult:
    """Look for a program on PATH and ask its version; never raises for one that is missing or broken."""
    found = shutil.which(program.executable)
    if found is None:
        return ProbeResult(name=program.name, path=None, version=None, note=program.install)
    missing = [name for name in program.needed_with if shutil.which(name) is None]
    if missing:
        return ProbeResult(name=program.name, path=Path(found), version=None, note=f"incomplete: no {missing[0]}")
    try:
        version, licence = _version_and_licence(program)
        return ProbeResult(name=program.name, path=Path(found), version=version, licence_until=licence)
    except (ProgramFailedError, ProgramNotFoundError) as error:
        return ProbeResult(name=program.name, path=Path(found), version=None, note=error.message)


def version_of(program: Program) -> str | None:
    """Return the version that a program states; None for programs that cannot be asked.

    Raises
    ------
    ProgramNotFoundError
        If it is not installed.
    ProgramFailedError
        If it does not state one.
    """
    return _version_and_licence(program)[0]


def licence_until(text: str) -> str | None:
    """Return the day until which a program says it is licensed, as it writes it (XDS: '31-Aug-2025')."""
    match = re.search(r"licensed until (\d+-[A-Za-z]{3}-\d{4})", text)
    return None if match is None else match.group(1)


def _version_and_licence(program: Program) -> tuple[str | None, str | None]:
    """Ask a program in an empty folder, where XDS prints its greeting and an error."""
    if not program.version_argv:
        return None, None
    with tempfile.TemporaryDirectory() as folder:
        run = run_program(
            program.version_argv, workdir=Path(folder), timeout_s=PROBE_TIMEOUT_S, install=program.install
        )
        text = run.stdout.read_text(errors="replace") + run.stderr.read_text(errors="replace")
    match = re.search(program.version_pattern, text)
    if match is None:
        raise ProgramFailedError(f"{program.executable} states no version", text[-500:])
    return match.group(1), licence_until(text)


def require(program: Program) -> None:
    """Check that a program and its companions are on PATH.

    Raises
    ------
    ProgramNotFoundError
        Naming what is missing and how to install it.
    """
    for name in (program.executable, *program.needed_with):
        if shutil.which(name) is None:
            raise ProgramNotFoundError(f"{program.name} is not installed: {name!r} is not on PATH", program.install)
