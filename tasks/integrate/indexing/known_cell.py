"""A cell that is known beforehand: which lattice it is, and the camera length that follows from it."""

import gemmi
import numpy as np
from scipy.spatial.transform import Rotation

from tasks.crystal.lattice_match import isometries
from tasks.integrate.geometry.mapping import Geometry
from tasks.integrate.indexing.lattice_score import cell_parameters, reduced
from tasks.model import NotIndexedError, UnitCell
from tasks.model.arrays import Floats
from tasks.model.experiment import energy_of_wavelength_kev

CELL_TOLERANCE = 0.025
"""Relative difference of lengths beyond a common factor: an ellipse of 4 % (long over short axis, about the most that
is common) strains them by 2 %; the rest is error of the cell found."""
CAMERA_RANGE = 0.2
"""Relative error of the camera length that a known cell may correct. Chosen, not measured: a miscalibrated length is
within, and a cell of the same shape that is half as large or twice as large is not."""
MATCH_LENGTH, MATCH_ANGLE_DEG = 0.06, 4.0
"""Relative difference of lengths beyond a common factor: an ellipse of 4 % (long over short axis, about the most that
is common) strains them by 2 %; the rest is error of the cell found. At 0.004 an ellipse of 1 % is refused already
(tests/contract/test_builtin_distorted_frames.py)."""


def tied_to_cell(basis: Floats, geometry: Geometry, known: UnitCell) -> tuple[Floats, Geometry]:
    """Return exactly the known lattice in the orientation found, with the camera length that gives its volume.

    Parameters
    ----------
    basis
        (3, 3), columns a*, b*, c* of the lattice found.

    Raises
    ------
    NotIndexedError
        If the reduced cells differ by more than one common factor, or by one that no camera length is wrong by.
    """
    rows = reduced(np.asarray(np.linalg.inv(basis)))
    compared = [(*_compared(rows, target), target) for target in _primitive_cells(known)]
    off, scale, target = min(compared, key=lambda one: one[0])
    if off <= CELL_TOLERANCE and abs(scale - 1) <= CAMERA_RANGE:
        for placed in _oriented(rows / scale, target):
            return placed, geometry._replace(distance_px=geometry.distance_px / scale)
    if off <= CELL_TOLERANCE:
        raise _wrong_by(scale, geometry)
    cells = [" ".join(f"{value:.5g}" for value in cell) for cell in (cell_parameters(rows), known.parameters)]
    raise NotIndexedError(
        f"the lattice found has the reduced cell {cells[0]}, known_cell is {cells[1]}",
        "correct known_cell or leave it out; a camera length cannot explain the difference",
    )


def _wrong_by(scale: float, geometry: Geometry) -> NotIndexedError:
    """Return the error for a lattice of the known cell's shape whose lengths are all wrong by one large factor."""
    energy_kev = energy_of_wavelength_kev(geometry.wavelength / scale)
    return NotIndexedError(
        f"the lattice found has the shape of known_cell, but all its lengths are {scale:.3g} times as long: "
        f"a camera length {1 / scale:.3g} times that stated or a beam energy of {energy_kev:.3g} keV would explain it",
        "correct the beam energy or the camera length of the manifest, or known_cell",
    )


def _oriented(rows: Floats, target: Floats) -> list[Floats]:
    """Return reciprocal axes (3, 3) of the target's cell turned onto a lattice of nearly the same one, best first."""
    turns = isometries(
        UnitCell.of(cell_parameters(rows)),
        UnitCell.of(cell_parameters(target)),
        length_tolerance=MATCH_LENGTH,
        angle_tolerance_deg=MATCH_ANGLE_DEG,
    )
    placed = []
    for turn in turns:
        orientation, _ = Rotation.align_vectors(turn.T @ rows, target)
        placed.append(np.asarray(np.linalg.inv(target @ orientation.as_matrix().T), dtype=np.float64))
    return placed


def _compared(found: Floats, known: Floats) -> tuple[float, float]:
    """Return the largest relative difference of two lattices beyond a common factor, and that factor.

    Parameters
    ----------
    found, known
        (3, 3) axes as rows. The lengths of the shortest vectors are compared: they do not depend on the setting.
    """
    ratio = _shortest(found) / _shortest(known)
    scale = float(np.exp(np.log(ratio).mean()))
    return float(np.abs(ratio / scale - 1).max()), scale


def _shortest(rows: Floats) -> Floats:
    grid = np.stack(np.meshgrid(*[np.arange(-3, 4)] * 3, indexing="ij"), axis=-1).reshape(-1, 3)
    return np.sort(np.linalg.norm(grid @ rows, axis=1))[1:27:2]


def _primitive_cells(known: UnitCell) -> list[Floats]:
    """Return the reduced axes (3, 3), rows, that a known cell has with any centring."""
    cells = []
    for centring in "PABCIFR":
        vector = gemmi.GruberVector(known.gemmi(), centring)
        vector.niggli_reduce()
        cells.append(np.array(vector.get_cell().orth.mat.tolist()).T)
    return cells
