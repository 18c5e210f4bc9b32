"""Published structures refined again against their real data, with all the files that a user gets."""

from pathlib import Path
from typing import NamedTuple

import gemmi

from adapters.cctbx.numerics import WorkerLeastSquares
from adapters.cctbx.refine_engine import write_structure
from tasks.model import Composition
from tasks.model.provenance import Provenance
from tasks.refine.chain import unique_intensities, validated
from tasks.refine.conclusion import Concluded, concluded
from tasks.refine.draft import Draft
from tasks.refine.hydrogens import with_hydrogens
from tasks.refine.models import Refinement
from tasks.refine.structure import RefinedStructure, structure_of
from tasks.refine.verdict import Grounds
from tasks.solve.models import Atom, Solution
from tests.synthetic.known_structures import SETS, composition, read_hklf4
from tests.synthetic.published_models import published_subject
from tests.synthetic.reflections_from_hkl import reflections_from_hkl

EXAMPLES = ("natrolite", "luag", "l-alanine", "tyrosine", "cinchonine-xds")
"""Electrons and X-rays; general and special positions; with riding hydrogen and without; one axis unique or none."""
WAVELENGTH = {"l-alanine": 0.71073, "luag": 0.0251}
ESD = (0.002, 0.003, 0.001, 0.0, 0.0, 0.0)


class Example(NamedTuple):
    """A refined structure as the chain makes it, before and after it is judged."""

    structure: RefinedStructure
    refinement: Refinement
    composition: Composition


def refined_example(name: str, shared_data: Path, folder: Path) -> Example:
    """Return a published structure after least squares against its data; nothing is taken from its hydrogen atoms."""
    known, told = SETS[name], composition(name)
    published = published_subject(name.removesuffix("-xds"), shared_data)
    hkl, intensity, sigma = read_hklf4(shared_data / known.hkl)
    cell = published.draft.unit_cell
    data = reflections_from_hkl(
        folder, name, hkl=hkl, intensity=intensity, sigma=sigma, cell=cell, laue_group=known.laue,
        space_group=known.space_group, radiation=known.radiation, wavelength_angstrom=WAVELENGTH.get(name, 0.02508),
    )  # fmt: skip
    data = data.model_copy(update={"unit_cell_esd": ESD})
    start = Draft(hall=published.draft.hall, unit_cell=cell, atoms=tuple(published.heavy))
    group = gemmi.find_spacegroup_by_ops(gemmi.symops_from_hall(start.hall))
    atoms = tuple(Atom(label=atom.label, element=atom.element, position=atom.position) for atom in start.atoms)
    solution = Solution(space_group=group.xhm(), hall=start.hall, unit_cell=cell, atoms=atoms, r1=0.2, verdict="solved")
    numerics = WorkerLeastSquares(folder, 300.0)
    intensities = unique_intensities(numerics, data, solution, None)
    fit = numerics.fit(with_hydrogens(start, known.radiation, told), intensities, cycles=20, update_weights=True)
    structure = structure_of(data, solution, fit, intensities, told, program=numerics.program)
    structure = validated(structure, told, ())
    made = Concluded(
        data=data,
        solution=solution,
        intensities=intensities,
        warnings=structure.warnings,
        files=write_structure(structure, folder),
        provenance=Provenance(engine="smtbx", version=numerics.program),
        unit_cell_esd=structure.unit_cell_esd,
        alerts=structure.alerts,
    )
    grounds = Grounds(radiation=known.radiation, formula=structure.formula, composition=told, recovery=None)
    return Example(structure, concluded(fit, grounds, made), told)
