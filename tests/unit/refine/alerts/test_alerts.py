"""Alerts: silent on published structures, loud on faults put into each of them, figures by closed forms."""

import math
from pathlib import Path

import gemmi
import numpy as np
import pytest

from tasks.model import UnitCell
from tasks.refine.alerts.alert import Alert, Grades, graded, listed
from tasks.refine.alerts.codes import CODES
from tasks.refine.alerts.displacements import cartesian_tensor, displacement_alerts
from tasks.refine.alerts.measurement import data_alerts
from tasks.refine.alerts.refinement_alerts import fit_alerts
from tasks.refine.alerts.subject import Subject, atoms_in_cell, validated_fit
from tasks.refine.alerts.symmetry import symmetry_alerts
from tasks.refine.alerts.validate import alerts_of
from tasks.refine.alerts.voids import voids
from tasks.refine.displacement import principal_displacements
from tasks.refine.draft import Draft, DraftAtom
from tests.synthetic.drafts import chain, fit_of, intensities_of
from tests.synthetic.published_models import PUBLISHED, published_subject
from tests.synthetic.seeded_faults import FAULTS

NAMES = (*PUBLISHED, "tyrosine")
TRUE = {
    "uio-66": {"VOI01"},  # the pores are there
    "cinchonine": {"CEL02", "DAT02"},  # its 44 hydrogen atoms are in the formula only; its data end at 0.98 A
}
"""Alerts A that published structures deserve."""


@pytest.fixture(scope="module")
def published(shared_data: Path) -> dict[str, tuple[Alert, ...]]:
    """Return the alerts of every published structure."""
    return {name: alerts_of(published_subject(name, shared_data)) for name in NAMES}


@pytest.mark.parametrize("name", NAMES)
def test_a_published_structure_raises_no_alert_a_but_true_ones(
    name: str, published: dict[str, tuple[Alert, ...]]
) -> None:
    assert {alert.code for alert in published[name] if alert.level == "A"} == TRUE.get(name, set())


@pytest.mark.parametrize(
    ("name", "fault"), [(name, fault) for fault, seed in FAULTS.items() for name in NAMES if name not in seed.not_of]
)
def test_a_fault_put_into_a_published_structure_raises_its_code(
    name: str, fault: str, published: dict[str, tuple[Alert, ...]], shared_data: Path
) -> None:
    seed = FAULTS[fault]
    before = {(alert.code, alert.text) for alert in published[name]}
    new = [
        alert
        for alert in alerts_of(seed.spoil(published_subject(name, shared_data)))
        if (alert.code, alert.text) not in before
    ]
    assert seed.codes & {alert.code for alert in new}


def test_alerts_come_worst_first_with_figure_limit_and_advice(shared_data: Path) -> None:
    alerts = alerts_of(FAULTS["displacement negative"].spoil(published_subject("cinchonine", shared_data)))
    assert [alert.level for alert in alerts] == sorted(alert.level for alert in alerts)
    assert {alert.level for alert in alerts} == {"A", "B", "C"}
    assert all(alert.advice == CODES[alert.code].advice for alert in alerts)
    (weights,) = (alert for alert in alerts if alert.code == "FIT05")
    assert (weights.value, weights.limit) == (0.2, 0.195)


def test_what_electrons_do_to_figures_is_explained_and_x_rays_are_not_excused(shared_data: Path) -> None:
    subject = published_subject("cinchonine", shared_data)
    told = {alert.code: alert.explanation for alert in alerts_of(subject)}
    assert "scattered more than once" in told["FIT01"]
    assert told["CEL02"] == ""
    by_xrays = subject._replace(
        intensities=subject.intensities.model_copy(update={"radiation": "xray", "wavelength_angstrom": 0.71})
    )
    assert {alert.explanation for alert in alerts_of(by_xrays) if alert.code.startswith(("FIT", "DAT"))} == {""}


def test_a_figure_reaches_the_worst_level_that_it_is_beyond() -> None:
    high, low = Grades(c=1.0, b=2.0, a=3.0), Grades(c=3.0, b=2.0, least=True)
    assert [high.level(x) for x in (1.0, 1.5, 3.5)] == [None, ("C", 1.0), ("A", 3.0)]
    assert [low.level(x) for x in (3.0, 2.5, 0.0)] == [None, ("C", 3.0), ("B", 2.0)]
    assert graded("FIT01", None, high, "") == ()
    assert high.level(math.nan) is None


def test_named_figures_become_one_alert_for_each_level_the_worst_named_first() -> None:
    rows = [(f"C{i}", 1.0 + i / 10) for i in range(1, 9)] + [("O1", 5.0)]
    worst, many = listed("ADP02", rows, Grades(c=1.0, a=4.0), "ratio over {limit:g}")
    assert (worst.level, worst.text) == ("A", "ratio over 4: O1 5.00")
    assert many.text == "ratio over 1: C8 1.80, C7 1.70, C6 1.60, C5 1.50, C4 1.40, C3 1.30 and 2 more"


def lone_atom(edge: float, element: str = "C") -> Draft:
    atom = DraftAtom(label="X1", element=element, position=(0.3, 0.1, 0.7))
    return Draft(hall="P 1", unit_cell=UnitCell.of((edge, edge, edge, 90, 90, 90)), atoms=(atom,))


