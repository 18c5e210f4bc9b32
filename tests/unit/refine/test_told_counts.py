"""Heavy elements are held to the composition told, where the data allow it, and what is beyond is said."""

from pathlib import Path

import pytest

from tasks.model import Composition
from tasks.refine import checks
from tasks.refine.draft import Draft, DraftFit, UniqueIntensities
from tasks.refine.progress import RefineProgress
from tasks.refine.told_counts import kept_to_told_counts, surplus_and_lack
from tests.synthetic.drafts import chain, fit_of, intensities_of

FORMULA = Composition.parse("C3 Cl P Pd")


class Preferring:
    """Least squares whose R1 depends on the element of one atom."""

    def __init__(self, folder: Path, atom: int, r1: dict[str, float]) -> None:
        self.folder, self.atom, self.r1 = folder, atom, r1

    def fit(self, draft: Draft, _intensities: UniqueIntensities, **_: object) -> DraftFit:
        r1 = self.r1.get(draft.atoms[self.atom].element, 0.2)
        return fit_of(draft, self.folder / "fit.npz", r1=r1, r1_all=r1)


@pytest.mark.parametrize(("cost", "names"), [(0.002, "P"), (0.02, "Cl")])
def test_a_second_chlorine_becomes_the_missing_phosphorus_unless_the_data_refuse(
    cost: float, names: str, tmp_path: Path
) -> None:
    fit = fit_of(chain("PdClCCCCl"), tmp_path / "start.npz", r1=0.03, r1_all=0.03)
    assert surplus_and_lack(fit, FORMULA) == ("Cl", "P")
    engine = Preferring(tmp_path, 5, {"Cl": 0.03 + 2 * cost, "P": 0.03 + cost})
    intensities = intensities_of(tmp_path / "data.npz")
    done = kept_to_told_counts(engine, RefineProgress(fit, ()), intensities, FORMULA)  # type: ignore[arg-type]
    assert done.fit.draft.atoms[5].element == names
    assert done.fit.draft.atoms[1].element == "Cl"
    assert done.attempts[0].change == "changed one Cl to P"


def test_light_elements_and_right_counts_are_left_alone(tmp_path: Path) -> None:
    right = fit_of(chain("PdClCCCP"), tmp_path / "right.npz")
    assert surplus_and_lack(right, FORMULA) is None
    light = fit_of(chain("NNO"), tmp_path / "light.npz")
    assert surplus_and_lack(light, Composition.parse("C N O")) is None


def test_what_the_composition_does_not_have_is_said() -> None:
    said = checks.elements_in_surplus({"C": 3.0, "Cl": 2.0, "Pd": 1.0}, FORMULA)
    assert said == ("2 Cl where the composition has 1",)
    assert checks.elements_in_surplus({"C": 3.0, "Cl": 1.0, "Pd": 1.0}, FORMULA) == ()
