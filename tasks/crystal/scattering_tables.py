"""The tables of scattering factors that a refinement can choose from, exact and as sums of Gaussians."""

import functools
import re
from typing import Literal, NamedTuple

import gemmi
import numpy as np
from numpy.typing import NDArray

from tasks.crystal.electron_table_high_angle import HIGH_ANGLE
from tasks.crystal.electron_table_ions import IONS
from tasks.crystal.electron_table_lobato import LOBATO
from tasks.crystal.scattering import MOTT_BETHE, Radiation, scattering_factor
from tasks.model import InputError

ScatteringTable = Literal["peng-1996", "peng-1996-high-angle", "lobato-2014", "peng-1998-ions", "it1992", "wk1995"]
"""For electrons the first four, for X-rays the others."""


class TableSource(NamedTuple):
    """What a table is for and where it comes from."""

    radiation: Radiation
    citation: str
    in_words: str


SOURCES: dict[ScatteringTable, TableSource] = {
    "peng-1996": TableSource(
        "electron",
        "International Tables Vol C (2006) Table 4.3.2.2",
        "electron scattering factors of Peng et al. (1996)",
    ),
    "peng-1996-high-angle": TableSource(
        "electron",
        "International Tables Vol C (2006) Table 4.3.2.3",
        "electron scattering factors of Peng, Ren, Dudarev & Whelan (1996) for high angles",
    ),
    "lobato-2014": TableSource(
        "electron",
        "Lobato & Van Dyck, Acta Cryst. (2014) A70, 636-649",
        "electron scattering factors of Lobato & Van Dyck (2014)",
    ),
    "peng-1998-ions": TableSource(
        "electron",
        "Peng, Acta Cryst. (1998) A54, 481-485",
        "electron scattering factors of ions of Peng (1998), neutral atoms by Peng et al. (1996)",
    ),
    "it1992": TableSource("xray", "International Tables Vol C Table 6.1.1.4", "X-ray scattering factors"),
    "wk1995": TableSource(
        "xray",
        "Waasmaier & Kirfel, Acta Cryst. (1995) A51, 416-431",
        "X-ray scattering factors of Waasmaier & Kirfel (1995)",
    ),
}
DEFAULT: dict[Radiation, ScatteringTable] = {"electron": "peng-1996", "xray": "it1992"}
S_MIN, S_MAX = 0.02, 1.5
"""Range of sin(theta)/lambda in 1/angstrom that Gaussians follow: d from 25 to 0.33 angstrom, beyond what any data set
of small molecules has at either end."""
WIDTHS = 10
"""Gaussians of a fit: as many as cctbx's sums take."""
NARROWEST_ANGSTROM2 = 0.1
"""Smallest exponent: it falls by a fifth up to S_MAX, and narrower ones hardly differ."""
WIDEST_ANGSTROM2 = 250.0
"""Largest exponent of a neutral atom: the widest of the table for high angles has 203."""
ION = re.compile(r"([A-Z][a-z]?)([1-9]?)([+-])")


def ion_symbol(text: str) -> str:
    """Return an ion as the table writes it: Na+, Ca2+, O2-.

    Raises
    ------
    InputError
        If it is no ion, or one that the table lacks.
    """
    match = ION.fullmatch(text.strip())
    symbol = f"{match[1]}{'' if match[2] == '1' else match[2]}{match[3]}" if match else text
    if symbol not in IONS:
        element = match[1] if match else text.strip()[:2]
        known = [ion for ion in IONS if ION.fullmatch(ion)[1] == element]  # type: ignore[index]
        said = f"of {element} it has {', '.join(known)}" if known else "write ions as Na+, Ca2+, O2-"
        raise InputError(f"refine.ions: the table of ions has no {text!r}", said)
    return symbol


def charge_of(ion: str) -> int:
    """Return the charge of an ion of the table in elementary charges."""
    match = ION.fullmatch(ion)
    if match is None:
        raise ValueError(f"{ion!r} is no ion")
    return int(match[2] or 1) * (1 if match[3] == "+" else -1)


def element_of(ion: str) -> str:
    """Return the element of an ion."""
    return re.split(r"[1-9+-]", ion)[0]


