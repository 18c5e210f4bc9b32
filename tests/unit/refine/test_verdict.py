"""A wrong structure is never called solved; a change that fails is undone and recorded."""

from pathlib import Path

import pytest

from tasks.model import Composition, DivergedError, FileRef, UnitCell
from tasks.refine.cell_check import Doubts
from tasks.refine.draft import AtomFit, Draft, DraftAtom, DraftFit, UniqueIntensities
from tasks.refine.element_rivals import ElementRival
from tasks.refine.measured_exchanges import MeasuredExchange, undecided
from tasks.refine.outliers import Outliers
from tasks.refine.scale_doubt import ScaleDoubt
from tasks.refine.settings import RefineSettings
from tasks.refine.strategy import refined
from tasks.refine.validation import Recovery
from tasks.refine.verdict import Grounds, judge_refined, r1_by_chance

CELL = UnitCell.of((7.1, 8.2, 9.3, 90.0, 96.0, 90.0))
GOOD = Recovery(r1=0.18, r1_free=0.22, reflections_free=120, displacement_angstrom=0.05)
FORMULA = {"C": 4.0, "O": 2.0}
WANTED = Composition.parse("C4 O2")


@pytest.fixture
def intensities(tmp_path: Path) -> UniqueIntensities:
    (tmp_path / "o.npz").write_bytes(b"")
    return UniqueIntensities(
        table=FileRef.of(tmp_path / "o.npz"), radiation="electron", wavelength_angstrom=0.02, friedel_merged=True,
        unique=1000, measured=5000, r_int=0.1, completeness=0.9, d_min_angstrom=0.8, absences=0, absences_violated=0,
    )  # fmt: skip


def plain_fit(draft: Draft, folder: Path, **figures) -> DraftFit:
    """Return a fit that nothing speaks against."""
    (folder / "t.npz").write_bytes(b"")
    rows = tuple(
        AtomFit(label=a.label, u_min_eigenvalue=0.02, u_max_eigenvalue=0.02, u_equivalent=0.02, multiplicity=4)
        for a in draft.atoms
    )
    values = {
        "r1": 0.15, "r1_all": 0.18, "wr2": 0.4, "goof": 1.0, "reflections": 1000, "reflections_observed": 700,
        "parameters": 25, "shift_over_esd_max": 0.0, "converged": True, "cycles": 5, "peaks": (), "density_max": 0.3,
        "density_min": -0.3, "density_rms": 0.07,
    }  # fmt: skip
    return DraftFit(draft=draft, atoms=rows, table=FileRef.of(folder / "t.npz"), **(values | figures))


@pytest.fixture
def draft() -> Draft:
    """Return a short zigzag chain of four carbon and two oxygen atoms, 1.40 A apart at angles near 120 degrees."""
    rise = 0.7 / CELL.b
    atoms = tuple(
        DraftAtom(label=f"X{i}", element=element, position=(0.1 + 1.212 * i / CELL.a, 0.2 + rise * (i % 2), 0.3))
        for i, element in enumerate("OCCCCO")
    )
    return Draft(hall="P 1", unit_cell=CELL, atoms=atoms)


def grounds(
    intensities: UniqueIntensities, recovery: Recovery | None = GOOD, formula=None, composition=WANTED
) -> Grounds:
    return Grounds(intensities.radiation, formula or FORMULA, composition, recovery)


def verdict(fit: DraftFit, intensities: UniqueIntensities, recovery: Recovery | None = GOOD, formula=None) -> str:
    return judge_refined(fit, grounds(intensities, recovery, formula)).verdict


@pytest.mark.parametrize(("factor", "expected"), [(1.03, "solved"), (1.12, "doubtful")])
def test_a_small_error_of_the_scale_is_named_and_a_large_one_makes_doubtful(
    draft: Draft, intensities: UniqueIntensities, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    factor: float, expected: str,
) -> None:  # fmt: skip
    doubt = ScaleDoubt(1 / factor, 0.005, "either", f"all lengths are {factor} times too long")
    monkeypatch.setattr("tasks.refine.verdict.cell_doubts", lambda *_: Doubts(doubt, None))
    found = judge_refined(plain_fit(draft, tmp_path), grounds(intensities))
    assert found.verdict == expected
    assert found.scale_doubt == doubt.text
    said = doubt.text if expected == "doubtful" else "in order but for their scale"
    assert any(said in reason for reason in found.reasons)


