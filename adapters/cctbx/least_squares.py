"""Full-matrix least squares on F^2 by smtbx. Imported by the worker only, after cctbx."""

import numpy as np

from adapters.cctbx.fit_report import report
from adapters.cctbx.messages import FitRequest, MaskRequest
from adapters.cctbx.refinery import Refinery
from adapters.cctbx.solvent import written_mask
from tasks.refine import (
    DraftFit,
    SolventMask,
)

ROUNDS_OF_WEIGHTS = 4
"""At most: a and b settle to 2 % in three rounds for L-alanine and sucrose, in two for tyrosine
(`python -m tests.benchmarks.solve --refine`); one is spare."""
ROUNDS_OF_MASKS = 2
"""Of least squares, each with what the pores hold by the model before. Chosen, not measured: scale and displacements,
which a model without the pores' contents has wrong, settle in the second."""


def fit(request: FitRequest) -> DraftFit:
    """Refine a draft, judge the convergence and search the difference density.

    Raises
    ------
    DivergedError
        If there are fewer reflections than parameters, the normal equations cannot be solved or an atom runs away.
    InputError
        If there is no scattering factor, or riding atoms do not fit.
    """
    refinery = Refinery(request)
    refinery.run(request.cycles, request.shift_over_esd)
    refinery.renew()
    if request.held_out and request.draft.solvent is not None:
        for _ in range(ROUNDS_OF_MASKS):
            refinery.mask_anew()
            refinery.run(request.cycles, request.shift_over_esd)
            refinery.renew()
    if request.update_weights:
        for _ in range(ROUNDS_OF_WEIGHTS):
            before = refinery.weights
            refinery.update_weights()
            refinery.renew()
            refinery.run(request.cycles, request.shift_over_esd)
            refinery.renew()
            if np.allclose(before, refinery.weights, rtol=0.02, atol=1e-4):
                break
    return report(refinery, request)


def masked(request: MaskRequest) -> SolventMask | None:
    """Return what fills the pores of a draft as it stands.

    Raises
    ------
    InputError
        If there is no scattering factor, or riding atoms do not fit.
    """
    refinery = Refinery(FitRequest(draft=request.draft, intensities=request.intensities, output=request.output))
    refinery.equations.build_up()
    found = refinery.pores()
    return None if found is None else written_mask(found, request.output)
