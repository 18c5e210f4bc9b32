"""Measure the model of damage on simulated series: with it, without it, and on series that are sound.

    python -m tests.benchmarks.integrate.damage [KIND ...] [--cases diopside,kyanite] [--seeds 21,22]

Kinds: ``fall-off`` (half the intensity at 1 angstrom over the series, or as --fall-off says), ``sound`` (nothing: no
model may be applied and nothing left out), ``turned`` (from 60 % of the series on the crystal becomes another: atoms
that moved, the same cell). Each in two orders of acquisition: rising tilts, and 0, +1, -1, ... The line without the
model is that of the same frames without their order.
"""

import argparse
import itertools
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tasks.frames.models import FrameSeries
from tasks.integrate.builtin import BuiltinIntegrator
from tasks.integrate.models import Reflections
from tasks.model import ApertureError, Detector
from tasks.simulate.models import Structure
from tests.synthetic import structures
from tests.synthetic.frame_series import Conditions, Damage, moved_atoms, orders_of, synthetic_frame_series
from tests.synthetic.intensity_scores import score

D_MIN = 0.85
DETECTOR = Detector(
    name="small", shape_px=(360, 360), pixel_size_mm=0.02, camera_length_mm=110.0, direct_beam_px=(179.5, 179.5)
)
CASES = {
    "diopside": (structures.diopside, 2.0),
    "kyanite": (structures.kyanite, 1.0),
    "forsterite": (structures.forsterite, 1.0),
    "uio66": (structures.uio66, 2.0),
    "albite": (structures.albite, 1.0),
}
KINDS = ("fall-off", "sound", "turned")


def made_with(kind: str, structure: Structure, order: NDArray[np.int64], fall_off: float, seed: int) -> Damage:
    """Return what the beam does in one kind of series."""
    if kind == "sound":
        return Damage(order)
    if kind == "fall-off":
        return Damage(order, fall_off_angstrom2=fall_off, scale_loss=0.5)
    return Damage(order, changed=moved_atoms(structure, seed), onset=0.6)


def without_order(series: FrameSeries) -> FrameSeries:
    """Return the series of which nobody told the order."""
    frames = tuple(frame.model_copy(update={"order": None}) for frame in series.frames)
    return series.model_copy(update={"frames": frames})


def row(name: str, found: Reflections, structure: Structure) -> str:
    result, damage = score(found, structure), found.damage
    if result is None or damage is None:
        return f"| {name} | another lattice |"
    shells = " ".join(f"{value:.4f}" for value in result.correlation)
    variance = " ".join(f"{value:.2f}" for value in result.variance)
    rate = "" if damage.fall_off_angstrom2 is None else f"{damage.fall_off_angstrom2:.3f}"
    esd = "" if damage.fall_off_esd_angstrom2 is None else f"{damage.fall_off_esd_angstrom2:.3f}"
    cuts = " ".join(f"{cut.deviation:.2f}({cut.gain:.1f})" for cut in damage.cuts)
    return (
        f"| {name} | {damage.state} | {rate} | {esd} | {len(damage.left_out_deg)} | {result.overall:.4f} | {shells} "
        f"| {result.r1:.4f} | {variance} | {found.overall.completeness:.3f} | {cuts} |"
    )


def rows(kind: str, case: str, order: str, seed: int, *, fall_off: float, models: list[str]) -> Iterator[str]:
    make, step = CASES[case]
    structure, angles = make(), np.arange(-60, 60.1, step)
    seen = Conditions(disc_px=1.0, beam_jitter_px=0.2, d_min_angstrom=0.8)
    with tempfile.TemporaryDirectory() as temporary:
        damage = made_with(kind, structure, orders_of(order, len(angles)), fall_off, seed)
        made = synthetic_frame_series(
            structure, angles, Path(temporary), seed=seed, conditions=seen, detector=DETECTOR, damage=damage
        )
        for name in models:
            series = made.series if name == "with" else without_order(made.series)
            workdir = Path(temporary) / name
            workdir.mkdir()
            label = f"{kind} | {case}, {order}, seed {seed} | {name}"
            try:
                found = BuiltinIntegrator(d_min_angstrom=D_MIN).integrate(series, workdir)
            except ApertureError as error:
                yield f"| {label} | failed: {error.message} |"
            else:
                yield row(label, found, structure)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("kinds", nargs="*", metavar="KIND", help=", ".join(KINDS))
    parser.add_argument("--cases", default="diopside,kyanite")
    parser.add_argument("--orders", default="rising,symmetric")
    parser.add_argument("--seeds", default="21")
    parser.add_argument("--fall-off", type=float, default=float(np.log(2.0)))
    parser.add_argument("--models", default="with,without")
    chosen = parser.parse_args()
    print(
        "| kind | series | model | state | b | esd | left out | CC to F^2 | by shell | R1 | var((I-t)/sigma) | complete"
        " | deviation (gain) by cut |"
    )
    print("|---|---|---|---|---|---|---|---|---|---|---|---|---|", flush=True)
    seeds = [int(text) for text in chosen.seeds.split(",")]
    for each in itertools.product(chosen.kinds or KINDS, chosen.cases.split(","), chosen.orders.split(","), seeds):
        for line in rows(*each, fall_off=chosen.fall_off, models=chosen.models.split(",")):
            print(line, flush=True)


if __name__ == "__main__":
    main()