def electron_factor(symbol: str, stol: NDArray[np.float64], table: ScatteringTable) -> NDArray[np.float64]:
    """Return the scattering factor for electrons in angstrom, (n,), at sin(theta)/lambda (n,) in 1/angstrom.

    Without the relativistic factor, as `scattering_factor`.

    Parameters
    ----------
    symbol
        An element, or an ion of the table of ions.

    Raises
    ------
    InputError
        If the table has no such entry.
    """
    s_sq = np.asarray(stol, dtype=np.float64) ** 2
    name = "H" if symbol == "D" else symbol
    if table == "peng-1996" or (table == "peng-1998-ions" and name not in IONS):
        return scattering_factor(name, 4.0 * s_sq, "electron")
    entries = {"peng-1996-high-angle": HIGH_ANGLE, "lobato-2014": LOBATO, "peng-1998-ions": IONS}.get(table)
    if entries is None or name not in entries:
        raise InputError(f"the table {table} has no scattering factor of {symbol!r}", "choose another table")
    a, b = (np.array(values) for values in entries[name])
    if table == "lobato-2014":
        g_sq = np.multiply.outer(4.0 * s_sq, b)
        return np.asarray(((2.0 + g_sq) / (1.0 + g_sq) ** 2) @ a)
    core = np.exp(-np.multiply.outer(s_sq, b)) @ a
    return np.asarray(core + MOTT_BETHE * charge_of(name) / s_sq if table == "peng-1998-ions" else core)


class Gaussians(NamedTuple):
    """f(s) = sum of a exp(-b s^2): a in angstrom, b in angstrom^2, and how far it is off at most in the range."""

    a: tuple[float, ...]
    b: tuple[float, ...]
    off: float
    """Relative to f, or to a tenth of the largest f where f is smaller than that."""


class FactorToFit(NamedTuple):
    """A scattering factor on a grid, to be fitted by Gaussians whose exponents are given: all (n,)."""

    s: NDArray[np.float64]
    f: NDArray[np.float64]
    weight: NDArray[np.float64]

    def fitted(self, b: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return the best amplitudes of exponents (k,) and the weighted misfit (n,)."""
        basis = np.exp(-np.outer(self.s**2, b))
        a, *_ = np.linalg.lstsq(basis * self.weight[:, None], self.f * self.weight, rcond=1e-10)
        return np.asarray(a, np.float64), np.asarray((basis @ a - self.f) * self.weight, np.float64)

    def gaussians(self, b: NDArray[np.float64]) -> Gaussians:
        """Return the sum of Gaussians of exponents (k,)."""
        a, off = self.fitted(b)
        return Gaussians(tuple(a.tolist()), tuple(b.tolist()), float(np.abs(off).max()))


def factor_to_fit(symbol: str, table: ScatteringTable, s_min: float = S_MIN) -> FactorToFit:
    """Return a factor from s_min to S_MAX; misfits count relative to f, or to a tenth of its largest value."""
    s = np.geomspace(s_min, S_MAX, 300)
    f = electron_factor(symbol, s, table)
    # the rise of a charge towards small angles must not hide the rest
    largest = np.abs(f[s > 0.1] if is_charged(symbol, table) else f).max()
    return FactorToFit(s, f, 1.0 / np.maximum(np.abs(f), 0.1 * largest))


def is_charged(symbol: str, table: ScatteringTable) -> bool:
    """Tell whether the table gives this symbol as an ion."""
    return table == "peng-1998-ions" and symbol in IONS


@functools.cache
def electron_gaussians(symbol: str, table: ScatteringTable) -> Gaussians:
    """Return a scattering factor for electrons as a sum of Gaussians over S_MIN to S_MAX.

    The table's own five where it has them, else ten with exponents on a grid.
    """
    if table == "peng-1996-high-angle" and symbol in HIGH_ANGLE:
        return Gaussians(*HIGH_ANGLE[symbol], 0.0)
    widest = 2.0 / S_MIN**2 if is_charged(symbol, table) else WIDEST_ANGSTROM2
    return factor_to_fit(symbol, table).gaussians(np.geomspace(NARROWEST_ANGSTROM2, widest, WIDTHS))


def check_table(table: ScatteringTable, radiation: Radiation, elements: tuple[str, ...], ions: tuple[str, ...]) -> None:
    """Refuse a table of the other radiation, one that lacks an element, ions that no atom is, or two of one element.

    Raises
    ------
    InputError
        Naming the setting.
    """
    if SOURCES[table].radiation != radiation:
        fitting = ", ".join(name for name, source in SOURCES.items() if source.radiation == radiation)
        kind = "electrons" if radiation == "electron" else "X-rays"
        raise InputError(f"refine.scattering: {table} is no table for {kind}", f"choose one of {fitting}")
    if ions and table != "peng-1998-ions":
        raise InputError("refine.ions: ions need the table of ions", "set refine.scattering to peng-1998-ions")
    named = [element_of(ion_symbol(ion)) for ion in ions]
    if absent := [element for element in named if element not in elements]:
        raise InputError(f"refine.ions: the structure has no {absent[0]}", f"it has {', '.join(elements)}")
    if len(set(named)) < len(named):
        raise InputError("refine.ions: one element is given twice", "give one ion of each element")
    if radiation == "electron":
        for element in elements:
            if gemmi.Element(element).atomic_number > 0:
                electron_factor(element, np.array([0.5]), table)
