"""Non-merohedral twins in the same frames: ``python -m tests.benchmarks.twin_domains [--refine]``.

Each row is a series of stills every 1.5 degrees from -60 to 60 of two orientations of one structure, integrated without
being told: the fraction found, and the correlation of merged intensities with those of the structure. With `--refine`
also R1 and the left-out R1 of the refinement against the sums of both domains.
"""

import argparse
import tempfile
from pathlib import Path

import numpy as np

from adapters.cctbx.refine_engine import SmtbxRefiner
from tasks.integrate import BuiltinIntegrator, Reflections, read_overlaps, separated
from tasks.model import Composition, Detector
from tasks.simulate.models import Structure
from tasks.solve import DirectMethods
from tests.synthetic.frame_series import Conditions
from tests.synthetic.intensity_scores import score
from tests.synthetic.structures import albite, diopside, forsterite, kyanite
from tests.synthetic.twin_frames import twinned_series

CASES = (
    (kyanite, (1.0, 0.0, 0.0), 0.5, 31), (kyanite, (0.0, 0.0, 1.0), 0.3, 32), (albite, (1.0, 0.0, 2.0), 0.2, 33),
    (albite, (0.0, 1.0, 0.0), 0.4, 34), (diopside, (1.0, 0.0, 0.0), 0.4, 35), (forsterite, (1.0, 1.0, 0.0), 0.3, 36),
)  # fmt: skip
"""Structure, axis of the half turn, fraction of the second domain by counts, seed."""
DETECTOR = Detector(
    name="small", shape_px=(300, 300), pixel_size_mm=0.02, camera_length_mm=110.0, direct_beam_px=(149.5, 149.5)
)
SEEN = Conditions(disc_px=1.0, beam_jitter_px=0.2, d_min_angstrom=0.8)


def refined(data: Reflections, structure: Structure, folder: Path) -> str:
    """Return verdict, R1 and left-out R1 of the structure solved from the shares and refined against the sums."""
    told = Composition.parse(structure.composition.formula())
    best = DirectMethods(workers=1).solve(data, told, folder).best
    found = SmtbxRefiner().refine(data, best, told, folder)
    return f" {found.verdict} | {found.r1:.3f} | {found.r1_free or 1.0:.3f} |"


def main() -> None:
    """Run all cases."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--refine", action="store_true")
    arguments = parser.parse_args()
    more = ("| verdict | R1 | left out |", "|---|---|---|") if arguments.refine else ("|", "|")
    print(f"| structure | axis | fraction | found | correlation | sums {more[0]}\n|---|---|---|---|---|---{more[1]}")
    for make, axis, fraction, seed in CASES:
        structure = make()
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            made = twinned_series(
                structure, folder / "frames", fraction=fraction, axis=axis, seed=seed, conditions=SEEN,
                angles_deg=np.arange(-60, 60.1, 1.5), detector=DETECTOR,
            )  # fmt: skip
            data = BuiltinIntegrator(d_min_angstrom=0.82).integrate(made.series, folder)
            scored = score(data, structure)
            agreement = "another lattice" if scored is None else f"{scored.overall:.4f}"
            row = f"| {structure.name} | {axis} | {fraction} |"
            if data.overlaps is None:
                print(f"{row} not told apart | {agreement} | 0 |", flush=True)
                continue
            overlaps = read_overlaps(data.overlaps)
            share = separated(overlaps).fractions[1]
            sums = f"{overlaps.overlapped} of {len(overlaps.intensity)}"
            end = refined(data, structure, folder) if arguments.refine else ""
            print(f"{row} {share:.3f} | {agreement} | {sums} |{end}", flush=True)


if __name__ == "__main__":
    main()
