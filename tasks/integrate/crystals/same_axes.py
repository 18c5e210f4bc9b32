"""Intensities of one crystal brought to the axes and the symmetry of another set of the same crystal."""

from pathlib import Path

import numpy as np

from tasks.crystal.symmetry import space_group
from tasks.integrate.assemble import Particulars, assemble_reflections
from tasks.integrate.crystals.crystal_match import amplitudes, match_crystals, reduced_crystal
from tasks.integrate.models import Reflections
from tasks.integrate.reflection_file import read_unmerged
from tasks.integrate.task import summary
from tasks.model import NotIndexedError
from tasks.stage import stage


@stage(name="same-axes {data.id}", summary=summary)
def in_axes_of(data: Reflections, reference: Reflections, workdir: Path) -> Reflections:
    """Return the intensities in the cell, Laue group and space group of the reference, in the indexing that agrees.

    Raises
    ------
    NotIndexedError
        If the lattices differ.
    """
    first, second = reduced_crystal(reference), reduced_crystal(data)
    found = match_crystals(second, amplitudes(first), first.cell)
    if found is None:
        raise NotIndexedError(f"{data.id}: another lattice than that of the reference", "")
    basis = second.basis @ found.basis @ np.linalg.inv(first.basis)
    observed = read_unmerged(data.unmerged)
    return assemble_reflections(
        data.id,
        observed._replace(hkl=np.rint(observed.hkl @ basis).astype(np.int32)),
        reference.unit_cell,
        Particulars(
            wavelength_angstrom=data.wavelength_angstrom,
            provenance=data.provenance,
            members=data.members,
            radiation=data.radiation,
            indexed_fraction=data.indexed_fraction,
            spots=data.spots,
            cell_scale=reference.cell_scale,
        ),
        laue=space_group(reference.laue_group),
        workdir=workdir,
        space_group=reference.space_group,
    )
