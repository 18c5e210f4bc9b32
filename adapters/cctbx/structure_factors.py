"""Structure factors by direct summation. Imported by the worker only, after cctbx."""

from pathlib import Path

import numpy as np
from cctbx import miller

from adapters.cctbx.messages import StructureFactorsRequest
from adapters.cctbx.structure import miller_indices, xray_structure


def structure_factors(request: StructureFactorsRequest) -> Path:
    """Write F(hkl) of a draft as ``f`` (n,) complex128, in the order of the request; return the file.

    Reflections that the centring forbids must not be asked for: cctbx does not give zero for them.
    """
    structure = xray_structure(request.draft, request.radiation)
    with np.load(request.table, allow_pickle=False) as file:
        hkl = file["hkl"]
    indices = miller.set(crystal_symmetry=structure, indices=miller_indices(hkl), anomalous_flag=True)
    computed = indices.structure_factors_from_scatterers(structure, algorithm="direct").f_calc()
    with request.output.open("wb") as stream:
        np.savez(stream, f=computed.data().as_numpy_array())
    return request.output
