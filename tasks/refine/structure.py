"""A refined structure with all that a publication asks for, before it is written to files."""

import math

import gemmi
import numpy as np

from tasks.crystal.contents import units_in_cell
from tasks.model import Composition, Document, UnitCell
from tasks.refine.completion import cell_contents
from tasks.refine.draft import Fit, Observations


class RefinedStructure(Document):
    """What the writers of CIF, RES and FCF need."""

    id: str
    space_group: str
    hall: str
    unit_cell_esd: tuple[float, float, float, float, float, float] | None = None
    fit: Fit
    observations: Observations
    formula: dict[str, float]
    formula_units: float
    warnings: tuple[str, ...] = ()
    program: str

    @property
    def unit_cell(self) -> UnitCell:
        """The cell."""
        return self.fit.draft.unit_cell

    @property
    def formula_weight(self) -> float:
        """In g/mol."""
        return sum(count * float(gemmi.Element(element).weight) for element, count in self.formula.items())


def formula_of(fit: Fit, composition: Composition | None) -> tuple[dict[str, float], float]:
    """Return the formula of the model and how many of it are in the cell (Z).

    Z is what the composition and the atoms found agree on; without a composition, the greatest common divisor of the
    numbers of atoms.
    """
    contents = cell_contents(fit)
    if composition is not None:
        units = units_in_cell(composition, contents, fit.draft.hall)
    else:
        whole = [max(1, round(count)) for count in contents.values()]
        units = float(math.gcd(*whole)) if whole else 1.0
    rounded = {element: float(np.round(count / units, 4)) for element, count in contents.items()}
    return {element: count for element, count in rounded.items() if count > 0}, units
