"""Intensities under a space group: merged, absences left out. Imported by the worker only, after cctbx."""

import numpy as np
from cctbx import miller
from cctbx.array_family import flex

from adapters.cctbx.messages import MergeRequest
from adapters.cctbx.structure import crystal_symmetry, miller_indices
from tasks.model import FileRef, InputError
from tasks.refine import UniqueIntensities


def merge(request: MergeRequest) -> UniqueIntensities:
    """Merge intensities as SHELXL does before it refines, and count what the space group forbids.

    Raises
    ------
    InputError
        If no reflection is left.
    """
    symmetry = crystal_symmetry(request.hall, request.unit_cell.parameters)
    with np.load(request.table, allow_pickle=False) as file:
        hkl, intensity, sigma = file["hkl"], file["intensity"], file["sigma"]
    usable = np.isfinite(intensity) & np.isfinite(sigma) & (sigma > 0) & hkl.any(axis=1)
    hkl, intensity, sigma = hkl[usable], intensity[usable], sigma[usable]
    if not len(hkl):
        raise InputError(f"{request.table.name} holds no reflection with a finite intensity and a positive sigma")
    anomalous = not request.merge_friedel and not symmetry.space_group().is_centric()
    measured = miller.array(
        miller_set=miller.set(crystal_symmetry=symmetry, indices=miller_indices(hkl), anomalous_flag=anomalous),
        data=flex.double(intensity.astype(np.float64)),
        sigmas=flex.double(sigma.astype(np.float64)),
    ).set_observation_type_xray_intensity()
    measured = measured.map_to_asu()
    if request.d_min_angstrom is not None:
        measured = measured.resolution_filter(d_min=request.d_min_angstrom)
    absent = measured.sys_absent_flags().data()
    forbidden = measured.select(absent).merge_equivalents().array() if absent.count(True) else None
    measured = measured.select(~absent)
    if not measured.size():
        raise InputError(f"the space group {request.hall} forbids every reflection of {request.table.name}")
    merging = measured.merge_equivalents(algorithm="gaussian")
    unique = merging.array().sort(by_value="resolution")
    with request.output.open("wb") as stream:
        np.savez(
            stream,
            hkl=np.array(list(unique.indices()), dtype=np.int32),
            intensity=unique.data().as_numpy_array(),
            sigma=unique.sigmas().as_numpy_array(),
        )
    repeated = measured.size() > unique.size()
    return UniqueIntensities(
        table=FileRef.of(request.output),
        radiation=request.radiation,
        wavelength_angstrom=request.wavelength_angstrom,
        friedel_merged=not anomalous,
        unique=unique.size(),
        measured=measured.size(),
        r_int=float(merging.r_int()) if repeated else None,
        completeness=float(unique.average_bijvoet_mates().completeness() if anomalous else unique.completeness()),
        d_min_angstrom=float(unique.d_min()),
        absences=int(absent.count(True)),
        absences_violated=0 if forbidden is None else int((forbidden.data() > 3 * forbidden.sigmas()).count(True)),
    )
