"""Structures refined in too small a group: the real one comes out, and a truly polar one stays what it is."""

from pathlib import Path

import gemmi
import numpy as np
import pytest

from adapters.cctbx.refine_engine import SmtbxRefiner
from tasks.crystal.lattice import fractionalisation
from tasks.crystal.scattering import structure_factors
from tasks.crystal.symmetry import operations_from_hall
from tasks.integrate.reflection_file import Merged
from tasks.model import Composition, UnitCell
from tasks.refine import Refinement
from tasks.solve import Atom, Solution
from tests.synthetic.solve_cases import reflections_document, representatives
from tests.synthetic.solve_simulated import molecules


def halves(high: str, low: str, cell: UnitCell, count: int) -> tuple[list[str], np.ndarray]:
    """Return the atoms in `low`, a subgroup of index 2, of a structure in `high`, whose origin it shares."""
    whole, part = (operations_from_hall(gemmi.SpaceGroup(name).hall) for name in (high, low))
    structure = molecules(high, cell, count, seed=7, elements=("C", "N", "C", "O", "S"))
    names, places = [], []
    for name, atom in zip(structure.elements, structure.positions, strict=True):
        left = [tuple(x) for x in whole.rotations @ atom + whole.translations]
        while left:
            first = np.array(left[0])
            images = part.rotations @ first + part.translations
            left = [x for x in left if (np.abs((d := images - x) - np.round(d)).max(axis=1) > 1e-6).all()]
            names.append(name)
            places.append(first)
    return names, np.array(places)


def refined(
    high: str, low: str, cell: UnitCell, folder: Path, *, count: int, off_angstrom: float, laue: str
) -> Refinement:
    """Return the refinement, begun in `low`, of data of atoms that are so far off the symmetry of `high`."""
    names, places = halves(high, low, cell, count)
    rng = np.random.default_rng(1)

    def moved(by_angstrom: float) -> np.ndarray:
        return places + rng.normal(size=places.shape) * by_angstrom / np.sqrt(3.0) @ fractionalisation(cell).T

    hkl = representatives(gemmi.make_miller_array(cell.gemmi(), gemmi.SpaceGroup(laue), 0.8).astype(np.int32), laue)
    f = structure_factors(
        hkl, cell, gemmi.SpaceGroup(low).operations(), elements=tuple(names), positions=moved(off_angstrom),
        u_iso_angstrom2=np.full(len(names), 0.03), occupancies=np.ones(len(names)), radiation="xray",
    )  # fmt: skip
    intensity = np.abs(f) ** 2
    sigma = 0.03 * intensity + 0.003 * intensity.mean()
    scale = 1000.0 / intensity.mean()
    measured = (intensity + sigma * rng.normal(size=len(hkl))) * scale
    merged = Merged(hkl, measured, sigma * scale, np.full(len(hkl), 4, dtype=np.int32))
    data = reflections_document(
        folder / "data", name="x", merged=merged, cell=cell, laue=laue, radiation="xray", wavelength=0.71073
    )
    atoms = tuple(
        Atom(label=f"{name}{row}", element=name, position=tuple(x.tolist()))
        for row, (name, x) in enumerate(zip(names, moved(0.05), strict=True))
    )
    group = gemmi.SpaceGroup(low)
    solution = Solution(space_group=group.xhm(), hall=group.hall, unit_cell=cell, atoms=atoms, r1=0.2, verdict="solved")
    (folder / "refine").mkdir()
    composition = Composition.parse("C2 N O S" if count > 2 else "C N")
    return SmtbxRefiner(hydrogens=False).refine(data, solution, composition, folder / "refine")


def test_a_centre_missed_in_a_rhombohedral_glide_group_comes_out(tmp_path: Path) -> None:
    cell = UnitCell.of((12, 12, 24, 90, 90, 120))
    result = refined("R -3 c:H", "R 3 c:H", cell, tmp_path, count=2, off_angstrom=0.0, laue="R -3 m:H")
    assert result.space_group == "R -3 c:H"
    assert sum(atom.element != "H" for atom in result.atoms) == 2
    assert result.r1 < 0.03
    assert any("R -3 c:H is taken, not R 3 c:H" in warning for warning in result.warnings)
    block = gemmi.cif.read(str(result.cif.path)).sole_block()
    assert gemmi.SpaceGroup(gemmi.cif.as_string(block.find_value("_space_group_name_H-M_alt"))).number == 167


@pytest.mark.parametrize("off_angstrom", [0.07])
def test_a_polar_structure_near_a_centre_stays_polar(tmp_path: Path, off_angstrom: float) -> None:
    cell = UnitCell.of((11, 8, 9, 90, 90, 90))
    result = refined("P n m a", "P n 21 a", cell, tmp_path, count=5, off_angstrom=off_angstrom, laue="P m m m")
    assert result.space_group == "P n 21 a"
    assert result.r1 < 0.03
    assert any("the data refuse it" in warning for warning in result.warnings)
