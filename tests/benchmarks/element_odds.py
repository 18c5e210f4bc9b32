"""How honest the odds of elements are: ``python -m tests.benchmarks.element_odds FOLDER... [--half judging]``.

FOLDERs are searched for the CIFs named in ``NAMES``: minerals and salts of Debian's libavogadro-data. The constants of
the odds were set on one half of them, by the hash of the name; ``--half judging`` runs the other. Intensities are
simulated with dynamical flattening, leaking absences, noise and a missing wedge (`tests.synthetic.solve_dynamical`),
solved and refined with the composition told: once from the solution, and ``--misnamed`` times with its names dealt out
anew to its atoms. ``--near-charge`` runs salts made to be misnamed. Each name that the refinement gives to an atom of
the true structure is right or wrong, and it has stated odds.

The Brier score is the mean of (odds - right)^2: 0 at best, 0.25 for odds of a half everywhere. Tables by stated odds
follow, for the starts apart: mean odds and how often they were right, of all models and of those called solved.
"""

import argparse
import sys
import tempfile
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple
from zlib import crc32

import gemmi
import numpy as np

from adapters.cctbx.refine_engine import SmtbxRefiner
from tasks.model import ApertureError, Composition, UnitCell
from tasks.refine import Refinement
from tasks.solve import Solution
from tasks.solve.engines import DirectMethods
from tests.synthetic.match_structure import partners, whole_cell
from tests.synthetic.near_charge import near_charge_cifs
from tests.synthetic.solve_cases import Published, reflections_document
from tests.synthetic.solve_dynamical import Quality, dynamical

NAMES = (
    "B2O3", "MoO3-Molybdite", "CuO-Tenorite", "HfO2", "AgO", "SnO", "LiOH", "KOH", "Ca(OH)2-Portlandite",
    "Mg(OH)2-Brucite", "FeCl3-Molysite", "CrCl3", "HgCl-Calomel", "CdI2", "Sb2Se3-Antimonselite",
    "SnS-Herzenbergite", "Bi2Se3", "BiSe", "LaAlO3", "YBa2Cu3O6.9-YBCO", "Cu2MnAl-Heusler", "W2C", "NiAs-Nickeline",
    "CaC2O6.375H6-Oxalate-Weddellite",
    "CdCl2", "Bi2Te3", "PbFCl-Matlockite", "Na2CO3-Natrite", "PbO", "VO2", "FeS", "SrSO4-Celestine", "B6O",
    "CrCl2", "Sb2S3-Stibnite", "V2O5-Shcherbinaite", "MoO2-Tugarinovite", "Si3N4-beta", "MgSO4", "PbSO4-Anglesite",
    "PbO2-Scrutinyite", "Zn2SiO5H2-Hemimorphite", "FeS2-Pyrite", "Ag2O", "Sc2O3", "Al2Si2O9H4-Kaolinite",
)  # fmt: skip
MENDED = frozenset({"CdI2"})
"""What faults were mended on: of the half that sets, whatever its name."""
QUALITY = Quality(0.8, 0.15, 60, 0.6, 0.04)
EDGES = (0.0, 0.5, 0.8, 0.9, 0.95, 0.98, 1.01)
LIMIT_S = 40.0
"""CPU seconds of a search."""


def judges(name: str) -> bool:
    """Tell whether a structure is of the half that judges, by the hash of its name."""
    return crc32(name.encode()) % 2 == 1 and name not in MENDED


class Named(NamedTuple):
    """An atom of a refined model: stated odds of its element, whether it is right, and the odds of a blind guess."""

    odds: float
    right: bool
    blind: float
    start: int
    """Zero: from the solution as it was."""
    solved: bool


def named(refinement: Refinement, published: Published, cell: UnitCell, start: int) -> list[Named]:
    """Return the atoms of a refinement that stand on a true site and have odds."""
    rated = {atom.label: atom for atom in refinement.atoms if atom.element_odds is not None}
    if not rated:
        return []
    positions = np.array([atom.position for atom in rated.values()])
    found, labels = whole_cell(positions, list(rated), gemmi.SpaceGroup(refinement.space_group))
    count = len(published.elements)
    share = {element: published.elements.count(element) / count for element in published.elements}
    elements = {label: atom.element for label, atom in rated.items()}
    pairs = zip(partners(found, labels, published, cell, elements=elements), published.elements, strict=True)
    return [
        Named(
            rated[label].element_odds or 0.0, rated[label].element == true, share.get(rated[label].element, 0.0),
            start, solved=refinement.verdict == "solved",
        )
        for label, true in pairs
        if label is not None
    ]  # fmt: skip


def misnamed(solution: Solution, rng: np.random.Generator) -> Solution:
    """Return a solution whose names are dealt out anew to its atoms; one atom at least has another than it had."""
    names = [atom.element for atom in solution.atoms]
    while (dealt := rng.permutation(names).tolist()) == names and len(set(names)) > 1:
        pass
    atoms = tuple(
        atom.model_copy(update={"element": element, "label": f"{element}{number}"})
        for number, (atom, element) in enumerate(zip(solution.atoms, dealt, strict=True), 1)
    )
    return solution.model_copy(update={"atoms": atoms})


