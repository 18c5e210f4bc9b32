"""Reading what the DIALS programs write: logs, experiment lists, Bravais summaries. Pure functions on text."""

import json
import math
import re
from typing import Any, NamedTuple

import numpy as np

from tasks.model import ProgramFailedError, UnitCell


class IndexingResult(NamedTuple):
    """What dials.index reached."""

    indexed: int
    unindexed: int
    rmsd_px: float | None
    """In the detector's plane."""
    rmsd_deg: float | None
    """About the rotation axis."""

    @property
    def fraction(self) -> float:
        """Share of the spots indexed by the first lattice."""
        total = self.indexed + self.unindexed
        return self.indexed / total if total else 0.0


class BravaisSetting(NamedTuple):
    """One row of dials.refine_bravais_settings."""

    number: int
    bravais: str
    rmsd: float
    max_angle_deg: float
    min_cc: float | None
    change: str


class ScaledStatistics(NamedTuple):
    """The overall column of dials.scale's last table."""

    completeness: float
    multiplicity: float
    i_over_sigma: float
    r_meas: float
    cc_half: float
    observations: int
    unique: int


def spot_count(log: str) -> int:
    """Return how many spots dials.find_spots saved; 0 if it saved none."""
    found = re.findall(r"Saved (\d+) reflections to", log)
    return int(found[-1]) if found else 0


def indexing_result(log: str) -> IndexingResult | None:
    """Return the last state of dials.index's log; None if no lattice was found."""
    rows = re.findall(r"^\|\s*\d+\s*\|\s*(\d+)\s*\|\s*(\d+)\s*\|\s*[\d.]+%\s*\|", log, re.MULTILINE)
    tables = re.split(r"Imageset \|\s+# indexed", log)
    if not rows or len(tables) < 2:
        return None
    last = re.findall(r"^\|\s*\d+\s*\|\s*(\d+)\s*\|\s*(\d+)\s*\|\s*[\d.]+%", tables[-1], re.MULTILINE)
    indexed, unindexed = (sum(int(row[i]) for row in last) for i in (0, 1))
    rmsds = _last_rmsds(log)
    steps = log.rpartition("RMSDs by experiment:")[0]
    degrees = re.findall(r"^\|\s*\d+ \|\s*\d+ \|\s*[\d.e-]+ \|\s*[\d.e-]+ \|\s*([\d.e-]+) \|\s*$", steps, re.MULTILINE)
    in_plane = math.hypot(rmsds[0], rmsds[1]) if rmsds else None
    return IndexingResult(indexed, unindexed, in_plane, float(degrees[-1]) if rmsds and degrees else None)


def best_candidate(log: str) -> tuple[float, str] | None:
    """Return the highest indexed share among dials.index's candidate lattices, and that cell as 'a,b,c,al,be,ga'.

    The program weighs the volume as well and may take a lattice of half the volume that indexes half the spots. Of
    equal shares the smallest volume counts.
    """
    rows = re.findall(
        r"^\|\s+((?:[\d.]+\s+){5}[\d.]+)\s+\|\s+(\d+)\s+\|\s+[\d.]+\s+\|\s+\d+\s+\|\s+(\d+)\s+\|", log, re.MULTILINE
    )
    if not rows:
        return None
    cell, _, share = min(rows, key=lambda row: (-int(row[2]), int(row[1])))
    return int(share) / 100.0, ",".join(cell.split())


def _last_rmsds(log: str) -> tuple[float, float] | None:
    """Return the worst experiment's RMSD (x, y) in px of the last 'RMSDs by experiment' table."""
    parts = log.split("RMSDs by experiment:")
    if len(parts) < 2:
        return None
    rows = re.findall(r"^\|\s*\d+ \|\s*\d+ \|\s*([\d.]+) \|\s*([\d.]+) \|\s*[\d.]+ \|", parts[-1], re.MULTILINE)
    values = [(float(x), float(y)) for x, y in rows]
    return max(values, key=lambda v: math.hypot(*v)) if values else None


