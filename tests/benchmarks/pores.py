"""How well a mask counts what fills the pores of UiO-66, and that empty pores stay empty: ``[seeds]``."""

import sys
import tempfile
from pathlib import Path

import gemmi
import numpy as np

from adapters.cctbx.client import ask
from adapters.cctbx.messages import MergeRequest
from adapters.cctbx.numerics import WorkerLeastSquares
from tasks.crystal.scattering import Radiation
from tasks.refine.draft import Draft, DraftAtom, DraftFit, UniqueIntensities
from tests.synthetic.filled_pores import filled_pores
from tests.synthetic.known_structures import KnownStructure, load_uio66
from tests.synthetic.real_data import real_data

CASES: tuple[tuple[Radiation, float, float], ...] = (
    ("electron", 200.0, 0.35), ("electron", 120.0, 0.35), ("electron", 200.0, 0.5), ("xray", 200.0, 0.35),
    ("xray", 200.0, 0.25), ("electron", 0.0, 0.35), ("xray", 0.0, 0.35),
)  # fmt: skip
"""Radiation, atoms a cell in the pores, and their mean square displacement."""


def main() -> None:
    """Print a row for each case and seed; errors of intensities are 5 %, data reach 1 A."""
    seeds = int(sys.argv[1]) if len(sys.argv) > 1 else 1
    print(
        "| radiation | atoms | U | seed | R1 | R1 masked | left out | masked | true content | found | off | moved (A) |"
    )
    print("|---|---|---|---|---|---|---|---|---|---|---|---|")
    model = load_uio66(real_data())
    for seed in range(seeds):
        for radiation, atoms, u_guest in CASES:
            with tempfile.TemporaryDirectory() as folder:
                _row(model, radiation, atoms, u_guest, seed=seed, folder=Path(folder))


def _row(model: KnownStructure, radiation: Radiation, atoms: float, u_guest: float, *, seed: int, folder: Path) -> None:
    filled = filled_pores(model, "F m -3 m", atoms=atoms, radiation=radiation, d_min=1.0, u_guest=u_guest, seed=seed)
    merged = filled.merged
    np.savez(folder / "d.npz", hkl=merged.hkl, intensity=merged.intensity, sigma=merged.sigma)
    hall = gemmi.SpaceGroup("F m -3 m").hall
    # photons of an energy beyond the table of dispersion, which the simulation knows nothing of
    wavelength = 0.0251 if radiation == "electron" else 0.05
    request = MergeRequest(
        hall=hall, unit_cell=model.cell, radiation=radiation, wavelength_angstrom=wavelength, merge_friedel=True,
        table=folder / "d.npz", output=folder / "u.npz",
    )  # fmt: skip
    data: UniqueIntensities = ask([request], folder, timeout_s=300).replies[0].intensities
    draft = Draft(
        hall=hall,
        unit_cell=model.cell,
        atoms=tuple(
            DraftAtom(label=f"{element}{i}", element=element, position=tuple(place), u_iso_angstrom2=0.03)
            for i, (element, place) in enumerate(zip(model.elements, model.positions.tolist(), strict=True))
        ),
    )
    engine = WorkerLeastSquares(folder, 600)
    plain = engine.fit(draft, data, cycles=10)
    fit, mask = plain, engine.solvent(plain.draft, data)
    for _ in range(2):
        fit = engine.fit(fit.draft.model_copy(update={"solvent": mask}), data, cycles=10)
        mask = engine.solvent(fit.draft, data)
    free = [engine.fit(d, data, cycles=8, held_out=0.1).r1_free for d in (plain.draft, fit.draft)]
    found = 0.0 if mask is None else mask.content
    off = "" if filled.content == 0 else f"{found / filled.content - 1:+.0%}"
    print(
        f"| {radiation} | {atoms:.0f} | {u_guest} | {seed} | {plain.r1:.3f} | {fit.r1:.3f} | {free[0]:.3f} "
        f"| {free[1]:.3f} | {filled.content:.0f} | {found:.0f} | {off} | {_moved(model, fit):.3f} |",
        flush=True,
    )


def _moved(model: KnownStructure, fit: DraftFit) -> float:
    """Return the largest distance of an atom other than hydrogen from where it is in truth, angstrom."""
    orthogonal = np.array(model.cell.gemmi().orth.mat.tolist())
    return max(
        float(np.linalg.norm(orthogonal @ (np.array(atom.position) - place)))
        for atom, place in zip(fit.draft.atoms, model.positions, strict=True)
        if atom.element != "H"
    )


if __name__ == "__main__":
    main()
