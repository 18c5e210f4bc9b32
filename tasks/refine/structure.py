"""A refined structure with all that a publication asks for, before it is written to files."""

import math

import gemmi
import numpy as np
from pydantic import Field

from tasks.crystal.contents import units_in_cell
from tasks.integrate import CellEsd, CellScale, Reflections, volume_esd, whole_esd
from tasks.model import Composition, Document, UnitCell
from tasks.refine.alerts.alert import Alert
from tasks.refine.cell_check import cell_doubts
from tasks.refine.checks import warnings_of
from tasks.refine.completion import cell_contents
from tasks.refine.draft import DraftFit, ModelFit, UniqueIntensities
from tasks.refine.solvent_mask import solvent_in_words
from tasks.solve import Solution


class RefinedStructure(Document):
    """What the writers of CIF, RES and FCF need."""

    id: str
    space_group: str
    hall: str
    unit_cell_esd: CellEsd | None = Field(default=None, description="of the fit alone, without the scale")
    cell_scale: CellScale | None = None
    fit: DraftFit
    intensities: UniqueIntensities
    formula: dict[str, float]
    formula_units: float
    warnings: tuple[str, ...] = ()
    alerts: tuple[Alert, ...] = Field(default=(), description="of validation, A before B before C")
    program: str

    @property
    def unit_cell(self) -> UnitCell:
        """The cell."""
        return self.fit.draft.unit_cell

    @property
    def whole_cell_esd(self) -> CellEsd | None:
        """The esds of the cell with the scale of its lengths in them."""
        return whole_esd(self.unit_cell, self.unit_cell_esd, self.cell_scale)

    @property
    def volume_esd_angstrom3(self) -> float | None:
        """The esd of the volume, with the scale in it."""
        return volume_esd(self.unit_cell, self.unit_cell_esd, self.cell_scale)

    @property
    def formula_weight(self) -> float:
        """In g/mol."""
        return sum(count * float(gemmi.Element(element).weight) for element, count in self.formula.items())


def formula_of(fit: ModelFit, composition: Composition | None) -> tuple[dict[str, float], float]:
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


def structure_of(
    data: Reflections,
    solution: Solution,
    fit: DraftFit,
    intensities: UniqueIntensities,
    composition: Composition | None,
    *,
    program: str,
) -> RefinedStructure:
    """Return the last fit of a refinement with the formula found and what a reader should be warned of."""
    formula, units = formula_of(fit, composition)
    doubts = cell_doubts(fit, data.cell_scale, electron_wavelength(data), composition)
    return RefinedStructure(
        id=data.id,
        space_group=solution.space_group,
        hall=solution.hall,
        unit_cell_esd=esd_in_axes_of(solution, data),
        cell_scale=data.cell_scale,
        fit=fit,
        intensities=intensities,
        formula=formula,
        formula_units=units,
        warnings=(
            *about_limit(data, intensities),
            *(() if fit.draft.solvent is None else (solvent_in_words(fit.draft.solvent, data.radiation),)),
            *about_direction(intensities),
            *warnings_of(fit, intensities, formula=formula, composition=composition, doubts=doubts),
        ),
        program=program,
    )


def electron_wavelength(data: Reflections) -> float | None:
    """Return the wavelength in angstrom if it may be doubted: that of electrons, whose energy is stated by hand."""
    return data.wavelength_angstrom if data.radiation == "electron" else None


def esd_in_axes_of(solution: Solution, data: Reflections) -> CellEsd | None:
    """Return the esds of the cell in the solution's axes; None if they are not the measured ones in another order."""
    change = np.abs(np.array(solution.to_solution_cell))
    if data.unit_cell_esd is None or not np.array_equal(np.sort(change, axis=1), np.tile([0.0, 0.0, 1.0], (3, 1))):
        return None
    order = change.argmax(axis=1)
    if not np.allclose(np.array(data.unit_cell.parameters[:3])[order], solution.unit_cell.parameters[:3]):
        return None
    a, b, c = (data.unit_cell_esd[axis] for axis in order)
    alpha, beta, gamma = (data.unit_cell_esd[3 + axis] for axis in order)
    return (a, b, c, alpha, beta, gamma)


def about_limit(data: Reflections, intensities: UniqueIntensities) -> tuple[str, ...]:
    """Return in words which data were left out, if any."""
    if intensities.d_min_angstrom < 1.02 * data.d_min_angstrom:
        return ()
    used, given = intensities.d_min_angstrom, data.d_min_angstrom
    return (f"data from {used:.2f} to {given:.2f} A were left out",)


def about_direction(intensities: UniqueIntensities) -> tuple[str, ...]:
    """Return in words that intensities were corrected by direction, if they were."""
    if intensities.direction_scale is None:
        return ()
    return (f"intensities were divided by a smooth scale of direction, {intensities.direction_scale}",)
