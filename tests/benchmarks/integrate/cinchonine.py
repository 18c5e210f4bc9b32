"""Compare the built-in integrator with DIALS on the real cinchonine series, against the published structure.

python -m tests.benchmarks.integrate.cinchonine [--shared DIR]
"""

import argparse
import json
import tarfile
import tempfile
from pathlib import Path

from adapters.formats.frame_reader import FrameFileReader
from adapters.programs.dials.engine import DialsIntegrator
from tasks.frames.models import FrameSeries
from tasks.frames.settings import FrameSettings
from tasks.frames.task import read_rotation
from tasks.ingest.source import read_source
from tasks.integrate.builtin import BuiltinIntegrator
from tests.synthetic.cinchonine_manifest import MANIFEST
from tests.synthetic.published_r1 import common_r1
from tests.synthetic.real_data import real_data

PUBLISHED = Path("DemoData/Cinchonine/shelxl/shelxl.cif")


def cinchonine_series(folder: Path, work: Path) -> FrameSeries:
    """Return the centred frames of the shared data set as a rotation series."""
    source = work / "source"
    source.mkdir(parents=True)
    with tarfile.open(folder / "diff_corr_405_tif.tar.xz") as archive:
        for member in archive:
            if member.isfile() and (stream := archive.extractfile(member)) is not None:
                (source / Path(member.name).name).write_bytes(stream.read())
    (source / "rotation_series.json").write_text(json.dumps(MANIFEST))
    return read_rotation(read_source(source), FrameFileReader(), FrameSettings(), work / "frames")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shared", type=Path, default=real_data())
    folder = parser.parse_args().shared.resolve() / "cinchonine"
    with tempfile.TemporaryDirectory() as temporary:
        work = Path(temporary)
        series = cinchonine_series(folder, work)
        found = []
        for name, engine in (("builtin", BuiltinIntegrator()), ("dials", DialsIntegrator())):
            (work / name).mkdir()
            found.append(engine.integrate(series, work / name))
        print("| engine | space group | cell | d_min | unique | CC1/2 | R1, common | R1, common, I > 2s |")
        print("|---|---|---|---|---|---|---|---|")
        every, strong, number = common_r1(found, folder / PUBLISHED, laue="P 1 2/m 1", d_min=1.0)
        for name, each, r1, r1_strong in zip(("builtin", "dials"), found, every, strong, strict=True):
            cell = " ".join(f"{value:.5g}" for value in each.unit_cell.parameters)
            print(
                f"| {name} | {each.space_group} | {cell} | {each.d_min_angstrom:.2f} | {each.overall.unique} "
                f"| {each.overall.cc_half or 0:.4f} | {r1:.4f} | {r1_strong:.4f} |"
            )
        print(f"\n{number} common reflections to 1.0 angstrom")


if __name__ == "__main__":
    main()
