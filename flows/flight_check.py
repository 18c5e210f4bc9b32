"""Daily: every installed engine on a tiny case with a known answer, and what the doctor finds."""

import tempfile
from pathlib import Path

from prefect import flow, get_run_logger
from prefect.artifacts import create_markdown_artifact, create_table_artifact
from prefect.client.schemas.objects import State
from prefect.states import Completed, Failed

from adapters.formats.simulated_series import write_simulated_series
from flows.doctor import examine, table
from flows.progress import QuietSteps
from flows.run_folder import read_results
from flows.runs import run_pipeline
from flows.settings import Settings, load_settings
from tasks.model import ApertureError, Document, fenced
from tasks.simulate import ClusterPlan, Instrument, SimulationSettings, TiltPlan, uio66

CELL_TOLERANCE = 0.01
"""Relative: the camera length of an instrument is known to 1 % at best, and a check need not be finer than that."""
CHAINS = (
    ("builtin", "direct-methods", "smtbx", None),
    ("dials", "charge-flipping", "smtbx", "DIALS"),
    ("xds", "direct-methods", "smtbx", "XDS"),
    ("builtin", "shelxt", "smtbx", "SHELXT"),
    ("builtin", "direct-methods", "shelxl", "SHELXL"),
)


class Check(Document):
    """One chain of engines against the known answer."""

    engines: str
    outcome: str
    passed: bool


def tiny_case() -> SimulationSettings:
    """Return one crystal of the demo's structure on a small raster: minutes of work, sub-angstrom data."""
    return SimulationSettings(
        seed=7,
        tilts=TiltPlan(start_deg=-40, stop_deg=40, step_deg=1.5),
        cluster=ClusterPlan(crystals=1, bad_fraction=0.0, size_nm=100.0),
        instrument=Instrument(scan_shape=(16, 16)),
    )


@flow(name="flight-check")
def flight_check() -> State[list[Check]]:
    """Run every chain whose program is installed; Failed if one misses the known cell or space group."""
    findings = examine()
    create_markdown_artifact(fenced(table(findings)), key="doctor", description="what is installed")
    usable = {finding.name for finding in findings.findings if finding.state == "ok"}
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        write_simulated_series(uio66(), tiny_case(), root / "source")
        chains = [chain for chain in CHAINS if chain[3] is None or chain[3] in usable]
        checks = [check(root, *chain[:3]) for chain in chains]
    create_table_artifact(key="flight-check", table=[item.model_dump() for item in checks])
    for item in checks:
        get_run_logger().info("%s: %s", item.engines, item.outcome)
    if all(item.passed for item in checks):
        return Completed(message=f"{len(checks)} chains of engines gave the known answer", data=checks)
    return Failed(message="; ".join(f"{item.engines}: {item.outcome}" for item in checks if not item.passed))


def check(root: Path, integrate: str, solve: str, refine: str) -> Check:
    """Run one chain on the tiny case; compare cell and space group with those it was made from, and who integrated."""
    name = f"{integrate} + {solve} + {refine}"
    engines = [f"integrate.engine={integrate}", f"solve.engine={solve}", f"refine.engine={refine}"]
    settings: Settings = load_settings(None, [*engines, "compare_apertures=false"])  # nothing here reads the comparison
    try:
        run = run_pipeline(root / "source", root / name.replace(" ", ""), settings, QuietSteps())
    except ApertureError as error:
        return Check(engines=name, outcome=f"{error.code}: {error.message}", passed=False)
    results = read_results(run)
    solved = [crystal for crystal in results["crystals"] if crystal["status"] == "solved"]
    if not solved:
        reasons = "; ".join(str(crystal["reason"]) for crystal in results["crystals"])
        return Check(engines=name, outcome=f"{results['status']}: {reasons}"[:300], passed=False)
    used, cell = solved[0]["integration"]["engine"], solved[0]["integration"]["unit_cell"]
    group = solved[0]["solution"]["space_group"]
    known = uio66().cell.parameters
    close = all(abs(got - want) <= CELL_TOLERANCE * want for got, want in zip(cell, known, strict=True))
    outcome = f"{group}, a {cell[0]:.3f}, R1 {solved[0]['refinement']['r1']:.3f}, integrated by {used}"
    return Check(engines=name, outcome=outcome, passed=close and group == "F m -3 m" and used == integrate)
