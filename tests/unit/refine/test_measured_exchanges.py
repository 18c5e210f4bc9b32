"""Exchanges of two elements that least squares measures, and what they leave of the odds."""

from pathlib import Path

import gemmi
import numpy as np
import pytest

from tasks.crystal.scattering import structure_factors
from tasks.model import Composition, FileRef, UnitCell
from tasks.refine.draft import Draft, DraftAtom, DraftFit, UniqueIntensities
from tasks.refine.measured_exchanges import MeasuredExchange, exchanged_names, measured_exchanges
from tests.synthetic.drafts import chain, fit_of, intensities_of


class Exact:
    """Least squares that moves nothing: F(calc) of the draft beside intensities of other names, with errors."""

    def __init__(self, true: list[str], folder: Path, noise: float) -> None:
        self.true, self.folder, self.noise, self.fits = true, folder, noise, 0

    def fit(self, draft: Draft, _intensities: UniqueIntensities, **_how) -> DraftFit:
        self.fits += 1
        group = gemmi.find_spacegroup_by_ops(gemmi.symops_from_hall(draft.hall))
        hkl = gemmi.make_miller_array(draft.unit_cell.gemmi(), group, 0.8, 0, True).astype(np.int32)
        places = np.array([atom.position for atom in draft.atoms])

        def f_of(names: list[str]) -> np.ndarray:
            return structure_factors(
                hkl, draft.unit_cell, group.operations(), elements=names, positions=places,
                u_iso_angstrom2=np.full(len(names), 0.02), occupancies=np.ones(len(names)), radiation="electron",
            )  # fmt: skip

        observed = np.abs(f_of(self.true)) * (1 + self.noise * np.random.default_rng(1).normal(size=len(hkl)))
        f = f_of([atom.element for atom in draft.atoms])
        table = self.folder / f"fit-{self.fits}.npz"
        np.savez(
            table, hkl=hkl, f_sq_obs=observed**2, sigma=0.02 * observed**2 + 0.01, f_sq_calc=np.abs(f) ** 2,
            phase_deg=np.degrees(np.angle(f)),
        )  # fmt: skip
        return fit_of(draft, self.folder / "empty").model_copy(update={"table": FileRef.of(table)})


def draft_of(sites: list[tuple[str, tuple[float, float, float]]], hall: str, cell: UnitCell) -> Draft:
    atoms = tuple(
        DraftAtom(label=f"{name}{i}", element=name, position=place, u_iso_angstrom2=0.02)
        for i, (name, place) in enumerate(sites)
    )
    return Draft(hall=hall, unit_cell=cell, atoms=atoms)


CADMIUM_IODIDE = draft_of(
    [("Cd", (1 / 3, 2 / 3, 0.0)), ("I", (1 / 3, 2 / 3, 0.375)), ("I", (0.0, 0.0, 0.625))], "P 6c -2c",
    UnitCell.of((4.24, 4.24, 13.67, 90, 90, 120)),
)  # fmt: skip


@pytest.mark.parametrize("named_right", [True, False])
def test_names_that_noise_leaves_open_are_told_by_neighbours(tmp_path: Path, named_right: bool) -> None:
    """Errors of a fifth of F: intensities of cadmium and iodine, exchanged, do not differ by more."""
    true = [atom.element for atom in CADMIUM_IODIDE.atoms]
    names = true if named_right else ["I", "Cd", "I"]
    atoms = tuple(
        atom.model_copy(update={"element": name}) for atom, name in zip(CADMIUM_IODIDE.atoms, names, strict=True)
    )
    draft, engine = CADMIUM_IODIDE.model_copy(update={"atoms": atoms}), Exact(true, tmp_path, noise=0.2)
    intensities = intensities_of(tmp_path / "data")
    fit = engine.fit(draft, intensities)
    measured = measured_exchanges(engine, fit, intensities, Composition.parse("Cd I2"))
    shares = exchanged_names(fit, measured)
    assert measured
    if named_right:
        assert max(share for share, _ in shares.values()) < 0.2
    else:
        assert shares["Cd0"][0] > 0.8
        assert shares["Cd0"][1] == "Cd"


def test_an_exchange_that_gives_the_same_structure_is_no_other(tmp_path: Path) -> None:
    """In zinc blende it is the inverse, whose intensities are the same."""
    cell = UnitCell.of((5.65, 5.65, 5.65, 90, 90, 90))
    draft = draft_of([("Ga", (0, 0, 0)), ("As", (0.25, 0.25, 0.25))], "F -4 2 3", cell)
    engine, intensities = Exact(["Ga", "As"], tmp_path, noise=0.5), intensities_of(tmp_path / "data")
    fit = engine.fit(draft, intensities)
    assert measured_exchanges(engine, fit, intensities, Composition.parse("Ga As")) == ()
    assert engine.fits > 1


def test_shares_of_exchanges_are_those_of_their_likelihoods(tmp_path: Path) -> None:
    fit = fit_of(chain("SiAlOF"), tmp_path / "t")
    shares = exchanged_names(fit, [MeasuredExchange("X0", "X1", 0.0), MeasuredExchange("X1", "X2", 1e6)])
    assert shares["X0"] == (0.5, "Al")
    assert shares["X1"] == (0.5, "Si")
    assert shares["X2"] == (0.0, "Al")
    assert "X3" not in shares
    certain = exchanged_names(fit, [MeasuredExchange("X0", "X1", -1e6)])
    assert certain["X0"][0] == pytest.approx(1.0)
