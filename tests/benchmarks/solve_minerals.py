"""Minerals by the hundred that no threshold was set on: ``python -m tests.benchmarks.solve_minerals FOLDER...``.

FOLDERs are searched for CIFs (the crystals of Debian's libavogadro-data); without ``--names`` all of those are taken
whose cell holds 16 to 60 atoms beside hydrogen. Intensities are simulated as in `tests.benchmarks.solve_public`, all of
one quality; ``--thickness 1.2`` makes crystals so thick that strong reflections are weakened much, ``--seeds`` makes
several sets of each. The exit code is 1 if a structure is called solved that is not the true one.
"""

import argparse
import sys
import tempfile
from collections import Counter
from pathlib import Path

import gemmi

from tests.benchmarks.solve_public import run
from tests.synthetic.solve_dynamical import Quality, dynamical

ATOMS = range(16, 61)
"""In the cell, hydrogen left out: enough for direct methods, and few enough that hundreds of sets take hours."""


def paths_in(folders: list[Path]) -> dict[str, Path]:
    """Return the CIFs in the folders by name."""
    return {path.stem: path for folder in folders for path in sorted(folder.rglob("*.cif"))}


def of_a_size(path: Path) -> bool:
    """Tell whether a file holds a structure, its cell with as many atoms as are asked for."""
    try:
        blocks = [block for block in gemmi.cif.read(str(path)) if block.find_values("_atom_site_fract_x")]
        small = gemmi.make_small_structure_from_block(blocks[0]) if blocks else None
    except (ValueError, RuntimeError):
        return False
    if small is None or small.spacegroup is None:
        return False
    return sum(site.element.name not in {"H", "D", "X"} for site in small.get_all_unit_cell_sites()) in ATOMS


def main() -> None:
    """Make the sets one after the other, and solve them."""
    parser = argparse.ArgumentParser()
    parser.add_argument("folders", nargs="+", type=Path)
    parser.add_argument("--names", nargs="*")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--d-min", type=float, default=0.7, help="angstrom")
    parser.add_argument("--noise", type=float, default=0.05, help="relative error of an intensity")
    parser.add_argument("--tilt", type=float, default=60.0, help="half of the tilt range, degrees")
    parser.add_argument("--thickness", type=float, default=0.5, help="Blackman's A of the r.m.s. structure factor")
    parser.add_argument("--leak", type=float, default=0.02, help="multiply scattered part of the mean intensity")
    parser.add_argument("--limit", type=float, default=60.0, help="CPU seconds of a search")
    parser.add_argument("--refine", action="store_true")
    arguments = parser.parse_args()
    paths = paths_in(arguments.folders)
    names = arguments.names or [name for name, path in paths.items() if of_a_size(path)]
    quality = Quality(arguments.d_min, arguments.noise, arguments.tilt, arguments.thickness, arguments.leak)
    print(
        "| structure | group | atoms | complete | true R1 | verdict | found group | R1 | trials | CPU s | found |"
        + (" refined | R1 |" if arguments.refine else "")
    )
    outcomes: Counter[str] = Counter()
    for name in names:
        for seed in range(arguments.seeds):
            with tempfile.TemporaryDirectory() as workdir:
                item = dynamical(paths[name], quality, seed=seed)
                outcomes[run(name, item, Path(workdir), limit=arguments.limit, refine=arguments.refine)] += 1
    print(", ".join(f"{count} {outcome}" for outcome, count in outcomes.items()))
    sys.exit(1 if outcomes["false solved"] or not outcomes else 0)


if __name__ == "__main__":
    main()
