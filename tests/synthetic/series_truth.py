"""Merged intensities that a simulated series should come out with.

Kinematical: |F|^2. Many-beam: what the crystals scattered into all equivalents over all tilts, over what they would
have scattered kinematically with the same thickness, orientation and probe, times |F|^2: the mean of the many-beam
intensity as an integrator sees it that knows the kinematical rocking curves.
"""

from pathlib import Path
from typing import NamedTuple

import gemmi
import h5py
import numpy as np

from tasks.simulate.absolute import pass_absolute
from tasks.simulate.models import SimulationSettings, Structure
from tasks.simulate.specimen import Absolute, prepare_specimen
from tests.synthetic.solve_cases import representatives

KINEMATICAL_NAME = "truth/kinematical.npz"


class Unique(NamedTuple):
    """One reflection of each orbit of the true Laue class."""

    hkl: np.ndarray
    value: np.ndarray


def laue_of(structure: Structure) -> str:
    """Return the symbol of the structure's Laue class with its centring."""
    group = structure.group.derive_symmorphic()
    group.add_inversion()
    return gemmi.find_spacegroup_by_ops(group).xhm()


def unique_truth(source: Path, structure: Structure, crystal: int | None = None) -> Unique:
    """Return the intensities of one crystal, or of all together, one of each orbit; absences are left out."""
    with h5py.File(source / "truth/truth.h5") as file:
        hkl, value = file["hkl"][()], file["f_squared"][()]
        settings = SimulationSettings.model_validate_json(file.attrs["settings"])
    keys, first, orbit = np.unique(
        representatives(hkl, laue_of(structure)), axis=0, return_index=True, return_inverse=True
    )
    unique = Unique(keys, value[first])
    if settings.scattering.model != "many-beam":
        return unique
    orbit = orbit.reshape(-1)
    here, alone = (
        _electrons(columns, crystal, orbit) for columns in (_expected(source), _kinematical(source, structure))
    )
    seen = alone > 0
    return Unique(unique.hkl[seen], (unique.value * here)[seen] / alone[seen])


def _electrons(columns: tuple[np.ndarray, ...], crystal: int | None, orbit: np.ndarray) -> np.ndarray:
    """Return the electrons of each orbit, summed over tilts and over one or all crystals."""
    of, row, electrons = columns
    mine = np.ones(len(of), dtype=bool) if crystal is None else of == crystal
    return np.bincount(orbit[row[mine]], weights=electrons[mine], minlength=int(orbit.max()) + 1)


def _expected(source: Path) -> tuple[np.ndarray, ...]:
    with h5py.File(source / "truth/truth.h5") as file:
        return tuple(file[f"expected_{name}"][()] for name in ("crystal", "row", "electrons"))


def _kinematical(source: Path, structure: Structure) -> tuple[np.ndarray, ...]:
    """Return the same columns by kinematical theory; made once, and kept beside the truth."""
    path = source / KINEMATICAL_NAME
    if not path.is_file():
        with h5py.File(source / "truth/truth.h5") as file:
            settings = SimulationSettings.model_validate_json(file.attrs["settings"])
        plan = settings.scattering.model_copy(update={"model": "kinematical"})
        specimen = prepare_specimen(structure, settings.model_copy(update={"scattering": plan}))
        model = specimen.model
        if not isinstance(model, Absolute):
            raise TypeError("the kinematical model is absolute")
        parts = [pass_absolute(specimen, model, index).expected for index in range(len(specimen.tilts.recorded_deg))]
        found = [part for part in parts if part is not None]
        columns = {name: np.concatenate([getattr(part, name) for part in found]) for name in found[0]._fields}
        np.savez(path, **columns)
    with np.load(path) as kept:
        return tuple(kept[name] for name in ("crystal", "row", "electrons"))
