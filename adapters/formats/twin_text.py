"""What INS, RES and CIF say of a twin by (pseudo-)merohedry: pure text."""

from collections.abc import Sequence

import numpy as np

from tasks.crystal.twin_laws import law_triplet
from tasks.refine import TwinComponent

MATRIX_ITEMS = tuple(f"twin_matrix_{row}{column}" for row in (1, 2, 3) for column in (1, 2, 3))
TWIN_ITEMS = ("id", "mass_fraction_refined", "twin_lattice_type", *MATRIX_ITEMS)
"""Of the category _twin_individual of the COMCIFS dictionary of twinning."""


def twin_lines(twin: Sequence[TwinComponent]) -> list[str]:
    """Return SHELXL's TWIN and BASF; nothing for a crystal that is no twin.

    TWIN holds one law and its powers; components by other laws are named in a remark, as SHELXL takes them as HKLF 5
    only.
    """
    if len(twin) < 2:
        return []
    law = np.array(twin[1].law)
    powers = [np.linalg.matrix_power(law, number) for number in range(len(twin))]
    if not all(np.allclose(power, part.law, atol=1e-6) for power, part in zip(powers, twin, strict=True)):
        return [f"REM twin law {law_triplet(np.array(part.law))}, fraction {part.fraction:.4f}" for part in twin[1:]]
    number = f" {len(twin)}" if len(twin) > 2 else ""
    elements = " ".join(f"{x:.6g}" for x in law.ravel())
    return [f"TWIN {elements}{number}", "BASF " + " ".join(f"{part.fraction:.5f}" for part in twin[1:])]


def twin_rows(twin: Sequence[TwinComponent], fractions: Sequence[str], *, merohedral: bool) -> list[list[str]]:
    """Return the rows of the loop of `TWIN_ITEMS`, none for a crystal that is no twin.

    Parameters
    ----------
    fractions
        Of all components as text, with their uncertainties.
    merohedral
        Whether the lattice has the laws exactly.
    """
    if len(twin) < 2:
        return []
    kinds = ["ref", *["mt_II" if merohedral else "pmt"] * (len(twin) - 1)]
    return [
        [str(number), fraction, kind, *(f"{x:.6g}" for row in part.law for x in row)]
        for number, (part, fraction, kind) in enumerate(zip(twin, fractions, kinds, strict=True), 1)
    ]