def test_where_lengths_are_wrong_elements_that_were_not_refuted_may_be(
    draft: Draft, intensities: UniqueIntensities, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    doubt = ScaleDoubt(1 / 1.34, 0.005, "either", "all lengths are 1.34 times too long")
    monkeypatch.setattr("tasks.refine.verdict.cell_doubts", lambda *_: Doubts(doubt, None))
    near, far = ElementRival("Mg", "S", 2.0, stronger=True), ElementRival("O", "S", 40.0, stronger=True)
    fit = plain_fit(draft, tmp_path)
    known, open_ = (
        judge_refined(fit, grounds(intensities)._replace(rivals=rivals)) for rivals in ((far,), (near, far))
    )
    assert known.reasons[0] == doubt.text
    assert open_.reasons[0] == f"{doubt.text}, or other elements than those told, such as S in place of Mg"


@pytest.mark.parametrize(("kinds", "first"), [(1, "no N was found"), (2, "all lengths are 1.27 times")])
def test_wrong_lengths_are_named_before_elements_where_several_elements_ask_for_them(
    draft: Draft, intensities: UniqueIntensities, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    kinds: int, first: str,
) -> None:  # fmt: skip
    doubt = ScaleDoubt(1 / 1.27, 0.005, "either", "all lengths are 1.27 times too long", kinds)
    monkeypatch.setattr("tasks.refine.verdict.cell_doubts", lambda *_: Doubts(doubt, None))
    wanted, fit = Composition.parse("C4 O2 N"), plain_fit(draft, tmp_path)
    assert judge_refined(fit, grounds(intensities, composition=wanted)).reasons[0].startswith(first)
    untold = judge_refined(fit, grounds(intensities, composition=None))
    assert untold.reasons[0].startswith("the elements are not known")


def test_what_chance_explains_tells_no_elements(draft: Draft, intensities: UniqueIntensities, tmp_path: Path) -> None:
    wanted = Composition.parse("C4 O2 N")
    few = grounds(intensities, composition=wanted)._replace(search={"explained_by_chance": 0.4})
    found = judge_refined(plain_fit(draft, tmp_path), few)
    assert found.reasons[0] == "40.0% of sets of as few intensities, dealt out at random, are explained as well"
    assert found.verdict == "not-solved"


def test_outliers_are_named_first(draft: Draft, intensities: UniqueIntensities, tmp_path: Path) -> None:
    fit = plain_fit(draft, tmp_path, r1=0.35)
    said = judge_refined(fit, grounds(intensities)._replace(outliers=Outliers(20, 300, 0.02))).reasons
    assert "in 20 of 300 reflections, the others agree to R1 0.020: outliers" in said[0]
    assert said[1] == "R1 0.350 is above 0.27"


def test_a_right_structure_is_solved(draft: Draft, intensities: UniqueIntensities, tmp_path: Path) -> None:
    assert verdict(plain_fit(draft, tmp_path), intensities) == "solved"


@pytest.mark.parametrize(
    ("figures", "expected"),
    [
        ({"r1": 0.31}, "doubtful"),
        ({"r1": 0.45}, "not-solved"),
        ({"parameters": 500}, "doubtful"),
        ({"r1": 0.26, "parameters": 560}, "not-solved"),
        ({"converged": False, "shift_over_esd_max": 3.0}, "doubtful"),
    ],
)
def test_one_bad_figure_is_enough(
    figures: dict, expected: str, draft: Draft, intensities: UniqueIntensities, tmp_path: Path
) -> None:
    assert verdict(plain_fit(draft, tmp_path, **figures), intensities) == expected


def test_a_low_r1_does_not_save_a_structure_that_predicts_nothing(
    draft: Draft, intensities: UniqueIntensities, tmp_path: Path
) -> None:
    fit = plain_fit(draft, tmp_path)
    assert verdict(fit, intensities, GOOD._replace(r1_free=0.50)) == "not-solved"
    assert verdict(fit, intensities, GOOD._replace(r1_free=0.38)) == "doubtful"
    assert verdict(fit, intensities, GOOD._replace(displacement_angstrom=0.4)) == "doubtful"
    assert verdict(fit, intensities, None) == "doubtful"


def test_displacements_at_their_floor_say_flattened_data_if_the_model_predicts(
    draft: Draft, intensities: UniqueIntensities, tmp_path: Path
) -> None:
    fit = plain_fit(draft, tmp_path)
    low = {"u_equivalent": 0.002, "u_min_eigenvalue": 0.002, "u_max_eigenvalue": 0.002}
    fit = fit.model_copy(update={"atoms": tuple(row.model_copy(update=low) for row in fit.atoms)})
    assert verdict(fit, intensities) == "solved"
    assert verdict(fit, intensities, GOOD._replace(r1_free=0.38)) == "not-solved"
    assert verdict(fit, intensities.model_copy(update={"radiation": "xray"})) == "not-solved"


def test_a_model_that_lacks_atoms_or_has_others_is_doubtful(
    draft: Draft, intensities: UniqueIntensities, tmp_path: Path
) -> None:
    fit = plain_fit(draft, tmp_path)
    assert verdict(fit, intensities, formula={"C": 3.0, "O": 1.0}) == "doubtful"
    assert verdict(fit, intensities, formula={"C": 1.0, "O": 5.0}) == "doubtful"


def test_chance_gives_wilsons_values_with_few_parameters(draft: Draft, tmp_path: Path) -> None:
    fit = plain_fit(draft, tmp_path, parameters=1)
    assert r1_by_chance(fit) == pytest.approx(0.59, abs=0.002)
    centric = fit.model_copy(update={"draft": draft.model_copy(update={"hall": "-P 1"})})
    assert r1_by_chance(centric) == pytest.approx(0.83, abs=0.002)


class Scripted:
    """Least squares that answers with plain fits and diverges once anything is anisotropic."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def fit(self, draft: Draft, intensities: UniqueIntensities, **_how) -> DraftFit:
        if any(atom.u_aniso_angstrom2 is not None for atom in draft.atoms):
            raise DivergedError("no")
        return plain_fit(draft, self.folder)

    def solvent(self, _draft: Draft, _intensities: UniqueIntensities) -> None:
        """Return that nothing fills the pores."""


def test_a_change_that_diverges_is_undone_and_recorded(
    draft: Draft, intensities: UniqueIntensities, tmp_path: Path
) -> None:
    settings = RefineSettings(completion_rounds=0, reassign=False, hydrogens=False, extinction=False, twins=False)
    progress = refined(Scripted(tmp_path), draft, intensities, composition=None, settings=settings)
    assert all(atom.u_aniso_angstrom2 is None for atom in progress.fit.draft.atoms)
    assert progress.attempts[0].outcome == "least squares failed or had no fits left, change undone"


class Unsettled(Scripted):
    """Least squares for which extinction improves everything, and never converges in the end."""

    settles = False

    def fit(self, draft: Draft, intensities: UniqueIntensities, **how) -> DraftFit:
        fit = super().fit(draft, intensities, **how)
        if draft.extinction is None:
            return fit.model_copy(update={"r1_free": 0.2})
        gain = {"wr2": 0.2, "r1": 0.1, "r1_free": 0.1, "extinction_esd": draft.extinction / 10}
        return fit.model_copy(update={**gain, "converged": self.settles or not how.get("update_weights")})


@pytest.mark.parametrize("settles", [True, False])
def test_extinction_that_does_not_settle_is_taken_back(
    draft: Draft, intensities: UniqueIntensities, tmp_path: Path, settles: bool
) -> None:
    engine = Unsettled(tmp_path)
    engine.settles = settles
    settings = RefineSettings(completion_rounds=0, reassign=False, hydrogens=False, anisotropic=False)
    progress = refined(engine, draft, intensities, composition=None, settings=settings)
    assert (progress.fit.draft.extinction is not None) == settles
    assert progress.fit.converged
    assert sum(attempt.change == "refined to the end" for attempt in progress.attempts) == (1 if settles else 2)


class Failing(Scripted):
    """Least squares that fails with weights of its own, or only when extinction is taken back as well."""

    only_without_extinction = False

    def fit(self, draft: Draft, intensities: UniqueIntensities, **how) -> DraftFit:
        fit = super().fit(draft, intensities, **how)
        if draft.extinction is None:
            if how.get("update_weights"):
                raise DivergedError("the normal equations cannot be solved")
            return fit.model_copy(update={"r1_free": 0.2})
        if how.get("update_weights") and not self.only_without_extinction:
            raise DivergedError("the normal equations cannot be solved")
        gain = {"wr2": 0.2, "r1": 0.1, "r1_free": 0.1, "extinction_esd": draft.extinction / 10, "converged": False}
        return fit.model_copy(update=gain)


@pytest.mark.parametrize("only_without_extinction", [True, False])
def test_a_model_whose_last_least_squares_fail_is_kept_as_it_was(
    draft: Draft, intensities: UniqueIntensities, tmp_path: Path, only_without_extinction: bool
) -> None:
    engine = Failing(tmp_path)
    engine.only_without_extinction = only_without_extinction
    settings = RefineSettings(completion_rounds=0, reassign=False, hydrogens=False, anisotropic=False)
    progress = refined(engine, draft, intensities, composition=None, settings=settings)
    assert not progress.fit.converged
    assert progress.fit.r1 == 0.1
    assert "cannot be solved" in progress.attempts[-1].outcome


def test_names_that_may_as_well_be_exchanged_are_no_solution(
    draft: Draft, intensities: UniqueIntensities, tmp_path: Path
) -> None:
    fit = plain_fit(draft, tmp_path)
    first, second = (atom.label for atom in draft.atoms[:2])
    salt = fit.model_copy(
        update={"draft": draft.model_copy(update={"atoms": (atom_of(draft.atoms[0], "Cd"), *draft.atoms[1:])})}
    )
    clear, even = (undecided([MeasuredExchange(first, second, cost)], salt) for cost in (2.0, 0.5))
    assert judge_refined(fit, grounds(intensities)._replace(undecided=clear)).verdict == "solved"
    found = judge_refined(fit, grounds(intensities)._replace(undecided=even))
    assert found.verdict == "doubtful"
    assert found.reasons[0] == f"which atom is which is not decided: {first} and {second} may be exchanged"
    assert undecided([MeasuredExchange(first, second, 0.5)], fit) is None, "of a molecule the odds say it"


def atom_of(atom: DraftAtom, element: str) -> DraftAtom:
    return atom.model_copy(update={"element": element})


def test_a_solution_without_atoms_is_refused(draft: Draft, intensities: UniqueIntensities, tmp_path: Path) -> None:
    empty = draft.model_copy(update={"atoms": ()})
    with pytest.raises(DivergedError, match="no atoms"):
        refined(Scripted(tmp_path), empty, intensities, composition=None, settings=RefineSettings())


def test_an_element_of_the_composition_that_is_nowhere_is_named(
    draft: Draft, intensities: UniqueIntensities, tmp_path: Path
) -> None:
    wanted = grounds(intensities, formula={"C": 40.0, "O": 20.0}, composition=Composition.parse("C40 O20 Br"))
    reasons = judge_refined(plain_fit(draft, tmp_path), wanted).reasons
    assert any("no Br was found" in reason for reason in reasons)
    assert not any("composition are in order" in reason for reason in reasons)


def test_the_wrong_radiation_is_suspected(draft: Draft, intensities: UniqueIntensities, tmp_path: Path) -> None:
    fit = plain_fit(draft, tmp_path)
    reasons = judge_refined(fit, grounds(intensities.model_copy(update={"radiation": "xray"}))).reasons
    assert any("electron intensities?" in reason for reason in reasons)
    reasons = judge_refined(fit, grounds(intensities, composition=None)).reasons
    assert any("no composition was given" in reason for reason in reasons)
