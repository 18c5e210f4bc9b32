"""Simulated series: the demo, and `apertura simulate`."""

from pathlib import Path
from typing import Any

import typer
from pydantic import ValidationError
from rich.progress import Progress

from adapters.formats.cif import read_structure
from adapters.formats.simulated_series import write_simulated_series
from flows.commands import run_source
from flows.settings import Settings, apply_assignment
from tasks.model import SettingsError
from tasks.simulate import SimulationSettings, Structure, settings_of, uio66

DEMO_INSTRUMENT = "ideal"
"""With the 4d-camera, whose scattering is many-beam, no crystal of 170 nm of this series was solved, in 10 minutes."""


def run_demo(out: Path) -> Path:
    """Simulate a cluster of UiO-66 nanocrystals below `out` and solve it; return the run folder."""
    source = out / "source"
    if not (source / "tilt_series.json").is_file():
        write_series(uio66(), source, demo_series())
    typer.echo(f"the series: {source}", err=True)
    return run_source(source, out / "run", Settings())


def demo_series() -> SimulationSettings:
    """Return a cluster of three crystals that is small enough to be solved in minutes."""
    values = {
        "seed": 1,
        "sample": "UiO-66 cluster (simulated)",
        "tilts": {"step_deg": 1.5},
        "cluster": {"size_nm": 170.0},
        "instrument": {"scan_shape": (48, 48)},
    }
    return settings_of(DEMO_INSTRUMENT, values)


def simulate_series(cif: Path, out: Path, assignments: list[str], *, instrument: str = "ideal") -> Path:
    """Simulate a series of the structure in a CIF with a named instrument; return its folder.

    Raises
    ------
    SettingsError
        If a setting is wrong or the folder is not empty.
    """
    values: dict[str, Any] = {}
    for assignment in assignments:
        apply_assignment(values, assignment)
    try:
        settings = settings_of(instrument, values)
    except ValidationError as error:
        lines = [f"{'.'.join(map(str, item['loc']))}: {item['msg']}" for item in error.errors()]
        raise SettingsError(
            "settings refused: " + "; ".join(lines), "`apertura schema --simulation` lists them"
        ) from error
    return write_series(read_structure(cif), out, settings)


def write_series(structure: Structure, out: Path, settings: SimulationSettings) -> Path:
    """Write a series into a new or empty folder, with progress on stderr."""
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise SettingsError(f"--out {out}: exists and is not an empty folder", "choose a new folder")
    with Progress(*Progress.get_default_columns(), console=_console(), transient=True) as progress:
        row = progress.add_task("simulate", total=None)
        write_simulated_series(
            structure, settings, out, on_scan=lambda done, total: progress.update(row, completed=done, total=total)
        )
    return out


def _console() -> Any:
    from rich.console import Console

    return Console(stderr=True)