def test_around_one_atom_all_is_void_but_its_sphere() -> None:
    (void,) = voids(lone_atom(10.0))
    assert void.volume_angstrom3 == pytest.approx(1000 - 4 / 3 * math.pi * 1.7**3, rel=0.01)


def test_a_skew_cell_of_the_same_lattice_has_the_same_void() -> None:
    straight = lone_atom(10.0)
    skew = Draft(
        hall="P 1", unit_cell=UnitCell.of((10, 10, math.sqrt(200), 90, 45, 90)), atoms=straight.atoms
    )  # the third edge is a + c of the other
    assert voids(skew)[0].volume_angstrom3 == pytest.approx(voids(straight)[0].volume_angstrom3, rel=0.02)


def test_a_dense_crystal_has_no_void_and_two_cages_are_two() -> None:
    assert voids(lone_atom(3.2)) == ()  # from its middle to the corners 2.77, less than 1.7 and 1.2
    walls = [
        DraftAtom(label=f"C{i}{j}{k}", element="C", position=(i / 6, j / 6, k / 2))
        for i in range(6) for j in range(6) for k in range(2)
    ]  # fmt: skip
    layers = Draft(hall="P 1", unit_cell=UnitCell.of((12, 12, 16, 90, 90, 90)), atoms=tuple(walls))
    found = voids(layers)
    assert len(found) == 2
    assert found[0].volume_angstrom3 == pytest.approx(found[1].volume_angstrom3, rel=0.02)


def expanded(subject: Subject) -> Subject:
    """Return the same crystal in P1: every atom of a primitive cell's worth of operations listed."""
    cell, atoms = subject.draft.unit_cell, []
    for number, operation in enumerate(gemmi.symops_from_hall(subject.draft.hall)):
        turn = np.array(operation.rot, dtype=float) / gemmi.Op.DEN
        for atom in subject.draft.atoms:
            place = operation.apply_to_xyz(list(atom.position))
            # U on reciprocal axes turns as N^-1 R N does
            scale = np.diag([getattr(cell.gemmi().reciprocal(), edge) for edge in "abc"])
            u11, u22, u33, u12, u13, u23 = atom.u_aniso_angstrom2
            contravariant = scale @ np.array([[u11, u12, u13], [u12, u22, u23], [u13, u23, u33]]) @ scale
            u = np.linalg.inv(scale) @ turn @ contravariant @ turn.T @ np.linalg.inv(scale)
            atoms.append(
                atom.model_copy(
                    update={
                        "label": f"{atom.label}_{number}",
                        "position": tuple(place),
                        "u_aniso_angstrom2": (u[0, 0], u[1, 1], u[2, 2], u[0, 1], u[0, 2], u[1, 2]),
                    }
                )
            )
    distinct = {tuple(np.round(np.array(atom.position) % 1.0, 3) % 1.0): atom for atom in atoms}
    return subject._replace(draft=Draft(hall="P 1", unit_cell=cell, atoms=tuple(distinct.values())))


def test_the_rigid_bond_test_turns_displacements_with_the_symmetry(shared_data: Path) -> None:
    subject = published_subject("natrolite-kinematical", shared_data)
    heavy = subject._replace(draft=subject.draft.model_copy(update={"atoms": tuple(subject.heavy)}), atoms=(), fit=None)
    stretched = FAULTS["displacement stretched"].spoil(heavy)
    one, all_of_them = (
        [alert.value for alert in displacement_alerts(case) if alert.code in {"ADP02", "ADP04"}]
        for case in (stretched, expanded(stretched))
    )
    assert one == pytest.approx(all_of_them, rel=1e-6)


def test_the_cartesian_tensor_has_the_principal_values() -> None:
    cell, u = UnitCell.of((7, 9, 11, 80, 95, 110)), (0.02, 0.03, 0.05, 0.004, -0.006, 0.01)
    values = np.linalg.eigvalsh(cartesian_tensor(u, cell))
    least, most, mean = principal_displacements(u, cell)
    assert (values[0], values[-1], values.mean()) == pytest.approx((least, most, mean))


def test_the_atoms_of_the_cell_are_counted_with_their_sites(shared_data: Path) -> None:
    counts = atoms_in_cell(published_subject("luag", shared_data).draft)
    assert counts == {"Lu": 24, "Al": 40, "O": 96}


@pytest.mark.parametrize(
    ("radiation", "wavelength", "wrong"),
    [("electron", 0.0251, False), ("electron", 0.7107, True), ("xray", 1.5418, False), ("xray", 0.0197, True)],
)
def test_a_wavelength_that_is_not_of_the_radiation_is_an_alert_a(
    radiation: str, wavelength: float, *, wrong: bool, tmp_path: Path
) -> None:
    data = intensities_of(tmp_path / "table")
    data = data.model_copy(update={"radiation": radiation, "wavelength_angstrom": wavelength})
    subject = Subject(chain("CC"), {"C": 1.0}, 2.0, intensities=data)
    assert ("DAT04" in {alert.code for alert in data_alerts(subject) if alert.level == "A"}) == wrong


