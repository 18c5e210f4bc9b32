"""When a twin is looked for beside a single crystal, and which of the two is taken."""

from pathlib import Path

import numpy as np
import pytest

from tasks.integrate import Reflections
from tasks.integrate.reflection_file import Merged
from tasks.model import Composition, NoSolutionError
from tasks.model.provenance import Provenance
from tasks.model.twin import Twin
from tasks.model.verdict import Verdict
from tasks.solve.building.ranking import Judgement
from tasks.solve.models import Atom, Solution, Solutions, SpaceGroupTrial
from tasks.solve.settings import SolveSettings
from tasks.solve.twinning import beside
from tasks.solve.twinning.beside import SOUND, TRIALS_BEFORE_TWINS, solved_with_twins
from tasks.solve.twinning.descents import Descent
from tasks.solve.twinning.twin_campaign import TwinFound
from tests.synthetic.solve_cases import reflections_document
from tests.synthetic.twins import APATITE, observe_twin

COMPOSITION = Composition.parse("Ca5 P3 O12 F")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Reflections:
    """Return apatite in its own Laue group, a single crystal."""
    seen = observe_twin(APATITE, 0.0, d_min=1.0, repeats=1)
    merged = Merged(seen.hkl, seen.intensity, seen.sigma, np.ones(len(seen.hkl), np.int32))
    folder: Path = tmp_path_factory.mktemp("apatite")
    return reflections_document(
        folder, name="apatite", merged=merged, cell=APATITE.cell, laue="P 6/m", radiation="electron"
    )


def solution(
    r1: float, verdict: Verdict, *, twin: Twin | None = None, elements: str = "Ca P O F", r_free: float | None = None
) -> Solution:
    atoms = tuple(Atom(label=f"{name}1", element=name, position=(0.1, 0.2, 0.3)) for name in elements.split())
    figures = {"r_free": r1 + 0.02 if r_free is None else r_free}
    return Solution(
        space_group="P 63/m", hall="-P 6c", unit_cell=APATITE.cell, atoms=atoms, r1=r1, figures=figures,
        verdict=verdict, twin=twin, reasons=("a twin: 35% of the crystal by the law k,h,-l",) if twin else (),
    )  # fmt: skip


class Search:
    """Leads to told solutions; remembers with how many trials it was asked."""

    def __init__(self, found: Solution | None, trials: int = 5) -> None:
        self.found, self.trials = found, trials
        self.asked: list[int] = []

    def __call__(self, settings: SolveSettings) -> Solutions:
        self.asked.append(settings.trials)
        if self.found is None:
            raise NoSolutionError("nothing")
        row = SpaceGroupTrial(symbol="P 63/m", hall="-P 6c", score=1.0)
        return Solutions(
            id="apatite", candidates=(self.found,), space_groups=(row,), trials=min(self.trials, settings.trials),
            verdict=self.found.verdict, margin="", provenance=Provenance(
                engine="direct-methods", version="0", parameters=settings.model_dump()),
        )  # fmt: skip


TWIN = Twin(law="k,h,-l", fraction=0.35)


@pytest.fixture
def twin_is(monkeypatch: pytest.MonkeyPatch) -> list[Solution | None]:
    """Return a list: what is put in it is what the search for twins leads to; it ends with a mark for each search."""
    told: list[Solution | None] = []

    def search(_: SolveSettings, __: Reflections, ___: Composition | None) -> TwinFound | None:
        assert told, "no twin was to be looked for"
        found = told.pop()
        return None if found is None else TwinFound(found, Judgement(found.verdict, (), found.figures), DESCENT)

    monkeypatch.setattr(beside, "solve_twin", search)
    return told


DESCENT: Descent = Descent.__new__(Descent, *(None,) * len(Descent._fields))


@pytest.mark.parametrize(("r1", "verdict"), [(0.05, "solved"), (0.17, "solved")])
def test_a_structure_that_explains_its_data_is_no_twin(
    r1: float, verdict: Verdict, data: Reflections, twin_is: list[Solution | None]
) -> None:
    search = Search(solution(r1, verdict))
    found = solved_with_twins(search, SolveSettings(), data, COMPOSITION)
    assert found.best.twin is None
    assert search.asked == [TRIALS_BEFORE_TWINS]
    assert found.provenance.parameters["trials"] == SolveSettings().trials
    assert twin_is == []


@pytest.mark.parametrize(
    "single",
    [solution(0.24, "solved"), solution(0.35, "doubtful"), solution(0.10, "solved", elements="Ca P O"), None],
    ids=["poor", "doubtful", "without fluorine", "nothing"],
)
def test_a_twin_that_explains_more_is_taken(
    single: Solution | None, data: Reflections, twin_is: list[Solution | None]
) -> None:
    twin_is.append(solution(0.02, "solved", twin=TWIN))
    found = solved_with_twins(Search(single), SolveSettings(), data, COMPOSITION)
    assert found.best.twin == TWIN
    assert found.verdict == "solved"
    assert "a twin: 35%" in found.margin
    assert found.space_groups[0].reasons == found.best.reasons[:1]
    assert len(found.candidates) == (1 if single is None else 2)


def test_a_twin_that_explains_hardly_more_is_not_taken(data: Reflections, twin_is: list[Solution | None]) -> None:
    twin_is.append(solution(0.19, "solved", twin=TWIN))
    found = solved_with_twins(Search(solution(0.24, "solved")), SolveSettings(), data, COMPOSITION)
    assert found.best.twin is None


def test_the_search_goes_on_where_no_twin_explains_the_data(data: Reflections, twin_is: list[Solution | None]) -> None:
    twin_is.append(None)
    search = Search(solution(0.4, "not-solved"), trials=1000)
    found = solved_with_twins(search, SolveSettings(trials=100), data, COMPOSITION)
    assert search.asked == [TRIALS_BEFORE_TWINS, 100]
    assert found.verdict == "not-solved"


def test_twins_that_are_only_not_excluded_are_named_after_troubles_of_the_data(
    data: Reflections, twin_is: list[Solution | None], monkeypatch: pytest.MonkeyPatch
) -> None:
    def search(settings: SolveSettings) -> Solutions:
        found = Search(solution(0.4, "not-solved"))(settings)
        return found.model_copy(update={"diagnosis": ("little signal", SOUND, "the time limit ended the search")})

    for said, place in (("twinning by the law k,h,-l is likely", 0), ("twinning is not excluded", 1)):
        twin_is[:] = [None]
        monkeypatch.setattr(beside, "twin_suspicions", lambda *_, said=said: (said,))
        found = solved_with_twins(search, SolveSettings(), data, COMPOSITION)
        assert found.diagnosis[place] == said
        assert found.diagnosis[2:] == (SOUND, "the time limit ended the search")