def bravais_settings(text: str) -> list[BravaisSetting]:
    """Return the rows of bravais_summary.json, highest symmetry first.

    Raises
    ------
    ProgramFailedError
        If it is not what this version is known to write.
    """
    try:
        summary = json.loads(text)
        rows = [
            BravaisSetting(
                int(number),
                str(row["bravais"]),
                float(row["rmsd"]),
                float(row["max_angular_difference"]),
                None if row.get("min_cc") is None else float(row["min_cc"]),
                str(row["cb_op"]),
            )
            for number, row in summary.items()
        ]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ProgramFailedError(f"bravais_summary.json is not understood: {error!r}") from error
    return sorted(rows, key=lambda row: -row.number)


def choose_setting(
    rows: list[BravaisSetting], *, rmsd_ratio: float = 1.25, max_angle_deg: float = 1.0
) -> BravaisSetting:
    """Return the highest lattice symmetry that fits about as well as the triclinic one.

    Cautious: the Laue group is decided by the intensities later, and may be higher than the lattice refined in.
    """
    triclinic = min(rows, key=lambda row: row.number)
    good = [
        row
        for row in rows
        if row.rmsd <= rmsd_ratio * triclinic.rmsd
        and row.max_angle_deg <= max_angle_deg
        and (row.min_cc is None or row.min_cc > 0.3)
    ]
    return max(good, key=lambda row: row.number, default=triclinic)


def crystal_cells(text: str) -> list[UnitCell]:
    """Return the unit cells of an experiment list (JSON), one for every crystal.

    Raises
    ------
    ProgramFailedError
        If it is no experiment list.
    """
    try:
        crystals: list[dict[str, Any]] = json.loads(text)["crystal"]
        axes = [np.array([c["real_space_a"], c["real_space_b"], c["real_space_c"]], dtype=float) for c in crystals]
    except (ValueError, KeyError, TypeError) as error:
        raise ProgramFailedError(f"the experiment list is not understood: {error!r}") from error
    cells = []
    for rows in axes:
        a, b, c = (float(np.linalg.norm(v)) for v in rows)
        cosines = [rows[1] @ rows[2] / (b * c), rows[0] @ rows[2] / (a * c), rows[0] @ rows[1] / (a * b)]
        alpha, beta, gamma = (float(x) for x in np.degrees(np.arccos(np.clip(cosines, -1, 1))))
        cells.append(UnitCell(a=a, b=b, c=c, alpha=alpha, beta=beta, gamma=gamma))
    return cells


def refined_cell_esd(log: str) -> tuple[float, ...] | None:
    """Return the six standard uncertainties of the last cell that dials.refine printed; 0 where symmetry fixes it."""
    cells = re.findall(r"Unit cell: ((?:[\d.]+(?:\(\d+\))?(?:, )?){6})", log)
    if not cells:
        return None
    parts = re.findall(r"(\d+\.?(\d*))(?:\((\d+)\))?", cells[-1])
    return tuple(int(esd) * 10.0 ** -len(decimals) if esd else 0.0 for _, decimals, esd in parts)


def reversed_goniometers(text: str) -> str:
    """Return the experiment list (JSON) with every rotation axis turned round; identifiers stay.

    dials.import's own invert_rotation_axis does not do this in 3.12, and a new import would break the link between
    experiments and spots.
    """
    experiments = json.loads(text)
    for goniometer in experiments["goniometer"]:
        goniometer["rotation_axis"] = [-x for x in goniometer["rotation_axis"]]
    return json.dumps(experiments)


def recommended_space_group(log: str) -> str | None:
    """Return what dials.symmetry recommends."""
    found = re.findall(r"Recommended space group: (.+)", log)
    return found[-1].strip() if found else None


def scaled_statistics(log: str) -> ScaledStatistics | None:
    """Return dials.scale's overall statistics, or None if the log has no table."""
    parts = log.split("Summary of merging statistics")
    if len(parts) < 2:
        return None

    def first(label: str) -> float:
        match = re.search(rf"^{re.escape(label)}\s+(-?[\d.]+)", parts[-1], re.MULTILINE)
        return float(match.group(1)) if match else math.nan

    values = ScaledStatistics(
        completeness=first("Completeness") / 100.0,
        multiplicity=first("Multiplicity"),
        i_over_sigma=first("I/sigma"),
        r_meas=first("Rmeas(I)"),
        cc_half=first("CC half"),
        observations=int(first("Total observations")),
        unique=int(first("Total unique")),
    )
    return None if any(math.isnan(x) for x in values) else values