def run(path: Path, starts: int) -> list[Named]:
    """Solve one structure, refine it as solved and from so many wrong starts, print its rows, return its atoms."""
    item = dynamical(path, QUALITY)
    found: list[Named] = []
    with tempfile.TemporaryDirectory() as folder:
        data = reflections_document(
            Path(folder) / "data", name=path.stem, merged=item.merged, cell=item.cell, laue=item.laue,
            radiation="electron",
        )  # fmt: skip
        composition = Composition.parse(item.composition)
        best = DirectMethods(time_limit_s=LIMIT_S, workers=1).solve(data, composition, fresh(folder, "solve")).best
        for start in range(starts + 1):
            rng = np.random.default_rng([crc32(path.stem.encode()), start])
            solution = misnamed(best, rng) if start else best
            try:
                refinement = SmtbxRefiner().refine(data, solution, composition, fresh(folder, f"refine-{start}"))
            except ApertureError as error:
                print(f"| {path.stem} | {start} | | | {error.message} | | | |", flush=True)
                continue
            rows = named(refinement, item.published, item.cell, start)
            print(told(path.stem, start, refinement, rows), flush=True)
            found += rows
    return found


def fresh(folder: str, name: str) -> Path:
    """Return a new folder in one."""
    path = Path(folder) / name
    path.mkdir()
    return path


def told(name: str, start: int, refinement: Refinement, rows: Sequence[Named]) -> str:
    """Return the row of a refinement."""
    claim = "" if refinement.claims is None else refinement.claims.elements.state
    wrong = ", ".join(f"{atom.odds:.2f}" for atom in rows if not atom.right)
    return (
        f"| {name} | {'dealt anew' if start else 'solved'} | {refinement.space_group} | {refinement.r1:.3f} "
        f"| {refinement.verdict} | {claim} | {sum(atom.right for atom in rows)} of {len(rows)} | {wrong} |"
    )


def brier(odds: Sequence[float], right: Sequence[bool]) -> float:
    """Return the mean square of stated odds less what came true."""
    return float(np.mean((np.array(odds) - np.array(right, dtype=float)) ** 2))


def table(title: str, atoms: Sequence[Named]) -> str:
    """Return the figures of some atoms and a row for each range of stated odds."""
    if not atoms:
        return f"\n{title}: none"
    odds, right = [atom.odds for atom in atoms], [atom.right for atom in atoms]
    blind = brier([atom.blind for atom in atoms], right)
    said = f"{sum(right)} of {len(right)} right, mean odds {np.mean(odds):.3f}, Brier score {brier(odds, right):.3f}"
    lines = [
        f"\n{title}: {said} ({blind:.3f} by the composition alone)\n",
        "| odds | atoms | mean odds | right |\n|---|---|---|---|",
    ]
    for low, high in pairwise(EDGES):
        rows = [atom for atom in atoms if low <= atom.odds < high]
        if rows:
            mean, share = np.mean([atom.odds for atom in rows]), np.mean([atom.right for atom in rows])
            lines.append(f"| {low:.2f} to {min(high, 1):.2f} | {len(rows)} | {mean:.2f} | {share:.2f} |")
    return "\n".join(lines)


def measured(paths: Sequence[Path], starts: int) -> list[Named]:
    """Run structures, print their rows, return their atoms; what cannot be solved or refined is told."""
    print("| structure | start | group | R1 | verdict | elements | right | odds of the wrong |\n" + "|---" * 8 + "|")
    atoms: list[Named] = []
    for path in paths:
        try:
            atoms += run(path, starts)
        except ApertureError as error:
            print(f"| {path.stem} | | | | {error.message} | | | |", flush=True)
    return atoms


def main() -> None:
    """Run the structures found in the folders."""
    parser = argparse.ArgumentParser()
    parser.add_argument("folders", nargs="*", type=Path)
    parser.add_argument("--names", nargs="*", default=list(NAMES))
    parser.add_argument("--half", choices=["setting", "judging", "both"], default="both", help="by hash of the name")
    parser.add_argument("--near-charge", action="store_true", help="salts whose names are easily exchanged, no folders")
    parser.add_argument("--misnamed", type=int, default=1, help="starts with names dealt out anew")
    arguments = parser.parse_args()
    halves = {"setting": (False,), "judging": (True,), "both": (False, True)}[arguments.half]
    found = {path.stem: path for folder in arguments.folders for path in sorted(folder.rglob("*.cif"))}
    with tempfile.TemporaryDirectory() as folder:
        paths = [found[name] for name in arguments.names if name in found and judges(name) in halves]
        if arguments.near_charge:
            paths = near_charge_cifs(Path(folder))
        atoms = measured(paths, arguments.misnamed)
    if not atoms:
        sys.exit("none of the structures was found in the folders")
    for title, some in (("as solved", [one for one in atoms if one.start == 0]),
                        ("dealt anew", [one for one in atoms if one.start])):  # fmt: skip
        print(table(title, some))
        print(table(f"{title}, of models called solved", [one for one in some if one.solved]))


if __name__ == "__main__":
    main()
