"""SHELXL is told the twin that a structure was solved as."""

from pathlib import Path

import numpy as np

from adapters.formats.shelx_ins import parse_shelx
from adapters.programs.shelx.input import shelxl_ins
from tasks.integrate.reflection_file import Merged
from tasks.model import Composition
from tasks.model.twin import Twin
from tasks.solve import Atom
from tests.synthetic.solve_cases import reflections_document
from tests.synthetic.twins import APATITE


def test_law_and_fraction_are_in_the_instructions(tmp_path: Path) -> None:
    merged = Merged(np.array([[1, 2, 3], [2, 1, 3]], np.int32), np.ones(2), np.full(2, 0.1), np.ones(2, np.int32))
    data = reflections_document(
        tmp_path, name="apatite", merged=merged, cell=APATITE.cell, laue="P 6/m", radiation="electron"
    )
    atoms = (Atom(label="Ca1", element="Ca", position=(2 / 3, 1 / 3, 0.001)),)

    def text(twin: Twin | None) -> str:
        return shelxl_ins(
            data, Composition.parse("Ca5 P3 O12 F"), atoms, hall="-P 6c", weights=(0.1, 0.0), cycles=5,
            anisotropic=False, twin=twin,
        )  # fmt: skip

    told = parse_shelx(text(Twin(law="k,h,-l", fraction=0.35)), "job.ins")
    assert told.twin == (0, 1, 0, 1, 0, 0, 0, 0, -1, 2)
    assert told.basf == (0.35,)
    assert "TWIN" not in text(None)
