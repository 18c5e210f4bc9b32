"""Structures that no threshold was set on: ``python -m tests.benchmarks.solve_public FOLDER... [--refine]``.

FOLDERs are searched for the CIFs named in ``SETS``: zeolites and minerals of Debian's libavogadro-data, frameworks
(RASPA2) and molecules (pyxtal) of packages on PyPI. Those not found are left out. Intensities are simulated with
dynamical flattening, leaking absences, noise and a missing wedge (`tests.synthetic.solve_dynamical`).
"""

import argparse
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import gemmi

from adapters.cctbx.refine_engine import SmtbxRefiner
from tasks.integrate.models import Reflections
from tasks.model import ApertureError, Composition
from tasks.solve.engines import DirectMethods
from tasks.solve.models import Solution
from tests.synthetic.match_structure import match_structure
from tests.synthetic.solve_cases import reflections_document
from tests.synthetic.solve_dynamical import Dynamical, Quality, dynamical

SETS = {
    "aspirin": Quality(0.85, 0.12, 60, 0.5, 0.03), "ACBNZA01": Quality(0.9, 0.15, 60, 0.6, 0.03),
    "coumarin": Quality(0.85, 0.12, 55, 0.6, 0.05), "resorcinol": Quality(0.9, 0.15, 55, 0.6, 0.04),
    "HAHCOI": Quality(0.9, 0.15, 60, 0.5, 0.03), "LAGNAL": Quality(0.85, 0.15, 60, 0.5, 0.03),
    "TMPPIO03": Quality(0.85, 0.15, 60, 0.5, 0.03), "WEXBOS": Quality(0.95, 0.15, 60, 0.5, 0.03),
    "YICMOP": Quality(1.0, 0.12, 60, 0.5, 0.03), "gdh": Quality(0.8, 0.15, 55, 0.7, 0.05),
    "xxvi": Quality(0.85, 0.12, 65, 0.4, 0.02), "ZIF-1": Quality(1.0, 0.15, 60, 0.5, 0.04),
    "ZIF-2": Quality(0.95, 0.15, 55, 0.5, 0.04), "ZIF-3": Quality(1.0, 0.15, 60, 0.5, 0.04),
    "ZIF-7": Quality(1.0, 0.2, 60, 0.5, 0.04), "MOF-72": Quality(0.9, 0.15, 60, 0.5, 0.03),
    "COF-300": Quality(0.9, 0.15, 60, 0.4, 0.03), "Cd3BTB2": Quality(1.0, 0.12, 65, 0.4, 0.03),
    "ZIF-77": Quality(0.95, 0.15, 60, 0.5, 0.03), "MOF-69c": Quality(0.95, 0.12, 60, 0.4, 0.03),
    "HEU": Quality(0.9, 0.15, 60, 0.6, 0.04), "PAR": Quality(0.95, 0.15, 60, 0.6, 0.04),
    "SFE": Quality(0.9, 0.15, 60, 0.6, 0.04), "STT": Quality(0.9, 0.15, 60, 0.5, 0.03),
    "PON": Quality(0.85, 0.12, 55, 0.5, 0.04), "MFI": Quality(1.0, 0.15, 60, 0.5, 0.04),
    "MOR": Quality(0.9, 0.2, 60, 0.7, 0.05), "CHA": Quality(0.9, 0.2, 60, 0.7, 0.05),
    "DDR": Quality(1.0, 0.15, 60, 0.5, 0.04), "FER": Quality(1.0, 0.2, 55, 0.6, 0.05),
    "RRO": Quality(0.9, 0.15, 60, 0.6, 0.04), "CHI": Quality(0.9, 0.15, 60, 0.6, 0.05),
    "ZON": Quality(0.95, 0.15, 60, 0.6, 0.04), "APC": Quality(1.04, 0.15, 60, 0.6, 0.05),
    "VET": Quality(0.9, 0.15, 60, 0.6, 0.04), "GOO": Quality(0.95, 0.15, 60, 0.5, 0.04),
    "GIS": Quality(0.8, 0.2, 55, 0.8, 0.05), "Al2Si2O9H4-Dickite": Quality(0.8, 0.15, 60, 0.8, 0.05),
    "(NH4)MgPO4-6(H2O)-Struvite": Quality(0.8, 0.15, 60, 0.6, 0.05),
    "SiO2-Coesite": Quality(0.7, 0.15, 55, 0.8, 0.05), "Sb2S3-Stibnite": Quality(0.8, 0.2, 60, 0.9, 0.05),
    "Zn2SiO5H2-Hemimorphite": Quality(0.8, 0.2, 50, 0.8, 0.05),
    # polar groups and groups with a centre that look alike
    "GUMMUW": Quality(0.85, 0.12, 60, 0.5, 0.03), "JAPWIH": Quality(0.85, 0.15, 60, 0.5, 0.03),
    "LUFHAW": Quality(0.9, 0.15, 60, 0.5, 0.03), "TON": Quality(0.9, 0.15, 60, 0.6, 0.04),
    "MFS": Quality(0.95, 0.15, 60, 0.5, 0.04), "ITQ-12": Quality(0.9, 0.15, 60, 0.5, 0.04),
    "STF": Quality(0.9, 0.15, 60, 0.5, 0.04), "MIL-47": Quality(0.85, 0.15, 60, 0.5, 0.04),
    "MIL-53(Cr)lt": Quality(0.85, 0.15, 60, 0.5, 0.04), "BaSO4-Barite": Quality(0.8, 0.15, 60, 0.8, 0.04),
    "Al2Si2O9H4-Nacrite": Quality(0.8, 0.15, 60, 0.6, 0.04), "MIL-140B-DFT": Quality(0.9, 0.15, 60, 0.4, 0.03),
    "DON": Quality(0.95, 0.12, 65, 0.4, 0.03),
}  # fmt: skip
HANDS = ((76, 78), (91, 95), (92, 96), (144, 145), (151, 153), (152, 154), (169, 170), (171, 172), (178, 179),
         (180, 181), (212, 213))  # fmt: skip