def codes_of(alerts: tuple[Alert, ...]) -> dict[str, str]:
    return {alert.code: alert.level for alert in alerts}


def test_the_iucr_s_limits_grade_a_fit_by_x_rays(tmp_path: Path) -> None:
    draft = chain("CCO")
    bad = fit_of(
        draft, tmp_path / "fit", r1=0.16, wr2=0.5, goof=0.5, shift_over_esd_max=0.07, reflections=1000,
        reflections_observed=350, parameters=250, density_max=1.3, density_min=-0.2,
    )  # fmt: skip
    data = intensities_of(tmp_path / "table", 0.9).model_copy(
        update={"radiation": "xray", "wavelength_angstrom": 0.71, "completeness": 0.96, "r_int": 0.2}
    )
    subject = validated_fit(bad, {"C": 2.0, "O": 1.0}, 1.0)._replace(intensities=data)
    found = codes_of((*fit_alerts(subject), *data_alerts(subject)))
    expected = {"FIT01": "B", "FIT02": "A", "FIT03": "B", "FIT04": "C", "DEN01": "A", "ABS01": "C"}
    expected |= {"DAT01": "C", "DAT02": "B", "DAT03": "B", "DAT05": "B", "DAT06": "B"}
    assert found == expected
    better = bad.model_copy(
        update={"r1": 0.04, "wr2": 0.1, "goof": 1.1, "shift_over_esd_max": 0.01, "density_max": 0.3, "parameters": 90}
    )
    subject = subject._replace(fit=better, flack=(0.02, 0.05))
    assert codes_of(fit_alerts(subject)) == {}


def test_a_flack_parameter_away_from_zero_is_an_alert_b(tmp_path: Path) -> None:
    fit = fit_of(chain("CCO"), tmp_path / "fit", r1=0.04, wr2=0.1)
    data = intensities_of(tmp_path / "table").model_copy(update={"radiation": "xray", "wavelength_angstrom": 0.71})
    subject = validated_fit(fit, {"C": 2.0, "O": 1.0}, 1.0)._replace(intensities=data, flack=(0.93, 0.04))
    assert codes_of(fit_alerts(subject))["ABS01"] == "B"


def salt(first: str, second: str, edge: float) -> Subject:
    """Return the structure of rock salt."""
    atoms = (
        DraftAtom(label=f"{first}1", element=first, position=(0, 0, 0), u_iso_angstrom2=0.01),
        DraftAtom(label=f"{second}1", element=second, position=(0.5, 0.5, 0.5), u_iso_angstrom2=0.01),
    )
    cell = UnitCell.of((edge, edge, edge, 90, 90, 90))
    return Subject(Draft(hall="-F 4 2 3", unit_cell=cell, atoms=atoms), {first: 1.0, second: 1.0}, 4.0)


@pytest.mark.parametrize(
    ("first", "second", "edge"), [("Na", "Cl", 5.64), ("Pb", "S", 5.936), ("Mg", "O", 4.212), ("K", "I", 7.066)]
)
def test_a_salt_raises_no_alert(first: str, second: str, edge: float) -> None:
    assert alerts_of(salt(first, second, edge)) == ()


def test_two_elements_that_share_a_site_are_one_atom_of_the_surroundings() -> None:
    plain = salt("Mg", "O", 4.212)
    metal, oxygen = plain.draft.atoms
    mixed = [
        metal.model_copy(update={"label": name, "element": name, "occupancy": part})
        for name, part in (("Mg", 0.6), ("Fe", 0.4))
    ]
    draft = plain.draft.model_copy(update={"atoms": (*mixed, oxygen)})
    found = alerts_of(plain._replace(draft=draft, formula={"Mg": 0.6, "Fe": 0.4, "O": 1.0}))
    assert {(alert.code, alert.level) for alert in found} == {("OCC01", "C")}


def test_atoms_listed_twice_are_told_and_break_nothing() -> None:
    plain = salt("Mg", "O", 4.212)
    again = plain.draft.atoms[0].model_copy(update={"label": "Mg2"})
    draft = plain.draft.model_copy(update={"atoms": (*plain.draft.atoms, again)})
    found = alerts_of(plain._replace(draft=draft))
    assert {"GEO01", "CEL02"} <= {alert.code for alert in found if alert.level == "A"}


def test_symmetry_that_hydrogen_breaks_is_an_alert_c_only(shared_data: Path) -> None:
    subject = published_subject("l-alanine", shared_data)
    in_p1 = FAULTS["symmetry forgotten"].spoil(subject)
    first = next(index for index, atom in enumerate(in_p1.draft.atoms) if atom.element == "H")
    atoms = list(in_p1.draft.atoms)
    x, y, z = atoms[first].position
    atoms[first] = atoms[first].model_copy(update={"position": (x + 0.3, y, z)})
    moved = in_p1._replace(draft=in_p1.draft.model_copy(update={"atoms": tuple(atoms)}))
    levels = [[alert.level for alert in symmetry_alerts(case)] for case in (subject, in_p1, moved)]
    assert levels == [[], ["A"], ["C"]]
