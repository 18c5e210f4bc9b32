"""What fills the pores of a structure, by smtbx's masks. Imported by the worker only, after cctbx."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
from cctbx import miller, xray
from cctbx.array_family import flex
from cctbx.eltbx import van_der_waals_radii
from numpy.typing import NDArray
from smtbx import masks

from adapters.cctbx.structure import miller_indices
from tasks.crystal.scattering import Radiation
from tasks.model import FileRef
from tasks.refine import PROBE_ANGSTROM, SMALLEST_VOID_ANGSTROM3, SolventMask, Void, densest_liquid, pore_density

GRID_STEPS_ANGSTROM = (0.2, 0.35)
"""Least and largest of the mask's grid; between them a third of the resolution, so that the map is sampled. The volume
of UiO-66's pore differs by 4 % between them (4407 and 4221 A^3)."""
UNKNOWN_RADIUS_ANGSTROM = 2.0
"""Van der Waals radius of elements that Bondi's table lacks: what PLATON takes for most metals."""


class Pores(NamedTuple):
    """Voids that count, their structure factors on the scale of F(calc), and their part of the cell."""

    voids: tuple[Void, ...]
    f_mask: miller.array
    share: float


def pores(structure: xray.structure, fo_sq: miller.array, *, scale: float, radiation: Radiation) -> Pores | None:
    """Return what fills the pores by the difference density in them; None without a pore that holds something.

    Reflections that were not measured, or are left out of ``fo_sq``, are taken as calculated: they take no part.

    Parameters
    ----------
    fo_sq
        Intensities, extinction taken off; ``scale`` is theirs to F(calc)^2.
    """
    step = min(max(fo_sq.d_min() / 3.0, GRID_STEPS_ANGSTROM[0]), GRID_STEPS_ANGSTROM[1])
    labels, cores, centres = _voids(structure, step)
    if not len(centres):
        return None
    measured = fo_sq.average_bijvoet_mates() if fo_sq.anomalous_flag() else fo_sq
    whole = measured.complete_set()
    f_calc = whole.structure_factors_from_scatterers(structure, algorithm="direct").f_calc().expand_to_p1()
    amplitudes = np.sqrt(np.maximum(measured.data().as_numpy_array() / scale, 0.0))
    observed = measured.customized_copy(data=flex.double(amplitudes), sigmas=None)
    observed = observed.matching_set(other=whole, data_substitute=float("nan")).expand_to_p1()
    cell = structure.unit_cell()
    found = pore_density(
        np.array(list(f_calc.indices()), dtype=np.int32),
        observed.data().as_numpy_array(),
        f_calc.data().as_numpy_array(),
        pores=labels,
        cores=cores,
        volume_angstrom3=cell.volume(),
        d_star_sq=f_calc.d_star_sq().data().as_numpy_array(),
        densest_per_angstrom3=densest_liquid(radiation),
    )
    volumes = np.bincount(labels.ravel(), minlength=len(centres) + 1)[1:] * cell.volume() / labels.size
    voids = tuple(
        Void(centre=tuple(float(x) % 1.0 for x in centre), volume_angstrom3=float(volume), content=float(content))
        for centre, volume, content in zip(centres, volumes, found.contents, strict=True)
        if content > 0
    )
    if not voids:
        return None
    share = sum(void.volume_angstrom3 for void in voids) / cell.volume()
    p1 = f_calc.array(data=flex.complex_double(found.f_mask))
    return Pores(voids, as_listed(p1, whole), float(share))


def _voids(
    structure: xray.structure, step: float
) -> tuple[NDArray[np.int64], NDArray[np.bool_], list[tuple[float, float, float]]]:
    """Return the points of the cell by the number of their pore or zero, those that centres reach, and the centres."""
    found, cores = _accessible(structure, step, shrink=PROBE_ANGSTROM), _accessible(structure, step, shrink=0.0)
    points = found.mask.data.as_numpy_array()
    labels = np.zeros(points.shape, dtype=np.int64)
    centres = []
    point = structure.unit_cell().volume() / points.size
    counts = list(found.flood_fill.grid_points_per_void()) if found.n_voids() else []
    for number, count in enumerate(counts):
        if count * point >= SMALLEST_VOID_ANGSTROM3:
            centres.append(found.flood_fill.centres_of_mass_frac()[number])
            labels[points == number + 2] = len(centres)
    return labels, (cores.mask.data.as_numpy_array() > 0) & (labels > 0), centres


def _accessible(structure: xray.structure, step: float, *, shrink: float) -> masks.solvent_accessible_volume:
    """Return smtbx's mask of what a sphere of the size of water's oxygen reaches, grown back by a radius."""
    radii = {
        name: UNKNOWN_RADIUS_ANGSTROM
        for name in structure.scattering_type_registry().type_index_pairs_as_dict()
        if name not in van_der_waals_radii.vdw.table
    }
    return masks.solvent_accessible_volume(
        structure, PROBE_ANGSTROM, shrink, grid_step=step, atom_radii_table=radii or None
    )


def written_mask(found: Pores, output: Path) -> SolventMask:
    """Return the document of a mask, its table written."""
    with output.open("wb") as stream:
        np.savez(
            stream,
            hkl=np.array(list(found.f_mask.indices()), dtype=np.int32),
            f_mask=found.f_mask.data().as_numpy_array(),
        )
    return SolventMask(
        voids=found.voids, probe_angstrom=PROBE_ANGSTROM, accessible_share=found.share, table=FileRef.of(output)
    )


def read_mask(mask: SolventMask, like: miller.array) -> miller.array:
    """Return the structure factors of a mask, Friedel mates merged, in the symmetry of another array."""
    with np.load(mask.table.path, allow_pickle=False) as file:
        hkl, f_mask = file["hkl"], file["f_mask"]
    chosen = miller.set(crystal_symmetry=like, indices=miller_indices(hkl), anomalous_flag=False)
    return chosen.array(data=flex.complex_double(f_mask))


def as_listed(f_mask: miller.array, wanted: miller.array) -> miller.array:
    """Return the structure factors of a mask for each reflection of another array, in its order; zero where none."""
    known = dict(zip(f_mask.indices(), f_mask.data()))
    values = [
        known[index] if index in known else known.get((-index[0], -index[1], -index[2]), 0j).conjugate()
        for index in wanted.indices()
    ]
    return wanted.array(data=flex.complex_double(values), sigmas=None)
