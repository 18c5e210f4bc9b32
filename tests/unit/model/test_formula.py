"""Formulae as people, papers and files write them: understood, or refused with what they could mean."""

import gemmi
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.model import Composition, InputError

ELEMENTS = [gemmi.Element(z).name for z in range(1, 99)]

UNDERSTOOD = {
    "C19H22N2O": "C19 H22 N2 O1",
    "C 19 H 22 N 2 O": "C19 H22 N2 O1",
    "C48 H28 O32 Zr6": "C48 H28 O32 Zr6",
    "C2H5NO2 . 0.5(H2O)": "C2 H6 N1 O2.5",
    "C2H5NO2 . \u00bdH2O": "C2 H6 N1 O2.5",
    "C6H12O6.0.5H2O": "C6 H13 O6.5",
    "NH3+CH2COO-": "C2 H5 N1 O2",
    "N1+ C3": "C3 N1",
    "Fe(H2O)6(ClO4)3": "Cl3 Fe1 H12 O18",
    "[Zn(NH3)4]2+, 2(Cl 1-)": "Cl2 H12 N4 Zn1",
    "C12 H16 N2 2+, 2(Cl O4 1-), H2 O": "C12 H18 Cl2 N2 O9",
    "N(CH3)4+": "C4 H12 N1",
    "(SO4)2- Ca2+": "Ca1 O4 S1",
    "SO\u2084\u00b2\u207b Ca\u00b2\u207a": "Ca1 O4 S1",
    "SO4^2-": "O4 S1",
    "Ca2+ O2-": "Ca1 O1",
    "c19 h22 n2 o": "C19 H22 N2 O1",
    "zro2": "O2 Zr1",
    "NACL2": "Cl2 Na1",
    "CuSO4 . 5H2O": "Cu1 H10 O9 S1",
    "CuSO4\u00b75H2O": "Cu1 H10 O9 S1",
    "CuSO4*5H2O": "Cu1 H10 O9 S1",
    "NaCl.6H2O": "Cl1 H12 Na1 O6",
    "C6H6 + H2O": "C6 H8 O1",
    "Mg1.8Fe0.2SiO4": "Fe0.2 Mg1.8 O4 Si1",
    "Al.5 Si.5 O2": "Al0.5 O2 Si0.5",
    "O31.2 Si12 Na1": "Na1 O31.2 Si12",
    "C6D6": "C6 H6",
    "[13C]6H12O6": "C6 H12 O6",
    "\u00b9\u00b3C6H12O6": "C6 H12 O6",
    "C\u2086H\u2081\u2082O\u2086": "C6 H12 O6",
    "C_{6}H_{12}": "C6 H12",
    "H~2~O": "H2 O1",
    "{[Zr6O4(OH)4](C8H4O4)6}n": "C48 H28 O32 Zr6",
    "C1/2 O": "C0.5 O1",
}

REFUSED = {
    "": "empty",
    "UiO-66": "U I O",
    "ZIF-8": "'Z' is not an element",
    "MOF-5": "'-5'",
    "iron": "is 'Ir O N' meant",
    "nacl": "is 'Na Cl' meant",
    "sio2": "'Si O' or 'S I O'",
    "CACO3": "'Ca C O'",
    "CuSO4.5H2O": "'CuSO4.5 H2O' and 'CuSO4 . 5H2O'",
    "Na2CO3.10H2O": "'CO3.10 H2O' and 'CO3 . 10H2O'",
    "SO42-": "'O42 -' and 'O4 2-'",
    "Fe(CN)63-": "')63 -' and ')6 3-'",
    "I3-": "'I3 -' and 'I 3-'",
    "Cl 2H2O": "'2H' behind a space",
    "C2,5H2O": "a comma between digits",
    "C12 H10 xH2O": "'x' stands for a number",
    "Xx2": "'Xx' is not an element",
    "TO4": "'T' is not an element",
    "C0 H2": "C has the count 0",
    "C1/0": "no number",
    "(C": "')' is missing",
    "C)": "')' has no place",
    "C6;;H6": "empty|no place",
    "(" * 30 + "C" + ")" * 30: "brackets within brackets",
    "C" * 1001: "no formula",
}


@pytest.mark.parametrize(("text", "contents"), UNDERSTOOD.items())
def test_formulae_are_understood_as_written(text: str, contents: str) -> None:
    assert Composition.parse(text).formula() == contents


@pytest.mark.parametrize(("text", "said"), REFUSED.items())
def test_what_is_no_formula_or_has_two_readings_is_refused_with_the_readings(text: str, said: str) -> None:
    with pytest.raises(InputError, match="|".join(part if "|" in said else _literal(part) for part in said.split("|"))):
        Composition.parse(text)


def _literal(text: str) -> str:
    return "".join(
        f"\\{character}" if not character.isalnum() and character != " " else character for character in text
    )


counts = st.dictionaries(st.sampled_from(ELEMENTS), st.integers(1, 400), min_size=1, max_size=6)


@given(
    parts=st.lists(st.tuples(st.integers(1, 20), counts), min_size=1, max_size=4),
    dot=st.sampled_from([" . ", ", ", "\u00b7"]),
)
@settings(deadline=None)
def test_parts_with_numbers_before_them_are_added_up(parts: list[tuple[int, dict[str, int]]], dot: str) -> None:
    due: dict[str, float] = {}
    for factor, inside in parts:
        for symbol, count in inside.items():
            due[symbol] = due.get(symbol, 0) + factor * count
    written = [
        f"{factor}({' '.join(f'{symbol}{count}' for symbol, count in inside.items())})" for factor, inside in parts
    ]
    assert Composition.parse(dot.join(written)).counts == due


@given(text=st.text(alphabet="CHNOSiZrDnx()[]{}0123456789.,+-^*/ ;_~\u00b2\u00b7", max_size=40))
@settings(deadline=None, max_examples=500)
def test_any_text_is_a_formula_or_refused(text: str) -> None:
    try:
        found = Composition.parse(text)
    except InputError:
        return
    assert Composition.parse(found.formula()).counts == pytest.approx(found.counts, rel=1e-5)


@given(inside=counts)
@settings(deadline=None)
def test_a_formula_written_by_us_is_read_back(inside: dict[str, int]) -> None:
    composition = Composition(counts={symbol: float(count) for symbol, count in inside.items()})
    assert Composition.parse(composition.formula()) == composition


@pytest.mark.parametrize(
    ("text", "order"),
    [
        ("Zr24 O128 C192 H96", "Zr O C H"),
        ("2(Na Cl) . Zn(C2 H3 O2)2 . 5H2O", "Na Cl Zn C H O"),
        ("SiO2 . Al2O3", "Si O Al"),
    ],
)
def test_elements_stand_in_the_order_of_their_first_mention(text, order):
    """Sums over them run in this order: by that of a set, the last digits of a structure changed from run to run."""
    assert list(Composition.parse(text).counts) == order.split()
