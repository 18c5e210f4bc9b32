"""What stands in the voids of a framework, and names that wrong names would uphold."""

import gemmi
import numpy as np

from tasks.crystal.contents import atom_budget
from tasks.crystal.scattering import structure_factors
from tasks.crystal.symmetry import symmetry_from_symbol
from tasks.integrate.reflection_file import Merged
from tasks.model import Composition, UnitCell
from tasks.solve.building.atoms import Model
from tasks.solve.building.density import plan_map
from tasks.solve.building.elements import assign_elements
from tasks.solve.building.model_building import Task, complete
from tasks.solve.data.observations import observe

CELL = UnitCell.of((9.1, 10.3, 11.9, 90, 90, 90))
SYMBOL = "P n m a"
FRAMEWORK = (("S", 0.10, 0.08, 0.12), ("O", 0.17, 0.16, 0.02), ("O", 0.21, 0.02, 0.21), ("S", 0.36, 0.09, 0.13),
             ("O", 0.02, 0.19, 0.19))  # fmt: skip
GUEST = (0.22, 0.25, 0.51)
"""On the mirror plane, nothing within 3.5 A."""


def task_with(occupancy: float) -> Task:
    """Return the data of the framework with a guest at so much of its site."""
    group, symmetry = gemmi.SpaceGroup(SYMBOL), symmetry_from_symbol(SYMBOL)
    hkl = gemmi.make_miller_array(CELL.gemmi(), group, 0.9).astype(np.int32)
    f = structure_factors(
        hkl, CELL, group.operations(), elements=[*(row[0] for row in FRAMEWORK), "O"],
        positions=np.array([*(row[1:] for row in FRAMEWORK), GUEST]),
        u_iso_angstrom2=np.array([0.02] * len(FRAMEWORK) + [0.05]),
        occupancies=np.array([1.0] * len(FRAMEWORK) + [occupancy]), radiation="electron",
    )  # fmt: skip
    intensity = np.abs(f) ** 2
    noise = 0.05 * intensity + 0.005 * intensity.mean()
    intensity = intensity + noise * np.random.default_rng(4).normal(size=len(hkl))
    merged = Merged(hkl, intensity, noise, np.ones(len(hkl), np.int32))
    observed = observe(merged, symmetry, cell=CELL, radiation="electron", d_min_angstrom=0.9)
    composition = Composition.parse("S2 O3.2")
    plan = plan_map(np.concatenate([observed.hkl, observed.missing]), symmetry, CELL, 0.9)
    return Task(observed, symmetry, plan, atom_budget(composition, CELL.volume_angstrom3), composition)


def misses_guest(task: Task) -> float:
    """Return how far from the guest's site the nearest atom of the completed framework is, in angstrom."""
    count = len(FRAMEWORK)
    power = np.array([2.0 if row[0] == "S" else 1.0 for row in FRAMEWORK])
    start = Model(("O",) * count, np.array([row[1:] for row in FRAMEWORK]), np.full(count, 0.02), power, power)
    model = complete(task, start).fit.model
    rotations, translations = task.symmetry.operations()
    images = np.einsum("oij,mj->omi", rotations, model.position) + translations[:, None, :]
    delta = images.reshape(-1, 3) - np.array(GUEST)
    delta -= np.round(delta)
    return float(np.linalg.norm(delta * np.array(CELL.parameters[:3]), axis=1).min())


def test_a_site_that_is_half_full_is_found_and_an_empty_one_is_not() -> None:
    assert misses_guest(task_with(0.45)) < 0.15
    assert misses_guest(task_with(0.0)) > 1.0


MORDENITE = np.array(
    [
        [2.266, 0.4146, 0.6224, 0.7500],
        [2.158, 0.1936, 0.9269, 0.5447],
        [2.124, 0.8014, 0.3110, 0.4568],
        [2.108, 0.0839, 0.7226, 0.2500],
        [1.344, 0.5000, 0.2041, 0.2500],
        [1.292, 0.1257, 0.9071, 0.4242],
        [1.147, 0.0000, 0.0979, 0.7500],
        [1.286, 0.2393, 0.6205, 0.9986],
        [1.143, 0.3746, 0.8055, 0.9206],
        [1.216, 0.7191, 0.5000, 0.5000],
        [1.174, 0.3251, 0.8083, 0.2500],
        [1.104, 0.6727, 0.5789, 0.2500],
        [1.163, 0.2500, 0.7500, 0.5000],
        [1.185, 0.4094, 0.7014, 0.7500],
        [0.969, 0.1102, 0.5577, 0.7500],
    ]
)
"""Scattering power, x, y, z of peaks in C m c m: four Si, ten O, and a guest, as found from many-beam intensities."""


def test_names_that_wrong_names_uphold_are_put_right() -> None:
    """Started from the counts the fourth Si is O and an O beside it Na, and neither can change alone."""
    count = len(MORDENITE)
    model = Model(("O",) * count, MORDENITE[:, 1:], np.full(count, 0.02), MORDENITE[:, 0], MORDENITE[:, 0])
    named = assign_elements(
        model, symmetry_from_symbol("C m c m"), UnitCell.of((18.256, 20.534, 7.542, 90, 90, 90)),
        composition=Composition.parse("O31.2 Si12 Na1"), radiation="electron",
    )  # fmt: skip
    assert named.element[:14] == ("Si",) * 4 + ("O",) * 10
