"""Structures from many-beam data, as a user solves them: ``python -m tests.benchmarks.solve_many_beam FOLDER...``.

FOLDERs are searched for the CIFs named in ``SETS`` (packages as in `tests.benchmarks.solve_public`, and the shared
data); those not found are left out. Unmerged intensities are made once, by Bloch waves (`tests.synthetic.many_beam`),
and kept in the folder of ``--store``. Each is solved by ``apertura solve``: cell and composition only, the Laue class
is found by the command. The exit code is 1 if a structure is called solved that is not the true one.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path
from zlib import crc32

import gemmi
import numpy as np

from tasks.crystal.scattering import structure_factors
from tasks.crystal.sites import site_multiplicities
from tasks.crystal.symmetry import operations_of
from tests.benchmarks.solve_public import same_group
from tests.synthetic.many_beam import Rotated, Structure
from tests.synthetic.many_beam_sets import Guest, Made, hklf4_text, measured, published, structure_for
from tests.synthetic.match_any_cell import match_file
from tests.synthetic.solve_cases import read_hklf4, representatives
from tests.synthetic.solve_dynamical import laue_class

SETS = {
    "mordenite": Made("MOR", Rotated(0.9), guests=(Guest("Na", 1, 0.5, 2.4), Guest("O", 3, 0.6, 2.8))),
    "albite": Made("albite", Rotated(0.75, 600, tilt_deg=60)),
    "kaolinite": Made("Al2Si2O9H4-Kaolinite", Rotated(0.8, 400, tilt_deg=60), crystals=2),
    "dickite": Made("Al2Si2O9H4-Dickite", Rotated(0.8, 500, tilt_deg=60)),
    "quartz": Made("alpha-quartz", Rotated(0.7, 800, tilt_deg=55)),
    "natrolite-like": Made("jana2006_natrolite", Rotated(0.75, 600, tilt_deg=55)),
    "heulandite": Made("HEU", Rotated(0.9, 500), guests=(Guest("Ca", 1, 0.5, 2.4), Guest("O", 3, 0.7, 2.8))),
    "chabazite": Made("CHA", Rotated(0.95, 700), guests=(Guest("Na", 1, 0.4, 2.4), Guest("O", 2, 0.5, 2.8))),
    "ferrierite": Made("FER", Rotated(0.9, 600, tilt_deg=60), guests=(Guest("O", 2, 0.4, 2.8),)),
    "xxvi": Made("xxvi", Rotated(0.9, 700, tilt_deg=60), crystals=2),
    "difluoro": Made("YICMOP", Rotated(0.9, 600, tilt_deg=60)),
    "LAGNAL": Made("LAGNAL", Rotated(0.9, 500, tilt_deg=60)),
    "sucrose": Made("DK_Zucker2_0m", Rotated(0.85, 700, tilt_deg=60)),
    "sucrose-1A": Made("DK_Zucker2_0m", Rotated(1.0, 500, tilt_deg=65)),
    "cinchonine": Made("shelxl", Rotated(0.9, 700, tilt_deg=60)),
    "aspirin": Made("aspirin", Rotated(0.85, 700, tilt_deg=55)),
    "ZIF-3": Made("ZIF-3", Rotated(1.0, 500, tilt_deg=60)),
    "MIL-47": Made("MIL-47", Rotated(0.85, 500, tilt_deg=60)),
    "ZIF-1": Made("ZIF-1", Rotated(1.0, 500, tilt_deg=60)),
    "perovskite": Made("CaTiO3-Perovskite", Rotated(0.6, 400, tilt_deg=60)),
    "brookite": Made("TiO2-Brookite", Rotated(0.65, 500, tilt_deg=55)),
    "stibnite": Made("Sb2S3-Stibnite", Rotated(0.7, 400, tilt_deg=60)),
    "struvite": Made("(NH4)MgPO4-6(H2O)-Struvite", Rotated(0.8, 500, tilt_deg=60)),
}  # fmt: skip


def composition_of(structure: Structure) -> str:
    """Return the contents of the cell over those of its rarest element."""
    operations = operations_of(structure.group.operations())
    number = structure.occupancies * site_multiplicities(structure.positions, operations, structure.cell)
    count = {e: float(number[np.array(structure.elements) == e].sum()) for e in dict.fromkeys(structure.elements)}
    least = min(count.values())
    return " ".join(f"{element}{value / least:.4g}" for element, value in count.items())


def true_r1(structure: Structure, path: Path) -> tuple[float, float]:
    """Return R1 of the true structure factors against the merged intensities, and the completeness."""
    hkl, intensity, _ = read_hklf4(path)
    laue = laue_class(structure.group)
    unique, member = np.unique(representatives(hkl, laue.xhm()), axis=0, return_inverse=True)
    mean = np.bincount(member, weights=intensity) / np.bincount(member)
    f = np.abs(structure_factors(
        unique, structure.cell, structure.group.operations(), elements=structure.elements,
        positions=structure.positions, u_iso_angstrom2=structure.u_iso, occupancies=structure.occupancies,
        radiation="electron",
    ))  # fmt: skip
    amplitude = np.sqrt(np.maximum(mean, 0))
    d_min = float(structure.cell.gemmi().calculate_d_array(unique).min())
    possible = len(gemmi.make_miller_array(structure.cell.gemmi(), laue, d_min * 0.9999))
    return float(np.abs(amplitude - f * (amplitude @ f) / (f @ f)).sum() / amplitude.sum()), len(unique) / possible


def run(name: str, structure: Structure, hkl: Path, folder: Path, *, limit: float) -> str:
    """Solve one set with the command, print its row, and return the outcome in a word or two."""
    truth = published(structure)
    r1_true, complete = true_r1(structure, hkl)
    out = folder / name
    command = [
        "apertura", "solve", str(hkl), "--cell", ",".join(f"{x:.6g}" for x in structure.cell.parameters),
        "--composition", composition_of(structure), "--out", str(out), "--json",
        "--set", f"solve.time_limit_s={limit}",
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if not (out / "results.json").is_file():
        print(f"| {name} | failed: {done.stderr[-300:]} |", flush=True)
        return "failed"
    crystal = json.loads((out / "results.json").read_text())["crystals"][0]
    refined = sorted(out.glob("crystals/*/refine/refined.cif"))
    solution, refinement = crystal["solution"] or {}, crystal["refinement"] or {}
    files = refined or sorted(out.glob("crystals/*/solve/solution-1.cif"))
    found = match_file(files[0], truth, structure.cell).fraction if files else 0.0
    group = refinement.get("space_group") or solution.get("space_group", "P 1")
    print(
        f"| {name} | {structure.group.xhm()} | {len(truth.elements)} | {complete:.2f} | {r1_true:.2f} "
        f"| {crystal['integration']['laue_group']} | {crystal['status']} | {group} | {solution.get('r1', 1):.3f} "
        f"| {refinement.get('r1', 1):.3f} | {solution.get('trials')} | {100 * found:.0f} % |",
        flush=True,
    )
    if crystal["status"] != "solved":
        return str(crystal["status"])
    if found < 0.8:
        return "false solved"
    return "solved" if same_group(group, structure.group) else "solved in another group"


def main() -> None:
    """Make the sets that are found in the folders and not yet in the store, and solve them."""
    parser = argparse.ArgumentParser()
    parser.add_argument("folders", nargs="+", type=Path)
    parser.add_argument("--names", nargs="*", default=list(SETS))
    parser.add_argument("--store", type=Path, default=Path("many-beam-data"), help="folder of the simulated data")
    parser.add_argument("--limit", type=float, default=120.0, help="CPU seconds of a search")
    parser.add_argument("--keep", type=Path, help="folder for the runs; without it they are deleted")
    parser.add_argument("--make", action="store_true", help="simulate only")
    arguments = parser.parse_args()
    arguments.store.mkdir(parents=True, exist_ok=True)
    paths = {path.stem: path for folder in arguments.folders for path in sorted(folder.rglob("*.cif"))}
    print(
        "| structure | group | atoms | complete | true R1 | Laue | status | found group | R1 "
        "| refined R1 | trials | found |"
    )
    outcomes: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as deleted:
        for name in arguments.names:
            made = SETS[name]
            if made.source not in {*paths, "albite"}:
                continue
            structure = structure_for(made, name, paths)
            hkl = arguments.store / f"{name}.hkl"
            if not hkl.is_file():
                hkl.write_text(hklf4_text(*measured(structure, made, crc32(name.encode()))), encoding="ascii")
            if not arguments.make:
                outcomes[run(name, structure, hkl, arguments.keep or Path(deleted), limit=arguments.limit)] += 1
    print(", ".join(f"{count} {outcome}" for outcome, count in outcomes.items()))
    sys.exit(1 if outcomes["false solved"] or not (outcomes or arguments.make) else 0)


if __name__ == "__main__":
    main()
