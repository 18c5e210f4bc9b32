"""How honest the odds of elements are: ``python -m tests.benchmarks.element_odds FOLDER... [--names NAME ...]``.

FOLDERs are searched for the CIFs named in ``NAMES``: minerals of Debian's libavogadro-data that set no constant.
Intensities are simulated with dynamical flattening, leaking absences, noise and a missing wedge
(`tests.synthetic.solve_dynamical`), solved and refined with the composition told. Each name that the refinement gives
to an atom of the true structure is right or wrong, and it has stated odds.

The Brier score is the mean of (odds - right)^2: 0 at best, 0.25 for odds of a half everywhere. A table by stated odds
follows: mean odds and how often they were right.
"""

import argparse
import sys
import tempfile
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import gemmi
import numpy as np

from adapters.cctbx.refine_engine import SmtbxRefiner
from tasks.model import ApertureError, Composition, UnitCell
from tasks.refine import Refinement
from tasks.solve.engines import DirectMethods
from tests.synthetic.match_structure import partners, whole_cell
from tests.synthetic.solve_cases import Published, reflections_document
from tests.synthetic.solve_dynamical import Quality, dynamical

NAMES = (
    "AlNa3F6-Cryolite", "CaMgC2O6-Dolomite", "Li2CO3-Zabuyelite", "Na2CO3-Natrite", "CaCO3-Calcite", "CaSO4-Anhydrite",
    "CaSO4-2(H2O)-Gypsum", "PbSO4-Anglesite", "SrSO4-Celestine", "MgSO4", "CuSO4", "PbFCl-Matlockite",
    "CaTiO3-Perovskite", "Mg2TiO4-Qandilite-tetrag", "AlSi2O6H-Pyrophyllite", "Al2Si2O9H4-Kaolinite",
    "V2O5-Shcherbinaite", "Si3N4-beta", "FeS2-Pyrite", "CoAs3-Skutterudite", "Ca2C4O10H2.57-Oxalate-Whewellite",
    "C10H10Fe-Ferrocene",
)  # fmt: skip
QUALITY = Quality(0.8, 0.15, 60, 0.6, 0.04)
EDGES = (0.0, 0.5, 0.8, 0.95, 1.01)
LIMIT_S = 40.0
"""CPU seconds of a search."""


class Named(NamedTuple):
    """An atom of a refined model: stated odds of its element, whether it is right, and the odds of a blind guess."""

    odds: float
    right: bool
    blind: float


def named(refinement: Refinement, published: Published, cell: UnitCell) -> list[Named]:
    """Return the atoms of a refinement that stand on a true site and have odds."""
    rated = {atom.label: atom for atom in refinement.atoms if atom.element_odds is not None}
    if not rated:
        return []
    positions = np.array([atom.position for atom in rated.values()])
    found, labels = whole_cell(positions, list(rated), gemmi.SpaceGroup(refinement.space_group))
    count = len(published.elements)
    share = {element: published.elements.count(element) / count for element in published.elements}
    pairs = zip(partners(found, labels, published, cell), published.elements, strict=True)
    return [
        Named(rated[label].element_odds or 0.0, rated[label].element == true, share.get(rated[label].element, 0.0))
        for label, true in pairs
        if label is not None
    ]


def run(path: Path) -> list[Named]:
    """Solve and refine one structure, print its row, return its atoms."""
    item = dynamical(path, QUALITY)
    with tempfile.TemporaryDirectory() as folder:
        data = reflections_document(
            Path(folder) / "data", name=path.stem, merged=item.merged, cell=item.cell, laue=item.laue,
            radiation="electron",
        )  # fmt: skip
        workdir, composition = Path(folder) / "refine", Composition.parse(item.composition)
        workdir.mkdir()
        best = DirectMethods(time_limit_s=LIMIT_S, workers=1).solve(data, composition, workdir).best
        refinement = SmtbxRefiner().refine(data, best, composition, workdir)
    found = named(refinement, item.published, item.cell)
    claim = "" if refinement.claims is None else refinement.claims.elements.state
    wrong = ", ".join(f"{atom.odds:.2f}" for atom in found if not atom.right)
    print(
        f"| {path.stem} | {len(item.merged.hkl)} | {refinement.r1:.3f} | {refinement.verdict} | {claim} "
        f"| {sum(atom.right for atom in found)} of {len(found)} | {wrong} |",
        flush=True,
    )
    return found


def brier(odds: Sequence[float], right: Sequence[bool]) -> float:
    """Return the mean square of stated odds less what came true."""
    return float(np.mean((np.array(odds) - np.array(right, dtype=float)) ** 2))


def main() -> None:
    """Run the structures found in the folders."""
    parser = argparse.ArgumentParser()
    parser.add_argument("folders", nargs="+", type=Path)
    parser.add_argument("--names", nargs="*", default=list(NAMES))
    arguments = parser.parse_args()
    paths = {path.stem: path for folder in arguments.folders for path in sorted(folder.rglob("*.cif"))}
    print("| structure | reflections | R1 | verdict | elements | right | odds of the wrong |\n" + "|---" * 7 + "|")
    atoms: list[Named] = []
    for name in (name for name in arguments.names if name in paths):
        try:
            atoms += run(paths[name])
        except ApertureError as error:
            print(f"| {name} | | | {error.message} | | | |", flush=True)
    if not atoms:
        sys.exit("none of the structures was found in the folders")
    odds, right = [atom.odds for atom in atoms], [atom.right for atom in atoms]
    blind = brier([atom.blind for atom in atoms], right)
    print(
        f"\n{sum(right)} of {len(right)} right, mean odds {np.mean(odds):.3f}, Brier score {brier(odds, right):.3f} "
        f"({blind:.3f} by the composition alone)\n\n| odds | atoms | mean odds | right |\n|---|---|---|---|"
    )
    for low, high in pairwise(EDGES):
        rows = [atom for atom in atoms if low <= atom.odds < high]
        if rows:
            mean, share = np.mean([atom.odds for atom in rows]), np.mean([atom.right for atom in rows])
            print(f"| {low:.2f} to {min(high, 1):.2f} | {len(rows)} | {mean:.2f} | {share:.2f} |")


if __name__ == "__main__":
    main()
