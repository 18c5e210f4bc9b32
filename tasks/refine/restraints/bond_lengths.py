"""Lengths and angles that chemistry is sure of, by the kinds of the two atoms.

Source of lengths: Allen, Kennard, Watson, Brammer, Orpen & Taylor, J. Chem. Soc. Perkin Trans. 2, S1-S19 (1987), means
rounded to 0.005 angstrom; of the aromatic ring 1.39 as in SHELXL's AFIX 66. Angles of amides: Engh & Huber, Acta Cryst.
A47, 392-400 (1991).
"""

from typing import Literal

AtomKind = Literal[
    "C sp3", "C aromatic", "C carboxylate", "C amide", "C nitrile", "N ammonium", "N amine", "N amide", "N aromatic",
    "N nitro", "N nitrile", "O hydroxyl", "O phenol", "O ether", "O carboxylate", "O amide", "O nitro", "F", "Cl", "Br",
]  # fmt: skip
"""What an atom is when its bonds leave no doubt; atoms in doubt have no kind."""

LENGTHS_ANGSTROM: dict[tuple[AtomKind, AtomKind], float] = {
    ("C sp3", "C sp3"): 1.53,
    ("C aromatic", "C sp3"): 1.51,
    ("C carboxylate", "C sp3"): 1.53,
    ("C amide", "C sp3"): 1.515,
    ("C nitrile", "C sp3"): 1.465,
    ("C aromatic", "C nitrile"): 1.44,
    ("C aromatic", "C aromatic"): 1.39,
    ("C aromatic", "N aromatic"): 1.34,
    ("C aromatic", "N nitro"): 1.47,
    ("C sp3", "N ammonium"): 1.49,
    ("C sp3", "N amine"): 1.47,
    ("C sp3", "N amide"): 1.455,
    ("C amide", "N amide"): 1.335,
    ("C nitrile", "N nitrile"): 1.14,
    ("C sp3", "O hydroxyl"): 1.425,
    ("C sp3", "O ether"): 1.425,
    ("C aromatic", "O phenol"): 1.365,
    ("C carboxylate", "O carboxylate"): 1.255,
    ("C amide", "O amide"): 1.23,
    ("N nitro", "O nitro"): 1.22,
    ("C aromatic", "F"): 1.36,
    ("C aromatic", "Cl"): 1.74,
    ("C aromatic", "Br"): 1.90,
    ("C sp3", "Cl"): 1.79,
}
"""By the kinds of the two atoms in alphabetical order."""

ANGLES_DEG: dict[tuple[AtomKind, AtomKind, AtomKind], float] = {
    ("O carboxylate", "C carboxylate", "O carboxylate"): 125.5,
    ("C sp3", "C carboxylate", "O carboxylate"): 117.2,
    ("N amide", "C amide", "O amide"): 123.0,
    ("C sp3", "C amide", "O amide"): 120.8,
    ("C sp3", "C amide", "N amide"): 116.2,
    ("C amide", "N amide", "C sp3"): 121.7,
    ("O nitro", "N nitro", "O nitro"): 123.5,
    ("C aromatic", "N nitro", "O nitro"): 118.2,
}
"""By the kinds of an end, the middle and the other end; the ends in either order."""
AROMATIC_DEG = 120.0
"""Of a six-membered ring and of what it carries."""
TETRAHEDRAL_DEG = 111.0
"""At a carbon atom with four bonds, between atoms other than hydrogen: a little above 109.5, as hydrogen gives way."""


def bond_length_angstrom(one: AtomKind | None, other: AtomKind | None) -> float | None:
    """Return the length of a bond between atoms of these kinds, None where that is not sure."""
    if one is None or other is None:
        return None
    first, second = sorted((one, other))
    return LENGTHS_ANGSTROM.get((first, second))


def angle_deg(one: AtomKind | None, middle: AtomKind | None, other: AtomKind | None) -> float | None:
    """Return the angle at the middle one of three bonded atoms, None where that is not sure."""
    if one is None or middle is None or other is None:
        return None
    found = ANGLES_DEG.get((one, middle, other), ANGLES_DEG.get((other, middle, one)))
    if found is not None:
        return found
    if middle in {"C aromatic", "N aromatic"}:
        return AROMATIC_DEG
    return TETRAHEDRAL_DEG if middle == "C sp3" else None
