"""A small scaled reflection table with its experiments, written by DIALS itself: run by the Python that DIALS has.

``dxtbx.python dials_table.py FOLDER STATE ...`` writes STATE.refl; a state is scaled, integrated, indexed or strong.
"""

import itertools
import math
import sys
from pathlib import Path

CELL = (5.0, 6.0, 7.0)
WAVELENGTH_ANGSTROM = 0.0251
INDICES = [
    (h, k, l)
    for h, k, l in itertools.product(range(-3, 4), repeat=3)
    if (h, k, l) != (0, 0, 0) and (h, k, l) > (-h, -k, -l)
]


def intensity(h: int, k: int, l: int) -> float:
    """Return the intensity of a reflection in the table, a number that single precision holds exactly."""
    return 100.0 + 16 * abs(h) + 4 * abs(k) + abs(l) + 0.5 * (h > 0)


def write(folder: Path, state: str) -> None:
    """Write STATE.refl and STATE.expt."""
    from dials.array_family import flex
    from dxtbx.model import Beam, Crystal, Detector, Experiment, ExperimentList, Goniometer, Scan
    from scitbx import matrix

    beam = Beam((0, 0, 1), WAVELENGTH_ANGSTROM)
    detector = Detector()
    panel = detector.add_panel()
    panel.set_frame((1, 0, 0), (0, -1, 0), (-12.8, 12.8, -500))
    panel.set_pixel_size((0.05, 0.05))
    panel.set_image_size((512, 512))
    a, b, c = CELL
    crystal = Crystal(matrix.col((a, 0, 0)), matrix.col((0, b, 0)), matrix.col((0, 0, c)), "P 2 2 2")
    scan = Scan((1, 100), (0.0, 0.5))
    experiment = Experiment(
        beam=beam, detector=detector, goniometer=Goniometer((1, 0, 0)), scan=scan, crystal=crystal, identifier="one"
    )
    ExperimentList([experiment]).as_json(str(folder / f"{state}.expt"))
    n = len(INDICES)
    table = flex.reflection_table()
    table["id"] = flex.int(n, 0)
    table.experiment_identifiers()[0] = "one"
    table["panel"] = flex.size_t(n, 0)
    frames = [0.5 + i % 100 for i in range(n)]
    table["xyzobs.px.value"] = flex.vec3_double([(256.0, 256.0, z) for z in frames])
    if state != "strong":
        add_integrated(table, frames, scaled=state == "scaled", integrated=state != "indexed")
    table.as_file(str(folder / f"{state}.refl"))


def add_integrated(table, frames: list[float], *, scaled: bool, integrated: bool) -> None:
    """Add the columns of the later programs."""
    from dials.array_family import flex

    n = len(frames)
    table["miller_index"] = flex.miller_index(INDICES)
    if not integrated:
        return
    values = flex.double([intensity(*hkl) for hkl in INDICES])
    table["xyzcal.px"] = table["xyzobs.px.value"]
    table["xyzcal.mm"] = flex.vec3_double([(12.8, 12.8, math.radians(0.5 * z)) for z in frames])
    table["d"] = flex.double(n, 1.0)
    table["s1"] = flex.vec3_double(n, (0.0, 0.0, -1 / WAVELENGTH_ANGSTROM))
    for name in ("partiality", "lp", "qe", "profile.correlation"):
        table[name] = flex.double(n, 1.0)
    table["partial_id"] = flex.size_t(range(n))
    for name in ("background.mean", "background.sum.value", "background.sum.variance"):
        table[name] = flex.double(n, 1.0)
    table["num_pixels.foreground"] = flex.int(n, 9)
    table["num_pixels.background"] = flex.int(n, 20)
    kinds = ("intensity.prf", "intensity.sum", *(("intensity.scale",) if scaled else ()))
    for kind in kinds:
        table[f"{kind}.value"], table[f"{kind}.variance"] = values, flex.double(n, 4.0)
    table["flags"] = flex.size_t(n, 0)
    everything = flex.bool(n, True)
    table.set_flags(everything, table.flags.integrated_sum)
    table.set_flags(everything, table.flags.integrated_prf)
    if scaled:
        table["inverse_scale_factor"] = flex.double(n, 1.0)
        table["inverse_scale_factor_variance"] = flex.double(n, 0.0)
        table.set_flags(everything, table.flags.scaled)


if __name__ == "__main__":
    for wanted in sys.argv[2:]:
        write(Path(sys.argv[1]), wanted)
