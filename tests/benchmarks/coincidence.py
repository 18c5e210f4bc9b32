"""Intensities of a crystal counted as local maxima, by the truth: ``python -m tests.benchmarks.coincidence CASE...``.

CASE is a structure of `tests.synthetic.structures`. One crystal in the old simulator, whose strongest reflections hold
more electrons than arrive, thinned by each rule (random marks, first come, local maxima of summed energies), at 50, 250
and 500 electrons per position. Seeds 1 to 20 may set constants, 101 and later judge. Prints a Markdown row each: the
correlation with |F|^2 of what is left, the largest deviation of the ten strongest of these, the mean of corrected
reflections of the strongest tenth over the truth, root mean square of (I - truth) / sigma of that tenth and of all,
measurements corrected and set aside, reflections missing, and the agreement that the report states.
"""

import argparse
import tempfile
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from tasks.apertures.models import CrystalAperture
from tasks.frames.settings import FrameSettings
from tasks.frames.task import sum_frames
from tasks.ingest.models import TiltSeries
from tasks.integrate.builtin import BuiltinIntegrator
from tasks.integrate.models import Reflections
from tasks.integrate.reflection_file import read_merged
from tasks.model import FileRef
from tasks.simulate.lattice import reflection_table
from tasks.simulate.models import ClusterPlan, Instrument, ScatteringPlan, SimulationSettings, Structure, TiltPlan
from tests.synthetic import structures
from tests.synthetic.intensity_scores import settings_of
from tests.synthetic.simulated_store import simulated_store
from tests.synthetic.thinned import RULES, thinned_store

THICK_STEPS = 3.0
"""Positions with less of the crystal, in scan steps, are left out of its aperture."""
HEAD = (
    "| case | electrons | rule | seed | correlation | ten strongest | top tenth | z top | z | corrected | aside "
    "| missing | agreement |"
)


def crystal_series(structure: Structure, electrons: float, seed: int, step: float, folder: Path) -> tuple[Any, Any]:
    """Return a series of one crystal with its apertures, (tilts, rows, columns)."""
    settings = SimulationSettings(
        seed=seed,
        tilts=TiltPlan(start_deg=-60, stop_deg=60, step_deg=step),
        cluster=ClusterPlan(crystals=1, size_nm=160, bad_fraction=0.0, drift_px=0.0),
        instrument=Instrument(scan_shape=(22, 22), step_nm=10.0, flyback_columns=0),
        scattering=ScatteringPlan(electrons_per_pattern=electrons),
    )
    series, truth = simulated_store(structure, settings, folder)
    return series, truth.thickness.reshape(len(series.scans), -1, *series.scan.shape)[:, 0] > THICK_STEPS


def integrated(series: TiltSeries, masks: np.ndarray, folder: Path, d_min: float) -> Reflections:
    """Return the intensities of the frames summed over an aperture."""
    with h5py.File(folder / "masks.h5", "w") as file:
        file["masks"] = masks
        file["tilt_deg"] = [scan.tilt_deg for scan in series.scans]
    aperture = CrystalAperture(
        id="crystal-01",
        origin="user",
        masks=FileRef.of(folder / "masks.h5"),
        positions_per_tilt=tuple(int(mask.sum()) for mask in masks),
    )
    return BuiltinIntegrator(d_min_angstrom=d_min).integrate(
        sum_frames(series, aperture, FrameSettings(), folder / "f"), folder
    )


def row(found: Reflections, structure: Structure, d_min: float) -> str:
    """Return the figures of merged intensities, on the scale of all but the strongest tenth."""
    merged = read_merged(found.merged)
    table = reflection_table(structure, 0.95 * d_min)
    truth = {tuple(hkl): value for hkl, value in zip(table.hkl.tolist(), table.f_squared, strict=True)}
    best, expected = -2.0, np.zeros(len(merged.hkl))
    for matrix in settings_of(found.unit_cell, structure.cell):
        hkl = np.rint(merged.hkl @ matrix.T).astype(int).tolist()
        values = np.array([truth.get(tuple(each), 0.0) for each in hkl])
        agreement = float(np.corrcoef(values, merged.intensity)[0, 1])
        if agreement > best:
            best, expected = agreement, values
    weak = expected < np.quantile(expected, 0.9)
    weight = 1 / merged.sigma**2
    scale = (weight * merged.intensity * expected)[weak].sum() / (weight * expected**2)[weak].sum()
    strong = np.argsort(-expected)
    ratio = merged.intensity[strong] / scale / np.maximum(expected[strong], 1e-9)
    z = (merged.intensity - scale * expected) / merged.sigma
    tenth = strong[: len(strong) // 10]
    lost = found.counting
    cost = "- | - | - | -" if lost is None else (
        f"{lost.corrected} | {lost.set_aside} | {len(lost.missing)} | {lost.agreement}"
    )  # fmt: skip
    top = merged.intensity[tenth].sum() / scale / expected[tenth].sum()
    return (
        f"{best:.4f} | {np.abs(ratio[:10] - 1).max():.3f} | {top:.3f} | {np.sqrt((z[tenth] ** 2).mean()):.2f} "
        f"| {np.sqrt((z**2).mean()):.2f} | {cost}"
    )


def main() -> None:
    """Print the rows."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("cases", nargs="*", default=["natrolite"])
    parser.add_argument("--electrons", type=float, nargs="*", default=[50.0, 250.0, 500.0])
    parser.add_argument("--first", type=int, default=101)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--step", type=float, default=1.0, help="degrees between tilts")
    parser.add_argument("--d-min", type=float, default=0.8)
    parser.add_argument("--rules", nargs="*", default=[*RULES])
    chosen = parser.parse_args()
    print(HEAD)
    for name in chosen.cases:
        structure = getattr(structures, name)()
        for electrons in chosen.electrons:
            for seed in range(chosen.first, chosen.first + chosen.seeds):
                with tempfile.TemporaryDirectory() as place:
                    folder = Path(place)
                    series, masks = crystal_series(structure, electrons, seed, chosen.step, folder)
                    for rule in chosen.rules:
                        counted = thinned_store(series, folder / rule, rule, seed=seed)
                        figures = row(integrated(counted, masks, folder / rule, chosen.d_min), structure, chosen.d_min)
                        print(f"| {name} | {electrons:g} | {rule} | {seed} | {figures} |", flush=True)


if __name__ == "__main__":
    main()
