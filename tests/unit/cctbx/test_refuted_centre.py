"""A centre that the data refute is named, one that they bear is not, by least squares against simulated intensities."""

from pathlib import Path

import gemmi
import numpy as np
import pytest

from adapters.cctbx.client import ask
from adapters.cctbx.messages import FitRequest, MergeRequest
from tasks.crystal.symmetry import symmetry_of
from tasks.model import UnitCell
from tasks.refine.draft import Draft, DraftAtom, DraftFit, UniqueIntensities
from tasks.refine.refuted_centre import centre_doubts, halves_without_centre, without_centre
from tests.synthetic.twins import TwinCase, observe_twin

TETRAGONAL = UnitCell.of((3.9, 3.9, 4.05, 90, 90, 90))
IDENTITY = ((1, 0, 0), (0, 1, 0), (0, 0, 1))


def perovskite(shift: float) -> TwinCase:
    """Return a perovskite whose cation and apical oxygen are shifted along c, in parts of it; none has a centre."""
    sites = (
        ("Sr", (0.0, 0.0, 0.0), 0.006), ("Ti", (0.5, 0.5, 0.5 + shift), 0.006),
        ("O", (0.5, 0.5, -shift), 0.008), ("O", (0.5, 0.0, 0.5 - shift / 2), 0.008),
    )  # fmt: skip
    return TwinCase("perovskite", "P 4 m m", TETRAGONAL, "Sr Ti O3", sites, IDENTITY)


class Asked:
    """Least squares by smtbx, in its worker."""

    program = "smtbx"

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.fits = 0

    def fit(self, draft: Draft, intensities: UniqueIntensities, **how: object) -> DraftFit:
        self.fits += 1
        request = FitRequest(draft=draft, intensities=intensities, output=self.folder / f"fit{self.fits}.npz", **how)
        return ask([request], self.folder, timeout_s=60).replies[0].fit


def with_the_centre(case: TwinCase, folder: Path) -> tuple[Asked, DraftFit, UniqueIntensities]:
    """Return a case refined in P 4/m m m, its shifts left out."""
    observed = observe_twin(case, 0.0, d_min=0.7, noise=0.05)
    np.savez(folder / "in.npz", **observed._asdict())
    hall = gemmi.SpaceGroup("P 4/m m m").hall
    request = MergeRequest(
        hall=hall, unit_cell=case.cell, radiation="electron", wavelength_angstrom=0.0251, merge_friedel=True,
        table=folder / "in.npz", output=folder / "unique.npz",
    )  # fmt: skip
    data = ask([request], folder, timeout_s=60).replies[0].intensities
    atoms = tuple(
        DraftAtom(label=f"{element}{row}", element=element, position=tuple(np.round(2 * np.array(place)) / 2))
        for row, (element, place, _) in enumerate(case.sites)
    )
    engine = Asked(folder)
    return engine, engine.fit(Draft(hall=hall, unit_cell=case.cell, atoms=atoms), data, cycles=20), data


def test_a_polar_crystal_is_told_from_one_with_a_centre(tmp_path: Path) -> None:
    (doubt,) = centre_doubts(*with_the_centre(perovskite(0.022), tmp_path))
    assert "in P 4 m m, the model predicts better" in doubt


def test_a_centre_that_is_there_stands(tmp_path: Path) -> None:
    engine, fit, data = with_the_centre(perovskite(0.0), tmp_path)
    assert centre_doubts(engine, fit, data) == ()
    halves = len(halves_without_centre(gemmi.SpaceGroup("P 4/m m m")))
    assert engine.fits > 1 + halves


@pytest.mark.parametrize(
    ("symbol", "halves"),
    [
        ("P n m a", {"P 21 21 21", "P 21 m a", "P n m 21", "P n 21 a"}),
        ("I 41/a:2", {"I 41", "I -4"}),
        ("F d -3 m:2", {"F 41 3 2", "F -4 3 m"}),
        ("P 21 21 21", set()),
    ],
)
def test_halves_without_the_centre_are_found_wherever_their_origins_are(symbol: str, halves: set[str]) -> None:
    assert {lower.symbol for lower, _ in halves_without_centre(gemmi.SpaceGroup(symbol))} == halves


@pytest.mark.parametrize("symbol", ["P n m a", "R -3 c:H", "I 41/a:2"])
def test_atoms_in_half_of_the_group_scatter_as_in_all_of_it(symbol: str) -> None:
    group = gemmi.SpaceGroup(symbol)
    cell = UnitCell.of((9, 9, 12, 90, 90, 120) if ":H" in symbol else (9, 9, 12, 90, 90, 90))
    places = [(0.11, 0.22, 0.33), (0.0, 0.0, 0.0)]
    atoms = tuple(DraftAtom(label=f"C{row}", element="C", position=place) for row, place in enumerate(places))
    draft = Draft(hall=group.hall, unit_cell=cell, atoms=atoms)
    hkl = np.stack(np.meshgrid(*[np.arange(-3, 4)] * 3, indexing="ij"), axis=-1).reshape(-1, 3).astype(np.int32)

    def amplitudes(model: Draft) -> np.ndarray:
        place = np.array([atom.position for atom in model.atoms])
        own = symmetry_of(next(g for g in gemmi.spacegroup_table() if g.hall == model.hall)).operations()
        images = np.einsum("oij,mj->omi", own.rotations, place) + own.translations[:, None]
        whole = np.unique(np.round(images.reshape(-1, 3) % 1.0, 6) % 1.0, axis=0)
        return np.abs(np.exp(2j * np.pi * hkl @ whole.T).sum(axis=1))

    for lower, origin in halves_without_centre(group):
        assert np.allclose(amplitudes(without_centre(draft, group, lower, origin)), amplitudes(draft), atol=1e-3)
