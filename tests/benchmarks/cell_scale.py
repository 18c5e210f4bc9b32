"""A camera length or beam energy stated wrong: what becomes of the cell, and what is said of it.

    python -m tests.benchmarks.cell_scale cases natrolite,uio66 --seeds 11,12
    python -m tests.benchmarks.cell_scale curvature natrolite,urea --seeds 1,2,3 --step 1.0
    python -m tests.benchmarks.cell_scale bonds FOLDER_OR_CIF ...

`cases` integrates, solves and refines frames of a known structure (tests/synthetic/structures.py) as they are, with the
camera length stated 3 % too long, and with 200 keV stated for 300. `curvature` prints how far the camera length by the
curvature of the Ewald sphere is from the truth, in its esds. `bonds` prints the common factor that the bonds of
published structures ask for, which is 1 if nothing is wrong; an ASE database of pyxtal is read too.
"""

import argparse
import json
import sqlite3
import tempfile
from collections.abc import Iterator
from pathlib import Path

import gemmi
import numpy as np

from adapters.cctbx.refine_engine import SmtbxRefiner
from tasks.frames.models import FrameSeries
from tasks.integrate import BuiltinIntegrator
from tasks.model import ApertureError, Beam, UnitCell
from tasks.refine import refine_structure
from tasks.refine.bond_scale import bond_scale
from tasks.refine.draft import DraftAtom
from tasks.solve.engines import DirectMethods
from tasks.solve.task import solve_structure
from tests.synthetic import structures
from tests.synthetic.frame_series import Conditions, synthetic_frame_series

STATED = {"as it is": (1.0, 300.0), "camera length +3 %": (1.03, 300.0), "200 keV for 300": (1.0, 200.0)}
"""Camera length stated over the true one, and energy stated in keV."""
REACH_DEG = 50.0
"""Tilts run from minus to plus this."""


def main() -> None:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("cases", "curvature", "bonds"))
    parser.add_argument("names", nargs="+", help="structures, separated by commas; of bonds files or folders")
    parser.add_argument("--seeds", default="11")
    parser.add_argument("--step", type=float, default=1.0, help="degrees between tilts")
    parser.add_argument("--width", type=float, default=0.0, help="degrees that a frame rotates by")
    given = parser.parse_args()
    if given.what == "bonds":
        _bonds([Path(name) for name in given.names])
        return
    for name in given.names[0].split(","):
        for seed in map(int, given.seeds.split(",")):
            with tempfile.TemporaryDirectory() as folder:
                series = _series(name, seed, Path(folder), step=given.step, width=given.width)
                if given.what == "curvature":
                    _curvature(name, seed, series, Path(folder))
                else:
                    for number, stated in enumerate(STATED):
                        place = Path(folder) / str(number)
                        place.mkdir()
                        _case(name, seed, stated, series, place)


def _series(name: str, seed: int, folder: Path, *, step: float, width: float) -> FrameSeries:
    angles = np.arange(-REACH_DEG, REACH_DEG + step / 2, step)
    made = getattr(structures, name)()
    return synthetic_frame_series(made, angles, folder, seed=seed, width_deg=width, conditions=Conditions()).series


def _restated(series: FrameSeries, stated: str) -> FrameSeries:
    length, energy = STATED[stated]
    detector = series.detector.model_copy(update={"camera_length_mm": length * series.detector.camera_length_mm})
    return series.model_copy(update={"detector": detector, "beam": Beam(energy_kev=energy)})


def _curvature(name: str, seed: int, series: FrameSeries, folder: Path) -> None:
    try:
        scale = BuiltinIntegrator().integrate(series, folder).cell_scale
    except ApertureError as error:
        print(f"{name} {seed}: {error.message}", flush=True)
        return
    if scale is not None and scale.curvature_ratio is not None and scale.curvature_relative_esd is not None:
        off, esd = scale.curvature_ratio - 1.0, scale.curvature_relative_esd
        print(f"{name} {seed}: {off:+.4f}, esd {esd:.4f}, {off / esd:+.2f} esds", flush=True)


