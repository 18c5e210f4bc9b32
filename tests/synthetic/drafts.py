"""Drafts, fits and intensities of a refinement with plain figures, for its decisions."""

import re
from pathlib import Path

import gemmi

from tasks.model import FileRef, UnitCell
from tasks.refine.draft import AtomFit, Draft, DraftAtom, DraftFit, UniqueIntensities
from tasks.refine.geometry import site_order

TRICLINIC = UnitCell.of((7.1, 8.2, 9.3, 81.0, 96.0, 107.0))


def fit_of(draft: Draft, path: Path, u: dict[str, float] | None = None, **figures) -> DraftFit:
    """Return a fit with plain figures; `u` overrides equivalent displacements."""
    path.write_bytes(b"")
    rows = tuple(
        AtomFit(
            label=atom.label,
            u_min_eigenvalue=(u or {}).get(atom.label, 0.02),
            u_max_eigenvalue=(u or {}).get(atom.label, 0.02),
            u_equivalent=(u or {}).get(atom.label, 0.02),
            multiplicity=len(list(gemmi.symops_from_hall(draft.hall)))
            // site_order(atom.position, draft.hall, draft.unit_cell),
        )
        for atom in draft.atoms
    )
    values = {
        "r1": 0.15, "r1_all": 0.18, "wr2": 0.4, "goof": 1.0, "reflections": 1000, "reflections_observed": 700,
        "parameters": 50, "shift_over_esd_max": 0.0, "converged": True, "cycles": 5, "peaks": (), "density_max": 0.3,
        "density_min": -0.3, "density_rms": 0.07,
    }  # fmt: skip
    return DraftFit(draft=draft, atoms=rows, table=FileRef.of(path), **(values | figures))


def intensities_of(path: Path, d_min: float = 0.8) -> UniqueIntensities:
    path.write_bytes(b"")
    return UniqueIntensities(
        table=FileRef.of(path), radiation="electron", wavelength_angstrom=0.02, friedel_merged=True, unique=1000,
        measured=5000, r_int=0.1, completeness=0.9, d_min_angstrom=d_min, absences=0, absences_violated=0,
    )  # fmt: skip


def chain(formula: str, hall: str = "P 1", cell: UnitCell = TRICLINIC) -> Draft:
    """Return atoms in a row, 1.45 A apart along a, starting inside the cell."""
    symbols = re.findall("[A-Z][a-z]?", formula)
    atoms = tuple(
        DraftAtom(label=f"X{i}", element=element, position=(0.1 + 1.45 * i / cell.a, 0.2, 0.3))
        for i, element in enumerate(symbols)
    )
    return Draft(hall=hall, unit_cell=cell, atoms=atoms)
