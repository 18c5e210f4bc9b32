"""The whole DIALS engine on a simulated crystal of each of the 14 lattices; prints a Markdown table.

    python -m tests.benchmarks.integrate.dials_lattices [LATTICE ...] [--folder DIR]

DIALS indexes the reduced primitive cell, which is the conventional one of few lattices only. The quick test of the
change of axes alone is tests/system/test_dials_lattices.py.
"""

import argparse
import resource
import tempfile
from pathlib import Path

import gemmi
import numpy as np

from adapters.programs.dials.engine import DialsIntegrator
from tasks.model import ApertureError, Detector, UnitCell
from tasks.simulate.models import Structure, StructureAtom
from tests.synthetic.frame_series import Conditions, synthetic_frame_series

LATTICES: dict[str, tuple[str, tuple[float, float, float, float, float, float]]] = {
    "aP": ("P 1", (7.1, 8.3, 9.6, 83, 77, 68)),
    "mP": ("P 1 2 1", (9.4, 6.3, 7.2, 90, 103, 90)),
    "mP, a = c": ("P 1 2 1", (8.1, 6.3, 8.1, 90, 104, 90)),
    "mC": ("C 1 2 1", (13.1, 7.4, 8.6, 90, 98, 90)),
    "oP": ("P 2 2 2", (10.2, 6.1, 8.3, 90, 90, 90)),
    "oC": ("C 2 2 2", (8.3, 13.9, 7.1, 90, 90, 90)),
    "oF": ("F 2 2 2", (9.1, 14.2, 17.3, 90, 90, 90)),
    "oI": ("I 2 2 2", (7.2, 9.9, 13.1, 90, 90, 90)),
    "tP": ("P 4", (9.2, 9.2, 6.1, 90, 90, 90)),
    "tI": ("I 4", (8.2, 8.2, 14.1, 90, 90, 90)),
    "hR": ("R 3", (9.1, 9.1, 22.0, 90, 90, 120)),
    "hP": ("P 6", (10.1, 10.1, 6.4, 90, 90, 120)),
    "cP": ("P 2 3", (9.3, 9.3, 9.3, 90, 90, 90)),
    "cI": ("I 2 3", (11.2, 11.2, 11.2, 90, 90, 90)),
    "cF": ("F 2 3", (13.1, 13.1, 13.1, 90, 90, 90)),
}
DETECTOR = Detector(
    name="small", shape_px=(300, 300), pixel_size_mm=0.02, camera_length_mm=110.0, direct_beam_px=(149.5, 149.5)
)
CONDITIONS = Conditions(disc_px=1.0, beam_jitter_px=0.2, d_min_angstrom=0.9)
ATOMS = ("Zr", "O", "C", "C", "N")


def crystal_of(name: str, seed: int) -> Structure:
    """Return some atoms at random in the asymmetric unit of a group with this lattice."""
    symbol, cell = LATTICES[name]
    rng = np.random.default_rng(seed)
    atoms = tuple(
        StructureAtom(label=f"{e}{n}", element=e, position=tuple(rng.random(3).tolist()), u_iso_angstrom2=0.02)
        for n, e in enumerate(ATOMS, 1)
    )
    return Structure(name=name, cell=UnitCell.of(cell), hall=gemmi.SpaceGroup(symbol).hall, atoms=atoms)


def row(name: str, folder: Path) -> str:
    """Return a row of the table: what DIALS found, and CPU seconds."""
    folder.mkdir(parents=True)
    structure = crystal_of(name, 5)
    made = synthetic_frame_series(
        structure, np.arange(-50, 50.1, 1.0), folder, conditions=CONDITIONS, detector=DETECTOR, seed=6
    )
    before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
    try:
        found = DialsIntegrator(d_min_angstrom=1.0).integrate(made.series, folder)
    except ApertureError as error:
        return f"| {name} | {LATTICES[name][0]} | {error.code}: {error.message} | | |"
    spent = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime - before
    setting = next((one.change for one in found.provenance.attempts if one.change.startswith("lattice ")), "")
    cell = " ".join(f"{value:.2f}" for value in found.unit_cell.parameters)
    return f"| {name} | {LATTICES[name][0]} | {setting} | {found.laue_group}, {cell} | {spent:.0f} |"


def main() -> None:
    """Run the lattices that are named, or all."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("lattices", nargs="*", default=list(LATTICES))
    parser.add_argument("--folder", type=Path)
    given = parser.parse_args()
    print("| lattice | group | refined by DIALS in | Laue group and cell found | CPU s |\n|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as scratch:
        for number, name in enumerate(given.lattices):
            print(row(name, (given.folder or Path(scratch)) / f"{number:02d}"), flush=True)


if __name__ == "__main__":
    main()
