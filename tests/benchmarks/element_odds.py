"""How honest the odds of elements are: ``python -m tests.benchmarks.element_odds FOLDER... [--names NAME ...]``.

FOLDERs are searched for the CIFs named in ``NAMES``: minerals of Debian's libavogadro-data that set no constant.
Intensities are simulated with dynamical flattening, leaking absences, noise and a missing wedge
(`tests.synthetic.solve_dynamical`). The true atoms, their elements dealt out anew at random among the sites, are refined
with the true composition; each name that the refinement gives is right or wrong, and it has stated odds.

The Brier score is the mean of (odds - right)^2: 0 at best, 0.25 for odds of a half everywhere. A table by stated odds
follows: mean odds and how often they were right.
"""

import argparse
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple
from zlib import crc32

import numpy as np

from adapters.cctbx.refine_engine import SmtbxRefiner
from tasks.model import ApertureError, Composition
from tasks.refine import Refinement
from tasks.refine.geometry import contacts
from tasks.solve.models import Atom, Solution
from tests.synthetic.solve_cases import Published, reflections_document
from tests.synthetic.solve_dynamical import Dynamical, Quality, dynamical

NAMES = (
    "AlNa3F6-Cryolite", "CaMgC2O6-Dolomite", "Li2CO3-Zabuyelite", "Na2CO3-Natrite", "CaCO3-Calcite", "CaSO4-Anhydrite",
    "CaSO4-2(H2O)-Gypsum", "PbSO4-Anglesite", "SrSO4-Celestine", "MgSO4", "CuSO4", "PbFCl-Matlockite",
    "CaTiO3-Perovskite", "Mg2TiO4-Qandilite-tetrag", "AlSi2O6H-Pyrophyllite", "Al2Si2O9H4-Kaolinite",
    "V2O5-Shcherbinaite", "Si3N4-beta", "FeS2-Pyrite", "CoAs3-Skutterudite", "Ca2C4O10H2.57-Oxalate-Whewellite",
    "C10H10Fe-Ferrocene",
)  # fmt: skip
QUALITY = Quality(0.8, 0.15, 60, 0.6, 0.04)
EDGES = (0.0, 0.5, 0.8, 0.95, 1.01)
WITHIN_ANGSTROM = 0.3


class Named(NamedTuple):
    """An atom of a refined model: stated odds of its element, whether it is right, and the odds of a blind guess."""

    odds: float
    right: bool
    blind: float


def dealt(item: Dynamical, seed: int) -> Solution:
    """Return the true sites with the elements of the composition dealt out at random."""
    published = item.published
    elements = np.random.default_rng(seed).permutation(np.array(published.elements)).tolist()
    atoms = tuple(
        Atom(label=f"X{number}", element=element, position=tuple(place))
        for number, (element, place) in enumerate(zip(elements, published.positions.tolist(), strict=True))
    )
    group = published.group
    return Solution(
        space_group=group.xhm(), hall=group.hall, unit_cell=item.cell, atoms=atoms, r1=0.3, verdict="solved"
    )


def named(refinement: Refinement, published: Published) -> list[Named]:
    """Return the atoms of a refinement that stand on a true site and have odds."""
    rated = [atom for atom in refinement.atoms if atom.element_odds is not None]
    if not rated:
        return []
    places = np.array([atom.position for atom in rated])
    pairs = contacts(places, published.positions, refinement.hall, refinement.unit_cell, cutoff=WITHIN_ANGSTROM)
    share = {element: published.elements.count(element) / len(published.elements) for element in published.elements}
    seen: dict[int, Named] = {}
    for pair in pairs:
        atom, true = rated[pair.first], published.elements[pair.second]
        right = atom.element == true
        seen[pair.first] = Named(float(atom.element_odds or 0.0), right, share.get(atom.element, 0.0))
    return list(seen.values())


def run(path: Path, seed: int) -> list[Named]:
    """Refine one structure, print its row, return its atoms."""
    item = dynamical(path, QUALITY)
    with tempfile.TemporaryDirectory() as folder:
        data = reflections_document(
            Path(folder) / "data", name=path.stem, merged=item.merged, cell=item.cell, laue=item.laue,
            radiation="electron",
        )  # fmt: skip
        workdir = Path(folder) / "refine"
        workdir.mkdir()
        refinement = SmtbxRefiner().refine(data, dealt(item, seed), Composition.parse(item.composition), workdir)
    found = named(refinement, item.published)
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
    print(
        "| structure | reflections | R1 | verdict | elements | right | odds of the wrong |\n|---|---|---|---|---|---|---|"
    )
    atoms: list[Named] = []
    for name in (name for name in arguments.names if name in paths):
        try:
            atoms += run(paths[name], crc32(name.encode()))
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
    for low, high in zip(EDGES[:-1], EDGES[1:], strict=True):
        rows = [atom for atom in atoms if low <= atom.odds < high]
        if rows:
            mean = np.mean([atom.odds for atom in rows])
            print(
                f"| {low:.2f} to {min(high, 1):.2f} | {len(rows)} | {mean:.2f} | {np.mean([r.right for r in rows]):.2f} |"
            )


if __name__ == "__main__":
    main()