def same_group(found: str, true: gemmi.SpaceGroup) -> bool:
    """Tell whether a symbol is of the true type of group, or of its mirror image."""
    pair = (gemmi.SpaceGroup(found).number, true.number)
    return pair[0] == pair[1] or pair in HANDS or pair[::-1] in HANDS


def run(name: str, item: Dynamical, workdir: Path, *, limit: float, refine: bool) -> str:
    """Solve one set, print its row, and return the outcome in a word or two."""
    data = reflections_document(
        workdir / "data", name=name, merged=item.merged, cell=item.cell, laue=item.laue, radiation="electron"
    )
    composition = Composition.parse(item.composition)
    begun = time.process_time()
    solutions = DirectMethods(time_limit_s=limit, workers=1).solve(data, composition, workdir)
    seconds = time.process_time() - begun
    best = solutions.best
    found = match_structure(best, item.published, cell=item.cell).fraction
    right = same_group(best.space_group, item.published.group)
    after = refined(data, best, composition, workdir) if refine else ""
    print(
        f"| {name} | {item.published.group.xhm()} | {len(item.published.elements)} | {item.completeness:.2f} "
        f"| {item.r1_true:.2f} | {solutions.verdict} | {best.space_group} | {best.r1:.3f} | {solutions.trials} "
        f"| {seconds:.0f} | {100 * found:.0f} % |{after}",
        flush=True,
    )
    if solutions.verdict == "solved" and found < 0.8:
        return "false solved"
    return solutions.verdict if right or solutions.verdict != "solved" else "solved in another group"


def refined(data: Reflections, best: Solution, composition: Composition, workdir: Path) -> str:
    """Return the cells of the refinement: verdict and R1."""
    folder = workdir / "refine"
    folder.mkdir()
    try:
        result = SmtbxRefiner().refine(data, best, composition, folder)
    except ApertureError as error:
        return f" {error} | |"
    return f" {result.verdict} | {result.r1:.3f} |"


def main() -> None:
    """Run the sets that are found in the folders."""
    parser = argparse.ArgumentParser()
    parser.add_argument("folders", nargs="+", type=Path)
    parser.add_argument("--names", nargs="*", default=list(SETS))
    parser.add_argument("--limit", type=float, default=120.0, help="CPU seconds of a search")
    parser.add_argument("--refine", action="store_true")
    arguments = parser.parse_args()
    paths = {path.stem: path for folder in arguments.folders for path in sorted(folder.rglob("*.cif"))}
    print(
        "| structure | group | atoms | complete | true R1 | verdict | found group | R1 | trials | CPU s | found |"
        + (" refined | R1 |" if arguments.refine else "")
    )
    outcomes: Counter[str] = Counter()
    for name in (name for name in arguments.names if name in paths):
        with tempfile.TemporaryDirectory() as workdir:
            item = dynamical(paths[name], SETS[name])
            outcomes[run(name, item, Path(workdir), limit=arguments.limit, refine=arguments.refine)] += 1
    print(", ".join(f"{count} {outcome}" for outcome, count in outcomes.items()))
    sys.exit(1 if outcomes["false solved"] or not outcomes else 0)


if __name__ == "__main__":
    main()