def _case(name: str, seed: int, stated: str, series: FrameSeries, folder: Path) -> None:
    truth = getattr(structures, name)()
    begin = f"{name} {seed}, {stated}:"
    try:
        data = BuiltinIntegrator().integrate(_restated(series, stated), folder)
        solutions = solve_structure(data, truth.composition, DirectMethods(), folder / "solve")
        model = refine_structure(data, solutions.best, truth.composition, SmtbxRefiner(), folder / "refine")
    except ApertureError as error:
        print(begin, f"{type(error).__name__}: {error.message}", flush=True)
        return
    cell = ", ".join(f"{length:.3f}" for length in model.unit_cell.parameters[:3])
    print(begin, f"{model.verdict}, R1 {model.r1:.3f}, {model.space_group}, {cell}", flush=True)
    for reason in model.reasons:
        print("   ", reason, flush=True)


def _bonds(paths: list[Path]) -> None:
    ratios = []
    for name, atoms, hall, cell in _published(paths):
        found = bond_scale(atoms, hall, cell)
        if found is None:
            continue
        sigmas = float(np.log(found.factor)) / found.esd
        ratios.append((sigmas, found.sites))
        print(f"{name}: {found.factor:.4f}, esd {found.esd:.4f}, {found.sites} sites, {sigmas:+.2f} esds")
    told = np.array([sigmas for sigmas, sites in ratios if sites])
    print(
        f"{len(told)} structures with known sites: {told.std():.2f} esds rms, {int((np.abs(told) > 3).sum())} beyond 3"
    )


def _published(paths: list[Path]) -> Iterator[tuple[str, list[DraftAtom], str, UnitCell]]:
    for path in paths:
        if path.suffix == ".db":
            yield from _of_database(path)
            continue
        for file in sorted(path.rglob("*.cif")) if path.is_dir() else [path]:
            try:
                found = gemmi.make_small_structure_from_block(gemmi.cif.read(str(file))[0])
            except (RuntimeError, ValueError, IndexError) as error:
                print(f"{file}: {error}")
                continue
            sites = [site for site in found.sites if site.occ > 0.99 and site.element.atomic_number > 1]
            if found.spacegroup is not None and len({site.element.name for site in sites}) > 1:
                atoms = [_atom(k, site.element.name, site.fract.tolist()) for k, site in enumerate(sites)]
                yield file.stem, atoms, found.spacegroup.hall, UnitCell.of(found.cell.parameters)


def _of_database(path: Path) -> Iterator[tuple[str, list[DraftAtom], str, UnitCell]]:
    rows = sqlite3.connect(path).execute("select numbers, positions, cell, key_value_pairs from systems order by id")
    for numbers, positions, cell, pairs in rows:
        axes = np.frombuffer(cell, float).reshape(3, 3)
        fractional = np.frombuffer(positions, float).reshape(-1, 3) @ np.linalg.inv(axes)
        lengths = np.linalg.norm(axes, axis=1)
        cosines = [axes[i] @ axes[j] / lengths[i] / lengths[j] for i, j in ((1, 2), (0, 2), (0, 1))]
        a, b, c = lengths.tolist()
        alpha, beta, gamma = np.degrees(np.arccos(cosines)).tolist()
        atomic = np.frombuffer(numbers, np.int32)
        atoms = [
            _atom(k, gemmi.Element(int(number)).name, place)
            for k, (number, place) in enumerate(zip(atomic, fractional.tolist(), strict=True))
            if number > 1
        ]
        yield json.loads(pairs)["csd_code"], atoms, "P 1", UnitCell.of((a, b, c, alpha, beta, gamma))


def _atom(number: int, element: str, place: list[float]) -> DraftAtom:
    x, y, z = place
    return DraftAtom(label=f"{element}{number}", element=element, position=(x, y, z))


if __name__ == "__main__":
    main()
