"""Reflection lists of crystals of one form, as the integration leaves them, with known intensities."""

from pathlib import Path

import gemmi
import numpy as np

from tasks.crystal.lattice import transformed_cell
from tasks.integrate.assemble import Particulars, reflections_from_observations
from tasks.integrate.merging.equivalents import group_equivalents
from tasks.integrate.reflection_file import Unmerged
from tasks.model import UnitCell
from tasks.model.provenance import Provenance

TRICLINIC = UnitCell.of((7.1, 8.3, 9.6, 82.0, 76.0, 68.0))
TETRAGONAL = UnitCell.of((11.0, 11.0, 8.0, 90.0, 90.0, 90.0))


class Form:
    """Intensities of all reflections of one crystal form to 1.2 angstrom, the same for equivalents."""

    def __init__(self, cell: UnitCell, laue: str, seed: int) -> None:
        self.cell = cell
        box = np.stack(np.meshgrid(*[np.arange(-9, 10)] * 3, indexing="ij"), -1).reshape(-1, 3).astype(np.int32)
        inverse_d = np.array([cell.gemmi().calculate_1_d2(h) for h in box.tolist()])
        self.hkl = box[(inverse_d <= 0.7) & (inverse_d > 0)]
        self.s_squared = inverse_d[(inverse_d <= 0.7) & (inverse_d > 0)]
        member = group_equivalents(self.hkl, gemmi.SpaceGroup(laue)).member
        self.true = np.random.default_rng(seed).exponential(100.0, member.max() + 1)[member]
        self.true *= np.exp(-2.0 * self.s_squared / 2)


def crystal(name, form, folder: Path, *, seed, normal, basis=None, scale=1.0, b=0.0, noise=0.08, background=0.02):
    """A wedge about a plane with this normal is measured, in the axes of `basis`; mean intensities are 100."""
    rng = np.random.default_rng(seed)
    cartesian = form.hkl @ np.array(form.cell.gemmi().frac.mat.tolist())
    angle = np.abs(cartesian @ (np.array(normal) / np.linalg.norm(normal))) / np.sqrt(form.s_squared)
    seen = angle < 0.5
    basis = np.eye(3, dtype=int) if basis is None else np.array(basis)
    intensity = form.true[seen] * scale * np.exp(-b * form.s_squared[seen] / 2)
    sigma = noise * intensity + background * scale * 100
    data = Unmerged(
        hkl=(form.hkl[seen] @ basis).astype(np.int32),
        intensity=intensity + rng.normal(0, 1, sigma.size) * sigma,
        sigma=sigma,
        angle_deg=np.zeros(sigma.size),
        crystal=np.zeros(sigma.size, dtype=np.int32),
    )
    said = Particulars(wavelength_angstrom=0.02, provenance=Provenance(engine="test", version="1"))
    where = folder / name
    where.mkdir()
    cell = transformed_cell(form.cell, basis)
    return reflections_from_observations(name, data, cell, said, workdir=where)
