"""DIALS leaves out what was not measured: in all frames by its mask, in some by their pixels."""

import json
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from adapters.formats.cbf import write_cbf
from adapters.programs.dials.commands import import_argv, mask_phil
from adapters.programs.static_mask import static_mask
from tasks.frames.stack import write_stack
from tests.synthetic.bare_frames import frames_at

SHAPE = (512, 512)
MASKS = """
import json, sys
from dxtbx.model.experiment_list import ExperimentListFactory
imageset = ExperimentListFactory.from_json_file(sys.argv[1])[0].imageset
masks = [imageset.get_mask(index)[0] for index in range(len(imageset))]
json.dump([[bool(mask[row, 50]) for row in (10, 220, 300)] + [bool(mask[10, 100])] for mask in masks], sys.stdout)
"""


@pytest.mark.needs_dials
@pytest.mark.parametrize("pedestal", [0, 8])
def test_dials_masks_what_was_not_measured(tmp_path: Path, pedestal: int) -> None:
    python = next(name for name in ("dials.python", "/usr/bin/python3") if shutil.which(name))
    images = np.random.default_rng(1).poisson(3.0, (6, *SHAPE)).astype(np.uint16) + pedestal
    always = np.ones(SHAPE, dtype=bool)
    always[:, 100] = False
    some = always.copy()
    some[200:240] = False
    of_frame = np.array([0, 1, 0, 0, 1, 0])
    stack = write_stack(
        tmp_path / "s.h5", images, count=6, mask=always & some, dtype=np.uint16,
        masks=(np.array([always, some]), of_frame),
    )  # fmt: skip
    series = frames_at(np.arange(6.0), stack).model_copy(update={"pedestal": float(pedestal)})
    write_cbf(series, tmp_path)
    (tmp_path / "mask.phil").write_text(mask_phil(static_mask(series.masks)))
    template = f"{series.id}_01_#####.cbf"
    generate = ["dials.generate_mask", "imported.expt", "mask.phil", "output.experiments=masked.expt"]
    for argv in (import_argv(series, [template]), generate):
        subprocess.run(argv, cwd=tmp_path, check=True, capture_output=True)
    (tmp_path / "read.py").write_text(MASKS)
    read = subprocess.run([python, "read.py", "masked.expt"], cwd=tmp_path, check=True, capture_output=True, text=True)
    expected = [[True, number == 0, True, False] for number in of_frame.tolist()]
    assert json.loads(read.stdout.splitlines()[-1]) == expected
