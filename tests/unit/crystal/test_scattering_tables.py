"""Tables of scattering factors: against each other, against physics, and as the Gaussians that programs take."""

import gemmi
import numpy as np
import pytest

from tasks.crystal.electron_table_high_angle import HIGH_ANGLE
from tasks.crystal.electron_table_ions import IONS
from tasks.crystal.electron_table_lobato import LOBATO
from tasks.crystal.scattering import MOTT_BETHE, scattering_factor
from tasks.crystal.scattering_tables import (
    charge_of,
    check_table,
    electron_factor,
    electron_gaussians,
    element_of,
    ion_symbol,
)
from tasks.model import InputError
from tasks.refine.shelx_factors import four_gaussians_of

S = np.linspace(0.05, 1.5, 30)


@pytest.mark.parametrize("table", ["peng-1996-high-angle", "lobato-2014"])
def test_tables_of_neutral_atoms_agree_with_that_of_gemmi(table: str) -> None:
    """Independent fits of one quantity: within 6 % up to neon and 11 % for all, 1 % in the mean."""
    off = {}
    for number in range(1, 99):
        name = gemmi.Element(number).name
        off[name] = electron_factor(name, S, table) / scattering_factor(name, 4.0 * S**2, "electron") - 1.0
    assert max(np.abs(off[gemmi.Element(k).name]).max() for k in range(1, 11)) < 0.06
    assert max(np.abs(values).max() for values in off.values()) < 0.11
    assert np.mean([np.abs(values).mean() for values in off.values()]) < 0.01


def test_lobato_tends_to_rutherford_scattering_at_large_angles() -> None:
    s = np.array([30.0])
    for name in ("C", "O", "Si", "Fe", "Au"):
        rutherford = MOTT_BETHE * gemmi.Element(name).atomic_number / s**2
        assert electron_factor(name, s, "lobato-2014") == pytest.approx(rutherford, rel=0.02)


@pytest.mark.parametrize("ion", sorted(IONS))
def test_an_ion_scatters_as_its_atom_at_large_angles_and_as_its_charge_at_small_ones(ion: str) -> None:
    large, small = np.linspace(0.8, 1.5, 8), np.array([0.01])
    neutral = electron_factor(element_of(ion), large, "peng-1996")
    assert electron_factor(ion, large, "peng-1998-ions") == pytest.approx(neutral, rel=0.08)
    charge = MOTT_BETHE * charge_of(ion) / small**2
    assert electron_factor(ion, small, "peng-1998-ions") == pytest.approx(charge, rel=0.12)


@pytest.mark.parametrize(
    ("table", "names", "within"),
    [("lobato-2014", LOBATO, 0.002), ("peng-1996-high-angle", HIGH_ANGLE, 0.0), ("peng-1998-ions", IONS, 0.02)],
)
def test_the_gaussians_of_least_squares_follow_the_table(table: str, names: dict[str, object], within: float) -> None:
    for name in names:
        found = electron_gaussians(name, table)
        assert found.off <= within
        assert len(found.a) <= 10
        model = np.exp(-np.outer(S**2, found.b)) @ found.a
        exact = electron_factor(name, S, table)
        assert np.abs(model - exact).max() <= within * np.abs(exact).max() + 1e-9


def test_four_gaussians_say_how_far_they_are_off() -> None:
    for name, table in (("C", "lobato-2014"), ("Ca", "peng-1996-high-angle"), ("O2-", "peng-1998-ions")):
        a, b, off = four_gaussians_of(name, table)
        exact = electron_factor(name, S, table)
        misfit = np.abs(np.exp(-np.outer(S**2, b)) @ a - exact) / np.maximum(np.abs(exact), 0.1 * np.abs(exact).max())
        assert misfit.max() <= 1.05 * off < 0.11
        assert off > 0


def test_ions_are_understood_with_and_without_the_one() -> None:
    assert ion_symbol("Na1+") == ion_symbol(" Na+") == "Na+"
    assert (element_of("Ca2+"), charge_of("Ca2+"), charge_of("O2-"), charge_of("Cl-")) == ("Ca", 2, -2, -1)


def test_an_unknown_ion_is_refused_with_those_of_the_element() -> None:
    with pytest.raises(InputError, match="no 'Fe4\\+'") as told:
        ion_symbol("Fe4+")
    assert "Fe2+, Fe3+" in str(told.value.args)
    with pytest.raises(InputError, match="no 'sodium'"):
        ion_symbol("sodium")


@pytest.mark.parametrize(
    ("table", "radiation", "elements", "ions", "said"),
    [
        ("wk1995", "electron", ("C",), (), "wk1995 is no table for electrons"),
        ("lobato-2014", "xray", ("C",), (), "lobato-2014 is no table for X-rays"),
        ("lobato-2014", "electron", ("Na",), ("Na+",), "ions need the table of ions"),
        ("peng-1998-ions", "electron", ("C", "O"), ("Na+",), "the structure has no Na"),
        ("peng-1998-ions", "electron", ("Fe", "O"), ("Fe2+", "Fe3+"), "given twice"),
        ("peng-1996-high-angle", "electron", ("C", "Es"), (), "no scattering factor of 'Es'"),
    ],
)
def test_a_table_that_does_not_fit_is_refused(
    table: str, radiation: str, elements: tuple[str, ...], ions: tuple[str, ...], said: str
) -> None:
    with pytest.raises(InputError, match=said):
        check_table(table, radiation, elements, ions)
